/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * aerostatd.conf and aerostatd.conf.d: every key of INTERFACE (man aerostatd.conf), range-checked, with defaults. A file is taken as a
 * whole or not at all. (Not called config.h: that is autoconf's.)
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-agent/policy/policy.h"
#include "protocol/base.h"

#define SETTINGS_VM_PATTERNS_MAX 256
#define SETTINGS_TEXT_MAX 256

enum settings_on_exit { SETTINGS_EXIT_KEEP, SETTINGS_EXIT_RELEASE };
enum settings_ksm_mode { SETTINGS_KSM_AUTO, SETTINGS_KSM_ON, SETTINGS_KSM_OFF, SETTINGS_KSM_LEAVE };
enum settings_last_resort { SETTINGS_LAST_RESORT_NONE, SETTINGS_LAST_RESORT_PAUSE, SETTINGS_LAST_RESORT_SAVE, SETTINGS_LAST_RESORT_COMMAND };
enum settings_hook_error { SETTINGS_HOOK_ALLOW, SETTINGS_HOOK_REFUSE };
enum settings_read { SETTINGS_READ_GROUP, SETTINGS_READ_EVERYONE };

/* [vm "PATTERN"]: what is not given is unset and comes from the next less specific pattern, then from [policy]. */
struct settings_vm {
        char pattern[SETTINGS_TEXT_MAX];       /* fnmatch(3) */
        bool has_managed, has_floor, has_weight, has_priority;
        bool managed;
        uint64_t floor_bytes;                  /* if floor_ppm is unknown */
        uint64_t floor_ppm;                    /* of the VM's max; or AEROSTAT_UNKNOWN */
        uint64_t weight;                       /* 0 .. 1000000 */
        uint64_t priority;                     /* 0 .. 1000 */
};

struct settings {
        /* [host] */
        char uri[SETTINGS_TEXT_MAX];           /* of libvirt */
        bool dry_run;                          /* decide and say, but change nothing */
        enum settings_on_exit on_exit;         /* what becomes of targets when the daemon ends */
        /* [host], [policy], [swap] ceiling and warn, [ksm] credit: all that decides, in the policy's own struct (mode, reserve, memory, ...) */
        struct policy_config policy;
        struct settings_vm defaults;           /* [policy] floor, weight; managed = yes, priority = 100 */
        uint64_t report_interval_usec;         /* 500 ms .. 1 h */
        uint64_t stats_period_usec;            /* 1 s .. 1 h, whole seconds */
        bool contain;                          /* hold breaching VMs by memory.high */
        /* [ksm] */
        enum settings_ksm_mode ksm_mode;
        uint64_t ksm_cpu_normal_ppm, ksm_cpu_critical_ppm; /* of one CPU */
        /* [swap] */
        bool swap_enforce, swap_per_vm_limits; /* keep the ceiling by control groups; and each VM to its share of it */
        uint64_t guest_ceiling_ppm;            /* of a guest's own swap: beyond it the guest counts as under pressure */
        /* [last-resort] */
        enum settings_last_resort last_resort;
        uint64_t last_resort_after_usec, last_resort_max_duration_usec; /* in critical, before a VM is taken; of a pause */
        char last_resort_command[SETTINGS_TEXT_MAX]; /* an absolute path and arguments; "" */
        /* [hook] */
        uint64_t hook_wait_usec;               /* how long libvirt's hook waits for a reservation, at most */
        enum settings_hook_error hook_on_error; /* whether the VM starts without one */
        /* [alerts] */
        char alert_command[SETTINGS_TEXT_MAX]; /* an absolute path and arguments; "": none */
        uint64_t alert_repeat_usec;            /* between two tellings of what goes on */
        /* [metrics] */
        char metrics_listen[SETTINGS_TEXT_MAX]; /* "": off */
        char metrics_names[SETTINGS_TEXT_MAX]; /* by which it may be asked besides addresses, localhost and the host's own; separated by blanks */
        /* [control] */
        char control_group[SETTINGS_TEXT_MAX]; /* whose members may use the control socket; where there is none of this name: only root */
        enum settings_read control_read;       /* who may look */
        /* [vm "..."] */
        struct settings_vm vms[SETTINGS_VM_PATTERNS_MAX];
        size_t n_vms;
};

#define SETTINGS_ERROR_MAX 512

void settings_init(struct settings *ret); /* the defaults */

/* Reads `file` and then `file`.d/<name>.conf in name order, later ones overriding, on top of the defaults. required: whether it is an error that
 * `file` does not exist (the folder may always be missing). On failure -errno, `ret` untouched, and in error a sentence with file, line and, for
 * unknown names, the nearest known one. */
int settings_load(const char *file, bool required, struct settings *ret, char error[static SETTINGS_ERROR_MAX]);

/* The part that settings_load does for one text; for tests and fuzzing. name appears in errors. On failure `settings` may have changed in part. */
int settings_parse(const char *name, const char *text, struct settings *settings, char error[static SETTINGS_ERROR_MAX]);

/* What applies to a VM of this name: exact name first, then the longest literal prefix, then the defaults; every has_ is true in the result. */
void settings_for_vm(const struct settings *settings, const char *name, struct settings_vm *ret);

/* A floor as bytes for a VM of this size, at most max. */
uint64_t settings_floor_bytes(const struct settings_vm *vm, uint64_t max_bytes);

/* Prints everything that is in force, as a config file (`aerostatctl config show`, --check-config). The caller frees *ret. */
int settings_format(const struct settings *settings, char **ret);
