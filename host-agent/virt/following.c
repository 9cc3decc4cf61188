/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Answers and events overtake each other: a description may have been made before an event that was noted first. Every event that changes a VM
 * raises the VM's serial; a description that was asked for at a lower serial is thrown away and asked for again. Notes are therefore always
 * handled before answers. Other answers are dropped when the VM has stopped since (its run has changed).
 */

#include <errno.h>
#include <string.h>

#include "host-agent/virt/core.h"

static void dispatch(struct virt *virt, struct machine *machine) {
        if (!machine->busy && machine_next_call(machine))
                virt_submit(virt, machine->call, machine->call->kind <= CALL_TARGET);
}

void following_want(struct virt *virt, struct machine *machine, enum call_kind kind) {
        if (machine->busy) {
                /* It waits already. (Age 0 is also a call that is just done: then its answer will be as good.) */
                if (kind == CALL_STATS && machine->call->kind == kind && hub_call_age(virt->hub, machine->call) == 0)
                        return;
                if (kind <= machine->call->kind && hub_withdraw(virt->hub, machine->call))
                        machine_take_back(machine);
        }
        machine->wanted |= 1u << kind;
        dispatch(virt, machine);
}

/* Anew, and whether the job goes on: a migration that is cancelled while the VM runs gives no event. */
void following_describe(struct virt *virt, struct machine *machine) {
        following_want(virt, machine, CALL_DESCRIBE);
        if (machine->moving)
                following_want(virt, machine, CALL_JOB);
}

void following_end(struct virt *virt, struct machine *machine) {
        struct machine ended = *machine; /* for the handler */

        machine_end(&virt->machines, machine);
        if (ended.known)
                virt_emit_simple(virt, VIRT_EVENT_GONE, &ended);
        discovery_check_synced(virt);
}

static void update_state(struct virt *virt, struct machine *machine) {
        enum virt_state before = machine->state;

        machine->state = machine_state(machine);
        if (machine->known && machine->state != before)
                virt_emit_simple(virt, VIRT_EVENT_STATE, machine);
}

/* Notes and answers */

void following_on_note(struct virt *virt, const struct note *note) {
        struct virt_event event = { .id = -1 };
        struct machine *machine;

        if (note->kind == NOTE_CLOSED) {
                discovery_on_closed(virt, note->reason);
                return;
        }
        machine = machines_find(&virt->machines, note->uuid);
        if (machine && machine->ended && note->kind != NOTE_STARTED)
                return;
        if (note->kind == NOTE_STARTED || (!machine && note->kind == NOTE_STATE)) {
                /* An incoming migration may be heard of first when it is resumed. */
                machine = machines_add(&virt->machines, note->uuid);
                if (!machine) {
                        discovery_list(virt);
                        return;
                }
        }
        if (!machine)
                return;
        if (note->kind != NOTE_BALLOON && note->kind != NOTE_REBOOT)
                machine->serial = ++virt->machines.serial;
        memcpy(event.uuid, machine->uuid, sizeof(event.uuid));
        switch (note->kind) {
        case NOTE_STARTED:
        case NOTE_CHANGED:
                following_describe(virt, machine);
                break;
        case NOTE_STATE:
                /* At once; and described for the reason behind it: a pause may be that of a save. */
                machine->base = note->state;
                update_state(virt, machine);
                following_describe(virt, machine);
                break;
        case NOTE_MIGRATING:
                machine->moving = true;
                update_state(virt, machine);
                break;
        case NOTE_GONE:
                following_end(virt, machine);
                break;
        case NOTE_REBOOT:
        case NOTE_BALLOON:
                event.type = note->kind == NOTE_REBOOT ? VIRT_EVENT_REBOOT : VIRT_EVENT_BALLOON;
                event.actual_bytes = note->bytes;
                if (machine->known)
                        virt_emit(virt, &event);
                break;
        case NOTE_CLOSED:
                break;
        }
}

/* Timed out, or libvirtd was lost: nothing is known of the VM that was not known before. */
static bool is_no_answer(int result) {
        return result == -ETIMEDOUT || result == -ENOTCONN;
}

static void on_described(struct virt *virt, struct machine *machine, struct virt_event *event, uint64_t serial) {
        if (event->result == -ENOENT) {
                following_end(virt, machine);
                return;
        }
        if (serial != machine->serial) {
                following_describe(virt, machine);
                return;
        }
        if (event->result >= 0) {
                if (machine->known && machine->id != event->id) { /* another run; we missed its end */
                        struct machine before = *machine;

                        machine_forget_wants(machine);
                        virt_emit_simple(virt, VIRT_EVENT_GONE, &before);
                }
                machine->known = true;
                machine->id = event->id;
                machine->base = event->state;
                machine->state = event->state = machine_state(machine);
                virt_emit(virt, event);
        }
        if (is_no_answer(event->result)) {
                if (machine->unsynced) /* SYNCED goes on waiting; not for a QEMU that hangs: the watchdog sees to that */
                        discovery_list_again(virt);
                return;
        }
        machine_synced(&virt->machines, machine);
        discovery_check_synced(virt);
}

static void on_job(struct virt *virt, struct machine *machine, bool moving, int result, uint64_t serial) {
        if (is_no_answer(result))
                return; /* the next description asks again */
        if (serial != machine->serial) {
                following_want(virt, machine, CALL_JOB);
                return;
        }
        machine->moving = result >= 0 && moving; /* other errors: the driver knows no jobs */
        update_state(virt, machine);
}

/* A call that timed out or that libvirtd never answered is no sign of life; nor are a description and a job, which libvirtd knows without
 * asking QEMU. */
static bool is_sign_of_life(const struct machine *machine, enum call_kind kind, int result) {
        return machine->slow && !is_no_answer(result) && ((kind != CALL_DESCRIBE && kind != CALL_JOB) || kind == machine->slow_kind);
}

void following_on_answer(struct virt *virt, struct call *call) {
        struct machine *machine = machines_find(&virt->machines, call->uuid);
        struct virt_event event = call->event; /* the handler may ask for more, and the call is used again */
        enum call_kind kind = call->kind;
        uint64_t serial = call->serial;
        bool current = call->run == machine->run, flag = call->flag;

        machine->busy = false;
        if (machine_is_over(machine)) {
                machines_remove(&virt->machines, machine);
                return;
        }
        if (is_sign_of_life(machine, kind, event.result)) {
                machine->slow = false;
                if (current && machine->known)
                        virt_emit_simple(virt, VIRT_EVENT_ANSWERS, machine);
        }
        if (current && kind == CALL_DESCRIBE) {
                on_described(virt, machine, &event, serial);
                machine = machines_find(&virt->machines, event.uuid); /* it may have ended */
        } else if (current && kind == CALL_JOB) {
                on_job(virt, machine, flag, event.result, serial);
        } else if (current && machine->known && (kind <= CALL_TARGET || kind == CALL_STATS || kind == CALL_METADATA)) {
                virt_emit(virt, &event);
                if (event.result == -ENOENT) /* its STOPPED event is on the way; make sure */
                        following_describe(virt, machine);
        }
        if (machine)
                dispatch(virt, machine);
}
