/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/virt/internal.h"

bool note_from_lifecycle(int event, int detail, struct note *ret) {
        switch (event) {
        case VIR_DOMAIN_EVENT_STARTED:
                ret->kind = NOTE_STARTED;
                return true;
        case VIR_DOMAIN_EVENT_STOPPED: /* shut down, destroyed, crashed, migrated away, saved: QEMU has ended */
                ret->kind = NOTE_GONE;
                return true;
        case VIR_DOMAIN_EVENT_SUSPENDED:
                ret->kind = NOTE_STATE;
                ret->state = detail == VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED || detail == VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY ||
                             detail == VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED ? VIRT_MIGRATING : VIRT_PAUSED;
                return true;
        case VIR_DOMAIN_EVENT_RESUMED:
                ret->kind = NOTE_STATE;
                ret->state = detail == VIR_DOMAIN_EVENT_RESUMED_POSTCOPY
#if LIBVIR_CHECK_VERSION(8, 5, 0)
                             || detail == VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED
#endif
                             ? VIRT_MIGRATING : VIRT_RUNNING;
                return true;
        case VIR_DOMAIN_EVENT_PMSUSPENDED:
                ret->kind = NOTE_STATE;
                ret->state = VIRT_PAUSED;
                return true;
        case VIR_DOMAIN_EVENT_DEFINED:
        case VIR_DOMAIN_EVENT_SHUTDOWN: /* the guest is down; QEMU ends, or resets where libvirt makes a reboot of it */
        case VIR_DOMAIN_EVENT_CRASHED:  /* the guest is; QEMU may be kept (on_crash=preserve) */
                ret->kind = NOTE_CHANGED;
                return true;
        default:
                return false;
        }
}

enum virt_state state_from_libvirt(int state, int reason) {
        switch (state) {
        case VIR_DOMAIN_SHUTOFF:
                return VIRT_SHUTOFF;
        case VIR_DOMAIN_RUNNING:
#if LIBVIR_CHECK_VERSION(8, 5, 0)
                if (reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED)
                        return VIRT_MIGRATING;
#endif
                return reason == VIR_DOMAIN_RUNNING_POSTCOPY ? VIRT_MIGRATING : VIRT_RUNNING;
        case VIR_DOMAIN_PAUSED:
                switch (reason) {
                case VIR_DOMAIN_PAUSED_MIGRATION:
                case VIR_DOMAIN_PAUSED_POSTCOPY:
                case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED:
                case VIR_DOMAIN_PAUSED_SAVE:
                case VIR_DOMAIN_PAUSED_DUMP:
                case VIR_DOMAIN_PAUSED_SNAPSHOT:
                        return VIRT_MIGRATING;
                default:
                        return VIRT_PAUSED;
                }
        case VIR_DOMAIN_SHUTDOWN:    /* QEMU is still there and holds its memory; nothing runs in it */
        case VIR_DOMAIN_CRASHED:
        case VIR_DOMAIN_PMSUSPENDED:
                return VIRT_PAUSED;
        default:                     /* blocked, no state: hypervisors other than QEMU */
                return VIRT_RUNNING;
        }
}

bool job_moves_memory(int operation) {
        switch (operation) {
        case VIR_DOMAIN_JOB_OPERATION_SAVE:
        case VIR_DOMAIN_JOB_OPERATION_RESTORE:
        case VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN:
        case VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT:
        case VIR_DOMAIN_JOB_OPERATION_SNAPSHOT:
        case VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_REVERT:
        case VIR_DOMAIN_JOB_OPERATION_DUMP:
                return true;
        default:
                return false;
        }
}

const char *close_reason_text(int reason) {
        switch (reason) {
        case VIR_CONNECT_CLOSE_REASON_EOF:
                return "libvirtd ended the connection";
        case VIR_CONNECT_CLOSE_REASON_KEEPALIVE:
                return "libvirtd no longer answers: its keepalive timed out";
        default:
                return "the connection to libvirtd failed";
        }
}
