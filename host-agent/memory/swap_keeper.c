/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/memory/swap_keeper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host-agent/memory/swap_systemd.h"
#include "host-agent/policy/swap.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define RETRY_USEC USEC_PER_MINUTE             /* a bus that is gone, a systemd that refuses, a limit that is not what systemd was told */
#define UNIT_NAME_MAX (SWAP_GROUP_UNIT_MAX + sizeof(SWAP_UNIT))

static sd_bus *open_bus(void) {
        sd_bus *bus = NULL;

        return sd_bus_open_system(&bus) >= 0 ? bus : NULL;
}

void swap_keeping_done(struct swap_keeping *keeping) {
        keeping->bus = sd_bus_flush_close_unref(keeping->bus);
}

static bool is_due(const struct swap_keeping *keeping, uint64_t last_usec) {
        return last_usec == 0 || u64_sub(keeping->now_usec, last_usec) >= RETRY_USEC;
}

static bool find_bus(struct swap_keeping *keeping) {
        if (keeping->bus && sd_bus_is_open(keeping->bus) <= 0)
                keeping->bus = sd_bus_unref(keeping->bus); /* the broker has ended */
        if (!keeping->bus && is_due(keeping, keeping->bus_usec)) {
                keeping->bus_usec = MAX(keeping->now_usec, 1);
                keeping->bus = open_bus();
                if (keeping->bus && sd_bus_attach_event(keeping->bus, keeping->event, SD_EVENT_PRIORITY_NORMAL) < 0)
                        keeping->bus = sd_bus_flush_close_unref(keeping->bus);
        }
        return keeping->bus;
}

/* The kernel keeps whole pages. */
static uint64_t in_pages(uint64_t bytes) {
        return bytes == AEROSTAT_UNKNOWN ? bytes : bytes - bytes % (uint64_t) sysconf(_SC_PAGESIZE);
}

static const char *unit_name(const struct swap_keeper *k, char buf[static UNIT_NAME_MAX]) {
        snprintf(buf, UNIT_NAME_MAX, SWAP_UNIT "%s", k->group.unit);
        return buf;
}

static uint64_t value_of(const char *text) {
        uint64_t value;

        return text && parse_u64(text, &value) >= 0 ? value : AEROSTAT_UNKNOWN; /* "max", "infinity" */
}

static int fail(struct swap_keeper *k) {
        k->failed_usec = k->sent_usec;
        k->sent_usec = 0;
        return -ENOTCONN;
}

static void on_set(int result, uint64_t value, void *userdata) {
        struct swap_keeper *k = userdata;

        k->slot = sd_bus_slot_unref(k->slot);
        k->failed_usec = 0;
        if (result < 0)
                (void) fail(k);
}

static void on_got(int result, uint64_t value, void *userdata) {
        struct swap_keeper *k = userdata;

        on_set(result, value, k);
        k->sent_usec = 0;
        k->before = value;
        k->asked = result >= 0;
}

/* Notes the limit from before under the unit's name and under the file's: should systemd not answer at the end, the file is
 * written. 0: it is to be had later. */
static int note_unit(struct swap_keeping *keeping, struct swap_keeper *k) {
        char name[UNIT_NAME_MAX], file[SWAP_GROUP_FILE_MAX], number[32];
        const char *known;
        int r;

        swap_group_file(&k->group, file);
        known = undo_value(keeping->undo, unit_name(k, name)) ?: undo_value(keeping->undo, file);
        if (known)
                k->before = value_of(known);
        else if (swap_group_read_limit(keeping->root_fd, &k->group, &k->before) < 0 && !k->asked) {
                /* No such group yet; its unit may have a limit all the same. */
                k->sent_usec = MAX(keeping->now_usec, 1);
                r = swap_systemd_get(keeping->bus, k->group.unit, on_got, k, &k->slot);
                return r < 0 ? fail(k) : 0;
        }
        snprintf(number, sizeof(number), "%llu", (unsigned long long) k->before);
        r = undo_note(keeping->undo, name, k->before == AEROSTAT_UNKNOWN ? "infinity" : number);
        if (r >= 0)
                r = undo_note(keeping->undo, file, k->before == AEROSTAT_UNKNOWN ? "max" : number);
        if (r < 0)
                return r;
        k->noted = k->noted_unit = true;
        return 1;
}

/* -ENOTCONN: no systemd to talk to, or it refuses. */
static int limit_by_systemd(struct swap_keeping *keeping, struct swap_keeper *k, uint64_t bytes) {
        uint64_t is = AEROSTAT_UNKNOWN;
        bool there;
        int r;

        if (!find_bus(keeping) || (k->failed_usec != 0 && !is_due(keeping, k->failed_usec)))
                return -ENOTCONN;
        if (!k->noted_unit) {
                r = k->slot ? 0 : note_unit(keeping, k);
                if (r <= 0)
                        return r;
        }
        bytes = MIN(bytes, k->before); /* somebody's own limit stays in force */
        there = swap_group_read_limit(keeping->root_fd, &k->group, &is) >= 0;
        /* Survival cannot wait for systemd, which may be waiting for memory itself: more is allowed at once, and systemd told. */
        if (there && is < in_pages(bytes) && k->sent_usec != 0 && bytes != k->sent_bytes)
                (void) swap_group_write_limit(keeping->root_fd, &k->group, bytes);
        if (k->slot || (k->sent_usec != 0 && k->sent_bytes == bytes && (!there || is == in_pages(bytes) || !is_due(keeping, k->sent_usec))))
                return 0;
        k->sent_usec = MAX(keeping->now_usec, 1);
        k->sent_bytes = bytes;
        r = swap_systemd_set(keeping->bus, k->group.unit, "MemorySwapMax", bytes, on_set, k, &k->slot);
        return r < 0 ? fail(k) : 0;
}

static int limit_by_file(struct swap_keeping *keeping, struct swap_keeper *k, uint64_t bytes) {
        char file[SWAP_GROUP_FILE_MAX];
        uint64_t is;
        int r;

        r = swap_group_read_limit(keeping->root_fd, &k->group, &is);
        if (r < 0)
                return r;
        if (!k->noted) {
                r = undo_note_file(keeping->undo, swap_group_file(&k->group, file));
                if (r < 0)
                        return r;
                k->before = value_of(undo_value(keeping->undo, file));
                k->noted = true;
        }
        bytes = in_pages(MIN(bytes, k->before));
        return is == bytes ? 0 : swap_group_write_limit(keeping->root_fd, &k->group, bytes);
}

int swap_keeper_limit(struct swap_keeping *keeping, struct swap_keeper *k, uint64_t bytes, bool *ret_by_systemd) {
        int r;

        *ret_by_systemd = false;
        if (!k->group.unit[0])
                return limit_by_file(keeping, k, bytes);
        r = limit_by_systemd(keeping, k, bytes);
        if (r == -ENOTCONN) {
                r = limit_by_file(keeping, k, bytes);
                return r < 0 ? r : 1;
        }
        *ret_by_systemd = r >= 0;
        return r;
}

int swap_keeper_slow_down(struct swap_keeping *keeping, struct swap_keeper *k, uint64_t used_bytes, uint64_t limit_bytes, uint64_t *ret) {
        char file[SWAP_GROUP_FILE_MAX];
        uint64_t is, want;
        int r;

        r = swap_group_read_swappiness(keeping->root_fd, &k->group, &is);
        if (r < 0)
                return r;
        if (!k->noted) {
                r = undo_note_file(keeping->undo, swap_group_file(&k->group, file));
                if (r < 0)
                        return r;
                if (parse_u64(undo_value(keeping->undo, file), &k->before) < 0)
                        k->before = 60;
                k->noted = true;
        }
        want = swap_v1_swappiness(used_bytes, limit_bytes, k->before);
        if (want != is)
                r = swap_group_write_swappiness(keeping->root_fd, &k->group, want);
        *ret = want;
        return MIN(r, 0);
}

void swap_keeper_forget(struct swap_keeping *keeping, struct swap_keeper *k) {
        char file[SWAP_GROUP_FILE_MAX], name[UNIT_NAME_MAX];

        k->slot = sd_bus_slot_unref(k->slot);
        if (k->group.path[0])
                undo_forget(keeping->undo, swap_group_file(&k->group, file));
        if (k->group.unit[0])
                undo_forget(keeping->undo, unit_name(k, name));
        k->noted = k->noted_unit = false;
}

bool swap_keeper_is_of(const struct swap_keeper *k, const char *name) {
        char file[SWAP_GROUP_FILE_MAX], unit[UNIT_NAME_MAX];

        return strcmp(name, swap_group_file(&k->group, file)) == 0 || (k->group.unit[0] && strcmp(name, unit_name(k, unit)) == 0);
}

int swap_keeping_lift(struct swap_keeping *keeping, const char *name) {
        const char *value = undo_value(keeping->undo, name), *unit = name + strlen(SWAP_UNIT);
        char copy[SWAP_GROUP_FILE_MAX];
        int r, error;

        if (!value)
                return 0;
        snprintf(copy, sizeof(copy), "%s", name); /* the entry's own, which goes */
        if (strncmp(name, SWAP_UNIT, strlen(SWAP_UNIT)) != 0) {
                (void) undo_restore_files(keeping->undo, copy, &error);
                return -error;
        }
        r = find_bus(keeping) ? swap_systemd_set(keeping->bus, unit, "MemorySwapMax", value_of(value), NULL, NULL, NULL) : -ENOTCONN;
        if (r >= 0)
                undo_forget(keeping->undo, copy);
        return r;
}

void swap_keeper_release(struct swap_keeping *keeping, struct swap_keeper *k) {
        char name[SWAP_GROUP_FILE_MAX];

        k->slot = sd_bus_slot_unref(k->slot);
        if (k->noted_unit)
                (void) swap_keeping_lift(keeping, unit_name(k, name));
        if (k->noted)
                (void) swap_keeping_lift(keeping, swap_group_file(&k->group, name));
        k->noted = k->noted_unit = false;
}

int swap_keeping_lift_all(int root_fd, struct undo *undo, int *ret_error) {
        const char *path, *value;
        sd_bus *bus = NULL;
        int units = 0, files, error = 0;

        for (size_t i = 0; undo_entry(undo, i, &path, &value); i++) {
                int r;

                if (strncmp(path, SWAP_UNIT, strlen(SWAP_UNIT)) != 0)
                        continue;
                if (!bus && error == 0)
                        bus = open_bus();
                r = bus ? swap_systemd_set_wait(bus, path + strlen(SWAP_UNIT), "MemorySwapMax", value_of(value)) : -ENOTCONN;
                units += r >= 0;
                if (r >= 0 || r == -ENOENT) /* a scope that has ended */
                        continue;
                error = error ? error : -r;
                if (r == -ETIMEDOUT) /* it will not answer for the next one either */
                        bus = sd_bus_unref(bus);
        }
        sd_bus_flush_close_unref(bus);
        if (error == 0)
                undo_forget(undo, SWAP_UNIT);
        files = undo_restore_files(undo, SWAP_GROUPS, ret_error);
        *ret_error = error ? error : *ret_error;
        return MAX(units, files); /* a unit's limit is noted as a file's, too */
}
