/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The manager's VMs: what libvirt and their channels say of them. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host-agent/manager/internal.h"
#include "protocol/clock.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define BALLOON_READ_USEC (300 * USEC_PER_MSEC)        /* twice the time between two readings of one that moves */

static struct vm *find(struct manager *m, const uint8_t uuid[static 16], size_t *ret_index) {
        for (size_t i = 0; i < m->n_vms; i++)
                if (memcmp(m->vms[i]->uuid, uuid, 16) == 0) {
                        if (ret_index)
                                *ret_index = i;
                        return m->vms[i];
                }
        return NULL;
}

/* Whether the array has room for n elements now; where there is no memory for it, it stays as it was. */
#define GROW(array, n)                                                  \
        ({                                                              \
                void *grown = reallocarray(array, n, sizeof(*(array))); \
                if (grown)                                              \
                        (array) = grown;                                \
                grown != NULL;                                          \
        })

int manager_make_room(struct manager *m) {
        size_t n = MAX(16, 2 * m->n_allocated);

        if (m->n_vms < m->n_allocated)
                return 0;
        if (!GROW(m->vms, n) || !GROW(m->policy_vms, n) || !GROW(m->work, n) || !GROW(m->shadow_vms, n) || !GROW(m->shadow_memories, n) ||
            !GROW(m->last_resort_vms, n) || !GROW(m->contain_vms, n) || !GROW(m->swap_vms, n))
                return -ENOMEM;
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

/* A guest says when it boots, as often as it likes: neither the log nor the state file follow each time. */
static void tell_boot(struct vm *vm, const char *what) {
        if (log_limit_pass(&vm->boot_log, clock_monotonic_usec(), 10 * USEC_PER_SEC))
                manager_tell(vm->manager, LOG_INFO, vm, "%s; its maximum counts until its balloon is heard of", what);
}

static void on_channel_state(void *userdata, enum channel_state state, const struct channel_agent *agent) {
        struct vm *vm = userdata;
        bool spoke = vm->agent_spoke;
        static const uint8_t nothing[16];

        if (state != CHANNEL_READY)
                return;
        if (memcmp(vm->boot_id, agent->boot_id, 16) != 0 && memcmp(vm->boot_id, nothing, 16) != 0) {
                tell_boot(vm, "the guest has booted anew");
                vm_boot(vm, clock_monotonic_usec());
        }
        memcpy(vm->boot_id, agent->boot_id, 16);
        snprintf(vm->agent_version, sizeof(vm->agent_version), "%s", agent->ack.agent_version);
        vm->agent_spoke = true;
        if (!spoke)
                manager_keep_changed(vm->manager);
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

/* Without a period the statistics from the driver's load are served for ever; with a longer one (OpenStack sets 10 s) they are old between two. */
static void ask_for_stats(struct manager *m, const struct vm *vm) {
        uint32_t seconds = (uint32_t) (m->settings.stats_period_usec / USEC_PER_SEC);

        if (vm->info.has_balloon && (vm->info.stats_period_sec == 0 || vm->info.stats_period_sec > seconds))
                virt_request_stats_period(m->virt, vm->uuid, seconds);
}

static void on_domain(struct manager *m, const struct virt_event *e, uint64_t now_usec) {
        struct policy_vm policy = { 0 };
        char old_path[VIRT_PATH_MAX] = "", size[FORMAT_SIZE_MAX];
        size_t at;
        struct vm *vm = find(m, e->uuid, &at);
        enum virt_state before = vm ? vm->state : e->state;
        bool first = !vm, boots = first || vm->id != e->id;

        if (!vm) {
                if (manager_make_room(m) < 0 || vm_new(&vm, m, e->uuid) < 0) {
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
        manager_report_vm(m, vm);
        vm->id = e->id;
        vm->state = e->state;
        vm->info = e->info;
        if (boots) {
                vm->pid = -ESRCH;
                vm->pid_sought_usec = vm->process_usec = vm->overhead_due_usec = vm->actual_usec = 0;
                vm->actual_bytes = vm->overhead_bytes = AEROSTAT_UNKNOWN;
                vm->cgroup = (struct cgroup_limits) { .memory_bytes = AEROSTAT_UNKNOWN };
                vm_boot(vm, now_usec);
                vm->channel = channel_free(vm->channel);
                vm->ksm_known = false;
                vm->ksm_usec = 0;
                m->starts += !manager_memory_why_not_merging(vm);
                if (!first) /* another run of it: what was set by hand ended with the one before */
                        vm_clear_by_hand(vm);
                manager_keep_restore(m, vm);
                manager_last_resort_found(m, vm);
                manager_reservations_hand_over(m, vm->name);
                if (m->ready) {
                        vm_is_young(vm, now_usec);
                        manager_tell(m, LOG_INFO, vm, "started, with up to %s", format_size(vm->info.max_bytes, size));
                }
                m->changed = true;
        } else
                manager_last_resort_state(m, vm, before);
        vm_apply_settings(vm, &m->settings);
        if (vm->note[0])
                log_vm(LOG_WARNING, vm->name, "%s", vm->note);
        follow_channel(m, vm, old_path);
        ask_for_stats(m, vm);
        manager_decide_soon(m);
}

static void on_gone(struct manager *m, size_t at) {
        struct vm *vm = m->vms[at];

        manager_tell(m, LOG_INFO, vm, "gone");
        manager_limits_written(m, vm, -ENOENT, "the VM is gone");
        manager_last_resort_gone(m, vm);
        take_out(m, at);
        if (vm->record)
                vm->record->runs = false;
        vm_free(vm);
        manager_keep_changed(m);
}

static void on_target(struct manager *m, struct vm *vm, const struct virt_event *e) {
        if (e->result < 0) {
                /* Ask again soon. */
                if (vm->target_bytes == e->target_bytes)
                        vm->target_bytes = AEROSTAT_UNKNOWN;
                vm->refused_usec = clock_monotonic_usec();
                if (log_limit_pass(&vm->error_log, clock_monotonic_usec(), USEC_PER_MINUTE))
                        log_vm(LOG_WARNING, vm->name, "libvirt did not set its balloon: %s", e->text);
                return;
        }
        vm->refused_usec = 0;
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

void manager_release_step(struct manager *m) {
        if (m->release_done && --m->release_pending == 0) {
                void (*done)(void *) = m->release_done;

                m->release_done = NULL;
                done(m->release_userdata);
        }
}

/* A reading of a balloon's size says how fast balloons are, where this one was on its way. */
static void time_balloon(struct manager *m, const struct vm *vm, uint64_t actual_bytes, uint64_t now_usec) {
        /* A balloon on its way is read often: where the last reading is old, it was at rest until it was asked. */
        uint64_t since_usec = vm->set_usec > vm->actual_usec + BALLOON_READ_USEC ? vm->set_usec : vm->actual_usec;

        if (vm->balloon_confirmed && vm->actual_usec != 0 && actual_bytes != AEROSTAT_UNKNOWN)
                balloon_speed_learn(&m->balloon_speed, vm->actual_bytes, actual_bytes, vm->target_bytes, now_usec - since_usec);
}

static void on_connection(struct manager *m, const struct virt_event *e, uint64_t now_usec) {
        if (e->type == VIRT_EVENT_CONNECTED)
                manager_tell(m, LOG_INFO, NULL, "connected to libvirt at %s", m->settings.uri);
        else if (m->connected || log_limit_pass(&m->connect_log, now_usec, USEC_PER_MINUTE))
                manager_tell(m, LOG_WARNING, NULL, "no connection to libvirt at %s: %s; trying again", m->settings.uri, e->text);
        m->connected = e->type == VIRT_EVENT_CONNECTED;
}

static void on_synced(struct manager *m, bool complete, uint64_t now_usec) {
        if (m->synced_usec == 0)
                m->synced_usec = now_usec;
        if (complete) { /* otherwise a VM that is still to come may need what is remembered of it */
                manager_keep_forget(m);
                manager_last_resort_synced(m);
        }
        manager_decide_soon(m);
}

static void on_state(struct manager *m, struct vm *vm, enum virt_state state) {
        enum virt_state before = vm->state;

        if (state == before)
                return;
        vm->state = state;
        manager_last_resort_state(m, vm, before);
        manager_decide_soon(m);
}

static void on_reboot(struct manager *m, struct vm *vm, uint64_t now_usec) {
        tell_boot(vm, "reset");
        m->changed |= vm->agent_spoke; /* what comes up now may have none */
        vm_boot(vm, now_usec);
        if (vm->channel) /* a report of before that is still to be read would confirm the balloon that QEMU has from before */
                channel_restart(vm->channel);
        manager_decide_soon(m);
}

static void on_stats(struct manager *m, size_t at, const struct virt_stats *stats, uint64_t now_usec) {
        struct vm *vm = m->vms[at];
        bool known = vm->balloon_confirmed;

        time_balloon(m, vm, stats->actual_bytes, now_usec);
        vm_take_stats(vm, stats, now_usec);
        if (m->policy_vms[at].plan.gap || !known)
                manager_decide_soon(m);
}

static void on_answers(struct manager *m, struct vm *vm, bool answers) {
        vm->unresponsive = !answers;
        manager_tell(m, answers ? LOG_INFO : LOG_WARNING, vm, "%s", answers ? "its QEMU answers again" : "its QEMU does not answer");
        manager_decide_soon(m);
}

/* What libvirt says of a VM that is known. */
static void on_known(struct manager *m, size_t at, const struct virt_event *e, uint64_t now_usec) {
        struct vm *vm = m->vms[at];

        switch (e->type) {
        case VIRT_EVENT_GONE:
                on_gone(m, at);
                break;
        case VIRT_EVENT_STATE:
                on_state(m, vm, e->state);
                break;
        case VIRT_EVENT_REBOOT:
                on_reboot(m, vm, now_usec);
                break;
        case VIRT_EVENT_BALLOON:
                time_balloon(m, vm, e->actual_bytes, now_usec);
                vm_take_actual(vm, e->actual_bytes, now_usec);
                manager_decide_soon(m);
                break;
        case VIRT_EVENT_STATS:
                if (e->result >= 0)
                        on_stats(m, at, &e->stats, now_usec);
                break;
        case VIRT_EVENT_TARGET:
                on_target(m, vm, e);
                break;
        case VIRT_EVENT_PAUSE:
        case VIRT_EVENT_SAVE:
                manager_last_resort_answer(m, vm, e->result, e->text);
                break;
        case VIRT_EVENT_SLOW:
        case VIRT_EVENT_ANSWERS:
                on_answers(m, vm, e->type == VIRT_EVENT_ANSWERS);
                break;
        case VIRT_EVENT_METADATA:
                manager_limits_written(m, vm, e->result, e->text);
                break;
        default:
                break;
        }
}

void manager_on_virt(const struct virt_event *e, void *userdata) {
        struct manager *m = userdata;
        uint64_t now_usec = clock_monotonic_usec();
        size_t at = 0;
        bool known = find(m, e->uuid, &at);

        switch (e->type) {
        case VIRT_EVENT_CONNECTED:
        case VIRT_EVENT_DISCONNECTED:
                on_connection(m, e, now_usec);
                return;
        case VIRT_EVENT_SYNCED:
                on_synced(m, e->complete, now_usec);
                return;
        case VIRT_EVENT_DOMAIN:
                on_domain(m, e, now_usec);
                return;
        default:
                break;
        }
        if (known)
                on_known(m, at, e, now_usec);
        /* At the end each answer counts, also for a VM that is gone by now. */
        if ((e->type == VIRT_EVENT_TARGET && m->giving_back) || (e->type == VIRT_EVENT_PAUSE && m->ending))
                manager_release_step(m);
}
