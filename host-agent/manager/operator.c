/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The operator's side of the manager: view.h. */

#include "host-agent/manager/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host-agent/manager/alert_conditions.h"
#include "host-agent/manager/internal.h"
#include "host-agent/manager/nodes.h"
#include "protocol/clock.h"
#include "protocol/parse.h"
#include "protocol/units.h"

/* Without what VMs had merged that have ended, which saved_bytes is without, too. Less than nothing counts as 0. */
static uint64_t ksm_profit_bytes(const struct ksm_view *k, uint64_t saved_bytes) {
        uint64_t all = k->sample.saved_bytes;

        if (!k->present || (k->sample.profit_estimated && all == AEROSTAT_UNKNOWN))
                return AEROSTAT_UNKNOWN;
        return u64_sub((uint64_t) MAX(k->sample.profit_bytes, 0), all == AEROSTAT_UNKNOWN ? 0 : u64_sub(all, saved_bytes));
}

/* What the page of zeros stands in for; no process has it. */
static uint64_t ksm_zero_bytes(const struct ksm_view *k) {
        return k->present && k->sample.zero_pages != AEROSTAT_UNKNOWN ? u64_mul(k->sample.zero_pages, (uint64_t) sysconf(_SC_PAGESIZE)) : 0;
}

void manager_view_host(struct manager *m, struct host_view *ret) {
        const struct ksm_view *ksm = ksm_control_view(m->ksm);
        const struct host_sample *s = &m->sample;
        uint64_t ksm_saved = u64_add(s->ksm_saved_bytes, ksm_zero_bytes(ksm));
        uint64_t zram_total = s->swap_zram_total_bytes == AEROSTAT_UNKNOWN ? 0 : s->swap_zram_total_bytes;
        uint64_t zram_used = s->swap_zram_used_bytes == AEROSTAT_UNKNOWN ? 0 : s->swap_zram_used_bytes;

        *ret = (struct host_view) {
                .plan = &m->plan,
                .host = &m->host,
                .settings = &m->settings,
                .automation = m->paused ? AUTOMATION_PAUSED
                              : m->settings.dry_run || m->options.dry_run ? AUTOMATION_DRY_RUN : AUTOMATION_RUNNING,
                .connected = m->connected,
                .swap_total_bytes = u64_add(s->swap_disk_total_bytes, zram_total),
                .swap_used_bytes = u64_add(s->swap_disk_used_bytes, zram_used),
                .ksm_run = s->ksm_run,
                .ksm_saved_bytes = ksm_saved,
                .ksm_profit_bytes = ksm_profit_bytes(ksm, ksm_saved),
                .ksm_cpu_ppm = ksm->present ? ksm->plan.cpu_ppm : AEROSTAT_UNKNOWN,
                .ksm = ksm,
                .swap = swap_control_view(m->swap),
                .psi_some_ppm = s->pressure.some_avg10_ppm,
                .psi_full_ppm = s->pressure.full_avg10_ppm,
                .swap_in_bytes_per_sec = m->swap_rates.in_bytes_per_sec,
                .swap_out_bytes_per_sec = m->swap_rates.out_bytes_per_sec,
                .alerts = &m->alerts,
                .decisions_taken = &m->decisions_taken,
                .reactions = &m->reactions,
                .n_vms = m->n_vms,
                .now_usec = clock_monotonic_usec(),
                .decisions = m->decisions,
                .history = &m->history,
        };
        ret->uptime_usec = ret->now_usec - m->started_usec;
}

static uint64_t usec_ago(uint64_t when_usec, uint64_t now_usec) {
        return when_usec == 0 ? AEROSTAT_UNKNOWN : u64_sub(now_usec, when_usec);
}

static bool is_taken(const struct vm *vm) {
        return vm->resort.step == RESORT_TAKING || vm->resort.step >= RESORT_PAUSED;
}

void manager_view_vm(struct manager *m, size_t index, struct vm_view *ret) {
        const struct vm *vm = m->vms[index];
        uint64_t now_usec = clock_monotonic_usec();
        bool reported = vm->report_usec != 0 && u64_sub(now_usec, vm->report_usec) <= alert_believed_usec(m->settings.policy.fresh_usec);

        *ret = (struct vm_view) {
                .name = vm->name,
                .policy = &m->policy_vms[index],
                .priority = vm->priority,
                .floor_bytes = MIN(vm->floor_bytes, vm->info.max_bytes),
                .weight = vm->weight,
                .managed = vm->managed,
                .limits = &vm->limits,
                .pin_until_usec_left = vm->pin_until_usec == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN : u64_sub(vm->pin_until_usec, now_usec),
                .paused = vm->state != VIRT_RUNNING,
                .agent_version = vm->agent_version[0] ? vm->agent_version : NULL,
                .agent_spoke = vm->agent_spoke,
                .guest_psi_some_ppm = reported ? vm->report.psi_some_avg10_ppm : AEROSTAT_UNKNOWN,
                .guest_psi_full_ppm = reported ? vm->report.psi_full_avg10_ppm : AEROSTAT_UNKNOWN,
                .guest_swap_used_bytes = reported ? vm_guest_swap_used_bytes(&vm->report) : AEROSTAT_UNKNOWN,
                .guest_swap_total_bytes = reported ? vm->report.swap_total_bytes : AEROSTAT_UNKNOWN,
                .guest_refault_bytes_per_sec = reported ? vm->refault_bytes_per_sec : AEROSTAT_UNKNOWN,
                .last_set_usec_ago = usec_ago(vm->set_usec, now_usec),
                .reaction_usec = vm->reaction_usec,
                .decisions = &vm->decisions,
                .oom_kill_usec_ago = usec_ago(vm->oom_kill_usec, now_usec),
                .violation_usec_ago = usec_ago(vm->violation_usec, now_usec),
                .last_resort_usec_ago = is_taken(vm) ? 0 : usec_ago(vm->last_resort_usec, now_usec),
                .last_resort = vm->resort.action,
                .last_resort_paused = vm->resort.step >= RESORT_PAUSED,
                .last_resort_left_usec = u64_sub(u64_add(vm->last_resort_usec, m->settings.last_resort_max_duration_usec), now_usec),
                .contained_bytes = vm->contained_bytes,
                .why_not_contained = vm->why_not_contained,
                .history = &vm->history,
                .note = vm->note[0] ? vm->note : vm->pid < 0 ? "its QEMU process was not found: resident memory and swap are not known" : NULL,
        };
        memcpy(ret->uuid, vm->uuid, sizeof(ret->uuid));
        ret->source = vm_source(vm, &m->settings, now_usec, &ret->report_age_usec);
}

/* -ENOENT's sentence, with the nearest name there is. */
static void explain_missing(struct manager *m, const char *name, char error[static VIEW_ERROR_MAX]) {
        _cleanup_free_ const char **names = calloc(m->n_vms + 1, sizeof(*names));
        const char *nearest = NULL;

        if (names) {
                for (size_t i = 0; i < m->n_vms; i++)
                        names[i] = m->vms[i]->name;
                nearest = parse_nearest(name, names);
        }
        if (nearest)
                snprintf(error, VIEW_ERROR_MAX, "no running VM is called \"%.128s\"; did you mean \"%.128s\"?", name, nearest);
        else if (m->n_vms == 0)
                snprintf(error, VIEW_ERROR_MAX, "no running VM is called \"%.128s\": aerostatd sees "
                                                "none at all (`virsh list` shows what libvirt sees)", name);
        else
                snprintf(error, VIEW_ERROR_MAX, "no running VM is called \"%.128s\" (`aerostatctl list` shows the %zu that run)", name, m->n_vms);
}

int manager_find_vm(struct manager *m, const char *name_or_uuid, size_t *ret_index, char error[static VIEW_ERROR_MAX]) {
        uint8_t uuid[16];
        bool is_uuid = parse_uuid(name_or_uuid, uuid) >= 0;

        for (size_t i = 0; i < m->n_vms; i++)
                if (strcmp(m->vms[i]->name, name_or_uuid) == 0) {
                        *ret_index = i;
                        return 0;
                }
        for (size_t i = 0; is_uuid && i < m->n_vms; i++)
                if (memcmp(m->vms[i]->uuid, uuid, sizeof(uuid)) == 0) {
                        *ret_index = i;
                        return 0;
                }
        explain_missing(m, name_or_uuid, error);
        return -ENOENT;
}

uint64_t manager_least_bytes(struct manager *m, size_t index, uint64_t bytes) {
        return u64_add(reservations_total(&m->reservations), policy_least_bytes(m->policy_vms, m->n_vms, index, bytes));
}

/* Whether it is more than the NUMA nodes that it is bound to can bear of all VMs there; then error says so. */
static bool exceeds_node(const struct manager *m, const struct policy_vm *policy, const char *name, uint64_t bytes, bool force,
                         char error[static VIEW_ERROR_MAX]) {
        size_t place = policy->plan.nodeset;
        const struct policy_nodeset *s = place > 0 && place <= m->plan.n_nodesets ? &m->plan.nodesets[place - 1] : NULL;
        char nodes[NODES_TEXT_MAX], a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX];

        if (!s || bytes <= s->rule_bytes)
                return false;
        snprintf(error, VIEW_ERROR_MAX, "beyond what NUMA node %s can bear, which \"%.128s\" is bound to: %s of %s; %s",
                 nodes_to_string(s->mask, nodes), name, format_size(bytes, a), format_size(s->rule_bytes, b),
                 force ? "it gets what its nodes have" : "--force sets it all the same, and it gets what its nodes have");
        return true;
}

int manager_set_target(struct manager *m, size_t index, uint64_t bytes, uint64_t for_usec, bool force, char error[static VIEW_ERROR_MAX]) {
        const struct policy_vm *policy = &m->policy_vms[index];
        struct vm *vm = m->vms[index];
        uint64_t least, floor = MIN(vm->floor_bytes, vm->info.max_bytes);
        bool beyond;
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_SIZE_MAX];

        if (!vm->managed) {
                snprintf(error, VIEW_ERROR_MAX, "\"%.128s\" is excluded (managed = no); `aerostatctl limits` or its metadata changes that", vm->name);
                return -EPERM;
        }
        if (policy->input.fixed || policy->input.hugepages) {
                snprintf(error, VIEW_ERROR_MAX, "\"%.128s\" cannot be moved: %s", vm->name,
                         !vm->info.has_balloon ? "it has no balloon device" : vm->info.hostdev ? "a passed-through device pins its memory"
                         : vm->info.locked ? "its memory is locked"
                         : vm->info.hugepages ? "it is backed by huge pages" : "its memory is encrypted and pinned");
                return -EPERM;
        }
        if (bytes < floor || bytes > vm->info.max_bytes) {
                snprintf(error, VIEW_ERROR_MAX, "%s is outside what \"%.128s\" may have: floor %s, maximum %s%s", format_size(bytes, a), vm->name,
                         format_size(floor, b), format_size(vm->info.max_bytes, c), bytes < floor ? " (`aerostatctl limits` changes the floor)" : "");
                return -ERANGE;
        }
        least = manager_least_bytes(m, index, bytes);
        beyond = least > m->plan.rule_bytes;
        if (beyond)
                snprintf(error, VIEW_ERROR_MAX,
                         "beyond the envelope: with \"%.128s\" at %s the VMs need %s at least (the others' floors, "
                         "fixed VMs and overhead counted), and the host can bear %s; %s",
                         vm->name, format_size(bytes, a), format_size(least, b), format_size(m->plan.rule_bytes, c),
                         force ? "if they use it, the host swaps, and then kills" : "--force sets it all the same, at the risk of swapping");
        if (beyond && !force)
                return -ENOSPC;
        if (!beyond)
                beyond = exceeds_node(m, policy, vm->name, bytes, force, error);
        if (beyond && !force)
                return -ENOSPC;
        vm->pin_bytes = bytes;
        vm->pin_until_usec = for_usec == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN : u64_add(clock_monotonic_usec(), for_usec);
        log_vm(LOG_NOTICE, vm->name, "manual target %s%s%s", format_size(bytes, a), beyond ? ", forced " : "", beyond ? error : "");
        manager_keep_changed(m);
        return beyond;
}

int manager_set_auto(struct manager *m, size_t index, char error[static VIEW_ERROR_MAX]) {
        struct vm *vm = m->vms[index];

        if (vm->pin_bytes == AEROSTAT_UNKNOWN) {
                snprintf(error, VIEW_ERROR_MAX, "\"%.128s\" is automatic already", vm->name);
                return -EALREADY;
        }
        vm->pin_bytes = vm->pin_until_usec = AEROSTAT_UNKNOWN;
        log_vm(LOG_NOTICE, vm->name, "automatic again");
        manager_keep_changed(m);
        return 0;
}

int manager_set_paused(struct manager *m, bool paused, char error[static VIEW_ERROR_MAX]) {
        if (m->paused == paused) {
                snprintf(error, VIEW_ERROR_MAX, "automation is %s already", paused ? "paused" : "running");
                return -EALREADY;
        }
        m->paused = paused;
        log_message(LOG_NOTICE, paused ? "automation paused by the operator: targets stay where they are" : "automation resumed");
        manager_keep_changed(m);
        return 0;
}

int manager_whatif(struct manager *m, const struct whatif_question *request, struct whatif_answer *ret, char error[static VIEW_ERROR_MAX]) {
        const struct whatif_live live = {
                .config = &m->settings.policy, .host = &m->host, .state = &m->state, .vms = m->policy_vms, .n_vms = m->n_vms,
                .now_usec = clock_monotonic_usec(),
        };
        int r;

        if (m->decisions == 0 || !m->ready) {
                snprintf(error, VIEW_ERROR_MAX, "this host's VMs are not all known yet; try again in a few seconds");
                return -EAGAIN;
        }
        r = whatif_answer(&live, &m->balloon_speed, request, ret);
        if (r < 0)
                snprintf(error, VIEW_ERROR_MAX, "there is no memory for a copy of what is known");
        return r;
}
