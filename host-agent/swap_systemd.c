/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/swap_systemd.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/base.h"
#include "protocol/units.h"

#define WAIT_USEC (2 * USEC_PER_SEC)

struct pending {
        void (*done)(int result, void *userdata);
        void *userdata;
};

static int make_call(sd_bus *bus, const char *unit, const char *property, uint64_t bytes, sd_bus_message **ret) {
        sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                           "SetUnitProperties");
        /* systemd's "infinity" is UINT64_MAX, as is our "unknown". */
        if (r >= 0)
                r = sd_bus_message_append(m, "sba(sv)", unit, 1, 1, property, "t", bytes);
        if (r < 0) {
                sd_bus_message_unref(m);
                return r;
        }
        *ret = m;
        return 0;
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        struct pending *p = userdata;

        p->done(sd_bus_message_is_method_error(reply, NULL) ? -sd_bus_message_get_errno(reply) : 0, p->userdata);
        return 0;
}

int swap_systemd_set(sd_bus *bus, const char *unit, const char *property, uint64_t bytes, void (*done)(int result, void *userdata), void *userdata,
                     sd_bus_slot **ret_slot) {
        struct pending *p = malloc(sizeof(*p));
        sd_bus_message *m = NULL;
        sd_bus_slot *slot = NULL;
        int r;

        if (!p)
                return -ENOMEM;
        *p = (struct pending) { done, userdata };
        r = make_call(bus, unit, property, bytes, &m);
        if (r >= 0)
                r = sd_bus_call_async(bus, &slot, m, on_reply, p, 0);
        sd_bus_message_unref(m);
        if (r < 0) {
                free(p);
                return r;
        }
        sd_bus_slot_set_destroy_callback(slot, free);
        *ret_slot = slot;
        return 0;
}

int swap_systemd_set_wait(sd_bus *bus, const char *unit, const char *property, uint64_t bytes) {
        sd_bus_message *m = NULL;
        int r;

        r = make_call(bus, unit, property, bytes, &m);
        if (r >= 0)
                r = sd_bus_call(bus, m, WAIT_USEC, NULL, NULL);
        sd_bus_message_unref(m);
        return r < 0 ? r : 0;
}
