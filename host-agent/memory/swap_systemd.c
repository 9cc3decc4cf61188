/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/memory/swap_systemd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/units.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define WAIT_USEC (2 * USEC_PER_SEC)

struct pending {
        swap_systemd_done done;
        void *userdata;
};

/* What a reply says; systemd's own errors have no errno outside of systemd. */
static int result_of(const sd_bus_error *error) {
        if (!error)
                return 0;
        return sd_bus_error_has_name(error, SYSTEMD ".NoSuchUnit") ? -ENOENT : -sd_bus_error_get_errno(error);
}

static int make_set(sd_bus *bus, const char *unit, const char *property, uint64_t bytes, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, SYSTEMD, "/org/freedesktop/systemd1", SYSTEMD ".Manager", "SetUnitProperties");
        /* systemd's "infinity" is UINT64_MAX, as is our "unknown". */
        if (r >= 0)
                r = sd_bus_message_append(m, "sba(sv)", unit, 1, 1, property, "t", bytes);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

/* systemd loads a unit whose object is asked for. */
static int make_get(sd_bus *bus, const char *unit, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        const char *dot = strrchr(unit, '.') ?: "";
        const char *kind = strcmp(dot, ".scope") == 0 ? "Scope" : strcmp(dot, ".slice") == 0 ? "Slice" : "Service";
        _cleanup_free_ char *path = NULL;
        char interface[64];
        int r;

        snprintf(interface, sizeof(interface), SYSTEMD ".%s", kind);
        r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path);
        if (r >= 0)
                r = sd_bus_message_new_method_call(bus, &m, SYSTEMD, path, "org.freedesktop.DBus.Properties", "Get");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", interface, "MemorySwapMax");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        struct pending *p = userdata;
        uint64_t value = AEROSTAT_UNKNOWN;
        int r = result_of(sd_bus_message_get_error(reply));

        if (r >= 0 && sd_bus_message_has_signature(reply, "v"))
                r = MIN(sd_bus_message_read(reply, "v", "t", &value), 0);
        p->done(r, value, p->userdata);
        return 0;
}

static int call(sd_bus *bus, sd_bus_message *m, swap_systemd_done done, void *userdata, sd_bus_slot **ret_slot) {
        struct pending *p;
        sd_bus_slot *slot = NULL;
        int r;

        if (!ret_slot)
                return sd_bus_send(bus, m, NULL);
        p = malloc(sizeof(*p));
        if (!p)
                return -ENOMEM;
        *p = (struct pending) { done, userdata };
        r = sd_bus_call_async(bus, &slot, m, on_reply, p, 0);
        if (r < 0) {
                free(p);
                return r;
        }
        sd_bus_slot_set_destroy_callback(slot, free);
        *ret_slot = slot;
        return 0;
}

int swap_systemd_set(sd_bus *bus, const char *unit, const char *property, uint64_t bytes, swap_systemd_done done, void *userdata,
                     sd_bus_slot **ret_slot) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r = make_set(bus, unit, property, bytes, &m);

        return r < 0 ? r : call(bus, m, done, userdata, ret_slot);
}

int swap_systemd_get(sd_bus *bus, const char *unit, swap_systemd_done done, void *userdata, sd_bus_slot **ret_slot) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r = make_get(bus, unit, &m);

        return r < 0 ? r : call(bus, m, done, userdata, ret_slot);
}

int swap_systemd_set_wait(sd_bus *bus, const char *unit, const char *property, uint64_t bytes) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = make_set(bus, unit, property, bytes, &m);

        if (r >= 0)
                r = sd_bus_call(bus, m, WAIT_USEC, &error, NULL);
        if (r < 0 && sd_bus_error_is_set(&error))
                r = result_of(&error);
        sd_bus_error_free(&error);
        return MIN(r, 0);
}
