/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/methods.h"

#include <errno.h>
#include <string.h>

#include "host-agent/control/alert_json.h"
#include "host-agent/control/json.h"
#include "host-agent/control/memory.h"
#include "host-agent/control/put.h"
#include "protocol/units.h"

static const struct varlink_parameter no_parameters[] = { {} };

/* The error of the interface that an errno of the manager (view.h) stands for. */
static const char *error_name(int r) {
        switch (-r) {
        case ENOENT:
                return "NoSuchVm";
        case ERANGE:
                return "OutOfRange";
        case ENOSPC:
                return "BeyondEnvelope";
        case ETIMEDOUT:
                return "NotFree";
        case EPERM:
                return "NotMovable";
        default:
                return "Failed";
        }
}

void method_refuse(struct varlink_call *call, int r, const char *sentence) {
        varlink_error_message(call, error_name(r), "%s", sentence);
}

int method_find_vm(struct varlink_call *call, struct manager *manager, const char *name, size_t *ret) {
        char error[VIEW_ERROR_MAX] = "";
        int r;

        r = manager_find_vm(manager, name, ret, error);
        if (r < 0)
                method_refuse(call, r, error);
        return r;
}

static void answer_status(struct varlink_call *call, json_t *parameters, void *userdata) {
        if (varlink_take_parameters(call, parameters, no_parameters) >= 0)
                varlink_reply(call, json_status(control_manager(userdata)));
}

static void answer_list(struct varlink_call *call, json_t *parameters, void *userdata) {
        if (varlink_take_parameters(call, parameters, no_parameters) >= 0)
                varlink_reply(call, json_list(control_manager(userdata)));
}

/* Replies with one of the manager's VMs, as `make` shows it. */
static void answer_vm(struct varlink_call *call, json_t *parameters, void *userdata, json_t *(*make)(struct manager *manager, size_t index)) {
        struct manager *manager = control_manager(userdata);
        const char *name = NULL;
        const struct varlink_parameter list[] = { { "vm", VARLINK_STRING, true, &name }, {} };
        size_t index;

        if (varlink_take_parameters(call, parameters, list) < 0 || method_find_vm(call, manager, name, &index) < 0)
                return;
        varlink_reply(call, make(manager, index));
}

static void answer_show(struct varlink_call *call, json_t *parameters, void *userdata) {
        answer_vm(call, parameters, userdata, json_show);
}

static void answer_explain(struct varlink_call *call, json_t *parameters, void *userdata) {
        answer_vm(call, parameters, userdata, json_explain);
}

static void answer_history(struct varlink_call *call, json_t *parameters, void *userdata) {
        struct manager *manager = control_manager(userdata);
        uint64_t since_usec = 5 * USEC_PER_MINUTE;
        const char *name = NULL;
        const struct varlink_parameter list[] = {
                { "vm", VARLINK_STRING, false, &name }, { "since_seconds", VARLINK_SECONDS, false, &since_usec }, {},
        };
        size_t index = SIZE_MAX;

        if (varlink_take_parameters(call, parameters, list) < 0 || (name && method_find_vm(call, manager, name, &index) < 0))
                return;
        varlink_reply(call, json_history(manager, index, since_usec));
}

/* What Set and Auto reply: which VM, by the name that it really has, and what now holds. risk: a sentence, or NULL. */
static json_t *vm_reply(struct manager *manager, size_t index, uint64_t pin_bytes, uint64_t for_usec, bool changed, const char *risk) {
        struct put put = put_new();
        struct vm_view vm;

        manager_view_vm(manager, index, &vm);
        put_text(&put, "name", vm.name);
        put_bool(&put, "changed", changed);
        put_bytes(&put, "pin_bytes", pin_bytes);
        put_usec(&put, "pin_seconds_left", for_usec);
        put_text(&put, "risk", risk);
        return put_end(&put);
}

static void answer_set(struct varlink_call *call, json_t *parameters, void *userdata) {
        struct manager *manager = control_manager(userdata);
        uint64_t bytes = 0, for_usec = AEROSTAT_UNKNOWN;
        const char *name = NULL;
        bool force = false;
        const struct varlink_parameter list[] = {
                { "vm", VARLINK_STRING, true, &name },
                { "target_bytes", VARLINK_BYTES, true, &bytes },
                { "for_seconds", VARLINK_SECONDS, false, &for_usec },
                { "force", VARLINK_BOOL, false, &force },
                {},
        };
        char error[VIEW_ERROR_MAX] = "";
        size_t index;
        int r;

        if (varlink_take_parameters(call, parameters, list) < 0 || method_find_vm(call, manager, name, &index) < 0)
                return;
        r = manager_set_target(manager, index, bytes, for_usec, force, error);
        if (r < 0 && r != -EALREADY)
                method_refuse(call, r, error);
        else
                varlink_reply(call, vm_reply(manager, index, bytes, for_usec, r != -EALREADY, r > 0 ? error : NULL));
}

static void answer_auto(struct varlink_call *call, json_t *parameters, void *userdata) {
        struct manager *manager = control_manager(userdata);
        const char *name = NULL;
        const struct varlink_parameter list[] = { { "vm", VARLINK_STRING, true, &name }, {} };
        char error[VIEW_ERROR_MAX] = "";
        size_t index;
        int r;

        if (varlink_take_parameters(call, parameters, list) < 0 || method_find_vm(call, manager, name, &index) < 0)
                return;
        r = manager_set_auto(manager, index, error);
        if (r < 0 && r != -EALREADY)
                method_refuse(call, r, error);
        else
                varlink_reply(call, vm_reply(manager, index, AEROSTAT_UNKNOWN, AEROSTAT_UNKNOWN, r != -EALREADY, NULL));
}

static void set_paused(struct varlink_call *call, json_t *parameters, struct manager *manager, bool paused) {
        char error[VIEW_ERROR_MAX] = "";
        struct host_view host;
        struct put put;
        int r;

        if (varlink_take_parameters(call, parameters, no_parameters) < 0)
                return;
        r = manager_set_paused(manager, paused, error);
        if (r < 0 && r != -EALREADY) {
                method_refuse(call, r, error);
                return;
        }
        put = put_new();
        put_bool(&put, "changed", r != -EALREADY);
        manager_view_host(manager, &host);
        put_text(&put, "automation", json_automation(host.automation));
        varlink_reply(call, put_end(&put));
}

static void answer_pause(struct varlink_call *call, json_t *parameters, void *userdata) {
        set_paused(call, parameters, control_manager(userdata), true);
}

static void answer_resume(struct varlink_call *call, json_t *parameters, void *userdata) {
        set_paused(call, parameters, control_manager(userdata), false);
}

static void answer_alerts(struct varlink_call *call, json_t *parameters, void *userdata) {
        if (varlink_take_parameters(call, parameters, no_parameters) >= 0)
                varlink_reply(call, json_alerts(control_manager(userdata)));
}

static void answer_watch(struct varlink_call *call, json_t *parameters, void *userdata) {
        follow_answer(control_followers(userdata), call, parameters);
}

static void answer_version(struct varlink_call *call, json_t *parameters, void *userdata) {
        struct host_view host;
        struct put put;

        if (varlink_take_parameters(call, parameters, no_parameters) < 0)
                return;
        manager_view_host(control_manager(userdata), &host);
        put = put_new();
        put_text(&put, "version", PACKAGE_VERSION);
        put_usec(&put, "uptime_seconds", host.uptime_usec);
        varlink_reply(call, put_end(&put));
}

static void answer_config(struct varlink_call *call, json_t *parameters, void *userdata) {
        _cleanup_free_ char *text = NULL;
        struct host_view host;
        struct put put;

        if (varlink_take_parameters(call, parameters, no_parameters) < 0)
                return;
        manager_view_host(control_manager(userdata), &host);
        if (settings_format(host.settings, &text) < 0) {
                varlink_reply(call, NULL);
                return;
        }
        put = put_new();
        put_text(&put, "config", text);
        varlink_reply(call, put_end(&put));
}

const struct varlink_method control_methods[] = {
        { "Status", false, answer_status },
        { "List", false, answer_list },
        { "Show", false, answer_show },
        { "Explain", false, answer_explain },
        { "History", false, answer_history },
        { "Set", true, answer_set },
        { "Auto", true, answer_auto },
        { "Limits", true, method_limits, method_limits_only_looks },
        { "Pause", true, answer_pause },
        { "Resume", true, answer_resume },
        { "Alerts", false, answer_alerts },
        { "Watch", false, answer_watch },
        { "Ksm", false, method_ksm },
        { "SetKsm", true, method_set_ksm },
        { "Swap", false, method_swap },
        { "SetSwapCeiling", true, method_set_swap_ceiling },
        { "SwapPlan", false, method_swap_plan },
        { "Reserve", true, method_reserve },
        { "Release", true, method_release },
        { "Reservations", false, method_reservations },
        { "WhatIf", false, method_whatif },
        { "Report", false, method_report },
        { "Version", false, answer_version },
        { "Config", true, answer_config },
};
const size_t control_n_methods = ARRAY_SIZE(control_methods);
