/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The loop around KSM: samples the kernel, lets policy/ksm.h decide, sets the knobs. Notes the settings from before (undo.h) and restores them.
 * Stands back where somebody else steers KSM: ksmtuned or ksm.service at work, or a knob that changed under us. Main thread; unmerging, which takes
 * seconds for each GiB inside one write(), runs in a child.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "host-agent/policy/ksm.h"
#include "host-agent/system/ksm.h"
#include "host-agent/system/undo.h"
#include "protocol/base.h"

#define KSM_NOTE_MAX 200

struct ksm_view {
        bool present;                          /* this kernel has KSM: sample means something */
        struct ksm_config config;              /* in force; mode may be an operator's */
        bool manual_mode;                      /* set by an operator for now; a reload or a restart ends it */
        struct ksm_plan plan;
        struct ksm_sample sample;
        uint64_t ksmd_cpu_usec;                /* since boot; unknown: ksmd cannot be seen */
        uint64_t cow_pages_per_sec;            /* merged pages written and copied; unknown: not counted */
        bool unmerging;                        /* all is being taken apart, in the background */
        bool standing_back;                    /* somebody else is at work, or the knobs cannot be written: nothing is changed */
        char note[KSM_NOTE_MAX];               /* why, or what else is to be known; "" nothing */
};

/* What the manager adds about the host. */
struct ksm_tick {
        uint64_t now_usec;
        bool act;                              /* automation runs; otherwise only look */
        bool dry_run;                          /* then nothing that we have set may stay either */
        uint64_t memory_bytes, available_bytes, reserve_bytes; /* as in the policy's plan */
        enum policy_host_state host_state;     /* this and the next: as in the policy's plan */
        bool short_of_memory;
        uint64_t cow_pages;                    /* vmstat cow_ksm + ksm_swpin_copy; unknown: not counted */
        uint64_t n_mergeable, n_starts;
};

struct ksm_control; /* opaque */

/* root_fd, undo: borrowed, must outlive it. host_proc: the folder of the host's own /proc where the daemon's hides kernel threads (a container), or
 * NULL. -ENOMEM, or why host_proc cannot be opened. */
int ksm_control_new(struct ksm_control **ret, sd_event *event, int root_fd, const char *host_proc, struct undo *undo);

/* Restores the settings from before. Ends unmerging that is under way: what is not taken apart yet stays merged. */
struct ksm_control *ksm_control_free(struct ksm_control *control);
DEFINE_CLEANUP(struct ksm_control *, ksm_control_free)

/* Puts a configuration in force; ends an operator's mode. */
void ksm_control_configure(struct ksm_control *control, const struct ksm_config *config);

/* Looks, decides and acts; once a second. */
void ksm_control_tick(struct ksm_control *control, const struct ksm_tick *tick);

/* What there is since the last tick; valid as long as the control. */
const struct ksm_view *ksm_control_view(const struct ksm_control *control);

#define KSM_ERROR_MAX 512

/* An operator's mode, until the configuration is read again; also ends standing back before a knob that was changed. -EBUSY: a rival is at work now,
 * and mode is not leave; -ENOENT no KSM, -EROFS... with a sentence. */
int ksm_control_set_mode(struct ksm_control *control, enum ksm_mode mode, char error[static KSM_ERROR_MAX]);

/* Unmerges everything, in a child, and switches KSM off. -ENOSPC: that would not fit, with the numbers; -EALREADY; and as above. */
int ksm_control_unmerge(struct ksm_control *control, char error[static KSM_ERROR_MAX]);
