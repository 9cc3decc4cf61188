/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/memory/swap_control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host-agent/log.h"
#include "host-agent/memory/swap_keeper.h"
#include "protocol/units.h"

struct entry {
        int pid;
        uint64_t start_ticks;
        bool found, present;                   /* its groups are known; it is among the VMs of this tick */
        struct swap_keeper own;
        struct swap_group above;
};

struct swap_control {
        struct swap_keeping keeping;
        struct swap_state state;
        struct swap_view view;
        struct swap_keeper all;                /* the group above all VMs */
        bool has_all;
        struct entry **entries;                /* each where it is: a call under way has a pointer to its keeper */
        size_t n_entries, n_allocated;
        bool given_back;                       /* not writing (dry-run), and nothing is set any more */
        bool taken_over;                       /* the undo file may have groups that are not limited any more: see sweep() */
        char logged_note[SWAP_NOTE_MAX];
};

static bool is_ours(const char *path) {
        return strncmp(path, SWAP_GROUPS, strlen(SWAP_GROUPS)) == 0 || strncmp(path, SWAP_UNIT, strlen(SWAP_UNIT)) == 0;
}

int swap_control_new(struct swap_control **ret, sd_event *event, int root_fd, struct undo *undo) {
        struct swap_control *c = calloc(1, sizeof(*c));
        const char *path, *value;

        if (!c)
                return -ENOMEM;
        c->keeping = (struct swap_keeping) { .root_fd = root_fd, .undo = undo, .event = sd_event_ref(event) };
        c->view.limit_bytes = c->view.admin_limit_bytes = c->view.swappiness = AEROSTAT_UNKNOWN;
        for (size_t i = 0; undo_entry(undo, i, &path, &value); i++)
                if (is_ours(path)) {
                        c->taken_over = true;
                        log_message(LOG_NOTICE, "swap limits that an earlier run left when it was killed are taken over");
                        break;
                }
        *ret = c;
        return 0;
}

static void drop_entry(struct swap_control *c, size_t index, bool forget) {
        if (forget)
                swap_keeper_forget(&c->keeping, &c->entries[index]->own);
        sd_bus_slot_unref(c->entries[index]->own.slot);
        free(c->entries[index]);
        c->entries[index] = c->entries[--c->n_entries];
}

/* Lifts everything, and starts anew: whatever is limited next is looked for and noted again. */
static void give_back(struct swap_control *c) {
        int error;

        while (c->n_entries > 0)
                drop_entry(c, c->n_entries - 1, false);
        c->all.slot = sd_bus_slot_unref(c->all.slot);
        c->has_all = false;
        if (swap_keeping_lift_all(c->keeping.root_fd, c->keeping.undo, &error) > 0)
                log_info("swap limits lifted");
        if (error != 0)
                log_error("swap limits could not all be lifted: %s", strerror(error));
}

struct swap_control *swap_control_free(struct swap_control *c) {
        if (!c)
                return NULL;
        give_back(c);
        swap_keeping_done(&c->keeping);
        sd_event_unref(c->keeping.event);
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

static struct entry *find_entry(const struct swap_control *c, const struct swap_vm *vm) {
        for (size_t i = 0; i < c->n_entries; i++)
                if (c->entries[i]->pid == vm->pid && c->entries[i]->start_ticks == vm->start_ticks)
                        return c->entries[i];
        return NULL;
}

static struct entry *add_entry(struct swap_control *c, const struct swap_vm *vm) {
        struct entry *e;

        if (c->n_entries == c->n_allocated) {
                size_t n = MAX(16, 2 * c->n_allocated);
                struct entry **p = reallocarray(c->entries, n, sizeof(*p));

                if (!p)
                        return NULL;
                c->entries = p;
                c->n_allocated = n;
        }
        e = malloc(sizeof(*e));
        if (!e)
                return NULL;
        *e = (struct entry) { .pid = vm->pid, .start_ticks = vm->start_ticks, .own = { .before = AEROSTAT_UNKNOWN } };
        c->entries[c->n_entries++] = e;
        return e;
}

/* Another group, or none, is above all VMs now: the one before is not to limit whom it still holds. */
static void change_all(struct swap_control *c, const struct swap_group *group) {
        if (c->has_all)
                swap_keeper_release(&c->keeping, &c->all);
        c->has_all = group;
        if (group)
                c->all = (struct swap_keeper) { .group = *group, .before = AEROSTAT_UNKNOWN };
}

/* Brings the entries in line with the VMs that run, and finds the group above them all. */
static void follow_vms(struct swap_control *c, const struct swap_vm *vms, size_t n_vms) {
        struct swap_group all = { 0 };
        bool first = true, joined = true;

        for (size_t i = 0; i < c->n_entries; i++)
                c->entries[i]->present = false;
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
                        e->found = swap_group_find(c->keeping.root_fd, e->pid, &e->own.group, &e->above) >= 0 && is_ours(e->own.group.path);
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
                if (!c->entries[i - 1]->present)
                        drop_entry(c, i - 1, true);
        if (first) /* no VM: keep what was limited last, from the start libvirt's slice */
                return;
        if (!joined || strlen(all.path) <= strlen(SWAP_GROUPS))
                change_all(c, NULL);
        else if (!c->has_all || strcmp(c->all.group.path, all.path) != 0)
                change_all(c, &all);
}

/* Before the first VM: libvirt puts VMs into machine.slice where systemd runs, so the limit can be there before they are. */
static void arm_early(struct swap_control *c) {
        static const struct swap_group slice = { .v2 = true, .path = SWAP_GROUPS "machine.slice", .unit = "machine.slice", .depth = 3 };

        if (!c->has_all && c->n_entries == 0 && swap_group_has_systemd(c->keeping.root_fd) &&
            faccessat(c->keeping.root_fd, SWAP_GROUPS "cgroup.controllers", F_OK, 0) >= 0)
                change_all(c, &slice);
}

/* ---- limits ---- */

static void limit(struct swap_control *c, struct swap_keeper *k, uint64_t bytes) {
        bool by_systemd;
        int r = swap_keeper_limit(&c->keeping, k, bytes, &by_systemd);

        if (r == -ENOENT)
                note(c, "the kernel does not keep the swap ceiling: %.80s has no memory.swap.max (memory controller off, or no swap accounting)",
                     k->group.path);
        else if (r < 0)
                note(c, "the swap limit of %.80s cannot be set: %s", k->group.path, strerror(-r));
        else if (r > 0)
                note(c, "systemd does not take the limit of %.80s: its file is written directly", k->group.unit);
        if (r >= 0)
                c->view.method = by_systemd ? SWAP_BY_SYSTEMD : SWAP_BY_FILE;
}

static void slow_down(struct swap_control *c, struct swap_keeper *k, uint64_t used, uint64_t limit_bytes) {
        int r = swap_keeper_slow_down(&c->keeping, k, used, limit_bytes, &c->view.swappiness);

        if (r < 0)
                note(c, "memory.swappiness of VMs cannot be set: %s", strerror(-r));
        else
                c->view.method = SWAP_BY_SWAPPINESS;
}

/* What an earlier run that was killed had limited, and this one does not: another group above all VMs, VMs' own shares. */
static void sweep(struct swap_control *c, bool shares) {
        const char *name, *value;

        for (size_t i = 0; undo_entry(c->keeping.undo, i, &name, &value);) {
                bool kept = !is_ours(name) || (c->has_all && swap_keeper_is_of(&c->all, name));

                for (size_t j = 0; j < c->n_entries && !kept; j++)
                        kept = (shares || !c->entries[j]->own.group.v2) && swap_keeper_is_of(&c->entries[j]->own, name);
                if (kept || swap_keeping_lift(&c->keeping, name) < 0)
                        i++;
        }
        c->taken_over = false;
}

static void act(struct swap_control *c, bool per_vm, const struct swap_vm *vms, size_t n_vms) {
        uint64_t limit_bytes = c->view.plan.limit_bytes, weights = 0, used = 0;
        bool shares = per_vm || !c->has_all;

        for (size_t i = 0; i < n_vms; i++) {
                weights = u64_add(weights, vms[i].weight);
                used = u64_add(used, vms[i].swap_bytes == AEROSTAT_UNKNOWN ? 0 : vms[i].swap_bytes);
        }
        if (c->taken_over && c->n_entries > 0)
                sweep(c, shares);
        if (c->has_all && c->all.group.v2)
                limit(c, &c->all, limit_bytes);
        for (size_t i = 0; i < n_vms; i++) {
                struct entry *e = find_entry(c, &vms[i]);
                uint64_t share;

                if (!e || !e->found)
                        continue;
                share = e->own.group.v2 ? limit_bytes : c->view.plan.brake_bytes;
                if (shares)
                        share = swap_share(share, c->view.plan.lift_bytes, vms[i].weight, weights, n_vms);
                if (!e->own.group.v2)
                        slow_down(c, &e->own, shares ? vms[i].swap_bytes : used, share);
                else if (shares || e->own.noted)
                        limit(c, &e->own, shares ? share : AEROSTAT_UNKNOWN);
        }
        snprintf(c->view.group, sizeof(c->view.group), "%.255s", !c->has_all ? "" : c->all.group.unit[0] ? c->all.group.unit : c->all.group.path);
        if (c->view.method == SWAP_BY_SWAPPINESS)
                note(c, "cgroup v1 cannot limit swap alone: VMs %s, but no hard limit holds them",
                     c->view.plan.brake_bytes == 0 ? "are swapped last" : "swap the less the nearer the ceiling");
        if (c->has_all && c->all.group.v2)
                c->view.admin_limit_bytes = c->all.before;
        if (limit_bytes == AEROSTAT_UNKNOWN)
                c->view.method = SWAP_NOT_LIMITED;
        else
                c->view.limit_bytes = MIN(limit_bytes, c->view.admin_limit_bytes);
}

void swap_control_count(const struct swap_control *c, bool per_vm, struct swap_vm *vms, size_t n_vms, struct swap_input *input) {
        bool shares = per_vm || (!c->has_all && c->n_entries > 0);
        uint64_t used, sum = 0;

        input->vms = shares ? vms : NULL;
        input->n_vms = shares ? n_vms : 0;
        for (size_t i = 0; i < input->n_vms; i++) {
                const struct entry *e = find_entry(c, &vms[i]);

                if (e && e->found && e->own.group.v2 && swap_group_read_used(c->keeping.root_fd, &e->own.group, &used) >= 0) {
                        vms[i].swap_bytes = used;
                        vms[i].resident_bytes = MIN(vms[i].resident_bytes, u64_sub(e->own.before, used));
                }
                sum = u64_add(sum, vms[i].swap_bytes == AEROSTAT_UNKNOWN ? 0 : vms[i].swap_bytes);
        }
        if (c->has_all && c->all.group.v2 && swap_group_read_used(c->keeping.root_fd, &c->all.group, &used) >= 0)
                input->vms_bytes = used;
        else if (shares)
                input->vms_bytes = sum;
}

void swap_control_tick(struct swap_control *c, const struct swap_input *input, bool write, bool per_vm, struct swap_vm *vms, size_t n_vms) {
        struct swap_input in = *input;

        c->keeping.now_usec = in.now_usec;
        c->view.method = SWAP_NOT_LIMITED;
        c->view.limit_bytes = c->view.admin_limit_bytes = c->view.swappiness = AEROSTAT_UNKNOWN;
        c->view.note[0] = 0;
        if (write) {
                follow_vms(c, vms, n_vms);
                arm_early(c);
                swap_control_count(c, per_vm, vms, n_vms, &in); /* a group that was just found may hold VMs that are not known yet */
        } else if (!c->given_back)
                give_back(c);
        c->given_back = !write;
        in.soft = c->n_entries > 0 && c->entries[0]->found && !c->entries[0]->own.group.v2;
        swap_decide(&in, &c->state, &c->view.plan);
        if (!write)
                return;
        act(c, per_vm, vms, n_vms);
        if (strcmp(c->view.note, c->logged_note) != 0 && c->view.note[0])
                log_warning("%s", c->view.note);
        memcpy(c->logged_note, c->view.note, sizeof(c->logged_note));
}
