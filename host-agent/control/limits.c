/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.aerostat.Host.Limits. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host-agent/control/json.h"
#include "host-agent/control/methods.h"
#include "host-agent/control/put.h"
#include "protocol/units.h"

/* A call that waits for libvirt; owned by whichever of the two ends first. */
struct waiting {
        struct varlink_call *call;
        struct manager *manager;
        uint8_t uuid[16];
};

static json_t *reply(struct manager *manager, size_t index, bool changed, bool persisted) {
        struct put put = put_new();
        const struct policy_vm_input *in;
        struct vm_view vm;

        manager_view_vm(manager, index, &vm);
        in = &vm.policy->input;
        put_text(&put, "name", vm.name);
        put_bool(&put, "changed", changed);
        put_bool(&put, "persisted", persisted);
        put_bytes(&put, "floor_bytes", vm.floor_bytes);
        put_count(&put, "weight", vm.weight);
        put_count(&put, "priority", vm.priority);
        put_bool(&put, "managed", vm.managed);
        put_value(&put, "by_hand", json_limits(vm.limits, in->max_bytes));
        return put_end(&put);
}

static void on_written(int result, const char *error, void *userdata) {
        struct waiting *waiting = userdata;
        struct host_view host;
        bool found = false;

        if (result < 0)
                method_refuse(waiting->call, result == -ENOENT ? result : -EIO, error);
        else {
                manager_view_host(waiting->manager, &host);
                for (size_t i = 0; i < host.n_vms && !found; i++) {
                        struct vm_view vm;

                        manager_view_vm(waiting->manager, i, &vm);
                        found = memcmp(vm.uuid, waiting->uuid, sizeof(vm.uuid)) == 0;
                        if (found)
                                varlink_reply(waiting->call, reply(waiting->manager, i, true, true));
                }
                if (!found)
                        method_refuse(waiting->call, -ENOENT, "the VM is gone");
        }
        free(waiting);
}

static void on_closed(struct varlink_call *call, void *userdata) {
        struct waiting *waiting = userdata;

        manager_limits_abandon(waiting->manager, waiting);
        free(waiting);
}

static void persist(struct varlink_call *call, struct manager *manager, size_t index, struct limits_request *request) {
        struct waiting *waiting = malloc(sizeof(*waiting));
        char error[VIEW_ERROR_MAX] = "";
        struct vm_view vm;
        int r;

        if (!waiting) {
                varlink_reply(call, NULL);
                return;
        }
        manager_view_vm(manager, index, &vm);
        *waiting = (struct waiting) { .call = call, .manager = manager };
        memcpy(waiting->uuid, vm.uuid, sizeof(waiting->uuid));
        request->done = on_written;
        request->userdata = waiting;
        r = manager_set_limits(manager, index, request, error);
        if (r < 0) {
                method_refuse(call, r, error);
                free(waiting);
        } else
                varlink_hold(call, on_closed, waiting);
}

static int out_of_range(struct varlink_call *call, const char *parameter, const char *sentence) {
        varlink_error(call, "org.varlink.service.InvalidParameter", json_pack("{s:s, s:s}", "parameter", parameter, "message", sentence));
        return -EINVAL;
}

static int take_limits(struct varlink_call *call, const json_t *parameters, struct limits *l) {
        l->has_floor = l->floor_bytes != AEROSTAT_UNKNOWN || l->floor_ppm != AEROSTAT_UNKNOWN;
        l->has_weight = l->weight != AEROSTAT_UNKNOWN;
        l->has_priority = l->priority != AEROSTAT_UNKNOWN;
        l->has_managed = json_is_boolean(json_object_get(parameters, "managed"));
        if (l->floor_bytes != AEROSTAT_UNKNOWN && l->floor_ppm != AEROSTAT_UNKNOWN)
                return out_of_range(call, "floor_ratio", "a floor is given either in bytes or as a share");
        if (l->has_weight && l->weight > LIMITS_WEIGHT_MAX)
                return out_of_range(call, "weight", "a weight is a number from 0 to 1000000");
        if (l->has_priority && l->priority > LIMITS_PRIORITY_MAX)
                return out_of_range(call, "priority", "a priority is a number from 0 to 1000");
        return 0;
}

bool method_limits_only_looks(const json_t *parameters) {
        return json_object_size(parameters) == 1 && json_object_get(parameters, "vm");
}

void method_limits(struct varlink_call *call, json_t *parameters, void *userdata) {
        const uint64_t no = AEROSTAT_UNKNOWN;
        struct manager *manager = control_manager(userdata);
        struct limits_request request = { .limits = { .floor_bytes = no, .floor_ppm = no, .weight = no, .priority = no } };
        const char *name = NULL;
        const struct varlink_parameter list[] = {
                { "vm", VARLINK_STRING, true, &name },
                { "floor_bytes", VARLINK_BYTES, false, &request.limits.floor_bytes },
                { "floor_ratio", VARLINK_RATIO, false, &request.limits.floor_ppm },
                { "weight", VARLINK_COUNT, false, &request.limits.weight },
                { "priority", VARLINK_COUNT, false, &request.limits.priority },
                { "managed", VARLINK_BOOL, false, &request.limits.managed },
                { "reset", VARLINK_BOOL, false, &request.reset },
                { "persist", VARLINK_BOOL, false, &request.persist },
                {},
        };
        char error[VIEW_ERROR_MAX] = "";
        size_t index;
        int r = 0;

        if (varlink_take_parameters(call, parameters, list) < 0 || take_limits(call, parameters, &request.limits) < 0 ||
            method_find_vm(call, manager, name, &index) < 0)
                return;
        if (request.persist) {
                persist(call, manager, index, &request);
                return;
        }
        if (limits_any(&request.limits) || request.reset)
                r = manager_set_limits(manager, index, &request, error);
        if (r < 0)
                method_refuse(call, r, error);
        else
                varlink_reply(call, reply(manager, index, limits_any(&request.limits) || request.reset, false));
}
