/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/manager/vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/clock.h"
#include "protocol/units.h"

#define OVERHEAD_BUDGET 1000                           /* measuring takes one part in so many of the time */
#define OVERHEAD_SOONEST_USEC (5 * USEC_PER_SEC)
#define YOUNG_USEC USEC_PER_MINUTE
#define OVERHEAD_LATEST_USEC (5 * USEC_PER_MINUTE)
#define OVERHEAD_GROWTH 16                             /* counted on top: one part in so many */
#define PID_RETRY_USEC (5 * USEC_PER_SEC)
#define STATS_SETTLE_USEC USEC_PER_SEC                 /* after a boot is seen, a reading of before it may still be on its way to us */

int vm_new(struct vm **ret, struct manager *manager, const uint8_t uuid[static 16]) {
        struct vm *vm = calloc(1, sizeof(*vm));

        if (!vm)
                return -ENOMEM;
        vm->manager = manager;
        memcpy(vm->uuid, uuid, sizeof(vm->uuid));
        vm->id = -1;
        vm->pid = -ESRCH;
        vm->pin_bytes = vm->pin_until_usec = AEROSTAT_UNKNOWN;
        vm->overhead_bytes = vm->cgroup.memory_bytes = vm->reaction_usec = vm->contained_bytes = AEROSTAT_UNKNOWN;
        vm->move.after_bytes = vm->told_bytes = AEROSTAT_UNKNOWN;
        vm->managed = true;
        *ret = vm;
        return 0;
}

struct vm *vm_free(struct vm *vm) {
        if (!vm)
                return NULL;
        channel_free(vm->channel);
        free(vm);
        return NULL;
}

void vm_boot(struct vm *vm, uint64_t now_usec) {
        vm->started_usec = now_usec;
        vm->balloon_confirmed = false;
        vm->agent_version[0] = 0;
        vm->agent_spoke = false;
        memset(vm->boot_id, 0, sizeof(vm->boot_id));
        vm->target_bytes = vm->move.after_bytes = vm->told_bytes = AEROSTAT_UNKNOWN;
        vm->report_usec = 0;
        vm->refault_bytes_per_sec = AEROSTAT_UNKNOWN;
        vm->pressure_usec = 0;
        vm->stats_read_usec = vm->stats_usec = 0;
}

void vm_is_young(struct vm *vm, uint64_t now_usec) {
        vm->young_until_usec = now_usec + YOUNG_USEC;
}

void vm_clear_by_hand(struct vm *vm) {
        vm->pin_bytes = vm->pin_until_usec = AEROSTAT_UNKNOWN;
        vm->limits = (struct limits) { 0 };
}

void vm_apply_settings(struct vm *vm, const struct settings *settings) {
        const struct virt_metadata *m = &vm->info.metadata;
        const struct limits *l = &vm->limits;
        struct settings_vm s;

        settings_for_vm(settings, vm->name, &s);
        if (m->has_floor) {
                s.floor_bytes = m->floor_bytes;
                s.floor_ppm = m->floor_ppm;
        }
        if (l->has_floor) {
                s.floor_bytes = l->floor_bytes;
                s.floor_ppm = l->floor_ppm;
        }
        vm->floor_bytes = settings_floor_bytes(&s, vm->info.max_bytes);
        vm->weight = l->has_weight ? l->weight : m->has_weight ? m->weight : s.weight;
        vm->priority = l->has_priority ? l->priority : m->has_priority ? m->priority : s.priority;
        vm->managed = l->has_managed ? l->managed : m->has_managed ? m->managed : s.managed;
        snprintf(vm->note, sizeof(vm->note), "%s", m->error);
}

/*
 * Whether `actual` can be believed in this boot: QEMU leaves it stale over a reset, and counts nothing before the guest's driver is up. The
 * driver has been heard of when its own count agrees, or when QEMU's statistics were updated in this boot.
 */
static void confirm_balloon(struct vm *vm) {
        uint64_t tolerance = MAX(64 * MIB, vm->info.max_bytes / 32);

        if (vm->balloon_confirmed || vm->actual_usec == 0)
                return;
        if (vm->report_usec != 0 && vm->report.balloon_bytes != AEROSTAT_UNKNOWN)
                vm->balloon_confirmed = u64_distance(u64_sub(vm->info.max_bytes, vm->report.balloon_bytes), vm->actual_bytes) <= tolerance;
        else
                vm->balloon_confirmed = vm->stats_usec != 0;
}

void vm_take_actual(struct vm *vm, uint64_t actual_bytes, uint64_t now_usec) {
        if (actual_bytes == AEROSTAT_UNKNOWN)
                return;
        vm->actual_bytes = actual_bytes;
        vm->actual_usec = now_usec;
        confirm_balloon(vm);
}

/*
 * That the guest has updated its statistics shows in their time having changed, not in what it is: it is of a wall clock, and those are stepped (an
 * RTC in local time, until NTP has corrected it). What was there before this boot, or before this daemon, counts for nothing until then. A change
 * is no older than the reading before it; where in between it was the wall clock may say.
 */
static void date_stats(struct vm *vm, const struct virt_stats *stats, uint64_t now_usec) {
        uint64_t age_sec = u64_sub(clock_realtime_usec() / USEC_PER_SEC, stats->updated_sec);

        if (stats->updated_sec == 0 || vm->stats_read_usec == 0 || stats->updated_sec == vm->stats.updated_sec ||
            now_usec < vm->started_usec + STATS_SETTLE_USEC)
                return;
        vm->stats_usec = now_usec - MIN(u64_mul(age_sec, USEC_PER_SEC), now_usec - vm->stats_read_usec);
}

void vm_take_stats(struct vm *vm, const struct virt_stats *stats, uint64_t now_usec) {
        if (stats->updated_sec != AEROSTAT_UNKNOWN) {
                date_stats(vm, stats, now_usec);
                vm->stats = *stats;
                vm->stats_read_usec = now_usec;
        }
        vm_take_actual(vm, stats->actual_bytes, now_usec);
}

void vm_take_report(struct vm *vm, const struct message_report *report, uint64_t now_usec) {
        vm->refault_bytes_per_sec = AEROSTAT_UNKNOWN;
        if (vm->report_usec != 0 && now_usec > vm->report_usec && report->refault_file_bytes != AEROSTAT_UNKNOWN &&
            vm->report.refault_file_bytes != AEROSTAT_UNKNOWN)
                vm->refault_bytes_per_sec = u64_mul_div(u64_sub(report->refault_file_bytes, vm->report.refault_file_bytes), USEC_PER_SEC,
                                                        now_usec - vm->report_usec);
        if (vm->report_usec != 0 && report->oom_kills != AEROSTAT_UNKNOWN && report->oom_kills > vm->report.oom_kills)
                vm->oom_kill_usec = now_usec;
        vm->report = *report;
        vm->report_usec = now_usec;
        vm->report_pressure = report->reason == REPORT_PRESSURE;
        if (vm->report_pressure && vm->pressure_usec == 0)
                vm->pressure_usec = now_usec;
        confirm_balloon(vm);
}

/*
 * Walking a process's mappings holds its lock, and takes the longer the larger it is: spend a thousandth of the time on it. QEMU grows most in its
 * first minutes (devices, and under TCG the translation cache: 60 -> 95 MiB seen within 20 s of work, and within the first second), so what it may
 * grow by until the next look counts, too; while it is young, all that it is likely to. Its control groups are looked at in the same breath: their
 * limits hardly change.
 */
static void measure_now_and_then(struct vm *vm, int root_fd, const struct undo *undo, uint64_t now_usec) {
        uint64_t start_usec = clock_monotonic_usec(), bytes;

        if (vm->overhead_due_usec > now_usec)
                return;
        if (process_overhead_read(root_fd, vm->pid, vm->info.max_bytes, &bytes) >= 0) {
                bytes += bytes / OVERHEAD_GROWTH;
                if (vm->overhead_bytes != AEROSTAT_UNKNOWN && vm->overhead_bytes > bytes) /* a peak that decays by an eighth each time */
                        bytes = vm->overhead_bytes - (vm->overhead_bytes - bytes) / 8;
                vm->overhead_bytes = bytes;
        }
        (void) cgroup_limits_read(root_fd, vm->pid, undo, &vm->cgroup); /* what was read before holds while it cannot be told */
        vm->overhead_due_usec = now_usec + CLAMP((clock_monotonic_usec() - start_usec) * OVERHEAD_BUDGET, OVERHEAD_SOONEST_USEC,
                                                 OVERHEAD_LATEST_USEC);
}

void vm_sample(struct vm *vm, int root_fd, const struct undo *undo, uint64_t now_usec, uint64_t max_age_usec) {
        struct process_sample sample;

        if (vm->process_usec != 0 && now_usec - vm->process_usec < max_age_usec)
                return;
        if (vm->pid < 0) {
                if (vm->pid_sought_usec != 0 && now_usec - vm->pid_sought_usec < PID_RETRY_USEC)
                        return;
                vm->pid_sought_usec = now_usec;
                vm->pid = process_find_qemu(root_fd, vm->name, vm->uuid);
                if (vm->pid < 0)
                        return;
        }
        if (process_sample_read(root_fd, vm->pid, &sample) < 0 || (vm->process_usec != 0 && sample.start_ticks != vm->process.start_ticks)) {
                vm->pid = -ESRCH; /* gone, or its number is another process's by now */
                vm->process_usec = 0;
                return;
        }
        vm->process = sample;
        vm->process_usec = now_usec;
        measure_now_and_then(vm, root_fd, undo, now_usec);
}

static uint64_t stats_age_usec(const struct vm *vm, uint64_t now_usec) {
        return vm->stats_usec == 0 || vm->stats.available_bytes == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN : u64_sub(now_usec, vm->stats_usec);
}

enum report_source vm_source(const struct vm *vm, const struct settings *settings, uint64_t now_usec, uint64_t *ret_age_usec) {
        uint64_t agent = vm->report_usec != 0 ? u64_sub(now_usec, vm->report_usec) : AEROSTAT_UNKNOWN;
        uint64_t stats = stats_age_usec(vm, now_usec);

        if (agent != AEROSTAT_UNKNOWN && (agent <= settings->policy.fresh_usec || stats >= agent)) {
                *ret_age_usec = agent;
                return SOURCE_AGENT;
        }
        *ret_age_usec = stats;
        return stats != AEROSTAT_UNKNOWN ? SOURCE_BALLOON_STATS : SOURCE_NONE;
}

uint64_t vm_guest_swap_used_bytes(const struct message_report *r) {
        return r->swap_total_bytes == AEROSTAT_UNKNOWN || r->swap_free_bytes == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN
                                                                                                 : u64_sub(r->swap_total_bytes, r->swap_free_bytes);
}

static void input_from_report(const struct vm *vm, uint64_t guest_ceiling_ppm, struct policy_vm_input *in) {
        const struct message_report *r = &vm->report;

        in->report_usec = vm->report_usec;
        in->guest_total_bytes = r->total_bytes;
        in->guest_available_bytes = r->available_bytes;
        if (r->arc_reclaimable_bytes != AEROSTAT_UNKNOWN)
                in->guest_available_bytes = u64_add(in->guest_available_bytes, r->arc_reclaimable_bytes);
        in->guest_free_bytes = r->free_bytes;
        in->guest_cache_bytes = r->cache_bytes;
        in->guest_swap_total_bytes = r->swap_total_bytes;
        in->guest_swap_used_bytes = vm_guest_swap_used_bytes(r);
        if (in->guest_swap_used_bytes != AEROSTAT_UNKNOWN)
                in->guest_swap_excess_bytes = u64_sub(in->guest_swap_used_bytes, u64_mul_div(r->swap_total_bytes, guest_ceiling_ppm, PPM_ONE));
        in->guest_psi_some_total_usec = r->psi_some_total_usec;
        in->guest_refault_bytes = r->refault_file_bytes;
        in->guest_swap_in_bytes = r->swap_in_bytes;
        in->guest_oom_kills = r->oom_kills;
        in->guest_pressure = vm->report_pressure;
        /* The guest's own count of its balloon is of the same moment as its MemAvailable. */
        if (r->balloon_bytes != AEROSTAT_UNKNOWN)
                in->report_actual_bytes = u64_sub(vm->info.max_bytes, r->balloon_bytes);
}

static void input_from_stats(const struct vm *vm, uint64_t now_usec, uint64_t age_usec, struct policy_vm_input *in) {
        const struct virt_stats *s = &vm->stats;

        in->report_usec = MAX(u64_sub(now_usec, age_usec), 1);
        in->guest_total_bytes = s->total_bytes;
        in->guest_available_bytes = s->available_bytes;
        in->guest_free_bytes = s->free_bytes;
        in->guest_cache_bytes = s->cache_bytes;
        in->guest_swap_in_bytes = s->swap_in_bytes;
        in->report_actual_bytes = s->actual_bytes;
}

void vm_input(const struct vm *vm, const struct settings *settings, uint64_t now_usec, struct policy_vm_input *ret) {
        struct policy_vm_input in = {
                .max_bytes = vm->info.max_bytes,
                .floor_bytes = vm->floor_bytes,
                .weight = vm->weight,
                .pin_bytes = vm->pin_bytes,
                .managed = vm->managed,
                .fixed = !vm->info.has_balloon || vm->info.hostdev || vm->info.locked || vm->info.secure,
                .hugepages = vm->info.hugepages,
                .held = vm->state != VIRT_RUNNING,
                .unresponsive = vm->unresponsive,
                .autodeflate = vm->info.autodeflate,
                .cannot_swap = vm->info.locked || vm->info.hugepages || vm->cgroup.no_swap,
                .node_mask = vm->info.numa_strict ? vm->info.node_mask : 0,
                .started_usec = vm->started_usec,
                .balloon_confirmed = vm->balloon_confirmed,
                .actual_bytes = vm->actual_usec != 0 ? vm->actual_bytes : AEROSTAT_UNKNOWN,
                .target_bytes = vm->target_bytes,
                .rss_bytes = vm->process_usec != 0 ? vm->process.rss_bytes : AEROSTAT_UNKNOWN,
                .swap_bytes = vm->process_usec != 0 ? vm->process.swap_bytes : AEROSTAT_UNKNOWN,
                .run_usec = vm->process_usec != 0 ? vm->process.run_usec : AEROSTAT_UNKNOWN,
                .overhead_bytes = now_usec < vm->young_until_usec ? MAX(vm->overhead_bytes, POLICY_OVERHEAD_DEFAULT) : vm->overhead_bytes,
                .report_actual_bytes = AEROSTAT_UNKNOWN,
                .guest_total_bytes = AEROSTAT_UNKNOWN, .guest_available_bytes = AEROSTAT_UNKNOWN, .guest_free_bytes = AEROSTAT_UNKNOWN,
                .guest_cache_bytes = AEROSTAT_UNKNOWN, .guest_swap_total_bytes = AEROSTAT_UNKNOWN, .guest_swap_used_bytes = AEROSTAT_UNKNOWN,
                .guest_swap_excess_bytes = AEROSTAT_UNKNOWN,
                .guest_psi_some_total_usec = AEROSTAT_UNKNOWN, .guest_refault_bytes = AEROSTAT_UNKNOWN,
                .guest_swap_in_bytes = AEROSTAT_UNKNOWN, .guest_oom_kills = AEROSTAT_UNKNOWN,
        };
        uint64_t age;

        memcpy(&in.id, vm->uuid, sizeof(in.id));
        switch (vm_source(vm, settings, now_usec, &age)) {
        case SOURCE_AGENT:
                input_from_report(vm, settings->guest_ceiling_ppm, &in);
                break;
        case SOURCE_BALLOON_STATS:
                input_from_stats(vm, now_usec, age, &in);
                break;
        case SOURCE_NONE:
                break;
        }
        *ret = in;
}
