/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/whatif.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "host-agent/control/explain.h"
#include "host-agent/control/methods.h"
#include "host-agent/control/put.h"
#include "protocol/parse.h"
#include "protocol/units.h"

/* It can be had, and the memory does come back. */
static bool fits(const struct whatif_result *r) {
        return r->missing_bytes == 0 && r->safe_usec != AEROSTAT_UNKNOWN;
}

static void say_whether(struct put_list *s, const struct whatif_question *request, const struct whatif_answer *what) {
        const struct whatif_result *r = &what->result;
        char start[FORMAT_SIZE_MAX], least[FORMAT_SIZE_MAX], rule[FORMAT_SIZE_MAX], missing[FORMAT_SIZE_MAX], took[FORMAT_DURATION_MAX];
        char what_starts[FORMAT_SIZE_MAX + 48] = "What runs";

        format_size(r->least_bytes, least);
        format_size(r->rule_bytes, rule);
        if (what->request.start_bytes > 0)
                snprintf(what_starts, sizeof(what_starts), "%s (with what QEMU takes)", format_size(what->request.start_bytes, start));
        if (r->missing_bytes > 0)
                put_sentence(s, "%s does not fit: %s is missing. The host can bear %s, and the VMs%s "
                                "need %s at least (floors, fixed VMs, reservations and overhead).",
                             what_starts, format_size(r->missing_bytes, missing), rule, what->request.start_bytes > 0 ? " that run" : "", least);
        else if (r->safe_usec == AEROSTAT_UNKNOWN)
                put_sentence(s, "%s does not fit: no floor would be broken, but guests do not give back what they use, and "
                                "after %s the VMs could still take %s more than the host can bear.",
                             what_starts, format_duration(r->looked_usec, took), format_size(r->after.deficit_bytes, missing));
        else if (r->safe_usec == 0)
                put_sentence(s, "%s fits%s: the VMs need %s at least, and the host can bear %s.", what_starts,
                             what->request.start_bytes > 0 ? ", and is free now" : "", least, rule);
        else
                put_sentence(s, "%s fits: the VMs need %s at least, and the host can bear %s. The memory comes back within %s.",
                             what_starts, least, rule,
                             format_duration(r->safe_usec, took));
        if (request->n_starts > 0 && r->missing_bytes > 0)
                put_sentence(s, "A reservation for it is refused; what follows is if it were started all the same.");
        else if (request->n_starts > 0 && fits(r))
                put_sentence(s, "That is with a reservation, as libvirt's hook or `aerostatctl reserve --for-vm` makes it; "
                                "without one, the host is unsafe until the memory has come back.");
}

static void say_bursts(struct put_list *s, struct manager *manager, const struct whatif_answer *what) {
        uint64_t now = 0, then = 0, max = 0;
        size_t n = 0, only = 0;
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_SIZE_MAX];

        for (size_t i = 0; i < what->n_vms; i++)
                if (what->models[i].bursts) {
                        now = u64_add(now, what->models[i].now_bytes);
                        then = u64_add(then, what->models[i].then_bytes);
                        max = u64_add(max, what->vms[i].input.max_bytes);
                        only = i;
                        n++;
                }
        if (n == 0)
                return;
        format_size(now, a);
        format_size(then, b);
        format_size(max, c);
        if (n == 1) {
                struct vm_view vm;

                manager_view_vm(manager, only, &vm);
                put_sentence(s, "Using all that it can get, \"%.128s\" would go from %s to %s of its %s: %s.", vm.name, a, b, c,
                             explain_briefly(what->vms[only].plan.reason));
        } else
                put_sentence(s, "Using all that they can get, %zu guests would go from %s to %s together, of %s.", n, a, b, c);
}

static void say_more(struct put_list *s, const struct host_view *host, const struct whatif_answer *what) {
        const struct whatif_result *r = &what->result;
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], d[FORMAT_DURATION_MAX];

        if (r->settled_usec == AEROSTAT_UNKNOWN)
                put_sentence(s, "After %s balloons were still moving: what is shown is how far they were.", format_duration(r->looked_usec, d));
        if (r->swap_peak_bytes > host->host->swap_used_bytes || (r->swap_peak_bytes > 0 && host->host->swap_used_bytes == AEROSTAT_UNKNOWN))
                put_sentence(s, "Until then up to %s would be in swap (%s now).", format_size(r->swap_peak_bytes, a),
                             format_size(host->host->swap_used_bytes, b));
        if (host->automation != AUTOMATION_RUNNING)
                put_sentence(s, "Automation is %s, so that nobody gives anything now: this is what would happen with it running.",
                             host->automation == AUTOMATION_PAUSED ? "paused" : "off (dry run)");
}

static json_t *json_sentences(struct manager *manager, const struct host_view *host, const struct whatif_question *request,
                              const struct whatif_answer *what) {
        struct put_list s = put_list_new();

        say_whether(&s, request, what);
        say_bursts(&s, manager, what);
        say_more(&s, host, what);
        return put_list_end(&s);
}

static json_t *json_host(const struct host_view *live, const struct policy_plan *plan, const struct whatif_worst *worst, uint64_t reserved_bytes) {
        struct host_view host = *live;
        struct put put = put_new();
        json_t *texts = json_array();
        char sentence[EXPLAIN_MAX];

        host.plan = plan;
        for (unsigned bit = 0; bit < POLICY_WEAKNESSES; bit++)
                if (plan->weaknesses & (1u << bit))
                        put.failed |= json_array_append_new(texts,
                                                            json_string(explain_weakness(&host, (enum policy_weakness) (1u << bit), sentence))) < 0;
        put_text(&put, "state", policy_host_state_to_string(plan->host_state));
        put_text(&put, "guarantee", policy_guarantee_to_string(plan->guarantee));
        put_value(&put, "guarantee_explanations", texts);
        put_bytes(&put, "rule_bytes", plan->rule_bytes);
        put_bytes(&put, "committed_bytes", plan->committed_bytes);
        put_bytes(&put, "reserved_bytes", reserved_bytes);
        put_bytes(&put, "free_bytes", plan->free_bytes);
        put_bytes(&put, "worst_needed_bytes", worst->needed_bytes);
        put_bytes(&put, "worst_memory_bytes", worst->memory_bytes);
        put_bytes(&put, "worst_swap_bytes", worst->swap_used_bytes);
        put_bytes(&put, "swap_total_bytes", worst->swap_total_bytes);
        put_fraction(&put, "worst_swap_ratio", worst->swap_used_bytes, worst->swap_total_bytes);
        put_bool(&put, "worst_above_ceiling", worst->above_ceiling);
        put_bool(&put, "worst_oom_possible", worst->oom_possible);
        return put_end(&put);
}

static json_t *json_vms(struct manager *manager, const struct whatif_answer *what) {
        json_t *list = json_array();
        bool failed = !list;

        for (size_t i = 0; i < what->n_vms && !failed; i++) {
                const struct policy_vm *policy = &what->vms[i];
                struct put put = put_new();
                struct vm_view vm;

                manager_view_vm(manager, i, &vm);
                put_text(&put, "name", vm.name);
                put_bytes(&put, "max_bytes", policy->input.max_bytes);
                put_bytes(&put, "now_bytes", what->models[i].now_bytes);
                put_bytes(&put, "then_bytes", what->models[i].then_bytes);
                put_bool(&put, "bursts", what->models[i].bursts);
                put_text(&put, "reason", explain_briefly(policy->plan.reason));
                put_text(&put, "reason_code", policy_reason_to_string(policy->plan.reason));
                failed = json_array_append_new(list, put_end(&put)) < 0;
        }
        if (!failed)
                return list;
        json_decref(list);
        return NULL;
}

json_t *json_whatif(struct manager *manager, const struct whatif_question *request, const struct whatif_answer *what) {
        const struct whatif_result *r = &what->result;
        uint64_t reserved, start = what->request.start_bytes;
        struct put put = put_new();
        struct host_view host;

        manager_view_host(manager, &host);
        reserved = host.host->reserved_bytes;
        put_bool(&put, "fits", fits(r));
        put_value(&put, "sentences", json_sentences(manager, &host, request, what));
        put_bytes(&put, "start_bytes", start);
        put_bytes(&put, "least_bytes", r->least_bytes);
        put_bytes(&put, "rule_bytes", r->rule_bytes);
        put_bytes(&put, "missing_bytes", r->missing_bytes);
        put_usec(&put, "safe_seconds", r->safe_usec);
        put_usec(&put, "settled_seconds", r->settled_usec);
        put_usec(&put, "looked_seconds", r->looked_usec);
        put_bytes(&put, "swap_peak_bytes", r->swap_peak_bytes);
        put_bytes(&put, "inflate_bytes_per_second", what->request.inflate_bps);
        put_bytes(&put, "deflate_bytes_per_second", what->request.deflate_bps);
        put_bool(&put, "speed_measured", what->speed_measured);
        put_value(&put, "now", json_host(&host, &r->before, &r->worst_before, reserved));
        put_value(&put, "then", json_host(&host, &r->after, &r->worst_after, u64_add(reserved, start)));
        put_value(&put, "vms", json_vms(manager, what));
        return put_end(&put);
}

/* ---- the method ---- */

static int refuse(struct varlink_call *call, const char *sentence) {
        method_refuse(call, -EINVAL, sentence);
        return -EINVAL;
}

static int take_starts(struct varlink_call *call, const json_t *list, struct whatif_question *request) {
        const json_t *value;
        size_t i;

        json_array_foreach(list, i, value) {
                if (!json_is_integer(value) || json_integer_value(value) <= 0)
                        return refuse(call, "what is to start must have a size: a whole number of bytes, more than 0");
                request->start_bytes = u64_add(request->start_bytes, (uint64_t) json_integer_value(value));
                request->n_starts++;
        }
        return 0;
}

static int take_bursts(struct varlink_call *call, struct manager *manager, const json_t *list, size_t *bursts, struct whatif_question *request) {
        const json_t *value;
        size_t i;

        json_array_foreach(list, i, value) {
                if (!json_is_string(value) || json_string_length(value) == 0)
                        return refuse(call, "what is to burst is named: by libvirt's name or UUID");
                if (method_find_vm(call, manager, json_string_value(value), &bursts[i]) < 0)
                        return -ENOENT;
                request->n_bursts++;
        }
        return 0;
}

void method_whatif(struct varlink_call *call, json_t *parameters, void *userdata) {
        struct manager *manager = control_manager(userdata);
        struct whatif_question request = { .swap_total_bytes = AEROSTAT_UNKNOWN };
        const json_t *starts = NULL, *burst = NULL;
        const struct varlink_parameter list[] = {
                { "start_bytes", VARLINK_LIST, false, &starts },
                { "swap_bytes", VARLINK_BYTES, false, &request.swap_total_bytes },
                { "host_use_bytes", VARLINK_BYTES, false, &request.host_use_bytes },
                { "burst", VARLINK_LIST, false, &burst },
                { "burst_all", VARLINK_BOOL, false, &request.burst_all },
                {},
        };
        _cleanup_free_ size_t *bursts = NULL;
        char error[VIEW_ERROR_MAX] = "";
        struct whatif_answer what;
        int r;

        if (varlink_take_parameters(call, parameters, list) < 0)
                return;
        bursts = calloc(json_array_size(burst) + 1, sizeof(*bursts));
        if (!bursts) {
                varlink_reply(call, NULL);
                return;
        }
        if (take_starts(call, starts, &request) < 0 || take_bursts(call, manager, burst, bursts, &request) < 0)
                return;
        request.bursts = bursts;
        r = manager_whatif(manager, &request, &what, error);
        if (r < 0) {
                if (r == -ENOMEM)
                        varlink_reply(call, NULL);
                else
                        method_refuse(call, r, error);
                return;
        }
        varlink_reply(call, json_whatif(manager, &request, &what));
        whatif_answer_done(&what);
}
