/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.aerostat.Host.Reserve, Release and Reservations. */

#include <errno.h>
#include <stdlib.h>

#include "host-agent/control/methods.h"
#include "host-agent/control/put.h"
#include "protocol/units.h"

#define TTL_DEFAULT_USEC (5 * USEC_PER_MINUTE)

/* A call that waits until its reservation is met. */
struct waiting {
        struct varlink_call *call;
        struct manager *manager;
        bool hook;
};

static json_t *json_reservation(const struct reservation_view *r) {
        struct put put = put_new();

        put_count(&put, "id", r->id);
        put_bytes(&put, "reserved_bytes", r->bytes);
        put_usec(&put, "seconds_left", r->left_usec);
        put_text(&put, "for_vm", *r->for_vm ? r->for_vm : NULL);
        put_bool(&put, "met", r->met);
        return put_end(&put);
}

static json_t *reply(const struct reservation_view *r, const char *message) {
        struct put put = put_new();

        put_value(&put, "reservation", r ? json_reservation(r) : json_null());
        put_text(&put, "message", message);
        return put_end(&put);
}

/* A hook is told that its VM may start all the same where [hook] on-error says so. */
static void refuse(struct varlink_call *call, struct manager *manager, bool hook, int r, const char *error) {
        struct host_view host;

        manager_view_host(manager, &host);
        if (hook && host.settings->hook_on_error == SETTINGS_HOOK_ALLOW)
                varlink_reply(call, reply(NULL, error));
        else
                method_refuse(call, r == -ENOENT || r == -EPERM || r == -ERANGE ? -EIO : r, error);
}

static void on_done(int result, const struct reservation_view *reservation, const char *error, void *userdata) {
        struct waiting *waiting = userdata;

        if (result < 0)
                refuse(waiting->call, waiting->manager, waiting->hook, result, error);
        else
                varlink_reply(waiting->call, reply(reservation, NULL));
        free(waiting);
}

static void on_closed(struct varlink_call *call, void *userdata) {
        struct waiting *waiting = userdata;

        manager_reserve_abandon(waiting->manager, waiting);
        free(waiting);
}

void method_reserve(struct varlink_call *call, json_t *parameters, void *userdata) {
        struct manager *manager = control_manager(userdata);
        struct reserve_request request = { .ttl_usec = TTL_DEFAULT_USEC, .done = on_done };
        const struct varlink_parameter list[] = {
                { "size_bytes", VARLINK_BYTES, true, &request.bytes },
                { "ttl_seconds", VARLINK_SECONDS, false, &request.ttl_usec },
                { "for_vm", VARLINK_STRING, false, &request.for_vm },
                { "wait_seconds", VARLINK_SECONDS, false, &request.wait_usec },
                { "hook", VARLINK_BOOL, false, &request.hook },
                {},
        };
        struct reservation_view made;
        char error[VIEW_ERROR_MAX] = "";
        struct waiting *waiting;
        int r;

        if (varlink_take_parameters(call, parameters, list) < 0)
                return;
        if (request.bytes == 0) {
                method_refuse(call, -EINVAL, "a reservation of no memory is none");
                return;
        }
        waiting = malloc(sizeof(*waiting));
        if (!waiting) {
                varlink_reply(call, NULL);
                return;
        }
        *waiting = (struct waiting) { .call = call, .manager = manager, .hook = request.hook };
        request.userdata = waiting;
        r = manager_reserve(manager, &request, &made, error);
        if (r > 0) {
                varlink_hold(call, on_closed, waiting);
                return;
        }
        free(waiting);
        if (r < 0)
                refuse(call, manager, request.hook, r, error);
        else
                varlink_reply(call, reply(&made, NULL));
}

void method_release(struct varlink_call *call, json_t *parameters, void *userdata) {
        struct manager *manager = control_manager(userdata);
        uint64_t id = AEROSTAT_UNKNOWN;
        const char *for_vm = NULL;
        const struct varlink_parameter list[] = { { "id", VARLINK_COUNT, false, &id }, { "for_vm", VARLINK_STRING, false, &for_vm }, {} };
        char error[VIEW_ERROR_MAX] = "";
        int r;

        if (varlink_take_parameters(call, parameters, list) < 0)
                return;
        r = manager_unreserve(manager, id, for_vm, error);
        if (r < 0)
                varlink_error_message(call, "NoSuchReservation", "%s", error);
        else
                varlink_reply(call, json_object());
}

void method_reservations(struct varlink_call *call, json_t *parameters, void *userdata) {
        static const struct varlink_parameter none[] = { {} };
        struct manager *manager = control_manager(userdata);
        struct reservation_view views[RESERVATIONS_MAX];
        struct put put;
        struct host_view host;
        json_t *list;
        size_t n;

        if (varlink_take_parameters(call, parameters, none) < 0)
                return;
        manager_view_host(manager, &host);
        n = manager_view_reservations(manager, views);
        put = put_new();
        list = json_array();
        for (size_t i = 0; i < n; i++)
                put.failed |= json_array_append_new(list, json_reservation(&views[i])) < 0;
        put_value(&put, "reservations", list);
        put_usec(&put, "hook_wait_seconds", host.settings->hook_wait_usec);
        varlink_reply(call, put_end(&put));
}
