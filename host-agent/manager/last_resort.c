/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The manager's last resort: carries out what policy/last_resort.h says, and undoes it. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/manager/internal.h"
#include "host-agent/manager/paused.h"
#include "host-agent/system/save_space.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define TICK_USEC (USEC_PER_SEC - 50 * USEC_PER_MSEC)
/* For how long a VM whose pause was not answered is seen to run until it counts as not paused. A libvirtd that has just been started may say that it
 * runs, as it had noted, until it has asked QEMU: within a second. Not much longer: an operator's pause within that time would be taken for ours. */
#define SETTLE_USEC (10 * USEC_PER_SEC)
#define SAVE_EXTRA (64 * MIB)                          /* beside its memory: the state of its devices, libvirt's header */

_Static_assert((int) SETTINGS_LAST_RESORT_NONE == LAST_RESORT_NONE && (int) SETTINGS_LAST_RESORT_PAUSE == LAST_RESORT_PAUSE &&
               (int) SETTINGS_LAST_RESORT_SAVE == LAST_RESORT_SAVE && (int) SETTINGS_LAST_RESORT_COMMAND == LAST_RESORT_COMMAND,
               "settings.h and policy/last_resort.h name the same actions");

static bool is_dry_run(const struct manager *m) {
        return m->settings.dry_run || m->options.dry_run;
}

static struct last_resort_config config_of(const struct manager *m) {
        bool off = m->paused || m->ending;

        return (struct last_resort_config) {
                .action = off ? LAST_RESORT_NONE : (enum last_resort_action) m->settings.last_resort,
                .after_usec = m->settings.last_resort_after_usec,
                .max_duration_usec = m->settings.last_resort_max_duration_usec,
        };
}

static struct last_resort_input input_of(const struct manager *m, uint64_t now_usec) {
        const struct host_sample *s = &m->sample;
        uint64_t swap = s->swap_disk_total_bytes == AEROSTAT_UNKNOWN ? 0 : u64_sub(s->swap_disk_total_bytes, s->swap_disk_used_bytes);

        return (struct last_resort_input) {
                .now_usec = now_usec,
                .host_state = m->plan.host_state,
                .room_bytes = u64_add(m->plan.available_bytes, swap),
                .over_bytes = m->plan.over_bytes,
                .reserve_bytes = m->plan.reserve_bytes,
        };
}

static struct last_resort_vm vm_of(const struct manager *m, size_t index) {
        const struct vm *vm = m->vms[index];

        return (struct last_resort_vm) {
                .priority = vm->priority,
                .committed_bytes = m->policy_vms[index].plan.committed_bytes,
                .can = vm->managed && vm->state == VIRT_RUNNING && !vm->unresponsive && vm->resort.step == RESORT_NONE,
                .tried = vm->resort.tried,
                .busy = vm->resort.step == RESORT_TAKING,
                .paused = vm->resort.step == RESORT_PAUSED,
                .stopped = vm->state != VIRT_RUNNING,
                .taken_usec = vm->last_resort_usec,
        };
}

/* ---- taking ---- */

/* The step is what is left of it: none, or that its answer is late, or lost. */
static void failed(struct manager *m, struct vm *vm, enum resort_step step, const char *why) {
        const struct last_resort_config config = config_of(m);

        if (vm->resort.step == RESORT_TAKING) /* one that was late has counted already */
                last_resort_failed(&config, &m->last_resort);
        vm->resort.step = step;
        vm->resort.runs_usec = 0;
        if (step != RESORT_LATE || vm->state == VIRT_RUNNING)
                vm->last_resort_usec = 0; /* nothing was done to it, as far as we know, that an alert could tell of */
        if (step == RESORT_NONE)
                paused_forget(m->undo, vm->uuid);
        manager_tell(m, LOG_ERR, vm, "the last resort failed: it cannot be %s: %s", vm->resort.action == LAST_RESORT_PAUSE ? "paused" : "saved", why);
}

static bool is_under_way(const struct vm *vm) {
        return vm->resort.step == RESORT_TAKING || vm->resort.step == RESORT_LATE;
}

/* The largest VM that would be saved has to fit, with what is kept free on the disk by then. */
static bool may_save(struct manager *m, uint64_t bytes, char why[static 160]) {
        uint64_t need = u64_add(bytes, SAVE_EXTRA);
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX];
        struct save_space space;
        int r = save_space_read(m->root_fd, &space);

        if (r < 0)
                snprintf(why, 160, "libvirt's folder for saves cannot be looked at: %s", strerror(-r));
        else if (space.in_memory)
                snprintf(why, 160, "libvirt's folder for saves is in memory itself");
        else if (space.with_swap)
                snprintf(why, 160, "libvirt's folder for saves is on the file system that the host swaps to");
        else if (space.free_bytes < need)
                snprintf(why, 160, "it may take %s, and libvirt's folder for saves has %s", format_size(need, a), format_size(space.free_bytes, b));
        else
                return true;
        return false;
}

static void take_pause(struct manager *m, struct vm *vm) {
        int r = paused_note(m->undo, vm->uuid, vm->id, m->settings.uri);

        if (r >= 0)
                r = virt_request_pause(m->virt, vm->uuid, true);
        if (r < 0)
                failed(m, vm, RESORT_NONE, strerror(-r));
}

static void take_save(struct manager *m, struct vm *vm, uint64_t committed_bytes) {
        char why[160];
        int r;

        if (!may_save(m, committed_bytes, why)) {
                failed(m, vm, RESORT_NONE, why);
                return;
        }
        r = virt_request_save(m->virt, vm->uuid);
        if (r < 0)
                failed(m, vm, RESORT_NONE, strerror(-r));
}

/* The story: log, watchers, and (action = command) the command, which is run by whoever watches. */
static void announce(struct manager *m, struct vm *vm, enum last_resort_action action) {
        static const char *const words[] = { [LAST_RESORT_PAUSE] = "paused", [LAST_RESORT_SAVE] = "saved to disk",
                                             [LAST_RESORT_COMMAND] = "left to the command" };
        char text[256], a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_DURATION_MAX];
        const struct manager_event event = {
                .type = MANAGER_EVENT_LAST_RESORT, .vm = vm->name, .text = text, .action = action, .would = is_dry_run(m),
        };

        snprintf(text, sizeof(text), "the last resort: it %s %s, as the VM of the lowest priority (%" PRIu64 "): the host has been critical for %s, "
                                     "with %s available of a reserve of %s",
                 event.would ? "would be" : "is", words[action], vm->priority, format_duration(m->settings.last_resort_after_usec, c),
                 format_size(m->plan.available_bytes, a), format_size(m->plan.reserve_bytes, b));
        log_vm(LOG_WARNING, vm->name, "%s", text);
        manager_emit(m, &event);
}

static void take(struct manager *m, size_t index, enum last_resort_action action, uint64_t now_usec) {
        struct vm *vm = m->vms[index];

        vm->resort.tried = true;
        announce(m, vm, action);
        if (is_dry_run(m))
                return;
        vm->resort.action = action;
        vm->last_resort_usec = now_usec;
        m->alerts_usec = 0; /* now: a VM that is saved may be gone in a second */
        if (action == LAST_RESORT_COMMAND)
                return;
        vm->resort.step = RESORT_TAKING;
        if (action == LAST_RESORT_PAUSE)
                take_pause(m, vm);
        else
                take_save(m, vm, m->policy_vms[index].plan.committed_bytes);
}

/* ---- letting go ---- */

static void is_over(struct manager *m, struct vm *vm, const char *text) {
        vm->resort.step = RESORT_NONE;
        vm->resort.left = false;
        paused_forget(m->undo, vm->uuid);
        manager_tell(m, LOG_NOTICE, vm, "%s", text);
}

/* Libvirt's answer, or its own news where the answer was lost. What was late or lost has counted as a failure. */
static void is_paused(struct manager *m, struct vm *vm) {
        if (vm->resort.step != RESORT_TAKING) {
                vm->last_resort_usec = m->decided_usec;
                manager_tell(m, LOG_WARNING, vm, "the last resort has paused it after all");
        }
        vm->resort.step = RESORT_PAUSED;
}

/* Whoever suspends it once it is known to run is not undone. */
static void settle(struct manager *m, struct vm *vm, uint64_t now_usec) {
        if (!m->connected || vm->state != VIRT_RUNNING || vm->unresponsive)
                vm->resort.runs_usec = 0;
        else if (vm->resort.runs_usec == 0)
                vm->resort.runs_usec = now_usec;
        else if (now_usec - vm->resort.runs_usec >= SETTLE_USEC)
                is_over(m, vm, vm->resort.left ? "it runs, after the last resort before the restart" : "the last resort has not paused it: it runs on");
}

static bool let_go(struct manager *m, struct vm *vm) {
        if (virt_request_pause(m->virt, vm->uuid, false) < 0)
                return false; /* at the next tick */
        vm->resort.step = RESORT_RESUMING;
        return true;
}

void manager_last_resort_tick(struct manager *m, uint64_t now_usec) {
        const struct last_resort_config config = config_of(m);
        const struct last_resort_input input = input_of(m, now_usec);
        size_t index;

        if (m->last_resort_usec != 0 && now_usec - m->last_resort_usec < TICK_USEC)
                return;
        m->last_resort_usec = now_usec;
        for (size_t i = 0; i < m->n_vms; i++) {
                struct vm *vm = m->vms[i];

                if (vm->resort.step == RESORT_LOST)
                        settle(m, vm, now_usec);
                m->last_resort_vms[i] = vm_of(m, i);
                if (last_resort_is_late(&input, &m->last_resort_vms[i])) {
                        failed(m, vm, RESORT_LATE, m->last_resort_vms[i].stopped ? "its disk takes too long; trying on" : "its QEMU does not answer");
                        m->last_resort_vms[i].busy = false;
                }
                if (vm->resort.step == RESORT_PAUSED && (vm->resort.left || last_resort_lets_go(&config, &input, &m->last_resort_vms[i])))
                        (void) let_go(m, vm);
                if (last_resort_crisis_is_over(&config, &input))
                        vm->resort.tried = false;
        }
        if (m->ready && m->connected && last_resort_take(&config, &m->last_resort, &input, m->last_resort_vms, m->n_vms, &index))
                take(m, index, config.action, now_usec);
}

size_t manager_last_resort_end(struct manager *m) {
        size_t asked = 0;

        for (size_t i = 0; i < m->n_vms; i++)
                if (m->vms[i]->resort.step == RESORT_PAUSED)
                        asked += let_go(m, m->vms[i]);
        return asked;
}

/* ---- libvirt's news ---- */

void manager_last_resort_found(struct manager *m, struct vm *vm) {
        vm->resort = (struct resort) { .step = RESORT_NONE };
        if (!paused_is_noted(m->undo, vm->uuid, vm->id))
                return;
        vm->resort = (struct resort) {
                .step = vm->state == VIRT_RUNNING ? RESORT_LOST : RESORT_PAUSED, /* its QEMU may hang, and stop when it wakes */
                .action = LAST_RESORT_PAUSE,
                .left = true,
        };
}

static bool is_known(const uint8_t uuid[static 16], void *userdata) {
        const struct manager *m = userdata;

        for (size_t i = 0; i < m->n_vms; i++)
                if (memcmp(m->vms[i]->uuid, uuid, 16) == 0)
                        return true;
        return false;
}

void manager_last_resort_synced(struct manager *m) {
        paused_forget_unknown(m->undo, is_known, m);
}

void manager_last_resort_state(struct manager *m, struct vm *vm, enum virt_state before) {
        if (vm->resort.action != LAST_RESORT_PAUSE || vm->resort.step == RESORT_NONE)
                return;
        if (vm->state == VIRT_PAUSED && vm->resort.step == RESORT_LOST)
                is_paused(m, vm);
        else if (vm->state == VIRT_RUNNING && before != VIRT_RUNNING)
                is_over(m, vm, vm->resort.step == RESORT_RESUMING ? "it runs again" : "somebody has resumed it: it is left alone");
}

void manager_last_resort_answer(struct manager *m, struct vm *vm, int result, const char *text) {
        bool pause = vm->resort.action == LAST_RESORT_PAUSE, lost = pause && (result == -ENOTCONN || result == -ETIMEDOUT);

        if (vm->resort.step == RESORT_RESUMING) {
                if (result >= 0)
                        is_over(m, vm, "it runs again");
                else {
                        vm->resort.step = RESORT_PAUSED; /* again at the next tick */
                        if (log_limit_pass(&vm->error_log, m->decided_usec, USEC_PER_MINUTE))
                                log_vm(LOG_ERR, vm->name, "cannot be resumed after the last resort: %s; trying on", text);
                }
        } else if (is_under_way(vm) && (result >= 0 || (lost && vm->state == VIRT_PAUSED /* that news came before */))) {
                if (pause) /* a saved one is about to be gone: that may be heard before or after this */
                        is_paused(m, vm);
        } else if (is_under_way(vm))
                failed(m, vm, lost ? RESORT_LOST : RESORT_NONE, text);
}

void manager_last_resort_gone(struct manager *m, struct vm *vm) {
        paused_forget(m->undo, vm->uuid);
        if (is_under_way(vm) && vm->state != VIRT_RUNNING && vm->resort.action == LAST_RESORT_SAVE) /* one that hangs may have been destroyed */
                manager_tell(m, LOG_NOTICE, vm, "saved to disk: `virsh start` lets it go on where it was");
}
