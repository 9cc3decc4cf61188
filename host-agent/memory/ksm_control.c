/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/memory/ksm_control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host-agent/log.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define FOLDER "sys/kernel/mm/ksm/"
#define RIVALS_USEC USEC_PER_MINUTE            /* looking through /proc is 1 us for each process */
#define FIND_USEC USEC_PER_MINUTE

struct ksm_control {
        sd_event *event;
        int root_fd, proc_fd;
        struct undo *undo;                     /* borrowed */
        struct ksm_config configured;
        struct ksm_state state;
        struct ksm_view view;
        struct ksm_tick tick;                  /* the last one */

        bool noted;                            /* the settings from before are in the undo file */
        bool written;                          /* knobs is what we wrote, to be compared with what is there */
        struct ksm_knobs knobs;
        bool overruled;                        /* somebody changed a knob: not ours until an operator says so */
        const char *rival;                     /* at work now; NULL: none */
        uint64_t rivals_usec, find_usec;       /* when last looked for; 0: never */
        int ksmd;                              /* pid or -ESRCH */
        uint64_t cow_usec, cow_pages;

        pid_t child;                           /* unmerging; 0: none */
        sd_event_source *child_source;
        char logged_note[KSM_NOTE_MAX];
};

int ksm_control_new(struct ksm_control **ret, sd_event *event, int root_fd, const char *host_proc, struct undo *undo) {
        _cleanup_(ksm_control_freep) struct ksm_control *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->root_fd = root_fd;
        c->undo = undo;
        c->ksmd = -ESRCH;
        c->event = sd_event_ref(event);
        c->configured.mode = c->view.config.mode = KSM_MODE_LEAVE;
        c->proc_fd = host_proc ? open(host_proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                               : openat(root_fd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (c->proc_fd < 0)
                return -errno;
        if (undo_value(undo, FOLDER "run")) {
                log_message(LOG_NOTICE, "KSM is as an earlier run left it when it was killed: taken over; what "
                                        "was set before that run (run=%s) is restored at the end",
                            undo_value(undo, FOLDER "run"));
                c->noted = true;
        }
        *ret = TAKE_PTR(c);
        return 0;
}

/* Gives the knobs back as they were before us. */
static void restore(struct ksm_control *c) {
        int error;

        c->written = false;
        if (!c->noted)
                return;
        c->noted = false;
        if (undo_restore_files(c->undo, FOLDER, &error) > 0)
                log_info("KSM settings restored to what they were before");
        if (error != 0)
                log_error("KSM settings could not be restored in full: %s", strerror(error));
}

struct ksm_control *ksm_control_free(struct ksm_control *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->child_source);
        if (c->child > 0) { /* KSM has one lock for all: until the child is done, restoring would wait, for minutes where much is merged */
                (void) kill(c->child, SIGKILL);
                (void) waitpid(c->child, NULL, 0);
        }
        restore(c);
        sd_event_unref(c->event);
        if (c->proc_fd >= 0)
                close(c->proc_fd);
        free(c);
        return NULL;
}

void ksm_control_configure(struct ksm_control *c, const struct ksm_config *config) {
        if (config->mode != c->view.config.mode)
                c->state = (struct ksm_state) { 0 };
        c->configured = c->view.config = *config;
        c->view.manual_mode = false;
        c->overruled = false;
}

const struct ksm_view *ksm_control_view(const struct ksm_control *c) {
        return &c->view;
}

static void note(struct ksm_control *c, const char *text) {
        snprintf(c->view.note, sizeof(c->view.note), "%s", text);
}

/* ---- others who steer KSM ---- */

/* Whether a knob that we wrote is not what we wrote. ret_index: which. */
static bool was_changed(struct ksm_control *c, size_t *ret_index) {
        bool advisor = c->view.sample.knobs.advisor == 1;

        if (!c->written || c->child > 0)
                return false;
        for (size_t i = 0; i < KSM_N_KNOBS; i++) {
                uint64_t is = *ksm_knob(&c->view.sample.knobs, i), ours = *ksm_knob(&c->knobs, i);

                if (is == ours || is == AEROSTAT_UNKNOWN || ours == AEROSTAT_UNKNOWN)
                        continue;
                if (advisor && strcmp(ksm_knob_name(i), "pages_to_scan") == 0) /* the kernel's, within our bounds */
                        continue;
                *ret_index = i;
                return true;
        }
        return false;
}

static void find_rival(struct ksm_control *c) {
        c->rivals_usec = MAX(c->tick.now_usec, 1);
        if (ksm_find_rivals(c->root_fd, c->proc_fd, &c->rival) <= 0)
                c->rival = NULL;
}

static const char *describe_rival(const struct ksm_control *c, char buf[static KSM_NOTE_MAX]) {
        snprintf(buf, KSM_NOTE_MAX, "%s is at work: KSM is left to it; `systemctl disable --now %s` gives it to Aerostat", c->rival, c->rival);
        return buf;
}

static void look_for_rivals(struct ksm_control *c) {
        char text[KSM_NOTE_MAX];
        size_t i = 0;
        bool changed = was_changed(c, &i);

        if (changed || c->rivals_usec == 0 || c->tick.now_usec - c->rivals_usec >= RIVALS_USEC)
                find_rival(c);
        if (changed && !c->rival) { /* otherwise it is the rival's doing, and over when that is */
                snprintf(text, sizeof(text), "somebody else set %s of KSM to %llu (it was %llu): left alone until `aerostatctl ksm auto`",
                         ksm_knob_name(i),
                         (unsigned long long) *ksm_knob(&c->view.sample.knobs, i), (unsigned long long) *ksm_knob(&c->knobs, i));
                note(c, text);
                c->overruled = true;
        } else if (c->rival && !c->overruled)
                note(c, describe_rival(c, text));
        if ((c->overruled || c->rival) && c->noted) { /* what they set counts from now on, not what was there before us */
                undo_forget(c->undo, FOLDER);
                c->noted = c->written = false;
        }
}

/* ---- setting knobs ---- */

/* Notes all knobs in the order in which they have to be written back: pages_to_scan refuses writes while the advisor is on, and run comes last. */
static int note_settings(struct ksm_control *c) {
        static const char *const first[] = {
                FOLDER "sleep_millisecs", FOLDER "advisor_max_cpu", FOLDER "advisor_min_pages_to_scan", FOLDER "advisor_max_pages_to_scan",
                FOLDER "advisor_mode",
        };
        int r;

        if (c->noted)
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
                r = undo_note_file(c->undo, first[i]);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        if (c->view.sample.knobs.advisor != 1 && (r = undo_note_file(c->undo, FOLDER "pages_to_scan")) < 0)
                return r;
        /* run=2 is noted as 0: writing it back would unmerge, in one go, what has been merged since. */
        r = undo_note(c->undo, FOLDER "run", c->view.sample.knobs.run == 1 ? "1" : "0");
        if (r < 0)
                return r;
        c->noted = true;
        return 0;
}

static struct ksm_knobs wanted_knobs(const struct ksm_control *c) {
        const struct ksm_plan *p = &c->view.plan;
        struct ksm_knobs want;

        memset(&want, 0xff, sizeof(want)); /* leave alone */
        want.run = p->run ? 1 : c->view.sample.knobs.run == 1 ? 0 : AEROSTAT_UNKNOWN; /* 2 is stopped, too */
        if (!p->run)
                return want;
        want.pages_to_scan = p->pages_to_scan;
        want.sleep_msec = p->sleep_msec;
        if (c->view.sample.knobs.advisor == 1) {
                want.advisor_min_pages = want.advisor_max_pages = p->pages_to_scan;
                want.advisor_max_cpu = CLAMP((p->budget_ppm + 9999) / 10000, 1, 100);
        }
        return want;
}

/* A small change of effort is not worth four writes, least of all where it restarts the advisor. */
static bool is_small_change(const struct ksm_knobs *now, const struct ksm_knobs *want) {
        return now->run == 1 && want->run == 1 && now->sleep_msec == want->sleep_msec &&
               u64_distance(now->pages_to_scan, want->pages_to_scan) <= now->pages_to_scan / 16;
}

static void act(struct ksm_control *c) {
        struct ksm_knobs want = wanted_knobs(c), *now = &c->view.sample.knobs;
        const char *file = "";
        char text[KSM_NOTE_MAX];
        struct ksm_sample after;
        int r;

        if (want.run == AEROSTAT_UNKNOWN || is_small_change(now, &want))
                return;
        r = ksm_check_writable(c->root_fd);
        if (r >= 0)
                r = note_settings(c);
        if (r >= 0)
                r = ksm_apply(c->root_fd, now, &want, &file);
        if (r < 0) {
                snprintf(text, sizeof(text), "KSM cannot be set%s%s: %s; it stays as it is", *file ? ", not even " : "", file, strerror(-r));
                note(c, text);
                c->view.standing_back = true;
                c->written = false;
                return;
        }
        if (c->view.sample.knobs.run != want.run)
                log_info("KSM %s%s", want.run == 1 ? "scans" : "rests; what is merged stays",
                         c->view.plan.unprofitable ? ": it found next to nothing" : "");
        if (ksm_sample_read(c->root_fd, &after) >= 0) {
                c->view.sample = after;
                c->knobs = after.knobs;
                c->written = true;
        }
}

/* ---- once a second ---- */

static void read_cost(struct ksm_control *c, uint64_t now_usec) {
        uint64_t cow = c->tick.cow_pages;

        if (c->ksmd < 0 && (c->find_usec == 0 || now_usec - c->find_usec >= FIND_USEC)) {
                c->find_usec = MAX(now_usec, 1);
                c->ksmd = ksm_find_thread(c->proc_fd);
        }
        if (c->ksmd < 0 || ksm_thread_cpu_read(c->proc_fd, c->ksmd, &c->view.ksmd_cpu_usec) < 0) {
                c->ksmd = -ESRCH;
                c->view.ksmd_cpu_usec = AEROSTAT_UNKNOWN;
        }
        c->view.cow_pages_per_sec = AEROSTAT_UNKNOWN;
        if (cow != AEROSTAT_UNKNOWN && c->cow_usec != 0 && now_usec > c->cow_usec && c->cow_pages != AEROSTAT_UNKNOWN)
                c->view.cow_pages_per_sec = u64_mul_div(u64_sub(cow, c->cow_pages), USEC_PER_SEC, now_usec - c->cow_usec);
        c->cow_usec = now_usec;
        c->cow_pages = cow;
}

static void log_note(struct ksm_control *c) {
        if (strcmp(c->view.note, c->logged_note) == 0)
                return;
        if (c->view.note[0])
                log_warning("%s", c->view.note);
        memcpy(c->logged_note, c->view.note, sizeof(c->logged_note));
}

void ksm_control_tick(struct ksm_control *c, const struct ksm_tick *tick) {
        struct ksm_sample *s = &c->view.sample;
        struct ksm_input in;
        int r;

        c->tick = *tick;
        if (!c->overruled)
                c->view.note[0] = 0;
        r = ksm_sample_read(c->root_fd, s);
        c->view.present = r >= 0;
        if (r < 0) {
                if (c->view.config.mode != KSM_MODE_LEAVE && c->view.config.mode != KSM_MODE_OFF)
                        note(c, r == -ENOENT ? "this kernel has no KSM: equal pages are not merged" : "KSM cannot be read");
                log_note(c);
                return;
        }
        read_cost(c, tick->now_usec);
        in = (struct ksm_input) {
                .now_usec = tick->now_usec,
                .full_scans = s->full_scans,
                .saved_bytes = s->saved_bytes,
                .metadata_bytes = s->saved_bytes == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN
                                                                     : (uint64_t) MAX((int64_t) s->saved_bytes - s->profit_bytes, 0),
                .cow_pages = tick->cow_pages,
                .cpu_usec = c->view.ksmd_cpu_usec,
                .memory_bytes = tick->memory_bytes,
                .host_state = tick->host_state,
                .short_of_memory = tick->short_of_memory,
                .n_mergeable = tick->n_mergeable,
                .n_starts = tick->n_starts,
        };
        ksm_decide(&c->view.config, &in, &c->state, &c->view.plan);
        if ((c->view.config.mode == KSM_MODE_LEAVE || tick->dry_run) && c->child == 0) /* a write to run waits until the child is done */
                restore(c);
        if (c->view.config.mode == KSM_MODE_LEAVE)
                c->view.standing_back = false;
        else {
                look_for_rivals(c);
                c->view.standing_back = c->overruled || c->rival;
                if (tick->act && !c->view.standing_back && c->child == 0)
                        act(c);
        }
        log_note(c);
}

/* ---- operators ---- */

int ksm_control_set_mode(struct ksm_control *c, enum ksm_mode mode, char error[static KSM_ERROR_MAX]) {
        int r = ksm_check_writable(c->root_fd);
        char text[KSM_NOTE_MAX];

        if (r < 0) {
                snprintf(error, KSM_ERROR_MAX, r == -ENOENT ? "this kernel has no KSM (CONFIG_KSM)" : "KSM cannot be set here: %s", strerror(-r));
                return r;
        }
        find_rival(c); /* in mode leave nobody has looked; and one that was just ended is in the way no longer */
        if (c->rival && mode != KSM_MODE_LEAVE) {
                snprintf(error, KSM_ERROR_MAX, "%s", describe_rival(c, text));
                return -EBUSY;
        }
        if (mode != c->view.config.mode)
                c->state = (struct ksm_state) { 0 };
        c->view.config.mode = mode;
        c->view.manual_mode = mode != c->configured.mode;
        c->overruled = c->written = false;
        c->view.note[0] = 0;
        log_message(LOG_NOTICE, "KSM is %s by the operator", ksm_mode_to_string(mode));
        return 0;
}

static int on_unmerged(sd_event_source *source, const siginfo_t *si, void *userdata) {
        struct ksm_control *c = userdata;

        c->child = 0;
        c->view.unmerging = c->written = false;
        c->child_source = sd_event_source_disable_unref(c->child_source);
        if (si->si_code == CLD_EXITED && si->si_status == 0)
                log_info("all merged pages have been taken apart");
        else
                log_error("merged pages could not all be taken apart: %s",
                          si->si_code == CLD_EXITED ? strerror(si->si_status) : "the writing process was killed");
        return 0;
}

/* The write returns when all is done, so it is made by a child. Only calls that are safe between fork and exec in a program with threads. */
static int start_unmerging(struct ksm_control *c) {
        int fd = openat(c->root_fd, FOLDER "run", O_WRONLY | O_CLOEXEC), r;
        sigset_t none;
        pid_t pid;

        if (fd < 0)
                return -errno;
        sigemptyset(&none);
        pid = fork();
        if (pid == 0) {
                (void) sigprocmask(SIG_SETMASK, &none, NULL); /* systemd's SIGTERM to all of the unit ends it, and the unit's stop does not wait */
                /* Not the lock on the state folder: a new daemon may start meanwhile. */
                (void) syscall(SYS_close_range, 3, fd - 1, 0);
                (void) syscall(SYS_close_range, fd + 1, ~0U, 0);
                _exit(write(fd, "2\n", 2) == 2 ? 0 : errno);
        }
        r = pid < 0 ? -errno : 0;
        close(fd);
        if (r < 0)
                return r;
        c->child = pid;
        r = sd_event_add_child(c->event, &c->child_source, pid, WEXITED, on_unmerged, c);
        if (r < 0)
                log_warning("cannot wait for the end of unmerging: %s", strerror(-r));
        return 0;
}

int ksm_control_unmerge(struct ksm_control *c, char error[static KSM_ERROR_MAX]) {
        uint64_t need, saved = c->view.present ? c->view.sample.saved_bytes : AEROSTAT_UNKNOWN;
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], d[FORMAT_SIZE_MAX], e[FORMAT_SIZE_MAX];
        int r;

        if (c->child > 0) {
                snprintf(error, KSM_ERROR_MAX, "pages are being taken apart already");
                return -EALREADY;
        }
        if (c->tick.dry_run) {
                snprintf(error, KSM_ERROR_MAX, "this is a dry run: nothing is changed");
                return -EPERM;
        }
        if (!ksm_unmerge_fits(saved, c->tick.available_bytes, c->tick.reserve_bytes, &need) && c->view.present) {
                snprintf(error, KSM_ERROR_MAX, "taking all merged pages apart brings back %s; with the "
                                               "reserve of %s that needs %s available, and there is %s",
                         format_size(saved, a), format_size(c->tick.reserve_bytes, b), format_size(need, d), format_size(c->tick.available_bytes, e));
                return -ENOSPC;
        }
        r = ksm_control_set_mode(c, KSM_MODE_OFF, error);
        if (r < 0)
                return r;
        r = note_settings(c);
        if (r >= 0)
                r = start_unmerging(c);
        if (r < 0) {
                snprintf(error, KSM_ERROR_MAX, "unmerging cannot be started: %s", strerror(-r));
                return r;
        }
        c->view.unmerging = true;
        return 0;
}
