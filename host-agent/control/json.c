/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/json.h"

#include <string.h>

#include "host-agent/control/alert_json.h"
#include "host-agent/control/explain.h"
#include "host-agent/control/put.h"
#include "host-agent/manager/nodes.h"
#include "protocol/clock.h"
#include "protocol/parse.h"
#include "protocol/units.h"

static const char *mode_to_string(enum policy_mode mode) {
        static const char *const names[] = {
                [POLICY_GUARANTEED] = "guaranteed", [POLICY_SWAP_BACKED] = "swap_backed", [POLICY_OPPORTUNISTIC] = "opportunistic",
        };
        return names[mode];
}

const char *json_automation(enum automation automation) {
        static const char *const names[] = {
                [AUTOMATION_RUNNING] = "running", [AUTOMATION_PAUSED] = "paused", [AUTOMATION_DRY_RUN] = "dry_run",
        };
        return names[automation];
}

static const char *source_to_string(enum report_source source) {
        static const char *const names[] = {
                [SOURCE_NONE] = "none", [SOURCE_BALLOON_STATS] = "balloon_stats", [SOURCE_AGENT] = "agent"
        };
        return names[source];
}

static json_t *json_swap(const struct host_view *h) {
        const struct policy_config *config = &h->settings->policy;
        struct put put = put_new();

        put_bytes(&put, "total_bytes", h->swap_total_bytes);
        put_bytes(&put, "used_bytes", h->swap_used_bytes);
        put_bytes(&put, "disk_total_bytes", h->host->swap_total_bytes);
        put_bytes(&put, "disk_used_bytes", h->host->swap_used_bytes);
        put_ppm(&put, "ceiling_ratio", config->swap_ceiling_ppm);
        put_bytes(&put, "ceiling_bytes", h->host->swap_total_bytes == AEROSTAT_UNKNOWN ?
                  AEROSTAT_UNKNOWN : u64_mul_div(h->host->swap_total_bytes, config->swap_ceiling_ppm, PPM_ONE));
        put_ppm(&put, "warn_ratio", config->swap_warn_ppm);
        put_bytes(&put, "allowance_bytes", h->decisions > 0 ? h->plan->allowance_bytes : AEROSTAT_UNKNOWN);
        return put_end(&put);
}

static json_t *json_ksm(const struct host_view *h) {
        struct put put = put_new();

        put_count(&put, "run", h->ksm_run);
        put_bytes(&put, "saved_bytes", h->ksm_saved_bytes);
        put_bytes(&put, "profit_bytes", h->ksm_profit_bytes);
        put_ppm(&put, "cpu_ratio", h->ksm_cpu_ppm);
        put_bytes(&put, "credit_bytes", h->decisions > 0 ? h->plan->ksm_credit_bytes : AEROSTAT_UNKNOWN);
        return put_end(&put);
}

static json_t *json_psi(const struct host_view *h) {
        struct put put = put_new();

        put_ppm(&put, "some_ratio", h->psi_some_ppm);
        put_ppm(&put, "full_ratio", h->psi_full_ppm);
        return put_end(&put);
}

/* A VM or a host that the policy has not seen yet: its plan is all zero, which means nothing. Every VM that it has seen is
 * committed to something. */
static bool vm_is_decided(const struct vm_view *vm) {
        return vm->policy->plan.committed_bytes > 0;
}

/* The terms of its demand come from its report, or at least from what the host sees of its process. With neither they are a formality. */
static bool demand_is_known(const struct vm_view *vm) {
        const struct policy_vm_input *in = &vm->policy->input;

        return vm_is_decided(vm) && (in->report_usec != 0 || in->rss_bytes != AEROSTAT_UNKNOWN);
}

static enum policy_class vm_class(const struct vm_view *vm) {
        enum policy_class class = vm_is_decided(vm) ? vm->policy->plan.class : POLICY_UNKNOWN;

        return class == POLICY_BOOTING ? POLICY_UNKNOWN : class;
}

/* How many VMs are in which state; a state that no VM is in is 0. */
static json_t *json_vm_states(struct manager *manager, size_t n_vms) {
        uint64_t counts[POLICY_BREACHING + 1] = {};
        struct put put = put_new();

        for (size_t i = 0; i < n_vms; i++) {
                struct vm_view vm;

                manager_view_vm(manager, i, &vm);
                counts[vm_class(&vm)]++;
        }
        for (enum policy_class class = 0; class <= POLICY_BREACHING; class++)
                if (class != POLICY_BOOTING) /* shown as unknown */
                        put_count(&put, policy_class_to_string(class), counts[class]);
        return put_end(&put);
}

static void put_guarantee(struct put *put, const struct host_view *h) {
        json_t *reasons = json_array(), *texts = json_array();
        char sentence[EXPLAIN_MAX];
        int r = 0;

        for (unsigned bit = 0; bit < POLICY_WEAKNESSES; bit++)
                if (h->plan->weaknesses & (1u << bit)) {
                        r |= json_array_append_new(reasons,
                                                   json_string(policy_weakness_to_string((enum policy_weakness) (1u << bit))));
                        r |= json_array_append_new(texts,
                                                   json_string(explain_weakness(h, (enum policy_weakness) (1u << bit), sentence)));
                }
        put->failed |= r != 0;
        put_text(put, "guarantee", h->decisions > 0 ? policy_guarantee_to_string(h->plan->guarantee) : NULL);
        put_value(put, "guarantee_reasons", reasons);
        put_value(put, "guarantee_explanations", texts);
}

/* What the last decision made of the host; all unknown before the first. */
static void put_plan(struct put *put, const struct host_view *h) {
        const struct policy_plan *p = h->plan;
        const struct {
                const char *key;
                uint64_t bytes;
        } amounts[] = {
                { "memory_bytes", p->memory_bytes },
                { "available_bytes", p->available_bytes },
                { "reserve_bytes", p->reserve_bytes },
                { "other_bytes", p->other_bytes },
                { "capacity_bytes", p->capacity_bytes },
                { "envelope_bytes", p->envelope_bytes },
                { "correction_bytes", p->correction_bytes },
                { "rule_bytes", p->rule_bytes },
                { "committed_bytes", p->committed_bytes },
                { "liable_bytes", p->liable_bytes },
                { "deficit_bytes", p->deficit_bytes },
                { "free_bytes", p->free_bytes },
                { "pool_bytes", p->pool_bytes },
                { "floors_bytes", p->floors_bytes },
                { "max_bytes", p->max_bytes },
        };
        bool decided = h->decisions > 0;

        put_text(put, "state", decided ? policy_host_state_to_string(p->host_state) : NULL);
        put_value(put, "fits", decided ? json_boolean(p->fits) : json_null());
        put_value(put, "unsafe", decided ? json_boolean(p->unsafe) : json_null());
        for (size_t i = 0; i < ARRAY_SIZE(amounts); i++)
                put_bytes(put, amounts[i].key, decided ? amounts[i].bytes : AEROSTAT_UNKNOWN);
        put_fraction(put, "overcommit_ratio", p->max_bytes, p->capacity_bytes);
}

json_t *json_status(struct manager *manager) {
        char now[JSON_TIME_MAX];
        struct put put = put_new();
        struct host_view h;

        manager_view_host(manager, &h);
        put_text(&put, "time", json_time(clock_realtime_usec(), now));
        put_text(&put, "version", PACKAGE_VERSION);
        put_text(&put, "mode", mode_to_string(h.settings->policy.mode));
        put_text(&put, "automation", json_automation(h.automation));
        put_bool(&put, "connected", h.connected);
        put_plan(&put, &h);
        put_guarantee(&put, &h);
        put_bytes(&put, "reserved_bytes", h.host->reserved_bytes);
        put_value(&put, "swap", json_swap(&h));
        put_value(&put, "ksm", json_ksm(&h));
        put_value(&put, "psi", json_psi(&h));
        put_value(&put, "nodes", json_nodes(&h));
        put_count(&put, "vms", h.n_vms);
        put_value(&put, "vm_states", json_vm_states(manager, h.n_vms));
        put_value(&put, "alerts", json_alerts_firing(h.alerts));
        put_usec(&put, "uptime_seconds", h.uptime_usec);
        put_count(&put, "decisions", h.decisions);
        return put_end(&put);
}

static json_t *json_guest(const struct vm_view *vm) {
        const struct policy_vm_input *in = &vm->policy->input;
        bool reported = vm->source != SOURCE_NONE && in->report_usec != 0;
        struct put put = put_new();

#define IF_REPORTED(x) (reported ? (x) : AEROSTAT_UNKNOWN)
        put_bytes(&put, "total_bytes", IF_REPORTED(in->guest_total_bytes));
        put_bytes(&put, "available_bytes", IF_REPORTED(in->guest_available_bytes));
        put_bytes(&put, "free_bytes", IF_REPORTED(in->guest_free_bytes));
        put_bytes(&put, "cache_bytes", IF_REPORTED(in->guest_cache_bytes));
        put_bytes(&put, "swap_total_bytes", IF_REPORTED(in->guest_swap_total_bytes));
        put_bytes(&put, "swap_used_bytes", IF_REPORTED(in->guest_swap_used_bytes));
        put_ppm(&put, "psi_some_ratio", IF_REPORTED(vm->guest_psi_some_ppm));
        put_ppm(&put, "psi_full_ratio", IF_REPORTED(vm->guest_psi_full_ppm));
        put_bytes(&put, "refault_bytes_per_second", IF_REPORTED(vm->guest_refault_bytes_per_sec));
        put_count(&put, "oom_kills", IF_REPORTED(in->guest_oom_kills));
#undef IF_REPORTED
        return put_end(&put);
}

json_t *json_limits(const struct limits *l, uint64_t max_bytes) {
        struct put put = put_new();

        put_bytes(&put, "floor_bytes", !l->has_floor ? AEROSTAT_UNKNOWN
                  : l->floor_ppm != AEROSTAT_UNKNOWN ? u64_mul_div(max_bytes, l->floor_ppm, PPM_ONE) : l->floor_bytes);
        put_count(&put, "weight", l->has_weight ? l->weight : AEROSTAT_UNKNOWN);
        put_count(&put, "priority", l->has_priority ? l->priority : AEROSTAT_UNKNOWN);
        put_value(&put, "managed", l->has_managed ? json_boolean(l->managed) : json_null());
        return put_end(&put);
}

static void put_identity(struct put *put, const struct vm_view *vm) {
        char uuid[UUID_STRING_SIZE];

        put_text(put, "name", vm->name);
        put_text(put, "uuid", format_uuid(vm->uuid, uuid));
        put_text(put, "state", policy_class_to_string(vm_class(vm)));
}

static void put_reason(struct put *put, const struct vm_view *vm) {
        bool decided = vm_is_decided(vm);

        put_text(put, "reason", decided ? explain_briefly(vm->policy->plan.reason) : NULL);
        put_text(put, "reason_code", decided ? policy_reason_to_string(vm->policy->plan.reason) : NULL);
}

static void put_vm(struct put *put, const struct vm_view *vm) {
        const struct policy_vm_input *in = &vm->policy->input;
        const struct policy_vm_plan *p = &vm->policy->plan;
        bool decided = vm_is_decided(vm);
        char nodes[NODES_TEXT_MAX];

        put_identity(put, vm);
        put_bytes(put, "max_bytes", in->max_bytes);
        put_bytes(put, "floor_bytes", in->floor_bytes);
        put_count(put, "weight", in->weight);
        put_count(put, "priority", vm->priority);
        put_bytes(put, "actual_bytes", in->actual_bytes);
        put_bytes(put, "target_bytes", decided ? p->target_bytes : AEROSTAT_UNKNOWN);
        put_bytes(put, "demand_bytes", demand_is_known(vm) ? p->demand_bytes : AEROSTAT_UNKNOWN);
        put_bytes(put, "entitled_bytes", decided ? p->entitled_bytes : AEROSTAT_UNKNOWN);
        put_bytes(put, "committed_bytes", decided ? p->committed_bytes : AEROSTAT_UNKNOWN);
        put_bytes(put, "rss_bytes", in->rss_bytes);
        put_bytes(put, "swap_bytes", in->swap_bytes);
        put_text(put, "source", source_to_string(vm->source));
        put_usec(put, "report_age_seconds", vm->report_age_usec);
        put_value(put, "guest", json_guest(vm));
        put_bool(put, "limits_by_hand", limits_any(vm->limits));
        put_text(put, "nodes", in->node_mask != 0 ? nodes_to_string(in->node_mask, nodes) : NULL);
        put_reason(put, vm);
}

json_t *json_list(struct manager *manager) {
        struct put put = put_new();
        json_t *vms = json_array();
        struct host_view h;

        manager_view_host(manager, &h);
        for (size_t i = 0; i < h.n_vms && !put.failed; i++) {
                struct put row = put_new();
                struct vm_view vm;

                manager_view_vm(manager, i, &vm);
                put_vm(&row, &vm);
                put.failed |= json_array_append_new(vms, put_end(&row)) < 0;
        }
        put_value(&put, "vms", vms);
        put_text(&put, "automation", json_automation(h.automation));
        put_bool(&put, "connected", h.connected);
        return put_end(&put);
}

static json_t *json_moves(const struct decisions *decisions, uint64_t now_usec) {
        json_t *moves = json_array();

        for (size_t i = 0; i < decisions_count(decisions); i++) {
                const struct decision *d = decisions_get(decisions, i);
                struct put put = put_new();

                put_usec(&put, "age_seconds", u64_sub(now_usec, d->first_usec));
                put_usec(&put, "last_age_seconds", u64_sub(now_usec, d->last_usec));
                put_bytes(&put, "before_bytes", d->before_bytes);
                put_bytes(&put, "after_bytes", d->after_bytes);
                put_bytes(&put, "demand_bytes", d->demand_bytes);
                put_count(&put, "steps", d->steps);
                put_bool(&put, "applied", !d->dry_run);
                put_text(&put, "reason", explain_briefly(d->reason));
                put_text(&put, "reason_code", policy_reason_to_string(d->reason));
                if (json_array_append_new(moves, put_end(&put)) < 0) {
                        json_decref(moves);
                        return NULL;
                }
        }
        return moves;
}

json_t *json_explain(struct manager *manager, size_t index) {
        struct put put = put_new();
        char sentence[EXPLAIN_MAX];
        struct host_view h;
        struct vm_view vm;
        bool decided;

        manager_view_host(manager, &h);
        manager_view_vm(manager, index, &vm);
        decided = vm_is_decided(&vm);
        put_identity(&put, &vm);
        put_bytes(&put, "target_bytes", decided ? vm.policy->plan.target_bytes : AEROSTAT_UNKNOWN);
        put_reason(&put, &vm);
        put_text(&put, "need", decided ? explain_need(&vm, sentence) : NULL);
        put_text(&put, "entitlement", decided ? explain_entitlement(&h, &vm, sentence) : NULL);
        put_text(&put, "explanation", decided ? explain_vm(&h, &vm, sentence) : NULL);
        put_text(&put, "more", decided ? explain_more(&h, &vm, sentence) : NULL);
        put_text(&put, "note", vm.note);
        put_value(&put, "decisions", json_moves(vm.decisions, h.now_usec));
        return put_end(&put);
}

json_t *json_show(struct manager *manager, size_t index) {
        struct put put = put_new();
        const struct policy_vm_input *in;
        const struct policy_vm_plan *p;
        char sentence[EXPLAIN_MAX];
        struct host_view h;
        struct vm_view vm;
        bool decided, demand;

        manager_view_host(manager, &h);
        manager_view_vm(manager, index, &vm);
        decided = vm_is_decided(&vm);
        demand = demand_is_known(&vm);
        in = &vm.policy->input;
        p = &vm.policy->plan;
        put_vm(&put, &vm);
        put_text(&put, "explanation", decided ? explain_vm(&h, &vm, sentence) : NULL);
        put_value(&put, "by_hand", json_limits(vm.limits, in->max_bytes));
        put_bool(&put, "managed", in->managed);
        put_text(&put, "note", vm.note);
        put_text(&put, "agent_version", vm.agent_version);
        put_bool(&put, "paused", vm.paused);
        put_bool(&put, "autodeflate", in->autodeflate);
        put_bytes(&put, "ideal_bytes", decided ? p->ideal_bytes : AEROSTAT_UNKNOWN);
        put_bytes(&put, "asked_bytes", in->target_bytes);
        put_bytes(&put, "need_bytes", demand ? p->need_bytes : AEROSTAT_UNKNOWN);
        put_bytes(&put, "hot_cache_bytes", demand ? p->hot_bytes : AEROSTAT_UNKNOWN);
        put_bytes(&put, "headroom_bytes", demand ? p->headroom_bytes : AEROSTAT_UNKNOWN);
        put_bytes(&put, "floor_in_force_bytes", decided ? p->floor_bytes : AEROSTAT_UNKNOWN);
        put_bytes(&put, "overhead_bytes", in->overhead_bytes);
        put_bytes(&put, "pin_bytes", in->pin_bytes);
        put_usec(&put, "pin_seconds_left", in->pin_bytes == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN : vm.pin_until_usec_left);
        put_usec(&put, "last_set_age_seconds", vm.last_set_usec_ago);
        put_usec(&put, "reaction_seconds", vm.reaction_usec);
        return put_end(&put);
}
