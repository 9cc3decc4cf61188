/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The manager's part in KSM and swap: feeds both controls, and answers for them. Host-wide settings, unlike everything else in the manager. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host-agent/manager/internal.h"
#include "host-agent/manager/view.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define TICK_USEC (USEC_PER_SEC - 50 * USEC_PER_MSEC)  /* a decision each second, less its jitter */
#define URGENT_USEC (100 * USEC_PER_MSEC)              /* a decision so soon, when swap limits may have to be lifted */
#define PROCESS_USEC (10 * USEC_PER_SEC)               /* what VMs merged changes slowly, while ksmd is stopped */

_Static_assert((int) SETTINGS_KSM_AUTO == KSM_MODE_AUTO && (int) SETTINGS_KSM_ON == KSM_MODE_ON && (int) SETTINGS_KSM_OFF == KSM_MODE_OFF &&
               (int) SETTINGS_KSM_LEAVE == KSM_MODE_LEAVE, "settings.h and policy/ksm.h name the same modes");

static bool acts(const struct manager *m) {
        return !m->paused && !m->settings.dry_run && !m->options.dry_run;
}

int manager_memory_new(struct manager *m) {
        int r;

        r = undo_new(&m->undo, m->root_fd, m->options.state_dir);
        if (r < 0) {
                log_error("what an earlier run changed on this host cannot be read (%s/undo): %s", m->options.state_dir, strerror(-r));
                return r;
        }
        if (r > 0)
                log_error("%s/undo is not what aerostatd writes: set aside as undo.bad; what an earlier run changed on this host stays",
                          m->options.state_dir);
        r = ksm_control_new(&m->ksm, m->event, m->root_fd, m->options.host_proc, m->undo);
        if (r < 0)
                return r;
        r = contain_new(&m->contain, m->event, m->root_fd, m->undo); /* before the swap control, which takes over what it finds */
        if (r < 0)
                return r;
        r = swap_control_new(&m->swap, m->event, m->root_fd, m->undo);
        if (r < 0)
                return r;
        manager_memory_configure(m);
        return 0;
}

void manager_memory_free(struct manager *m) {
        m->ksm = ksm_control_free(m->ksm);
        m->contain = contain_free(m->contain);
        m->swap = swap_control_free(m->swap);
        m->undo = undo_free(m->undo);
}

void manager_memory_configure(struct manager *m) {
        struct ksm_config config = {
                .mode = (enum ksm_mode) m->settings.ksm_mode,
                .cpu_normal_ppm = m->settings.ksm_cpu_normal_ppm,
                .cpu_critical_ppm = m->settings.ksm_cpu_critical_ppm,
        };

        ksm_control_configure(m->ksm, &config);
}

/* QEMU offers all guest memory for merging unless told otherwise; the kernel takes private anonymous memory only. */
const char *manager_memory_why_not_merging(const struct vm *vm) {
        return vm->info.nosharepages     ? "opted out (nosharepages)"
               : vm->info.hugepages      ? "its memory is on huge pages"
               : vm->info.shared_memory  ? "its memory is shared with other processes (memfd, file)"
               : vm->info.secure         ? "its memory is encrypted"
                                         : NULL;
}

uint64_t manager_memory_ksm_saved(const struct manager *m, uint64_t counted_bytes) {
        const struct ksm_sample *s = &ksm_control_view(m->ksm)->sample;
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), merged = 0;

        for (size_t i = 0; i < m->n_vms; i++) {
                const struct vm *vm = m->vms[i];

                if (vm->pid <= 0)
                        continue;
                if (!vm->ksm_known || vm->ksm.merged_bytes == AEROSTAT_UNKNOWN) /* not yet, or not by this kernel */
                        return counted_bytes;
                merged = u64_add(merged, vm->ksm.merged_bytes);
        }
        if (!ksm_control_view(m->ksm)->present)
                return counted_bytes;
        return ksm_live_bytes(counted_bytes, u64_mul(s->shared_pages, page), merged); /* unknown stays unknown */
}

static void tick_ksm(struct manager *m, uint64_t now_usec) {
        const struct ksm_knobs *knobs = &ksm_control_view(m->ksm)->sample.knobs;
        uint64_t ran = knobs->run, period = ran == 1 ? TICK_USEC : PROCESS_USEC;
        struct ksm_tick tick = {
                .now_usec = now_usec,
                .act = acts(m) && m->ready,
                .dry_run = m->settings.dry_run || m->options.dry_run,
                .memory_bytes = m->plan.memory_bytes,
                .available_bytes = m->plan.available_bytes,
                .reserve_bytes = m->plan.reserve_bytes,
                .host_state = m->plan.host_state,
                .short_of_memory = !m->plan.fits,
                .cow_pages = vmstat_ksm_copies(&m->sample.vmstat),
                .n_starts = m->starts,
        };

        for (size_t i = 0; i < m->n_vms; i++) {
                struct vm *vm = m->vms[i];

                tick.n_mergeable += !manager_memory_why_not_merging(vm);
                if (vm->pid <= 0 || (vm->ksm_usec != 0 && now_usec - vm->ksm_usec < period))
                        continue;
                vm->ksm_known = ksm_process_read(m->root_fd, vm->pid, &vm->ksm) >= 0;
                vm->ksm_usec = MAX(now_usec, 1);
        }
        ksm_control_tick(m->ksm, &tick);
        if (knobs->run != ran)
                for (size_t i = 0; i < m->n_vms; i++)
                        m->vms[i]->ksm_usec = 0;
}

static struct swap_input swap_input(struct manager *m, uint64_t now_usec) {
        const struct host_sample *s = &m->sample;
        struct swap_input in = {
                .now_usec = now_usec,
                /* A limit of nothing where there is no swap says nothing. */
                .enforce = m->settings.swap_enforce && !m->paused && s->swap_disk_total_bytes != AEROSTAT_UNKNOWN && s->swap_disk_total_bytes > 0,
                .last = m->settings.policy.mode == POLICY_GUARANTEED,
                .zswap_bytes = m->host.zswap_bytes,
                .zram_bytes = s->swap_zram_total_bytes,
                .zram_used_bytes = s->swap_zram_used_bytes,
                .total_bytes = s->swap_disk_total_bytes,
                .used_bytes = s->swap_disk_used_bytes,
                .ceiling_ppm = m->settings.policy.swap_ceiling_ppm,
                .available_bytes = m->sample.meminfo.available_bytes, /* what the kernel itself goes by when it swaps and kills */
                .reserve_bytes = m->plan.reserve_bytes,
                .in_pages = s->vmstat.pswpin,
                .out_pages = s->vmstat.pswpout,
        };

        for (size_t i = 0; i < m->n_vms; i++) {
                const struct policy_vm_input *vm = &m->policy_vms[i].input;
                const struct vm *own = m->vms[i];
                /* Not all that is fixed: what has no balloon is swapped like any other. */
                bool stays = own->info.hostdev || own->info.secure || vm->cannot_swap || vm->rss_bytes == AEROSTAT_UNKNOWN;

                m->swap_vms[i] = (struct swap_vm) {
                        .pid = own->pid,
                        .start_ticks = own->process.start_ticks,
                        .weight = own->weight,
                        .swap_bytes = vm->swap_bytes,
                        .resident_bytes = stays ? 0 : vm->rss_bytes,
                };
                if (vm->swap_bytes != AEROSTAT_UNKNOWN)
                        in.vms_bytes = u64_add(in.vms_bytes, vm->swap_bytes);
        }
        swap_control_count(m->swap, m->settings.swap_per_vm_limits, m->swap_vms, m->n_vms, &in);
        return in;
}

static void tick_swap(struct manager *m, const struct swap_input *in) {
        bool above = swap_control_view(m->swap)->plan.lift_bytes > 0, thrashing = swap_control_view(m->swap)->plan.thrashing;
        const struct swap_plan *plan;
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX];

        swap_control_tick(m->swap, in, !m->settings.dry_run && !m->options.dry_run, m->settings.swap_per_vm_limits, m->swap_vms, m->n_vms);
        plan = &swap_control_view(m->swap)->plan;
        if ((plan->lift_bytes > 0) != above)
                log_message(above ? LOG_INFO : LOG_WARNING, above ? "the swap ceiling is in force again (%s of %s used)"
                                                                  : "memory is nearly gone: VMs may swap beyond the ceiling for now (%s of %s used)",
                            format_size(in->used_bytes, a), format_size(in->total_bytes, b));
        if (plan->thrashing != thrashing)
                log_message(thrashing ? LOG_INFO : LOG_WARNING,
                            thrashing ? "thrashing has ended" : "thrashing: %llu pages/s swapped in, %llu out, for a minute",
                            (unsigned long long) plan->in_per_sec, (unsigned long long) plan->out_per_sec);
}

static void tick_contain(struct manager *m, uint64_t now_usec) {
        bool acts_now = acts(m) && m->settings.contain && !m->ending;

        for (size_t i = 0; i < m->n_vms; i++) {
                const struct policy_vm *policy = &m->policy_vms[i];
                uint64_t overhead = policy->input.overhead_bytes == AEROSTAT_UNKNOWN ? POLICY_OVERHEAD_DEFAULT : policy->input.overhead_bytes;

                m->contain_vms[i] = (struct contain_vm) {
                        .pid = m->vms[i]->pid,
                        .start_ticks = m->vms[i]->process.start_ticks,
                        .bytes = acts_now && policy->plan.contain ? u64_add(policy->plan.target_bytes, overhead) : AEROSTAT_UNKNOWN,
                };
        }
        contain_tick(m->contain, now_usec, m->contain_vms, m->n_vms);
        for (size_t i = 0; i < m->n_vms; i++) {
                const struct contain_vm *now = &m->contain_vms[i];
                struct vm *vm = m->vms[i];
                char a[FORMAT_SIZE_MAX];

                if ((now->held_bytes != AEROSTAT_UNKNOWN) != (vm->contained_bytes != AEROSTAT_UNKNOWN))
                        manager_tell(m, LOG_WARNING, vm,
                                     now->held_bytes != AEROSTAT_UNKNOWN ? "it uses more than it may: being held to %s by memory.high"
                                                                         : "obeys again, or is not asked to: no longer held by memory.high",
                                     format_size(now->bytes, a));
                if (now->why_not && now->why_not != vm->why_not_contained)
                        manager_tell(m, LOG_WARNING, vm, "it uses more than it may, and cannot be contained: %s", now->why_not);
                vm->contained_bytes = now->held_bytes;
                vm->why_not_contained = now->why_not;
        }
}

void manager_memory_tick(struct manager *m, uint64_t now_usec) {
        struct swap_input in = swap_input(m, now_usec);
        bool due = m->memory_usec == 0 || now_usec - m->memory_usec >= TICK_USEC;

        if (due) {
                m->memory_usec = MAX(now_usec, 1);
                tick_ksm(m, now_usec);
                tick_contain(m, now_usec);
        }
        if (due || swap_is_urgent(&in))
                tick_swap(m, &in);
        if (swap_is_urgent(&in))
                m->plan.next_usec = MIN(m->plan.next_usec, URGENT_USEC);
}

/* ---- view.h ---- */

void manager_view_ksm_vm(struct manager *m, size_t index, struct ksm_vm_view *ret) {
        const struct vm *vm = m->vms[index];
        const struct ksm_sample *s = &ksm_control_view(m->ksm)->sample;

        *ret = (struct ksm_vm_view) {
                .name = vm->name, .why_not = manager_memory_why_not_merging(vm), .opted_out = vm->info.nosharepages,
                .merged_bytes = AEROSTAT_UNKNOWN, .saved_bytes = AEROSTAT_UNKNOWN, .zero_bytes = AEROSTAT_UNKNOWN, .profit_bytes = INT64_MIN,
        };
        if (!vm->ksm_known)
                return;
        ret->merged_bytes = vm->ksm.merged_bytes;
        ret->zero_bytes = vm->ksm.zero_bytes;
        ret->profit_bytes = vm->ksm.profit_bytes;
        if (vm->ksm.merged_bytes != AEROSTAT_UNKNOWN && s->sharing_pages != AEROSTAT_UNKNOWN && s->shared_pages != AEROSTAT_UNKNOWN)
                ret->saved_bytes = u64_add(u64_mul_div(vm->ksm.merged_bytes, s->sharing_pages, MAX(u64_add(s->sharing_pages, s->shared_pages), 1)),
                                           vm->ksm.zero_bytes == AEROSTAT_UNKNOWN ? 0 : vm->ksm.zero_bytes);
}

int manager_set_ksm_mode(struct manager *m, enum ksm_mode mode, char error[static VIEW_ERROR_MAX]) {
        int r = ksm_control_set_mode(m->ksm, mode, error);

        m->memory_usec = 0;
        manager_decide_soon(m);
        return r;
}

int manager_unmerge_ksm(struct manager *m, char error[static VIEW_ERROR_MAX]) {
        return ksm_control_unmerge(m->ksm, error);
}

int manager_set_swap_ceiling(struct manager *m, uint64_t ceiling_ppm, char error[static VIEW_ERROR_MAX]) {
        if (ceiling_ppm > PPM_ONE) {
                snprintf(error, VIEW_ERROR_MAX, "a swap ceiling is a share of swap, from 0 to 100 %%");
                return -ERANGE;
        }
        log_message(LOG_NOTICE, "swap ceiling set to %llu %% by the operator (was %llu %%)", (unsigned long long) ceiling_ppm / 10000,
                    (unsigned long long) m->settings.policy.swap_ceiling_ppm / 10000);
        m->settings.policy.swap_ceiling_ppm = ceiling_ppm;
        m->memory_usec = 0;
        manager_decide_soon(m);
        return 0;
}

void manager_plan_swap(struct manager *m, uint64_t vms_bytes, struct swap_sizing_input *ret_input, struct swap_sizing *ret) {
        const struct policy_config *config = &m->settings.policy;
        uint64_t overhead = 0, vm_swap = 0, used = m->sample.swap_disk_used_bytes;

        for (size_t i = 0; i < m->n_vms; i++) {
                const struct policy_vm_input *in = &m->policy_vms[i].input;

                overhead = u64_add(overhead, in->overhead_bytes == AEROSTAT_UNKNOWN ? POLICY_OVERHEAD_DEFAULT : in->overhead_bytes);
                vm_swap = u64_add(vm_swap, in->swap_bytes == AEROSTAT_UNKNOWN ? 0 : in->swap_bytes);
        }
        *ret_input = (struct swap_sizing_input) {
                .mode = config->mode,
                .overcommit_factor_ppm = config->overcommit_factor_ppm,
                .ceiling_ppm = config->swap_ceiling_ppm,
                .ksm_credit_ppm = config->ksm_credit_ppm,
                .memory_bytes = m->plan.memory_bytes,
                .capacity_bytes = m->plan.capacity_bytes,
                .vms_bytes = vms_bytes != AEROSTAT_UNKNOWN ? vms_bytes : u64_add(m->plan.max_bytes, overhead),
                .others_bytes = used == AEROSTAT_UNKNOWN ? 0 : u64_sub(used, swap_on_disk(vm_swap, used, m->sample.swap_zram_used_bytes)),
                .zswap_bytes = m->host.zswap_bytes,
                .ksm_saved_bytes = m->sample.ksm_saved_bytes,
                .total_bytes = m->sample.swap_disk_total_bytes,
        };
        swap_size(ret_input, ret);
}
