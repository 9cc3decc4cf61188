/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One decision: sample the host, join what is known of the VMs, ask the policy, apply its plan. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host-agent/manager/internal.h"
#include "host-agent/manager/nodes.h"
#include "protocol/clock.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define PROCESS_AGE_USEC USEC_PER_SEC                  /* QEMUs whose balloon is still are read this often at most */
#define PROCESS_AGE_MOVING_USEC (50 * USEC_PER_MSEC)
#define STATS_GAP_USEC (150 * USEC_PER_MSEC)           /* the balloon event comes at most once a second: ask */
#define STATS_AGENT_USEC (10 * USEC_PER_SEC)           /* where an agent reports, only to check the balloon's size; and to hear of a QEMU that hung */
#define REFUSED_USEC USEC_PER_SEC
#define HOST_CONFIG_USEC USEC_PER_MINUTE
#define PAGESETS_BUDGET 300                            /* times what reading took, until it is read again */
#define READY_USEC (3 * USEC_PER_SEC)                  /* how long agents that are there may take to speak after we connect */
#define CONNECT_USEC (10 * USEC_PER_SEC)               /* no libvirt at all for so long after the start: it is not coming */
#define WAITER_USEC (100 * USEC_PER_MSEC)
#define FRESH_PROCESS_USEC (50 * USEC_PER_MSEC)

/* Free memory that MemAvailable leaves out. Many CPUs have long files: a few thousandths of the time are spent on it. */
static uint64_t sample_pagesets(struct manager *m, uint64_t now_usec) {
        uint64_t start_usec = clock_monotonic_usec();

        if (m->pagesets_due_usec <= now_usec) {
                if (host_pagesets_read(m->root_fd, &m->pagesets_bytes) < 0)
                        m->pagesets_bytes = 0; /* as if there were none, as everywhere else */
                m->pagesets_due_usec = now_usec + MIN((clock_monotonic_usec() - start_usec) * PAGESETS_BUDGET, USEC_PER_SEC);
        }
        return m->pagesets_bytes;
}

/* On a host with one node this reads nothing. */
static void sample_nodes(struct manager *m, uint64_t now_usec) {
        struct policy_host *h = &m->host;
        int r = nodes_sample_read(m->root_fd, m->host_config.node_mask, h->available_bytes, &m->nodes);

        if (r < 0 && log_limit_pass(&m->sample_log, now_usec, USEC_PER_MINUTE))
                log_error("cannot read the memory of this host's NUMA nodes: %s; the last reading stays in force", strerror(-r));
        h->n_nodes = MIN(m->nodes.n, (size_t) POLICY_NODES_MAX);
        for (size_t i = 0; i < h->n_nodes; i++)
                h->nodes[i] = (struct policy_node) { m->nodes.nodes[i].total_bytes, m->nodes.nodes[i].available_bytes };
}

/* Pressure of the host but for what our own limits make. */
static uint64_t without(uint64_t ppm, uint64_t ours_ppm) {
        return ppm == AEROSTAT_UNKNOWN ? ppm : u64_sub(ppm, ours_ppm);
}

static void sample_host(struct manager *m, uint64_t now_usec) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), swap_out_before = m->sample.vmstat.pswpout;
        struct contain_pressure ours;
        struct host_sample sample;
        struct policy_host *h = &m->host;
        int r;

        if (m->host_config_usec == 0 || now_usec - m->host_config_usec >= HOST_CONFIG_USEC) {
                if (host_config_read(m->root_fd, &m->host_config) >= 0)
                        m->host_config_usec = now_usec;
        }
        r = host_sample_read(m->root_fd, &sample);
        if (r < 0) {
                if (log_limit_pass(&m->sample_log, now_usec, USEC_PER_MINUTE))
                        log_error("cannot read this host's memory: %s; the last reading stays in force", strerror(-r));
                return;
        }
        m->swap_out_bytes_per_sec = AEROSTAT_UNKNOWN;
        if (m->sample_usec != 0 && now_usec > m->sample_usec && swap_out_before != AEROSTAT_UNKNOWN && sample.vmstat.pswpout != AEROSTAT_UNKNOWN)
                m->swap_out_bytes_per_sec = u64_mul_div(u64_mul(u64_sub(sample.vmstat.pswpout, swap_out_before), page), USEC_PER_SEC,
                                                        now_usec - m->sample_usec);
        sample.ksm_saved_bytes = manager_memory_ksm_saved(m, sample.ksm_saved_bytes);
        m->sample = sample;
        m->sample_usec = now_usec;
        contain_measure(m->contain, &ours);

        *h = (struct policy_host) {
                .total_bytes = sample.meminfo.total_bytes,
                .available_bytes = MIN(u64_add(sample.meminfo.available_bytes, sample_pagesets(m, now_usec)), sample.meminfo.total_bytes),
                .limit_bytes = AEROSTAT_UNKNOWN,
                .swap_total_bytes = sample.swap_disk_total_bytes,
                .swap_used_bytes = sample.swap_disk_used_bytes,
                .swap_limit_bytes = swap_control_view(m->swap)->admin_limit_bytes,
                .swap_zram_used_bytes = sample.swap_zram_used_bytes,
                .zswap_bytes = m->host_config.zswap_enabled ? u64_mul_div(sample.meminfo.total_bytes, m->host_config.zswap_max_pool_ppm, PPM_ONE) : 0,
                .arc_reclaimable_bytes = sample.arc_size_bytes == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN
                                                                                   : u64_sub(sample.arc_size_bytes, sample.arc_min_bytes),
                .ksm_saved_bytes = sample.ksm_saved_bytes == AEROSTAT_UNKNOWN ? 0 : sample.ksm_saved_bytes,
                .swap_out_bytes_per_sec = m->swap_out_bytes_per_sec,
                .psi_some_ppm = without(sample.pressure.some_avg10_ppm, ours.some_ppm),
                .psi_full_ppm = without(sample.pressure.full_avg10_ppm, ours.full_ppm),
                .psi_event = m->psi_event,
                .only_zram = sample.swap_disk_total_bytes == 0 && sample.swap_zram_total_bytes != AEROSTAT_UNKNOWN &&
                             sample.swap_zram_total_bytes > 0,
                .khugepaged_refills = !m->host_config.thp_never && m->host_config.khugepaged_max_ptes_none != AEROSTAT_UNKNOWN &&
                                      m->host_config.khugepaged_max_ptes_none > 0,
        };
        for (size_t i = 0; i < m->n_vms; i++)
                h->limit_bytes = MIN(h->limit_bytes, m->vms[i]->cgroup.memory_bytes);
        sample_nodes(m, now_usec);
        m->psi_event = false;
}

/* Creeping toward a target is one story, not fifty lines: small steps are told once in 10 s, together, and what is under the policy's own dead band
 * not at all. Each line begins where the one before ended. */
static void tell_moves(struct manager *m, struct vm *vm, bool dry_run) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], d[FORMAT_SIZE_MAX];
        uint64_t max = vm->info.max_bytes, distance = u64_distance(vm->move.after_bytes, vm->told_bytes);

        if (vm->move.after_bytes == AEROSTAT_UNKNOWN || distance < max / 100)
                return;
        if (!log_limit_pass(&vm->move_log, m->decided_usec, distance >= max / 10 ? USEC_PER_SEC : 10 * USEC_PER_SEC))
                return;
        log_vm(LOG_INFO, vm->name, "%s%s -> %s (%s; demand %s)", dry_run ? "would move " : "", format_size(vm->told_bytes, a),
               format_size(vm->move.after_bytes, b), policy_reason_to_string(vm->move.reason), format_size(vm->move.demand_bytes, d));
        vm->told_bytes = vm->move.after_bytes;
}

static void note_move(struct vm *vm, const struct policy_vm_plan *plan, uint64_t before, uint64_t now_usec, bool dry_run) {
        vm->move = (struct decision) {
                .last_usec = now_usec, .before_bytes = before, .after_bytes = plan->target_bytes, .demand_bytes = plan->demand_bytes,
                .reason = plan->reason, .dry_run = dry_run,
        };
        if (vm->told_bytes == AEROSTAT_UNKNOWN)
                vm->told_bytes = before;
        decisions_add(&vm->decisions, &vm->move);
}

/* What libvirt has just refused is not asked for again at once. */
static bool ask_target(struct manager *m, const struct vm *vm, uint64_t bytes, uint64_t now_usec) {
        return (vm->refused_usec == 0 || now_usec - vm->refused_usec >= REFUSED_USEC) && virt_request_target(m->virt, vm->uuid, bytes) >= 0;
}

static void apply(struct manager *m, uint64_t now_usec) {
        bool asked = false, dry_run = m->settings.dry_run || m->options.dry_run;

        /* At the start those that speak first would be squeezed for those that are yet to be heard; the host has lived so far. */
        if (!m->ready || m->ending)
                return;
        for (size_t i = 0; i < m->n_vms; i++) {
                struct vm *vm = m->vms[i];
                const struct policy_vm_plan *plan = &m->policy_vms[i].plan;
                uint64_t before = vm->target_bytes != AEROSTAT_UNKNOWN ? vm->target_bytes : vm->actual_bytes;

                /* Its pressure report asked for nothing, or nobody was to answer. */
                if ((!plan->set && plan->reason != POLICY_REASON_WAITS) || m->paused || dry_run)
                        vm->pressure_usec = 0;
                /* What an operator sets by hand is not automation. What libvirt is not there to be asked for is no move. */
                if (!plan->set || (m->paused && plan->class != POLICY_PINNED) ||
                    (!dry_run && !ask_target(m, vm, plan->target_bytes, now_usec))) {
                        tell_moves(m, vm, dry_run);
                        continue;
                }
                note_move(vm, plan, before, now_usec, dry_run);
                tell_moves(m, vm, dry_run);
                manager_emit(m, &(const struct manager_event) {
                        .type = MANAGER_EVENT_MOVE, .vm = vm->name, .before_bytes = before, .after_bytes = plan->target_bytes,
                        .reason = plan->reason, .would = dry_run,
                });
                if (dry_run)
                        continue;
                m->report_moves.done++;
                m->report_moves.done_bytes = u64_add(m->report_moves.done_bytes,
                                                     before == AEROSTAT_UNKNOWN ? 0 : u64_distance(plan->target_bytes, before));
                vm->target_bytes = plan->target_bytes;
                vm->set_usec = now_usec;
                asked = true;
        }
        if (!asked)
                m->host_pressure_usec = 0; /* the host's pressure asked for nothing either */
}

/* Asks for balloon sizes and statistics where they are due. */
static void ask_stats(struct manager *m, uint64_t now_usec) {
        for (size_t i = 0; i < m->n_vms; i++) {
                struct vm *vm = m->vms[i];
                uint64_t age, due;

                if (!vm->info.has_balloon)
                        continue;
                if (vm->unresponsive) /* a call that timed out was no sign of life, and nothing else is asked of it until there is one */
                        due = STATS_AGENT_USEC;
                else if (m->policy_vms[i].plan.gap || !vm->balloon_confirmed)
                        due = STATS_GAP_USEC;
                else if (vm_source(vm, &m->settings, now_usec, &age) == SOURCE_AGENT)
                        due = STATS_AGENT_USEC;
                else
                        due = m->settings.stats_period_usec;
                if (vm->stats_asked_usec != 0 && now_usec - vm->stats_asked_usec < due)
                        continue;
                if (virt_request_stats(m->virt, vm->uuid) >= 0)
                        vm->stats_asked_usec = now_usec;
        }
}

/* Tells each agent below which MemAvailable it is to report at once. Small changes are not worth a message. */
static void tell_agents(struct manager *m) {
        uint32_t interval = (uint32_t) (m->settings.report_interval_usec / USEC_PER_MSEC);

        for (size_t i = 0; i < m->n_vms; i++) {
                struct vm *vm = m->vms[i];
                uint64_t below = m->policy_vms[i].plan.pressure_below_bytes;

                if (!vm->channel)
                        continue;
                if (vm->pressure_below_bytes == 0 || u64_distance(below, vm->pressure_below_bytes) > vm->pressure_below_bytes / 8)
                        vm->pressure_below_bytes = below;
                channel_set_interval(vm->channel, interval, vm->pressure_below_bytes);
        }
}

static void log_states(struct manager *m) {
        char d[FORMAT_SIZE_MAX], e[FORMAT_SIZE_MAX], n[NODES_TEXT_MAX];

        if (m->plan.host_state != m->logged_state) {
                manager_tell(m, m->plan.host_state > m->logged_state ? LOG_WARNING : LOG_INFO, NULL, "host is %s (was %s): %s available, reserve %s",
                            policy_host_state_to_string(m->plan.host_state), policy_host_state_to_string(m->logged_state),
                            format_size(m->plan.available_bytes, d), format_size(m->plan.reserve_bytes, e));
                m->logged_state = m->plan.host_state;
        }
        if (m->plan.unsafe != m->logged_unsafe) {
                const struct policy_nodeset *s = nodes_unsafe(&m->plan);

                if (s)
                        manager_tell(m, LOG_WARNING, NULL, "unsafe: VMs bound to NUMA node %s could take %s more than the %s that it can bear%s",
                                    nodes_to_string(s->mask, n), format_size(s->deficit_bytes, d), format_size(s->rule_bytes, e),
                                    s->floors_fit ? "; shrinking them" : "; their floors alone do not fit");
                else if (m->plan.unsafe)
                        manager_tell(m, LOG_WARNING, NULL, "unsafe: VMs could take %s more than the %s that this host can bear%s%s",
                                    format_size(m->plan.deficit_bytes > 0 ? m->plan.deficit_bytes : m->plan.resident_deficit_bytes, d),
                                    format_size(m->plan.deficit_bytes > 0 ? m->plan.rule_bytes : m->plan.resident_rule_bytes, e),
                                    m->plan.deficit_bytes > 0 ? "" : " without swap, and cannot swap",
                                    m->plan.floors_fit ? "; shrinking" : "; the floors alone do not fit");
                else
                        manager_tell(m, LOG_INFO, NULL, "safe again: VMs can take %s at most of %s", format_size(m->plan.liable_bytes, d),
                                     format_size(m->plan.rule_bytes, e));
                m->logged_unsafe = m->plan.unsafe;
        }
}

static void expire_pins(struct manager *m, uint64_t now_usec) {
        for (size_t i = 0; i < m->n_vms; i++)
                if (m->vms[i]->pin_until_usec <= now_usec) {
                        log_vm(LOG_INFO, m->vms[i]->name, "the manual target's time is over: automatic again");
                        m->vms[i]->pin_bytes = m->vms[i]->pin_until_usec = AEROSTAT_UNKNOWN;
                        m->changed = true;
                }
}

/* Ready once every VM found at the start has been heard of, or had time to be. */
static void watch_start(struct manager *m, uint64_t now_usec) {
        bool heard = true;

        if (m->ready)
                return;
        if (m->synced_usec == 0) {
                if (!m->connected && now_usec - m->started_usec >= CONNECT_USEC && m->options.ready)
                        m->options.ready(-ENOTCONN, m->options.userdata);
                return;
        }
        for (size_t i = 0; i < m->n_vms; i++) {
                enum policy_class class = m->policy_vms[i].plan.class;

                heard &= class != POLICY_BOOTING && class != POLICY_UNKNOWN;
        }
        if (!heard && now_usec - m->synced_usec < READY_USEC)
                return;
        m->ready = true;
        if (m->options.ready)
                m->options.ready(0, m->options.userdata);
}

static void remember(struct manager *m, uint64_t now_usec) {
        history_add(&m->history, now_usec, (const uint64_t[]) { m->plan.envelope_bytes, m->plan.committed_bytes,
                                                                u64_sub(m->host.total_bytes, m->host.available_bytes), m->host.swap_used_bytes });
        for (size_t i = 0; i < m->n_vms; i++) {
                const struct policy_vm *vm = &m->policy_vms[i];

                /* Without a report the terms of a demand are a formality. */
                uint64_t demand = vm->input.report_usec != 0 ? vm->plan.demand_bytes : AEROSTAT_UNKNOWN;

                history_add(&m->vms[i]->history, now_usec, (const uint64_t[]) { vm->input.actual_bytes, demand, vm->input.rss_bytes,
                                                                                vm->input.swap_bytes });
        }
}

void manager_decide(struct manager *m) {
        uint64_t now_usec = clock_monotonic_usec();

        /* The host first: VMs that grow between the two readings then count as VMs, not as other use. */
        sample_host(m, now_usec);
        expire_pins(m, now_usec);
        manager_reservations_expire(m, now_usec);
        for (size_t i = 0; i < m->n_vms; i++) {
                bool moving = m->policy_vms[i].plan.gap || m->vms[i]->pressure_usec != 0;

                vm_sample(m->vms[i], m->root_fd, m->undo, now_usec, moving ? PROCESS_AGE_MOVING_USEC : PROCESS_AGE_USEC - FRESH_PROCESS_USEC);
                vm_input(m->vms[i], &m->settings, now_usec, &m->policy_vms[i].input);
        }
        policy_decide(&m->settings.policy, &m->host, now_usec, &m->state, m->policy_vms, m->work, m->n_vms, &m->plan);
        m->decided_usec = now_usec;
        m->decisions++;
        remember(m, now_usec);
        watch_start(m, now_usec);
        manager_reservations_judge(m, now_usec);
        apply(m, now_usec);
        tell_agents(m);
        ask_stats(m, now_usec);
        log_states(m);
        manager_report_tick(m, now_usec);
        manager_memory_tick(m, now_usec);
        manager_last_resort_tick(m, now_usec);
        histogram_add(&m->decisions_taken, clock_monotonic_usec() - now_usec);
        manager_watch_alerts(m, now_usec);
        manager_keep_write(m);
        /* Who waits for a reservation wants an answer when its time is over, also on a calm host. */
        sd_event_source_set_time_relative(m->timer, m->n_waiters > 0 ? MIN(m->plan.next_usec, WAITER_USEC) : m->plan.next_usec);
        sd_event_source_set_enabled(m->timer, SD_EVENT_ONESHOT);
}
