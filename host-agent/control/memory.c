/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/memory.h"

#include <errno.h>
#include <string.h>

#include "host-agent/control/json.h"
#include "host-agent/control/put.h"
#include "protocol/parse.h"
#include "protocol/units.h"

static const struct varlink_parameter no_parameters[] = { {} };

static void refuse(struct varlink_call *call, int r, const char *sentence) {
        varlink_error_message(call, r == -ERANGE ? "OutOfRange" : r == -ENOSPC ? "NoRoom" : r == -EBUSY ? "NotOurs" : "Failed", "%s", sentence);
}

static void put_signed(struct put *put, const char *key, int64_t value, bool known) {
        put_value(put, key, known ? json_integer(value) : json_null());
}

static json_t *ksm_vms(struct manager *manager, size_t n_vms) {
        json_t *list = json_array();

        for (size_t i = 0; list && i < n_vms; i++) {
                struct put put = put_new();
                struct ksm_vm_view vm;

                manager_view_ksm_vm(manager, i, &vm);
                put_text(&put, "name", vm.name);
                put_bool(&put, "mergeable", !vm.why_not);
                put_bool(&put, "opted_out", vm.opted_out);
                put_text(&put, "why_not", vm.why_not);
                put_bytes(&put, "merged_bytes", vm.merged_bytes);
                put_bytes(&put, "saved_bytes", vm.saved_bytes);
                put_bytes(&put, "zero_bytes", vm.zero_bytes);
                put_signed(&put, "profit_bytes", vm.profit_bytes, vm.profit_bytes != INT64_MIN);
                if (json_array_append_new(list, put_end(&put)) < 0) {
                        json_decref(list);
                        return NULL;
                }
        }
        return list;
}

static json_t *json_ksm_report(struct manager *manager) {
        const struct ksm_view *k;
        struct put put = put_new();
        struct host_view host;

        manager_view_host(manager, &host);
        k = host.ksm;
#define IF_PRESENT(x) (k->present ? (x) : AEROSTAT_UNKNOWN)
        put_bool(&put, "present", k->present);
        put_text(&put, "mode", ksm_mode_to_string(k->config.mode));
        put_bool(&put, "manual_mode", k->manual_mode);
        put_text(&put, "automation", json_automation(host.automation));
        put_text(&put, "phase", !k->present         ? NULL
                                : k->unmerging     ? "unmerging"
                                : k->standing_back ? "standing_back" : ksm_phase_to_string(k->plan.phase));
        put_text(&put, "note", k->note[0] ? k->note : NULL);
        put_count(&put, "run", IF_PRESENT(k->sample.knobs.run));
        put_bytes(&put, "saved_bytes", IF_PRESENT(k->sample.saved_bytes));
        put_signed(&put, "profit_bytes", k->sample.profit_bytes, k->present);
        put_bool(&put, "profit_estimated", k->sample.profit_estimated);
        put_bytes(&put, "credit_bytes", host.decisions > 0 ? host.plan->ksm_credit_bytes : AEROSTAT_UNKNOWN);
        put_bytes(&put, "gain_bytes", IF_PRESENT(k->plan.gain_bytes));
        put_ppm(&put, "cpu_ratio", IF_PRESENT(k->plan.cpu_ppm));
        put_ppm(&put, "cpu_budget_ratio", IF_PRESENT(k->plan.budget_ppm));
        put_usec(&put, "ksmd_cpu_seconds", IF_PRESENT(k->ksmd_cpu_usec));
        put_count(&put, "backoff", IF_PRESENT(k->plan.backoff));
        put_count(&put, "cow_pages_per_second", IF_PRESENT(k->cow_pages_per_sec));
        put_usec(&put, "probe_in_seconds",
                 IF_PRESENT(k->plan.probe_usec == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN : u64_sub(k->plan.probe_usec, host.now_usec)));
        put_bool(&put, "unprofitable", k->plan.unprofitable);
        put_count(&put, "full_scans", IF_PRESENT(k->sample.full_scans));
        put_count(&put, "shared_pages", IF_PRESENT(k->sample.shared_pages));
        put_count(&put, "sharing_pages", IF_PRESENT(k->sample.sharing_pages));
        put_count(&put, "unshared_pages", IF_PRESENT(k->sample.unshared_pages));
        put_count(&put, "volatile_pages", IF_PRESENT(k->sample.volatile_pages));
        put_count(&put, "zero_pages", IF_PRESENT(k->sample.zero_pages));
        put_count(&put, "pages_to_scan", IF_PRESENT(k->sample.knobs.pages_to_scan));
        put_count(&put, "sleep_msec", IF_PRESENT(k->sample.knobs.sleep_msec));
        put_value(&put, "advisor",
                  k->present && k->sample.knobs.advisor != AEROSTAT_UNKNOWN ? json_boolean(k->sample.knobs.advisor == 1) : json_null());
        put_value(&put, "merge_across_nodes",
                  k->present && k->sample.merge_across_nodes != AEROSTAT_UNKNOWN ? json_boolean(k->sample.merge_across_nodes) : json_null());
        put_value(&put, "use_zero_pages",
                  k->present && k->sample.use_zero_pages != AEROSTAT_UNKNOWN ? json_boolean(k->sample.use_zero_pages) : json_null());
        put_value(&put, "vms", ksm_vms(manager, host.n_vms));
#undef IF_PRESENT
        return put_end(&put);
}

void method_ksm(struct varlink_call *call, json_t *parameters, void *userdata) {
        if (varlink_take_parameters(call, parameters, no_parameters) >= 0)
                varlink_reply(call, json_ksm_report(control_manager(userdata)));
}

void method_set_ksm(struct varlink_call *call, json_t *parameters, void *userdata) {
        static const char *const modes[] = { "auto", "on", "off", "leave", "unmerge", NULL };
        struct manager *manager = control_manager(userdata);
        const char *text = NULL;
        const struct varlink_parameter list[] = { { "mode", VARLINK_STRING, true, &text }, {} };
        char error[VIEW_ERROR_MAX] = "";
        int mode, r;

        if (varlink_take_parameters(call, parameters, list) < 0)
                return;
        mode = parse_choice(text, modes);
        if (mode < 0) {
                refuse(call, -EINVAL, "the mode of KSM is auto, on, off, leave or, to take all merged pages apart, unmerge");
                return;
        }
        r = mode == 4 ? manager_unmerge_ksm(manager, error) : manager_set_ksm_mode(manager, (enum ksm_mode) mode, error);
        if (r < 0)
                refuse(call, r, error);
        else
                varlink_reply(call, json_ksm_report(manager));
}

static json_t *swap_vms(struct manager *manager, size_t n_vms) {
        json_t *list = json_array();

        for (size_t i = 0; list && i < n_vms; i++) {
                struct put put = put_new();
                struct vm_view vm;

                manager_view_vm(manager, i, &vm);
                put_text(&put, "name", vm.name);
                put_bytes(&put, "rss_bytes", vm.policy->input.rss_bytes);
                put_bytes(&put, "swap_bytes", vm.policy->input.swap_bytes);
                put_count(&put, "weight", vm.policy->input.weight);
                if (json_array_append_new(list, put_end(&put)) < 0) {
                        json_decref(list);
                        return NULL;
                }
        }
        return list;
}

static json_t *json_swap_report(struct manager *manager) {
        struct put put = put_new();
        const struct swap_view *s;
        struct host_view host;

        manager_view_host(manager, &host);
        s = host.swap;
        put_bytes(&put, "total_bytes", host.swap_total_bytes);
        put_bytes(&put, "used_bytes", host.swap_used_bytes);
        put_bytes(&put, "disk_total_bytes", host.host->swap_total_bytes);
        put_bytes(&put, "disk_used_bytes", host.host->swap_used_bytes);
        put_ppm(&put, "ceiling_ratio", host.settings->policy.swap_ceiling_ppm);
        /* Of the ceiling as it may just have been set; the plan is of the last second. */
        put_bytes(&put, "ceiling_bytes", host.host->swap_total_bytes == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN
                                         : u64_mul_div(host.host->swap_total_bytes, host.settings->policy.swap_ceiling_ppm, PPM_ONE));
        put_bytes(&put, "allowance_bytes", host.decisions > 0 ? host.plan->allowance_bytes : AEROSTAT_UNKNOWN);
        put_bool(&put, "above_ceiling", s->plan.above_ceiling);
        put_bool(&put, "enforce", host.settings->swap_enforce);
        put_text(&put, "automation", json_automation(host.automation));
        put_bool(&put, "per_vm_limits", host.settings->swap_per_vm_limits);
        put_text(&put, "method", swap_method_to_string(s->method));
        put_text(&put, "group", s->group[0] ? s->group : NULL);
        put_bytes(&put, "limit_bytes", s->limit_bytes);
        put_bytes(&put, "lifted_bytes", MIN(s->plan.lift_bytes, u64_sub(host.host->swap_total_bytes, s->plan.allowance_bytes)));
        put_count(&put, "swappiness", s->swappiness);
        put_count(&put, "in_pages_per_second", s->plan.in_per_sec);
        put_count(&put, "out_pages_per_second", s->plan.out_per_sec);
        put_bool(&put, "thrashing", s->plan.thrashing);
        put_text(&put, "note", s->note[0] ? s->note : NULL);
        put_value(&put, "vms", swap_vms(manager, host.n_vms));
        return put_end(&put);
}

void method_swap(struct varlink_call *call, json_t *parameters, void *userdata) {
        if (varlink_take_parameters(call, parameters, no_parameters) >= 0)
                varlink_reply(call, json_swap_report(control_manager(userdata)));
}

void method_set_swap_ceiling(struct varlink_call *call, json_t *parameters, void *userdata) {
        struct manager *manager = control_manager(userdata);
        uint64_t ppm = 0;
        const struct varlink_parameter list[] = { { "ceiling_ratio", VARLINK_RATIO, true, &ppm }, {} };
        char error[VIEW_ERROR_MAX] = "";
        int r;

        if (varlink_take_parameters(call, parameters, list) < 0)
                return;
        r = manager_set_swap_ceiling(manager, ppm, error);
        if (r < 0)
                refuse(call, r, error);
        else
                varlink_reply(call, json_swap_report(manager));
}

void method_swap_plan(struct varlink_call *call, json_t *parameters, void *userdata) {
        static const char *const modes[] = {
                [POLICY_GUARANTEED] = "guaranteed", [POLICY_SWAP_BACKED] = "swap_backed", [POLICY_OPPORTUNISTIC] = "opportunistic",
        };
        uint64_t vms_bytes = AEROSTAT_UNKNOWN;
        const struct varlink_parameter list[] = { { "vms_bytes", VARLINK_BYTES, false, &vms_bytes }, {} };
        struct swap_sizing_input in;
        struct swap_sizing sizing;
        struct put put;

        if (varlink_take_parameters(call, parameters, list) < 0)
                return;
        manager_plan_swap(control_manager(userdata), vms_bytes, &in, &sizing);
        put = put_new();
        put_text(&put, "mode", modes[in.mode]);
        put_bytes(&put, "memory_bytes", in.memory_bytes);
        put_bytes(&put, "capacity_bytes", in.capacity_bytes);
        put_bytes(&put, "vms_bytes", in.vms_bytes);
        put_bytes(&put, "others_bytes", in.others_bytes);
        put_bytes(&put, "zswap_bytes", in.zswap_bytes);
        put_ppm(&put, "ceiling_ratio", in.ceiling_ppm);
        put_bytes(&put, "backed_bytes", sizing.backed_bytes);
        put_bytes(&put, "needed_bytes", sizing.needed_bytes);
        put_bytes(&put, "classic_bytes", sizing.classic_bytes);
        put_bytes(&put, "advised_bytes", sizing.advised_bytes);
        put_bytes(&put, "total_bytes", in.total_bytes);
        put_bytes(&put, "missing_bytes", sizing.missing_bytes);
        varlink_reply(call, put_end(&put));
}
