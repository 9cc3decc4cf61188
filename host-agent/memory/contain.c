/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/memory/contain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "host-agent/log.h"
#include "host-agent/memory/contain_writer.h"
#include "host-agent/memory/swap_systemd.h"
#include "host-agent/system/group_high.h"
#include "protocol/parse.h"
#include "protocol/units.h"

/* In the undo file: "high:machine-qemu\x2d1\x2dweb1.scope" or "high:sys/fs/cgroup/...": bytes, or "infinity". */
#define NOTE "high:"
#define NOTE_MAX (sizeof(NOTE) + SWAP_GROUP_PATH_MAX)
#define PROPERTY "MemoryHigh"

/* By so much a limit goes below what is there: its growth ends at once, and whoever writes the limit (systemd, or we) may have to swap that out
 * before it can go on (before 6.16; measured on 6.1, swapping under TCG: 0.7 s for 32 MiB). */
#define STEP_BYTES (8 * MIB)
/* For so long after the end its stalls are still ours: avg10 fades. */
#define FADE_USEC (30 * USEC_PER_SEC)

struct entry {
        LIST_ENTRY(entry) entries;
        int pid;
        uint64_t start_ticks;
        struct swap_group group;
        uint64_t before_bytes;                 /* the limit from before us; unknown: none */
        uint64_t set_bytes;                    /* ours; unknown: none */
        uint64_t let_go_usec;                  /* since when it is not held any more; 0: it is */
        uint64_t stalled_usec;                 /* memory.pressure's total when last read */
        bool present, noted, refused, direct;  /* noted: before_bytes is in the undo file; refused: by systemd; direct: so by its file */
        sd_bus_slot *slot;                     /* a call under way */
};

struct contain {
        int root_fd;
        struct undo *undo;
        sd_event *event;
        sd_bus *bus;                           /* NULL: no systemd, or it does not answer */
        bool bus_tried;
        LIST_HEAD(, entry) list;
        struct contain_writer *writer;         /* NULL until the first limit is written to a file */
        struct entry *next;                    /* whose turn it is with the writer, having found it busy; NULL: anybody's */
        uint64_t stalled_usec;                 /* in all that were ever held */
};

static sd_bus *open_bus(void) {
        sd_bus *bus = NULL;

        return sd_bus_open_system(&bus) >= 0 ? bus : NULL;
}

/* ---- what is left behind ---- */

static int lift_unit(sd_bus **bus, const char *unit, uint64_t bytes) {
        if (!*bus)
                *bus = open_bus();
        return *bus ? swap_systemd_set_wait(*bus, unit, PROPERTY, bytes) : -ENOTCONN;
}

static int lift_file(int root_fd, const char *path, uint64_t bytes) {
        struct swap_group group = { .v2 = true };
        int fd, r;

        if (snprintf(group.path, sizeof(group.path), "%s", path) >= (int) sizeof(group.path))
                return -ENAMETOOLONG;
        fd = group_high_open(root_fd, &group);
        if (fd < 0)
                return fd;
        r = group_high_write(fd, bytes);
        close(fd);
        return r;
}

int contain_lift(int root_fd, struct undo *undo, int *ret_error) {
        const char *name, *value;
        sd_bus *bus = NULL;
        int lifted = 0, error = 0;

        for (size_t i = 0; undo_entry(undo, i, &name, &value);) {
                char copy[NOTE_MAX];
                uint64_t bytes;
                int r;

                if (strncmp(name, NOTE, strlen(NOTE)) != 0) {
                        i++;
                        continue;
                }
                snprintf(copy, sizeof(copy), "%s", name); /* the entry may go */
                if (parse_u64(value, &bytes) < 0)
                        bytes = AEROSTAT_UNKNOWN;
                r = strchr(copy, '/') ? lift_file(root_fd, copy + strlen(NOTE), bytes) : lift_unit(&bus, copy + strlen(NOTE), bytes);
                lifted += r >= 0;
                if (r < 0 && r != -ENOENT && r != -ENODEV) { /* those: it has ended, and its group with it */
                        error = error ? error : -r;
                        i++;
                        continue;
                }
                undo_forget(undo, copy);
        }
        sd_bus_flush_close_unref(bus);
        *ret_error = error;
        return lifted;
}

int contain_new(struct contain **ret, sd_event *event, int root_fd, struct undo *undo) {
        struct contain *c = calloc(1, sizeof(*c));
        int error;

        if (!c)
                return -ENOMEM;
        c->root_fd = root_fd;
        c->undo = undo;
        c->event = sd_event_ref(event);
        LIST_INIT(&c->list);
        if (contain_lift(root_fd, undo, &error) > 0)
                log_message(LOG_NOTICE, "limits of VMs that an earlier run left when it was killed are lifted");
        *ret = c;
        return 0;
}

static void drop(struct contain *c, struct entry *e) {
        if (c->next == e)
                c->next = NULL;
        LIST_REMOVE(e, entries);
        sd_bus_slot_unref(e->slot);
        free(e);
}

struct contain *contain_free(struct contain *c) {
        int error;

        if (!c)
                return NULL;
        c->writer = contain_writer_free(c->writer);
        while (!LIST_EMPTY(&c->list))
                drop(c, LIST_FIRST(&c->list));
        (void) contain_lift(c->root_fd, c->undo, &error);
        if (error != 0)
                log_error("limits of VMs could not all be lifted: %s", strerror(error));
        sd_bus_flush_close_unref(c->bus);
        sd_event_unref(c->event);
        free(c);
        return NULL;
}

/* ---- limits ---- */

static const char *note_name(const struct entry *e, char buf[static NOTE_MAX]) {
        snprintf(buf, NOTE_MAX, NOTE "%s", e->group.unit[0] && !e->direct ? e->group.unit : e->group.path);
        return buf;
}

static int note_before(struct contain *c, struct entry *e) {
        char name[NOTE_MAX], value[32] = "infinity";
        int r;

        if (e->before_bytes != AEROSTAT_UNKNOWN)
                snprintf(value, sizeof(value), "%llu", (unsigned long long) e->before_bytes);
        r = undo_note(c->undo, note_name(e, name), value);
        if (r > 0 && parse_u64(undo_value(c->undo, name), &e->before_bytes) < 0) /* an earlier run's could not be lifted: what is there is ours */
                e->before_bytes = AEROSTAT_UNKNOWN;
        e->noted = r >= 0;
        return MIN(r, 0);
}

static void forget_before(struct contain *c, struct entry *e) {
        char name[NOTE_MAX];

        if (e->noted)
                undo_forget(c->undo, note_name(e, name));
        e->noted = false;
}

static void on_set(int result, uint64_t value, void *userdata) {
        struct entry *e = userdata;

        e->slot = sd_bus_slot_unref(e->slot);
        if (result < 0)
                e->refused = true;
}

/* -ENOTCONN: systemd does not own it, or there is none to talk to. */
static int set_by_systemd(struct contain *c, struct entry *e, uint64_t bytes) {
        if (!e->group.unit[0] || e->direct || e->refused)
                return -ENOTCONN;
        if (!c->bus && !c->bus_tried) {
                c->bus_tried = true;
                c->bus = open_bus();
                if (c->bus && sd_bus_attach_event(c->bus, c->event, SD_EVENT_PRIORITY_NORMAL) < 0)
                        c->bus = sd_bus_flush_close_unref(c->bus);
        }
        return c->bus ? swap_systemd_set(c->bus, e->group.unit, PROPERTY, bytes, on_set, e, &e->slot) : -ENOTCONN;
}

/* Lowering goes to the writer's thread, raising is done at once. -EBUSY: at the next tick. */
static int set_by_file(struct contain *c, struct entry *e, uint64_t bytes) {
        int fd, r;

        if (c->next && c->next != e)
                return -EBUSY;
        c->next = e;
        if (c->writer && contain_writer_is_busy(c->writer))
                return -EBUSY;
        c->next = NULL;
        if (!c->writer && (r = contain_writer_new(&c->writer)) < 0)
                return r;
        fd = group_high_open(c->root_fd, &e->group);
        if (fd < 0)
                return fd;
        if (bytes < e->set_bytes && bytes < e->before_bytes) {
                contain_writer_put(c->writer, fd, bytes);
                return 0;
        }
        r = group_high_write(fd, bytes);
        close(fd);
        return r;
}

static int set(struct contain *c, struct entry *e, uint64_t bytes) {
        int r = set_by_systemd(c, e, bytes);

        if (r == -ENOTCONN) {
                if (!e->direct && e->group.unit[0]) { /* from now on by its file, under that name in the notes */
                        forget_before(c, e);
                        e->direct = true;
                        r = note_before(c, e);
                        if (r < 0)
                                return r;
                }
                r = set_by_file(c, e, bytes);
        }
        if (r >= 0)
                e->set_bytes = bytes;
        return r;
}

/* A step toward `bytes`; somebody's own limit stays in force. */
static uint64_t next_limit(struct contain *c, const struct entry *e, uint64_t bytes) {
        uint64_t current = AEROSTAT_UNKNOWN, page = (uint64_t) sysconf(_SC_PAGESIZE);

        if (group_current_read(c->root_fd, &e->group, &current) < 0 || current == AEROSTAT_UNKNOWN)
                current = bytes;
        bytes = MAX(bytes, u64_sub(MIN(current, e->set_bytes), STEP_BYTES));
        bytes = MIN(bytes, e->before_bytes);
        return bytes - (bytes == AEROSTAT_UNKNOWN ? 0 : bytes % page);
}

static void let_go(struct contain *c, struct entry *e, uint64_t now_usec) {
        if (e->slot || set(c, e, e->before_bytes) < 0)
                return; /* at the next tick */
        e->set_bytes = AEROSTAT_UNKNOWN;
        e->let_go_usec = MAX(now_usec, 1);
        if (!e->slot)
                forget_before(c, e);
}

/* ---- VMs ---- */

static struct entry *find(struct contain *c, const struct contain_vm *vm) {
        struct entry *e;

        LIST_FOREACH(e, &c->list, entries)
                if (e->pid == vm->pid && e->start_ticks == vm->start_ticks)
                        return e;
        return NULL;
}

static struct entry *add(struct contain *c, struct contain_vm *vm) {
        struct pressure pressure;
        struct swap_group above;
        struct entry *e = calloc(1, sizeof(*e));
        int r;

        if (!e)
                return NULL;
        *e = (struct entry) { .pid = vm->pid, .start_ticks = vm->start_ticks, .before_bytes = AEROSTAT_UNKNOWN, .set_bytes = AEROSTAT_UNKNOWN };
        r = swap_group_find(c->root_fd, vm->pid, &e->group, &above);
        if (r < 0)
                vm->why_not = "its control group was not found";
        else if (!e->group.v2)
                vm->why_not = "cgroup v1 has no limit that would hold it";
        else if (group_high_read(c->root_fd, &e->group, &e->before_bytes) < 0)
                vm->why_not = "the memory controller is off for its control group";
        else if (note_before(c, e) < 0)
                vm->why_not = "what its limit was cannot be noted in the state folder";
        if (vm->why_not) {
                free(e);
                return NULL;
        }
        if (group_pressure_read(c->root_fd, &e->group, &pressure) >= 0)
                e->stalled_usec = pressure.some_total_usec;
        LIST_INSERT_HEAD(&c->list, e, entries);
        return e;
}

static void hold(struct contain *c, struct entry *e, struct contain_vm *vm) {
        uint64_t bytes;
        int r = 0;

        if (e->let_go_usec != 0) {
                if (e->slot || note_before(c, e) < 0)
                        return;
                e->let_go_usec = 0;
        }
        bytes = next_limit(c, e, vm->bytes);
        if (!e->slot && (bytes != e->set_bytes || (e->refused && !e->direct)))
                r = set(c, e, bytes);
        if (r < 0 && r != -EBUSY)
                vm->why_not = "memory.high of its control group cannot be set";
        vm->held_bytes = e->set_bytes;
}

static void look_after(struct contain *c, struct contain_vm *vm, uint64_t now_usec) {
        struct entry *e = vm->pid > 0 ? find(c, vm) : NULL;

        vm->held_bytes = AEROSTAT_UNKNOWN;
        vm->why_not = NULL;
        if (!e && vm->bytes == AEROSTAT_UNKNOWN)
                return;
        if (!e && vm->pid <= 0)
                vm->why_not = "its QEMU process was not found";
        else if (!e)
                e = add(c, vm);
        if (!e)
                return;
        e->present = true;
        if (c->next == e)
                c->next = NULL; /* it is */
        if (vm->bytes != AEROSTAT_UNKNOWN)
                hold(c, e, vm);
        else if (e->let_go_usec == 0)
                let_go(c, e, now_usec);
        else if (!e->slot && e->refused && !e->direct)
                e->let_go_usec = 0; /* once more, by its file */
        else if (!e->slot)
                forget_before(c, e); /* systemd has answered */
}

void contain_tick(struct contain *c, uint64_t now_usec, struct contain_vm *vms, size_t n_vms) {
        struct entry *e, *next;

        LIST_FOREACH(e, &c->list, entries)
                e->present = false;
        for (size_t i = 0; i < n_vms; i++)
                look_after(c, &vms[i], now_usec);
        for (e = LIST_FIRST(&c->list); e; e = next) {
                next = LIST_NEXT(e, entries);
                if (!e->present)
                        forget_before(c, e); /* its group went with it */
                if (!e->present || (e->let_go_usec != 0 && !e->slot && now_usec - e->let_go_usec >= FADE_USEC))
                        drop(c, e);
        }
}

bool contain_is_writing(struct contain *c) {
        return c->writer && contain_writer_is_busy(c->writer);
}

void contain_measure(struct contain *c, struct contain_pressure *ret) {
        struct pressure pressure;
        struct entry *e;

        *ret = (struct contain_pressure) { 0 };
        LIST_FOREACH(e, &c->list, entries) {
                if (group_pressure_read(c->root_fd, &e->group, &pressure) < 0)
                        continue;
                if (pressure.some_avg10_ppm != AEROSTAT_UNKNOWN)
                        ret->some_ppm = u64_add(ret->some_ppm, pressure.some_avg10_ppm);
                if (pressure.full_avg10_ppm != AEROSTAT_UNKNOWN)
                        ret->full_ppm = u64_add(ret->full_ppm, pressure.full_avg10_ppm);
                if (pressure.some_total_usec != AEROSTAT_UNKNOWN) {
                        c->stalled_usec = u64_add(c->stalled_usec, u64_sub(pressure.some_total_usec, e->stalled_usec));
                        e->stalled_usec = pressure.some_total_usec;
                }
        }
        ret->some_total_usec = c->stalled_usec;
}
