/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/manager.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "host-agent/manager_internal.h"
#include "protocol/clock.h"
#include "protocol/parse.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

#define PROCESS_AGE_USEC USEC_PER_SEC                  /* QEMUs whose balloon is still are read this often at most */
#define PROCESS_AGE_MOVING_USEC (50 * USEC_PER_MSEC)
#define STATS_GAP_USEC (150 * USEC_PER_MSEC)           /* the balloon event comes at most once a second: ask */
#define STATS_AGENT_USEC (10 * USEC_PER_SEC)           /* where an agent reports, only to check the balloon's size */
#define HOST_CONFIG_USEC USEC_PER_MINUTE
#define READY_USEC (3 * USEC_PER_SEC)                  /* how long agents that are there may take to speak after we connect */
#define CONNECT_USEC (10 * USEC_PER_SEC)               /* no libvirt at all for so long after the start: it is not coming */
#define WAITER_USEC (100 * USEC_PER_MSEC)
#define RELEASE_USEC (5 * USEC_PER_SEC)
#define PSI_STALL_USEC (100 * USEC_PER_MSEC)           /* 10 % of a second: clearly more than noise */
#define PSI_WINDOW_USEC USEC_PER_SEC
#define FRESH_PROCESS_USEC (50 * USEC_PER_MSEC)

/* ---- the host ---- */

static void sample_host(struct manager *m, uint64_t now_usec) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), swap_out_before = m->sample.vmstat.pswpout;
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
        m->sample = sample;
        m->sample_usec = now_usec;

        *h = (struct policy_host) {
                .total_bytes = sample.meminfo.total_bytes,
                .available_bytes = sample.meminfo.available_bytes,
                .limit_bytes = AEROSTAT_UNKNOWN,
                .swap_total_bytes = sample.swap_disk_total_bytes,
                .swap_used_bytes = sample.swap_disk_used_bytes,
                .zswap_bytes = m->host_config.zswap_enabled ? u64_mul_div(sample.meminfo.total_bytes, m->host_config.zswap_max_pool_ppm, PPM_ONE) : 0,
                .arc_reclaimable_bytes = sample.arc_size_bytes == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN
                                                                                   : u64_sub(sample.arc_size_bytes, sample.arc_min_bytes),
                .ksm_saved_bytes = sample.ksm_saved_bytes == AEROSTAT_UNKNOWN ? 0 : sample.ksm_saved_bytes,
                .swap_out_bytes_per_sec = m->swap_out_bytes_per_sec,
                .psi_some_ppm = sample.pressure.some_avg10_ppm,
                .psi_full_ppm = sample.pressure.full_avg10_ppm,
                .psi_event = m->psi_event,
                .only_zram = sample.swap_disk_total_bytes == 0 && sample.swap_zram_total_bytes != AEROSTAT_UNKNOWN && sample.swap_zram_total_bytes > 0,
                .khugepaged_refills = !m->host_config.thp_never && m->host_config.khugepaged_max_ptes_none != AEROSTAT_UNKNOWN &&
                                      m->host_config.khugepaged_max_ptes_none > 0,
        };
        for (size_t i = 0; i < m->n_vms; i++)
                h->limit_bytes = MIN(h->limit_bytes, m->vms[i]->limit_bytes);
        m->psi_event = false;
}

/* ---- applying a plan ---- */

static void log_move(struct manager *m, struct vm *vm, const struct policy_vm_plan *plan, uint64_t before, const char *would) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], d[FORMAT_SIZE_MAX];
        uint64_t max = vm->info.max_bytes;
        /* Creeping toward a target is one story, not fifty lines: small steps are told once in 10 s. */
        uint64_t period = u64_distance(plan->target_bytes, before) >= max / 10 ? USEC_PER_SEC : 10 * USEC_PER_SEC;

        if (log_limit_pass(&vm->move_log, m->decided_usec, period))
                log_vm(LOG_INFO, vm->name, "%s%s -> %s (%s; demand %s)", would, format_size(before, a), format_size(plan->target_bytes, b),
                       policy_reason_to_string(plan->reason), format_size(plan->demand_bytes, d));
}

static void apply(struct manager *m, uint64_t now_usec) {
        bool asked = false, dry_run = m->settings.dry_run || m->options.dry_run;

        /* At the start those that speak first would be squeezed for those that are yet to be heard; the host has lived so far. */
        if (!m->ready)
                return;
        for (size_t i = 0; i < m->n_vms; i++) {
                struct vm *vm = m->vms[i];
                const struct policy_vm_plan *plan = &m->policy_vms[i].plan;
                uint64_t before = vm->target_bytes != AEROSTAT_UNKNOWN ? vm->target_bytes : vm->actual_bytes;

                if (!plan->set && plan->reason != POLICY_REASON_WAITS)
                        vm->pressure_usec = 0; /* its pressure report asked for nothing */
                /* What an operator sets by hand is not automation. */
                if (!plan->set || (m->paused && plan->class != POLICY_PINNED))
                        continue;
                log_move(m, vm, plan, before, dry_run ? "would move " : "");
                decisions_add(&vm->decisions, &(struct decision) {
                        .last_usec = now_usec, .before_bytes = before, .after_bytes = plan->target_bytes, .demand_bytes = plan->demand_bytes,
                        .reason = plan->reason, .dry_run = dry_run,
                });
                manager_emit(m, &(const struct manager_event) {
                        .type = MANAGER_EVENT_MOVE, .vm = vm->name, .before_bytes = before, .after_bytes = plan->target_bytes,
                        .reason = plan->reason, .would = dry_run,
                });
                if (dry_run || virt_request_target(m->virt, vm->uuid, plan->target_bytes) < 0)
                        continue;
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

                if (vm->unresponsive || !vm->info.has_balloon)
                        continue;
                if (m->policy_vms[i].plan.gap || !vm->balloon_confirmed)
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

/* One line of the story that is not about one VM's size: for the log and for whoever watches. */
__attribute__((format(printf, 4, 5)))
static void tell(struct manager *m, int level, const struct vm *vm, const char *format, ...) {
        struct manager_event event = { .type = vm ? MANAGER_EVENT_VM : MANAGER_EVENT_HOST, .vm = vm ? vm->name : NULL };
        char text[256];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        event.text = text;
        manager_emit(m, &event);
        if (vm)
                log_vm(level, vm->name, "%s", text);
        else
                log_message(level, "%s", text);
}

static void log_states(struct manager *m) {
        char d[FORMAT_SIZE_MAX], e[FORMAT_SIZE_MAX];

        if (m->plan.host_state != m->logged_state) {
                tell(m, m->plan.host_state > m->logged_state ? LOG_WARNING : LOG_INFO, NULL, "host is %s (was %s): %s available, reserve %s",
                            policy_host_state_to_string(m->plan.host_state), policy_host_state_to_string(m->logged_state),
                            format_size(m->plan.available_bytes, d), format_size(m->plan.reserve_bytes, e));
                m->logged_state = m->plan.host_state;
        }
        if (m->plan.unsafe != m->logged_unsafe) {
                if (m->plan.unsafe)
                        tell(m, LOG_WARNING, NULL, "unsafe: VMs could take %s more than the %s that this host can bear%s", format_size(m->plan.deficit_bytes, d),
                                    format_size(m->plan.rule_bytes, e), m->plan.floors_fit ? "; shrinking" : "; the floors alone do not fit");
                else
                        tell(m, LOG_INFO, NULL, "safe again: VMs can take %s at most of %s", format_size(m->plan.liable_bytes, d), format_size(m->plan.rule_bytes, e));
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

                history_add(&m->vms[i]->history, now_usec, (const uint64_t[]) { vm->input.actual_bytes, demand, vm->input.rss_bytes, vm->input.swap_bytes });
        }
}

static void decide(struct manager *m) {
        uint64_t now_usec = clock_monotonic_usec();

        /* The host first: VMs that grow between the two readings then count as VMs, not as other use. */
        sample_host(m, now_usec);
        expire_pins(m, now_usec);
        manager_reservations_expire(m, now_usec);
        for (size_t i = 0; i < m->n_vms; i++) {
                bool moving = m->policy_vms[i].plan.gap || m->vms[i]->pressure_usec != 0;

                vm_sample(m->vms[i], m->root_fd, now_usec, moving ? PROCESS_AGE_MOVING_USEC : PROCESS_AGE_USEC - FRESH_PROCESS_USEC);
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
        manager_memory_tick(m, now_usec);
        histogram_add(&m->decisions_taken, clock_monotonic_usec() - now_usec);
        manager_watch_alerts(m, now_usec);
        manager_keep_write(m);
        /* Who waits for a reservation wants an answer when its time is over, also on a calm host. */
        sd_event_source_set_time_relative(m->timer, m->n_waiters > 0 ? MIN(m->plan.next_usec, WAITER_USEC) : m->plan.next_usec);
        sd_event_source_set_enabled(m->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        decide(userdata);
        return 0;
}

static int on_soon(sd_event_source *source, void *userdata) {
        decide(userdata);
        return 0;
}

void manager_decide_soon(struct manager *m) {
        sd_event_source_set_enabled(m->soon, SD_EVENT_ONESHOT);
}

/* ---- VMs ---- */

static struct vm *find(struct manager *m, const uint8_t uuid[static 16], size_t *ret_index) {
        for (size_t i = 0; i < m->n_vms; i++)
                if (memcmp(m->vms[i]->uuid, uuid, 16) == 0) {
                        if (ret_index)
                                *ret_index = i;
                        return m->vms[i];
                }
        return NULL;
}

static int make_room(struct manager *m) {
        size_t n = MAX(16, 2 * m->n_allocated);
        void *p;

        if (m->n_vms < m->n_allocated)
                return 0;
        p = reallocarray(m->vms, n, sizeof(*m->vms));
        if (!p)
                return -ENOMEM;
        m->vms = p;
        p = reallocarray(m->policy_vms, n, sizeof(*m->policy_vms));
        if (!p)
                return -ENOMEM;
        m->policy_vms = p;
        p = reallocarray(m->work, n, sizeof(*m->work));
        if (!p)
                return -ENOMEM;
        m->work = p;
        m->n_allocated = n;
        return 0;
}

/* Puts a VM, and what the policy remembers of it, where its name belongs. */
static void insert(struct manager *m, struct vm *vm, const struct policy_vm *policy) {
        size_t at = 0, after;

        while (at < m->n_vms && strcmp(m->vms[at]->name, vm->name) < 0)
                at++;
        after = m->n_vms - at;
        memmove(m->vms + at + 1, m->vms + at, after * sizeof(*m->vms));
        memmove(m->policy_vms + at + 1, m->policy_vms + at, after * sizeof(*m->policy_vms));
        m->vms[at] = vm;
        m->policy_vms[at] = *policy;
        m->n_vms++;
}

static void take_out(struct manager *m, size_t at) {
        size_t after = m->n_vms - at - 1;

        memmove(m->vms + at, m->vms + at + 1, after * sizeof(*m->vms));
        memmove(m->policy_vms + at, m->policy_vms + at + 1, after * sizeof(*m->policy_vms));
        m->n_vms--;
}

static void on_channel_state(void *userdata, enum channel_state state, const struct channel_agent *agent) {
        struct vm *vm = userdata;
        static const uint8_t nothing[16];

        if (state != CHANNEL_READY)
                return;
        if (memcmp(vm->boot_id, agent->boot_id, 16) != 0 && memcmp(vm->boot_id, nothing, 16) != 0) {
                tell(vm->manager, LOG_INFO, vm, "the guest has booted anew; its maximum counts until its balloon is heard of");
                vm_boot(vm, clock_monotonic_usec());
        }
        memcpy(vm->boot_id, agent->boot_id, 16);
        snprintf(vm->agent_version, sizeof(vm->agent_version), "%s", agent->ack.agent_version);
}

static void on_channel_report(void *userdata, const struct message_report *report, uint64_t received_usec) {
        struct vm *vm = userdata;
        bool first = vm->report_usec == 0;

        vm_take_report(vm, report, received_usec);
        if (first || report->reason == REPORT_PRESSURE)
                manager_decide_soon(vm->manager);
}

static void on_channel_violation(void *userdata, const char *text) {
        struct vm *vm = userdata;

        vm->violation_usec = clock_monotonic_usec();
        snprintf(vm->note, sizeof(vm->note), "protocol error: %s", text);
        if (log_limit_pass(&vm->error_log, clock_monotonic_usec(), USEC_PER_MINUTE))
                log_vm(LOG_WARNING, vm->name, "%s", vm->note);
}

static const struct channel_ops channel_ops = {
        .state = on_channel_state,
        .report = on_channel_report,
        .violation = on_channel_violation,
};

static void follow_channel(struct manager *m, struct vm *vm, const char *old_path) {
        int r;

        if (vm->channel && strcmp(old_path, vm->info.channel_path) == 0)
                return;
        vm->channel = channel_free(vm->channel);
        if (vm->info.channel_path[0] == 0)
                return;
        r = channel_new(&vm->channel, m->event, vm->info.channel_path, &channel_ops, vm);
        if (r < 0)
                log_vm(LOG_WARNING, vm->name, "cannot follow its channel %s: %s", vm->info.channel_path, strerror(-r));
        vm->pressure_below_bytes = 0;
}

static void on_domain(struct manager *m, const struct virt_event *e, uint64_t now_usec) {
        struct policy_vm policy = { 0 };
        char old_path[VIRT_PATH_MAX] = "";
        size_t at;
        struct vm *vm = find(m, e->uuid, &at);
        bool first = !vm, boots = first || vm->id != e->id;

        if (!vm) {
                if (make_room(m) < 0 || vm_new(&vm, m, e->uuid) < 0) {
                        log_error("%s: no memory to manage one more VM; it is left alone until the next listing", e->name);
                        return;
                }
        } else {
                policy = m->policy_vms[at];
                take_out(m, at);
                memcpy(old_path, vm->info.channel_path, sizeof(old_path));
        }
        snprintf(vm->name, sizeof(vm->name), "%s", e->name);
        insert(m, vm, &policy); /* it may have been renamed */
        vm->id = e->id;
        vm->state = e->state;
        vm->info = e->info;
        if (boots) {
                vm->pid = -ESRCH;
                vm->pid_sought_usec = vm->process_usec = vm->overhead_due_usec = vm->actual_usec = 0;
                vm->actual_bytes = vm->overhead_bytes = vm->limit_bytes = AEROSTAT_UNKNOWN;
                vm_boot(vm, now_usec);
                vm->channel = channel_free(vm->channel);
                vm->ksm_known = false;
                vm->ksm_usec = 0;
                m->starts += !manager_memory_why_not_merging(vm);
                if (!first) /* another run of it: what was set by hand ended with the one before */
                        vm_clear_by_hand(vm);
                manager_keep_restore(m, vm);
                manager_reservations_hand_over(m, vm->name);
                m->changed = true;
        }
        vm_apply_settings(vm, &m->settings);
        if (vm->note[0])
                log_vm(LOG_WARNING, vm->name, "%s", vm->note);
        follow_channel(m, vm, old_path);
        /* Without a period the statistics from the driver's load are served for ever. */
        if (vm->info.has_balloon && vm->info.stats_period_sec == 0)
                virt_request_stats_period(m->virt, vm->uuid, (uint32_t) (m->settings.stats_period_usec / USEC_PER_SEC));
        manager_decide_soon(m);
}

static void on_gone(struct manager *m, size_t at) {
        struct vm *vm = m->vms[at];

        tell(m, LOG_INFO, vm, "gone");
        manager_limits_written(m, vm, -ENOENT, "the VM is gone");
        take_out(m, at);
        vm_free(vm);
        manager_keep_changed(m);
}

static void on_target(struct manager *m, struct vm *vm, const struct virt_event *e) {
        if (e->result < 0) {
                /* Ask again at the next decision. */
                if (vm->target_bytes == e->target_bytes)
                        vm->target_bytes = AEROSTAT_UNKNOWN;
                if (log_limit_pass(&vm->error_log, clock_monotonic_usec(), USEC_PER_MINUTE))
                        log_vm(LOG_WARNING, vm->name, "libvirt did not set its balloon: %s", e->text);
                return;
        }
        if (vm->pressure_usec != 0 && e->issued_usec >= vm->pressure_usec) {
                vm->reaction_usec = e->issued_usec - vm->pressure_usec;
                vm->pressure_usec = 0;
                histogram_add(&m->reactions, vm->reaction_usec);
        }
        if (m->host_pressure_usec != 0 && e->issued_usec >= m->host_pressure_usec) {
                histogram_add(&m->reactions, e->issued_usec - m->host_pressure_usec);
                m->host_pressure_usec = 0;
        }
}

static void release_step(struct manager *m) {
        if (m->release_done && --m->release_pending == 0) {
                void (*done)(void *) = m->release_done;

                m->release_done = NULL;
                done(m->release_userdata);
        }
}

static void on_virt(const struct virt_event *e, void *userdata) {
        struct manager *m = userdata;
        uint64_t now_usec = clock_monotonic_usec();
        size_t at = 0;
        struct vm *vm = find(m, e->uuid, &at);

        switch (e->type) {
        case VIRT_EVENT_CONNECTED:
                tell(m, LOG_INFO, NULL, "connected to libvirt at %s", m->settings.uri);
                m->connected = true;
                break;
        case VIRT_EVENT_DISCONNECTED:
                if (m->connected || log_limit_pass(&m->connect_log, now_usec, USEC_PER_MINUTE))
                        tell(m, LOG_WARNING, NULL, "no connection to libvirt at %s: %s; trying again", m->settings.uri, e->text);
                m->connected = false;
                break;
        case VIRT_EVENT_SYNCED:
                if (m->synced_usec == 0)
                        m->synced_usec = now_usec;
                manager_keep_forget(m);
                manager_decide_soon(m);
                break;
        case VIRT_EVENT_DOMAIN:
                on_domain(m, e, now_usec);
                break;
        case VIRT_EVENT_GONE:
                if (vm)
                        on_gone(m, at);
                break;
        case VIRT_EVENT_STATE:
                if (vm && vm->state != e->state) {
                        vm->state = e->state;
                        manager_decide_soon(m);
                }
                break;
        case VIRT_EVENT_REBOOT:
                if (vm) {
                        tell(m, LOG_INFO, vm, "reset; its maximum counts until its balloon is heard of");
                        vm_boot(vm, now_usec);
                        manager_decide_soon(m);
                }
                break;
        case VIRT_EVENT_BALLOON:
                if (vm) {
                        vm_take_actual(vm, e->actual_bytes, now_usec);
                        manager_decide_soon(m);
                }
                break;
        case VIRT_EVENT_STATS:
                if (vm && e->result >= 0) {
                        bool known = vm->balloon_confirmed;

                        vm_take_stats(vm, &e->stats, now_usec);
                        if (m->policy_vms[at].plan.gap || !known)
                                manager_decide_soon(m);
                }
                break;
        case VIRT_EVENT_TARGET:
                if (vm)
                        on_target(m, vm, e);
                release_step(m);
                break;
        case VIRT_EVENT_SLOW:
        case VIRT_EVENT_ANSWERS:
                if (vm) {
                        vm->unresponsive = e->type == VIRT_EVENT_SLOW;
                        tell(m, vm->unresponsive ? LOG_WARNING : LOG_INFO, vm, "%s", vm->unresponsive ? "its QEMU does not answer" : "its QEMU answers again");
                        manager_decide_soon(m);
                }
                break;
        case VIRT_EVENT_METADATA:
                if (vm)
                        manager_limits_written(m, vm, e->result, e->text);
                break;
        }
}

/* ---- pressure of the host ---- */

/* A trigger without CAP_SYS_RESOURCE fires once at the first stall, whatever it is (measured on 6.18: its window starts from another counter's
 * value). Believed is what has stalled by the trigger's own measure since the last event. */
static bool has_stalled(struct manager *m) {
        struct pressure pressure;
        char text[256];

        if (procfs_read(m->root_fd, "proc/pressure/memory", text, sizeof(text)) < 0 || pressure_parse(text, &pressure) < 0)
                return true;
        if (u64_sub(pressure.some_total_usec, m->psi_stalled_usec) < PSI_STALL_USEC)
                return false;
        m->psi_stalled_usec = pressure.some_total_usec;
        return true;
}

static int on_psi(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct manager *m = userdata;

        if (revents & EPOLLERR) { /* no trigger behind it: it would fire for ever */
                log_warning("the kernel's memory pressure trigger failed; pressure is still read with each sample");
                sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return 0;
        }
        if (!has_stalled(m))
                return 0;
        m->psi_event = true;
        if (m->host_pressure_usec == 0)
                m->host_pressure_usec = clock_monotonic_usec();
        manager_decide_soon(m);
        return 0;
}

static void follow_pressure(struct manager *m) {
        m->psi_fd = psi_trigger_open(m->root_fd, PSI_STALL_USEC, PSI_WINDOW_USEC);
        if (m->psi_fd == -EINVAL) /* without CAP_SYS_RESOURCE windows are multiples of 2 s */
                m->psi_fd = psi_trigger_open(m->root_fd, 2 * PSI_STALL_USEC, 2 * PSI_WINDOW_USEC);
        if (m->psi_fd < 0) {
                log_warning("no memory pressure events from this kernel (%s): the host is sampled by time only", strerror(-m->psi_fd));
                return;
        }
        m->psi_stalled_usec = m->sample.pressure.some_total_usec;
        if (sd_event_add_io(m->event, &m->psi_source, m->psi_fd, EPOLLPRI, on_psi, m) >= 0)
                sd_event_source_set_priority(m->psi_source, SD_EVENT_PRIORITY_IMPORTANT);
}

/* ---- life ---- */

int manager_new(struct manager **ret, sd_event *event, const struct settings *settings, const struct manager_options *options) {
        _cleanup_(manager_freep) struct manager *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        m->psi_fd = m->root_fd = -1;
        m->event = sd_event_ref(event);
        m->settings = *settings;
        m->options = *options;
        m->started_usec = clock_monotonic_usec();
        m->root_fd = procfs_open_root(options->root);
        if (m->root_fd < 0)
                return m->root_fd;
        r = host_sample_read(m->root_fd, &m->sample);
        if (r < 0)
                return r;
        r = make_room(m);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event, &m->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, m);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &m->soon, on_soon, m);
        if (r < 0)
                return r;
        sd_event_source_set_enabled(m->soon, SD_EVENT_OFF);
        /* After all that is ready to be read in this turn of the loop: many reports, one decision. */
        sd_event_source_set_priority(m->soon, SD_EVENT_PRIORITY_NORMAL + 10);
        r = manager_memory_new(m);
        if (r < 0)
                return r;
        follow_pressure(m);
        r = manager_keep_start(m);
        if (r < 0)
                return r;
        r = virt_new(&m->virt, event, m->settings.uri, on_virt, m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

struct manager *manager_free(struct manager *m) {
        if (!m)
                return NULL;
        m->virt = virt_free(m->virt);
        manager_memory_free(m);
        manager_keep_write(m);
        for (size_t i = 0; i < m->n_vms; i++)
                vm_free(m->vms[i]);
        free(m->vms);
        free(m->policy_vms);
        free(m->work);
        state_writer_free(m->writer);
        state_done(&m->kept);
        sd_event_source_disable_unref(m->psi_source);
        sd_event_source_disable_unref(m->timer);
        sd_event_source_disable_unref(m->soon);
        sd_event_source_disable_unref(m->release_timer);
        if (m->psi_fd >= 0)
                close(m->psi_fd);
        if (m->root_fd >= 0)
                close(m->root_fd);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

int manager_reload(struct manager *m, const struct settings *settings) {
        if (strcmp(m->settings.uri, settings->uri) != 0)
                log_warning("[host] uri takes effect at the next start");
        m->settings = *settings;
        manager_memory_configure(m);
        for (size_t i = 0; i < m->n_vms; i++)
                vm_apply_settings(m->vms[i], &m->settings);
        manager_decide_soon(m);
        return 0;
}

static int on_release_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        struct manager *m = userdata;

        m->release_pending = 1;
        release_step(m);
        return 0;
}

void manager_release(struct manager *m, void (*done)(void *userdata), void *userdata) {
        m->release_done = done;
        m->release_userdata = userdata;
        m->release_pending = 1;
        m->paused = true;
        for (size_t i = 0; i < m->n_vms; i++) {
                struct vm *vm = m->vms[i];

                if (vm->target_bytes != AEROSTAT_UNKNOWN && vm->target_bytes < vm->info.max_bytes && !vm->unresponsive &&
                    virt_request_target(m->virt, vm->uuid, vm->info.max_bytes) >= 0)
                        m->release_pending++;
        }
        if (sd_event_add_time_relative(m->event, &m->release_timer, CLOCK_MONOTONIC, RELEASE_USEC, 0, on_release_timeout, m) < 0)
                m->release_pending = 1;
        release_step(m);
}

void manager_format_status(struct manager *m, char *buf, size_t size) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX];

        snprintf(buf, size, "%s: %zu VMs, %s committed of %s%s", policy_host_state_to_string(m->plan.host_state), m->n_vms,
                 format_size(m->plan.committed_bytes, a), format_size(m->plan.rule_bytes, b), m->connected ? "" : "; no connection to libvirt");
}
