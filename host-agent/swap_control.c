/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/swap_control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host-agent/log.h"
#include "host-agent/swap_systemd.h"
#include "host-agent/system/swap_limit.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define GROUPS "sys/fs/cgroup/"                /* where every distribution mounts them; elsewhere nothing is touched */
#define UNIT "unit:"

/* A group that we limit. */
struct limited {
        struct swap_group group;
        uint64_t before;                       /* limit, or swappiness, from before us; unknown: not read yet (limit: none) */
        bool noted;
        uint64_t sent_bytes;                   /* systemd: what it was asked for last */
        bool sent, failed;
        sd_bus_slot *slot;                     /* a call under way */
        struct swap_control *control;
};

struct entry {
        int pid;
        uint64_t start_ticks;
        bool found, present;                   /* its groups are known; it is among the VMs of this tick */
        struct limited own;
        struct swap_group above;
};

struct swap_control {
        int root_fd;
        struct undo *undo;
        sd_event *event;
        sd_bus *bus;                           /* NULL: no systemd, or it does not answer */
        bool bus_tried;
        struct swap_state state;
        struct swap_view view;
        struct limited all;                    /* the group above all VMs */
        bool has_all;
        struct entry *entries;                 /* pointers into it are held by calls under way only until it moves: see follow_vms() */
        size_t n_entries, n_allocated;
        char logged_note[SWAP_NOTE_MAX];
};

static bool is_ours(const char *path) {
        return strncmp(path, GROUPS, strlen(GROUPS)) == 0 || strncmp(path, UNIT, strlen(UNIT)) == 0;
}

int swap_control_new(struct swap_control **ret, sd_event *event, int root_fd, struct undo *undo) {
        struct swap_control *c = calloc(1, sizeof(*c));
        const char *path, *value;

        if (!c)
                return -ENOMEM;
        c->root_fd = root_fd;
        c->undo = undo;
        c->event = sd_event_ref(event);
        c->view.limit_bytes = c->view.swappiness = AEROSTAT_UNKNOWN;
        for (size_t i = 0; undo_entry(undo, i, &path, &value); i++)
                if (is_ours(path)) {
                        log_message(LOG_NOTICE, "swap limits that an earlier run left when it was killed are taken over");
                        break;
                }
        *ret = c;
        return 0;
}

static sd_bus *open_bus(void) {
        sd_bus *bus = NULL;

        return sd_bus_open_system(&bus) >= 0 ? bus : NULL;
}

int swap_control_lift(int root_fd, struct undo *undo, int *ret_error) {
        const char *path, *value;
        sd_bus *bus = NULL;
        int lifted = 0, error = 0;

        for (size_t i = 0; undo_entry(undo, i, &path, &value); i++) {
                uint64_t bytes;
                int r;

                if (strncmp(path, UNIT, strlen(UNIT)) != 0)
                        continue;
                if (!bus)
                        bus = open_bus();
                if (parse_u64(value, &bytes) < 0)
                        bytes = AEROSTAT_UNKNOWN;
                r = bus ? swap_systemd_set_wait(bus, path + strlen(UNIT), "MemorySwapMax", bytes) : -ENOTCONN;
                lifted += r >= 0;
                /* -ENOENT: a scope that has ended */
                if (r < 0 && r != -ENOENT)
                        error = error ? error : -r;
        }
        sd_bus_flush_close_unref(bus);
        if (error == 0)
                undo_forget(undo, UNIT);
        *ret_error = 0;
        lifted += undo_restore_files(undo, GROUPS, ret_error);
        *ret_error = error ? error : *ret_error;
        return lifted;
}

struct swap_control *swap_control_free(struct swap_control *c) {
        int error;

        if (!c)
                return NULL;
        for (size_t i = 0; i < c->n_entries; i++)
                sd_bus_slot_unref(c->entries[i].own.slot);
        sd_bus_slot_unref(c->all.slot);
        if (swap_control_lift(c->root_fd, c->undo, &error) > 0)
                log_info("swap limits lifted");
        if (error != 0)
                log_error("swap limits could not all be lifted: %s", strerror(error));
        sd_bus_flush_close_unref(c->bus);
        sd_event_unref(c->event);
        free(c->entries);
        free(c);
        return NULL;
}

const struct swap_view *swap_control_view(const struct swap_control *c) {
        return &c->view;
}

/* The first thing that stands in the way is what is said. */
__attribute__((format(printf, 2, 3))) static void note(struct swap_control *c, const char *format, ...) {
        va_list ap;

        if (c->view.note[0])
                return;
        va_start(ap, format);
        vsnprintf(c->view.note, sizeof(c->view.note), format, ap);
        va_end(ap);
}

/* ---- where the VMs are ---- */

static struct entry *find_entry(struct swap_control *c, const struct swap_vm *vm) {
        for (size_t i = 0; i < c->n_entries; i++)
                if (c->entries[i].pid == vm->pid && c->entries[i].start_ticks == vm->start_ticks)
                        return &c->entries[i];
        return NULL;
}

static void drop_entry(struct swap_control *c, size_t index) {
        char file[SWAP_GROUP_FILE_MAX];

        sd_bus_slot_unref(c->entries[index].own.slot);
        if (c->entries[index].found) /* the group is gone with its VM, and what was before does not matter any more */
                undo_forget(c->undo, swap_group_file(&c->entries[index].own.group, file));
        memmove(c->entries + index, c->entries + index + 1, (c->n_entries - index - 1) * sizeof(*c->entries));
        c->n_entries--;
}

static struct entry *add_entry(struct swap_control *c, const struct swap_vm *vm) {
        struct entry *e;

        if (c->n_entries == c->n_allocated) {
                size_t n = MAX(16, 2 * c->n_allocated);
                struct entry *p = reallocarray(c->entries, n, sizeof(*p));

                if (!p)
                        return NULL;
                c->entries = p;
                c->n_allocated = n;
        }
        e = &c->entries[c->n_entries++];
        *e = (struct entry) { .pid = vm->pid, .start_ticks = vm->start_ticks, .own = { .before = AEROSTAT_UNKNOWN, .control = c } };
        return e;
}

/* Brings the entries in line with the VMs that run, and finds the group above them all. */
static void follow_vms(struct swap_control *c, const struct swap_vm *vms, size_t n_vms) {
        struct swap_group all = { 0 };
        bool first = true, joined = true;

        for (size_t i = 0; i < c->n_entries; i++)
                c->entries[i].present = false;
        for (size_t i = 0; i < n_vms; i++) {
                struct entry *e;

                if (vms[i].pid <= 0)
                        continue;
                e = find_entry(c, &vms[i]);
                if (!e)
                        e = add_entry(c, &vms[i]);
                if (!e)
                        continue;
                e->present = true;
                if (!e->found)
                        e->found = swap_group_find(c->root_fd, e->pid, &e->own.group, &e->above) >= 0 && is_ours(e->own.group.path);
                if (!e->found) {
                        note(c, "%s", "the control groups of VMs are not where they are looked for: the swap ceiling is not kept by the kernel");
                        continue;
                }
                if (first)
                        all = e->above;
                else if (joined && swap_group_join(&all, &e->above) < 0)
                        joined = false;
                first = false;
        }
        for (size_t i = c->n_entries; i > 0; i--)
                if (!c->entries[i - 1].present)
                        drop_entry(c, i - 1);
        if (first) /* no VM: keep what was limited last, from the start libvirt's slice */
                return;
        if (!joined || strlen(all.path) <= strlen(GROUPS)) {
                c->has_all = false;
                return;
        }
        if (c->has_all && strcmp(c->all.group.path, all.path) == 0)
                return;
        c->all.slot = sd_bus_slot_unref(c->all.slot);
        c->all = (struct limited) { .group = all, .before = AEROSTAT_UNKNOWN, .control = c };
        c->has_all = true;
}

/* Before the first VM: libvirt puts VMs into machine.slice where systemd runs, so the limit can be there before they are. */
static void arm_early(struct swap_control *c) {
        if (c->has_all || c->n_entries > 0 || !swap_group_has_systemd(c->root_fd) || faccessat(c->root_fd, GROUPS "cgroup.controllers", F_OK, 0) < 0)
                return;
        c->all = (struct limited) {
                .group = { .v2 = true, .path = GROUPS "machine.slice", .unit = "machine.slice", .depth = 3 }, .before = AEROSTAT_UNKNOWN, .control = c,
        };
        c->has_all = true;
}

/* ---- limits ---- */

static void on_set(int result, void *userdata) {
        struct limited *l = userdata;

        l->slot = sd_bus_slot_unref(l->slot);
        l->failed = result < 0;
        if (result < 0)
                l->sent = false;
}

/* -ENOTCONN: no systemd to talk to. */
static int set_by_systemd(struct swap_control *c, struct limited *l, uint64_t bytes) {
        char name[SWAP_GROUP_UNIT_MAX + sizeof(UNIT)], before[32] = "infinity";
        int r;

        if (!c->bus && !c->bus_tried) {
                c->bus_tried = true;
                c->bus = open_bus();
                if (c->bus && sd_bus_attach_event(c->bus, c->event, SD_EVENT_PRIORITY_NORMAL) < 0)
                        c->bus = sd_bus_flush_close_unref(c->bus);
        }
        if (!c->bus || l->failed)
                return -ENOTCONN;
        if (!l->noted) {
                snprintf(name, sizeof(name), UNIT "%s", l->group.unit);
                if (swap_group_read_limit(c->root_fd, &l->group, &l->before) >= 0 && l->before != AEROSTAT_UNKNOWN)
                        snprintf(before, sizeof(before), "%llu", (unsigned long long) l->before);
                r = undo_note(c->undo, name, before);
                if (r < 0)
                        return r;
                if (r > 0 && parse_u64(undo_value(c->undo, name), &l->before) < 0)
                        l->before = AEROSTAT_UNKNOWN;
                l->noted = true;
        }
        bytes = MIN(bytes, l->before);
        if (l->slot || (l->sent && l->sent_bytes == bytes))
                return 0;
        r = swap_systemd_set(c->bus, l->group.unit, "MemorySwapMax", bytes, on_set, l, &l->slot);
        if (r >= 0) {
                l->sent = true;
                l->sent_bytes = bytes;
        }
        return r;
}

static int set_by_file(struct swap_control *c, struct limited *l, uint64_t bytes) {
        char file[SWAP_GROUP_FILE_MAX];
        uint64_t is;
        int r;

        r = swap_group_read_limit(c->root_fd, &l->group, &is);
        if (r < 0)
                return r;
        if (!l->noted) {
                r = undo_note_file(c->undo, swap_group_file(&l->group, file));
                if (r < 0)
                        return r;
                if (parse_u64(undo_value(c->undo, file), &l->before) < 0)
                        l->before = AEROSTAT_UNKNOWN; /* "max" */
                l->noted = true;
        }
        bytes = MIN(bytes, l->before); /* somebody's own limit stays in force */
        /* The kernel keeps whole pages. */
        if (bytes != AEROSTAT_UNKNOWN)
                bytes -= bytes % (uint64_t) sysconf(_SC_PAGESIZE);
        return is == bytes ? 0 : swap_group_write_limit(c->root_fd, &l->group, bytes);
}

static void limit(struct swap_control *c, struct limited *l, uint64_t bytes) {
        int r = -ENOTCONN;

        if (l->group.unit[0]) {
                r = set_by_systemd(c, l, bytes);
                if (r == -ENOTCONN)
                        note(c, "systemd does not take the limit of %.80s: its file is written directly", l->group.unit);
                else
                        c->view.method = SWAP_BY_SYSTEMD;
        }
        if (r < 0 && r != -ENOTCONN) {
                note(c, "the swap limit cannot be set: %s", strerror(-r));
                return;
        }
        if (r < 0) {
                r = set_by_file(c, l, bytes);
                if (r < 0) {
                        note(c, "the kernel does not keep the swap ceiling: memory.swap.max of %.80s %s", l->group.path,
                             r == -ENOENT ? "is not there (memory controller off, or no swap accounting)" : strerror(-r));
                        return;
                }
                c->view.method = SWAP_BY_FILE;
        }
}

static void slow_down(struct swap_control *c, struct limited *l, uint64_t used, uint64_t limit_bytes) {
        char file[SWAP_GROUP_FILE_MAX];
        uint64_t is, want;
        int r;

        r = swap_group_read_swappiness(c->root_fd, &l->group, &is);
        if (r >= 0 && !l->noted) {
                r = undo_note_file(c->undo, swap_group_file(&l->group, file));
                if (r >= 0 && parse_u64(undo_value(c->undo, file), &l->before) < 0)
                        l->before = 60;
                l->noted = r >= 0;
        }
        if (r >= 0) {
                want = swap_v1_swappiness(used, limit_bytes, l->before);
                if (want != is)
                        r = swap_group_write_swappiness(c->root_fd, &l->group, want);
                c->view.swappiness = want;
        }
        if (r < 0) {
                note(c, "memory.swappiness of VMs cannot be set: %s", strerror(-r));
                return;
        }
        c->view.method = SWAP_BY_SWAPPINESS;
}

static void act(struct swap_control *c, bool per_vm, const struct swap_vm *vms, size_t n_vms) {
        uint64_t limit_bytes = c->view.plan.limit_bytes, weights = 0, used = 0;
        bool shares = per_vm || !c->has_all;

        for (size_t i = 0; i < n_vms; i++) {
                weights = u64_add(weights, vms[i].weight);
                used = u64_add(used, vms[i].swap_bytes == AEROSTAT_UNKNOWN ? 0 : vms[i].swap_bytes);
        }
        if (c->has_all && c->all.group.v2)
                limit(c, &c->all, limit_bytes);
        for (size_t i = 0; i < n_vms; i++) {
                struct entry *e = find_entry(c, &vms[i]);
                uint64_t share = shares ? swap_share(limit_bytes, vms[i].weight, weights, n_vms) : limit_bytes;

                if (!e || !e->found)
                        continue;
                if (!e->own.group.v2)
                        slow_down(c, &e->own, per_vm ? vms[i].swap_bytes : used, share);
                else if (shares || e->own.noted)
                        limit(c, &e->own, shares ? share : AEROSTAT_UNKNOWN);
        }
        snprintf(c->view.group, sizeof(c->view.group), "%.255s", !c->has_all ? "" : c->all.group.unit[0] ? c->all.group.unit : c->all.group.path);
        if (c->view.method == SWAP_BY_SWAPPINESS)
                note(c, "%s", "cgroup v1 cannot limit swap alone: VMs swap the less the nearer the ceiling, but no hard limit holds them");
        if (limit_bytes == AEROSTAT_UNKNOWN)
                c->view.method = SWAP_NOT_LIMITED;
        else
                c->view.limit_bytes = limit_bytes;
}

void swap_control_tick(struct swap_control *c, const struct swap_input *input, bool write, bool per_vm, const struct swap_vm *vms, size_t n_vms) {
        struct swap_input in = *input;

        in.soft = c->has_all && !c->all.group.v2;
        /* The kernel's own count, where there is one: VmSwap leaves out what is in swap and, for now, in memory, too. */
        if (c->has_all && c->all.group.v2 && swap_group_read_used(c->root_fd, &c->all.group, &in.vms_bytes) < 0)
                in.vms_bytes = input->vms_bytes;
        swap_decide(&in, &c->state, &c->view.plan);
        /* A call under way has a pointer into the entries: they may move only when it has been answered. */
        for (size_t i = 0; i < c->n_entries; i++)
                if (c->entries[i].own.slot)
                        return;
        c->view.method = SWAP_NOT_LIMITED;
        c->view.limit_bytes = c->view.swappiness = AEROSTAT_UNKNOWN;
        c->view.note[0] = 0;
        if (!write)
                return;
        follow_vms(c, vms, n_vms);
        arm_early(c);
        act(c, per_vm, vms, n_vms);
        if (strcmp(c->view.note, c->logged_note) != 0 && c->view.note[0])
                log_warning("%s", c->view.note);
        memcpy(c->logged_note, c->view.note, sizeof(c->logged_note));
}
