/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/stub-manager.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/clock.h"
#include "protocol/parse.h"
#include "protocol/units.h"

struct manager {
        struct settings settings;
        struct policy_host host;
        struct policy_plan plan;
        struct alerts alerts;
        struct histogram decisions_taken, reactions;
        manager_watcher_t watcher;
        void *watcher_userdata;
        enum automation automation;
        bool forgotten;
        size_t n_vms;
        struct policy_vm *vms;
        struct vm_view *views;
        struct decisions web_decisions, no_decisions;
        struct history host_history, web_history, no_history;
        struct limits *limits;
        struct reservations reservations;
        struct report report;
        char (*names)[32];
};

static void invent_host(struct manager *m) {
        settings_init(&m->settings);
        strcpy(m->settings.control_group, "root");
        m->host = (struct policy_host) {
                .total_bytes = 16 * GIB, .available_bytes = 3 * GIB, .limit_bytes = AEROSTAT_UNKNOWN, .arc_reclaimable_bytes = AEROSTAT_UNKNOWN,
                .swap_limit_bytes = AEROSTAT_UNKNOWN, .swap_total_bytes = 8 * GIB, .swap_used_bytes = 512 * MIB,
                .psi_some_ppm = 12500, .psi_full_ppm = 0,
        };
        m->plan = (struct policy_plan) {
                .memory_bytes = 16 * GIB, .available_bytes = 3 * GIB, .reserve_bytes = 899 * MIB, .other_bytes = GIB,
                .capacity_bytes = 14 * GIB, .allowance_bytes = 8 * GIB * 3 / 10, .ksm_credit_bytes = 256 * MIB,
                .envelope_bytes = 14 * GIB + 256 * MIB, .rule_bytes = 14 * GIB + 256 * MIB, .committed_bytes = 12 * GIB,
                .liable_bytes = 12 * GIB, .max_bytes = 21 * GIB, .free_bytes = 2 * GIB + 256 * MIB, .pool_bytes = 584 * MIB,
                .floors_bytes = 5 * GIB, .floors_fit = true, .host_state = POLICY_TIGHT, .guarantee = POLICY_CONDITIONAL,
                .weaknesses = POLICY_WEAK_AUTODEFLATE | POLICY_WEAK_KHUGEPAGED,
        };
}

static void invent_vm(struct manager *m, size_t i, const char *name) {
        struct policy_vm *vm = &m->vms[i];

        vm->input = (struct policy_vm_input) {
                .id = i,
                .max_bytes = 4 * GIB,
                .floor_bytes = GIB,
                .weight = 1000,
                .pin_bytes = AEROSTAT_UNKNOWN,
                .managed = true,
                .autodeflate = true,
                .balloon_confirmed = true,
                .actual_bytes = 2 * GIB,
                .target_bytes = 2 * GIB,
                .rss_bytes = 2 * GIB + 60 * MIB,
                .swap_bytes = 0,
                .overhead_bytes = 60 * MIB,
                .report_usec = USEC_PER_SEC,
                .report_actual_bytes = 2 * GIB,
                .guest_total_bytes = 2 * GIB - 64 * MIB,
                .guest_available_bytes = 512 * MIB,
                .guest_free_bytes = 100 * MIB,
                .guest_cache_bytes = 400 * MIB,
                .guest_swap_total_bytes = 0,
                .guest_swap_used_bytes = 0,
                .guest_refault_bytes = 4096,
                .guest_swap_in_bytes = 0,
                .guest_oom_kills = 0,
        };
        vm->plan = (struct policy_vm_plan) {
                .class = POLICY_MANAGED, .reason = POLICY_REASON_SHARE, .target_bytes = 2 * GIB, .ideal_bytes = 2 * GIB,
                .need_bytes = GIB + 512 * MIB, .hot_bytes = 128 * MIB, .headroom_bytes = 307 * MIB,
                .demand_bytes = GIB + 512 * MIB + 128 * MIB + 307 * MIB, .entitled_bytes = 2 * GIB + 200 * MIB, .floor_bytes = GIB,
                .committed_bytes = 2 * GIB + 60 * MIB,
        };
        m->views[i] = (struct vm_view) {
                .name = name,
                .policy = vm,
                .priority = 100,
                .source = SOURCE_AGENT,
                .report_age_usec = 1200 * USEC_PER_MSEC,
                .pin_until_usec_left = AEROSTAT_UNKNOWN,
                .agent_version = "0.1.0",
                .guest_psi_some_ppm = 3100,
                .guest_psi_full_ppm = 0,
                .guest_refault_bytes_per_sec = 4096,
                .last_set_usec_ago = 8 * USEC_PER_SEC,
                .reaction_usec = 41 * USEC_PER_MSEC,
                .oom_kill_usec_ago = AEROSTAT_UNKNOWN,
                .violation_usec_ago = AEROSTAT_UNKNOWN,
                .last_resort_usec_ago = AEROSTAT_UNKNOWN,
                .contained_bytes = AEROSTAT_UNKNOWN,
        };
        parse_uuid("11111111-2222-3333-4444-555555555500", m->views[i].uuid);
        m->views[i].uuid[14] ^= (uint8_t) (i >> 8);
        m->views[i].uuid[15] = (uint8_t) i;
}

static void invent_silent(struct policy_vm *vm, struct vm_view *view) {
        const uint64_t no = AEROSTAT_UNKNOWN;

        vm->input = (struct policy_vm_input) {
                .max_bytes = 2 * GIB, .floor_bytes = 512 * MIB, .weight = 0, .pin_bytes = no, .managed = true, .actual_bytes = no,
                .target_bytes = no, .rss_bytes = no, .swap_bytes = no, .overhead_bytes = no, .run_usec = no,
        };
        vm->plan = (struct policy_vm_plan) {
                .class = POLICY_BOOTING,
                .reason = POLICY_REASON_BOOTING,
                .target_bytes = 2 * GIB,
                .ideal_bytes = 2 * GIB,
                .need_bytes = 0,
                .hot_bytes = 0,
                .headroom_bytes = 64 * MIB,
                .demand_bytes = 64 * MIB,
                .entitled_bytes = 2 * GIB,
                .floor_bytes = 512 * MIB,
                .committed_bytes = 2 * GIB + 128 * MIB,
        };
        view->source = SOURCE_NONE;
        view->report_age_usec = view->last_set_usec_ago = view->reaction_usec = no;
        view->guest_psi_some_ppm = view->guest_psi_full_ppm = view->guest_refault_bytes_per_sec = no;
        view->agent_version = NULL;
        view->note = "its QEMU process was not found";
}

static void invent_decisions(struct decisions *decisions) {
        const uint64_t now = USEC_PER_HOUR;

        decisions_add(decisions, &(struct decision) { .last_usec = now - 10 * USEC_PER_MINUTE, .before_bytes = 4 * GIB, .after_bytes = 3 * GIB,
                                                      .demand_bytes = GIB, .reason = POLICY_REASON_FUNDS });
        for (uint64_t i = 0; i < 5; i++)
                decisions_add(decisions, &(struct decision) { .last_usec = now - (65 - 10 * i) * USEC_PER_SEC,
                                                              .before_bytes = 3 * GIB - i * 256 * MIB,
                                                              .after_bytes = 3 * GIB - (i + 1) * 256 * MIB, .demand_bytes = GIB,
                                                              .reason = POLICY_REASON_EQUALIZES });
        decisions_add(decisions, &(struct decision) { .last_usec = now - 8 * USEC_PER_SEC, .before_bytes = 3 * GIB - 5 * 256 * MIB,
                                                      .after_bytes = 2 * GIB, .demand_bytes = 2 * GIB, .reason = POLICY_REASON_GRANTED });
}

static void invent_report(struct manager *m);

struct manager *stub_manager_new(size_t n_vms) {
        static const char *const names[] = { STUB_WEB_NAME,   STUB_DB_NAME,  STUB_SILENT_NAME,
                                             STUB_FIXED_NAME, STUB_ODD_NAME, STUB_NEW_NAME };
        struct manager *m = calloc(1, sizeof(*m));

        m->n_vms = MAX(n_vms, (size_t) STUB_VMS);
        m->vms = calloc(m->n_vms, sizeof(*m->vms));
        m->views = calloc(m->n_vms, sizeof(*m->views));
        m->limits = calloc(m->n_vms, sizeof(*m->limits));
        m->names = calloc(m->n_vms, sizeof(*m->names));
        invent_host(m);
        for (size_t i = 0; i < m->n_vms; i++) {
                snprintf(m->names[i], sizeof(m->names[i]), "vm-%04zu", i);
                invent_vm(m, i, i < STUB_VMS ? names[i] : m->names[i]);
                if (i < STUB_VMS)
                        continue;
                m->views[i].guest_psi_some_ppm = i % 5 * 20000;
                m->vms[i].input.swap_bytes = i % 7 * 64 * MIB;
                m->vms[i].plan.committed_bytes += i % 11 * 16 * MIB;
        }
        for (size_t i = 0; i < m->n_vms; i++)
                m->views[i].decisions = i == STUB_WEB ? &m->web_decisions : &m->no_decisions;
        invent_decisions(&m->web_decisions);
        for (size_t i = 0; i < m->n_vms; i++)
                m->views[i].history = i == STUB_WEB ? &m->web_history : &m->no_history;
        for (uint64_t i = 0; i < 1000; i++) {
                uint64_t at = USEC_PER_HOUR - (1000 - i) * USEC_PER_SEC, swing = (i % 300) * 8 * MIB;

                history_add(&m->host_history, at, (const uint64_t[]) { 14 * GIB, 10 * GIB + swing, 9 * GIB + swing, 512 * MIB });
                history_add(&m->web_history, at, (const uint64_t[]) { GIB + swing, GIB, GIB + swing + 60 * MIB, AEROSTAT_UNKNOWN });
        }
        m->views[STUB_DB].source = SOURCE_BALLOON_STATS;
        m->views[STUB_DB].guest_psi_some_ppm = m->views[STUB_DB].guest_psi_full_ppm = AEROSTAT_UNKNOWN;
        invent_silent(&m->vms[STUB_SILENT], &m->views[STUB_SILENT]);
        m->vms[STUB_FIXED].input.fixed = true;
        m->vms[STUB_FIXED].plan.class = POLICY_FIXED;
        m->vms[STUB_FIXED].plan.reason = POLICY_REASON_FIXED;
        m->vms[STUB_ODD].plan.class = POLICY_BREACHING;
        m->vms[STUB_ODD].plan.reason = POLICY_REASON_BREACHING;
        m->vms[STUB_NEW].plan = (struct policy_vm_plan) {};
        invent_report(m);
        return m;
}

void stub_manager_free(struct manager *m) {
        report_done(&m->report);
        free(m->vms);
        free(m->views);
        free(m->limits);
        free(m->names);
        free(m);
}

struct settings *stub_manager_settings(struct manager *m) {
        return &m->settings;
}

struct policy_host *stub_manager_host(struct manager *m) {
        return &m->host;
}

struct policy_plan *stub_manager_plan(struct manager *m) {
        return &m->plan;
}

struct policy_vm *stub_manager_vm(struct manager *m, size_t index) {
        return &m->vms[index];
}

void stub_manager_forget(struct manager *m) {
        m->forgotten = true;
        report_done(&m->report);
        m->plan = (struct policy_plan) {};
        m->host.swap_total_bytes = m->host.swap_used_bytes = AEROSTAT_UNKNOWN;
}

/* A host that saves 512 MiB by KSM, and has a swap ceiling kept by systemd. */

static const struct ksm_view ksm_view = {
        .present = true,
        .config = { .mode = KSM_MODE_AUTO, .cpu_normal_ppm = 50000, .cpu_critical_ppm = 600000 },
        .plan = { .phase = KSM_RESTING, .budget_ppm = 150000, .cpu_ppm = AEROSTAT_UNKNOWN, .gain_bytes = MIB, .probe_usec = AEROSTAT_UNKNOWN },
        .sample = {
                .knobs = { 0, 262, 20, 0, 70, 500, 30000 }, .full_scans = 12, .shared_pages = 4096, .sharing_pages = 131072, .unshared_pages = 70000,
                .volatile_pages = 900, .zero_pages = 0, .saved_bytes = 512 * MIB, .profit_bytes = 500 * MIB, .merge_across_nodes = 1,
        },
        .ksmd_cpu_usec = 93 * USEC_PER_SEC, .cow_pages_per_sec = 3,
};

static const struct swap_view swap_view = {
        .plan = { .limit_bytes = 8 * GIB * 3 / 10, .ceiling_bytes = 8 * GIB * 3 / 10, .in_per_sec = 0, .out_per_sec = 12 },
        .method = SWAP_BY_SYSTEMD, .limit_bytes = 8 * GIB * 3 / 10,
        .admin_limit_bytes = AEROSTAT_UNKNOWN, .swappiness = AEROSTAT_UNKNOWN, .group = "machine.slice",
};

void manager_view_host(struct manager *m, struct host_view *ret) {
#define KNOWN(x) (m->forgotten ? AEROSTAT_UNKNOWN : (x))
        *ret = (struct host_view) {
                .plan = &m->plan, .host = &m->host, .settings = &m->settings, .automation = m->automation, .connected = true,
                .swap_total_bytes = KNOWN(8 * GIB), .swap_used_bytes = KNOWN(512 * MIB), .ksm_run = KNOWN(1),
                .ksm_saved_bytes = KNOWN(512 * MIB), .ksm_profit_bytes = KNOWN(500 * MIB), .ksm_cpu_ppm = KNOWN(21000),
                .ksm = &ksm_view, .swap = &swap_view,
                .psi_some_ppm = KNOWN(12500), .psi_full_ppm = KNOWN(0), .swap_in_bytes_per_sec = KNOWN(0), .swap_out_bytes_per_sec = KNOWN(0),
                .alerts = &m->alerts, .decisions_taken = &m->decisions_taken, .reactions = &m->reactions, .n_vms = m->n_vms,
                .now_usec = USEC_PER_HOUR, .uptime_usec = USEC_PER_HOUR, .decisions = m->forgotten ? 0 : 1234,
                .history = &m->host_history,
        };
#undef KNOWN
}

void manager_watch(struct manager *m, manager_watcher_t watcher, void *userdata) {
        m->watcher = watcher;
        m->watcher_userdata = userdata;
}

void stub_manager_emit(struct manager *m, const struct manager_event *event) {
        if (m->watcher)
                m->watcher(event, m->watcher_userdata);
}

bool manager_restore_alert(struct manager *m, const struct alert_condition *condition, uint64_t since_realtime_usec, uint64_t told_realtime_usec) {
        return alerts_restore(&m->alerts, condition, since_realtime_usec, 0, USEC_PER_HOUR);
}

void stub_manager_rename(struct manager *m, size_t index, const char *name) {
        m->views[index].name = name;
}

struct alerts *stub_manager_alerts(struct manager *m) {
        return &m->alerts;
}

void manager_view_vm(struct manager *m, size_t index, struct vm_view *ret) {
        *ret = m->views[index];
        ret->limits = &m->limits[index];
        ret->floor_bytes = m->vms[index].input.floor_bytes;
        ret->weight = m->vms[index].input.weight;
        ret->managed = m->vms[index].input.managed;
}

int manager_find_vm(struct manager *m, const char *name_or_uuid, size_t *ret_index, char error[static VIEW_ERROR_MAX]) {
        uint8_t uuid[16];
        bool is_uuid = parse_uuid(name_or_uuid, uuid) >= 0;

        for (size_t i = 0; i < m->n_vms; i++)
                if (strcmp(m->views[i].name, name_or_uuid) == 0 || (is_uuid && memcmp(m->views[i].uuid, uuid, sizeof(uuid)) == 0)) {
                        *ret_index = i;
                        return 0;
                }
        snprintf(error, VIEW_ERROR_MAX, "no running VM is called \"%.100s\"", name_or_uuid);
        return -ENOENT;
}

int manager_set_target(struct manager *m, size_t index, uint64_t bytes, uint64_t for_usec, bool force,
                       char error[static VIEW_ERROR_MAX]) {
        struct policy_vm *vm = &m->vms[index];

        if (vm->input.fixed) {
                snprintf(error, VIEW_ERROR_MAX, "%s has no balloon, so its size cannot be changed", m->views[index].name);
                return -EPERM;
        }
        if (bytes < vm->input.floor_bytes || bytes > vm->input.max_bytes) {
                snprintf(error, VIEW_ERROR_MAX, "outside floor .. maximum of %s: 1 GiB .. 4 GiB", m->views[index].name);
                return -ERANGE;
        }
        if (bytes > 3 * GIB)
                snprintf(error, VIEW_ERROR_MAX, "beyond the envelope by 512 MiB; %s", force ? "the host may swap" : "--force does it all the same");
        if (bytes > 3 * GIB && !force)
                return -ENOSPC;
        vm->input.pin_bytes = vm->plan.target_bytes = bytes;
        vm->plan.class = POLICY_PINNED;
        vm->plan.reason = POLICY_REASON_PINNED;
        m->views[index].pin_until_usec_left = for_usec;
        return bytes > 3 * GIB;
}

int manager_set_auto(struct manager *m, size_t index, char error[static VIEW_ERROR_MAX]) {
        if (m->vms[index].input.pin_bytes == AEROSTAT_UNKNOWN) {
                snprintf(error, VIEW_ERROR_MAX, "%s is automatic already", m->views[index].name);
                return -EALREADY;
        }
        m->vms[index].input.pin_bytes = AEROSTAT_UNKNOWN;
        m->vms[index].plan.class = POLICY_MANAGED;
        m->vms[index].plan.reason = POLICY_REASON_SHARE;
        return 0;
}

int manager_set_paused(struct manager *m, bool paused, char error[static VIEW_ERROR_MAX]) {
        if (paused == (m->automation == AUTOMATION_PAUSED)) {
                snprintf(error, VIEW_ERROR_MAX, "automation is %s already", paused ? "paused" : "running");
                return -EALREADY;
        }
        m->automation = paused ? AUTOMATION_PAUSED : AUTOMATION_RUNNING;
        return 0;
}

void manager_view_ksm_vm(struct manager *m, size_t index, struct ksm_vm_view *ret) {
        *ret = (struct ksm_vm_view) {
                .name = m->names[index], .merged_bytes = 100 * MIB, .saved_bytes = 96 * MIB, .zero_bytes = AEROSTAT_UNKNOWN,
                .profit_bytes = INT64_MIN,
        };
        if (index == 0)
                ret->zero_bytes = 3 * MIB, ret->profit_bytes = -(int64_t) (2 * MIB); /* as a newer kernel says it */
        if (index == STUB_FIXED)
                ret->why_not = "opted out (nosharepages)", ret->opted_out = true, ret->merged_bytes = ret->saved_bytes = AEROSTAT_UNKNOWN;
}

int manager_set_ksm_mode(struct manager *m, enum ksm_mode mode, char error[static VIEW_ERROR_MAX]) {
        if (mode != KSM_MODE_ON)
                return 0;
        snprintf(error, VIEW_ERROR_MAX, "ksmtuned is at work");
        return -EBUSY;
}

int manager_unmerge_ksm(struct manager *m, char error[static VIEW_ERROR_MAX]) {
        snprintf(error, VIEW_ERROR_MAX, "taking all merged pages apart brings back 512 MiB, and there is no room");
        return -ENOSPC;
}

int manager_set_swap_ceiling(struct manager *m, uint64_t ceiling_ppm, char error[static VIEW_ERROR_MAX]) {
        m->settings.policy.swap_ceiling_ppm = ceiling_ppm;
        return 0;
}

void manager_plan_swap(struct manager *m, uint64_t vms_bytes, struct swap_sizing_input *ret_input, struct swap_sizing *ret) {
        *ret_input = (struct swap_sizing_input) {
                .mode = POLICY_SWAP_BACKED, .overcommit_factor_ppm = 1500000, .ceiling_ppm = m->settings.policy.swap_ceiling_ppm,
                .ksm_credit_ppm = 500000,
                .memory_bytes = 16 * GIB, .capacity_bytes = 14 * GIB, .vms_bytes = vms_bytes == AEROSTAT_UNKNOWN ? 21 * GIB : vms_bytes,
                .total_bytes = 8 * GIB,
        };
        swap_size(ret_input, ret);
}

int manager_set_limits(struct manager *m, size_t index, const struct limits_request *request, char error[static VIEW_ERROR_MAX]) {
        struct policy_vm_input *in = &m->vms[index].input;
        struct limits *l = &m->limits[index];

        if (request->limits.has_floor && request->limits.floor_ppm == AEROSTAT_UNKNOWN && request->limits.floor_bytes > in->max_bytes) {
                snprintf(error, VIEW_ERROR_MAX, "a floor of that size is more than the maximum of %s, 4 GiB", m->views[index].name);
                return -ERANGE;
        }
        if (request->reset)
                *l = (struct limits) {};
        limits_merge(l, &request->limits);
        if (l->has_floor)
                in->floor_bytes = l->floor_ppm != AEROSTAT_UNKNOWN ? u64_mul_div(in->max_bytes, l->floor_ppm, PPM_ONE) : l->floor_bytes;
        if (l->has_weight)
                in->weight = l->weight;
        if (request->persist) {
                snprintf(error, VIEW_ERROR_MAX, "libvirt cannot be asked");
                return -ENOTCONN;
        }
        return 0;
}

/* Two days: one in a dry run, one live; each VM is much too large, but for the second, which is too small. */
static void invent_report(struct manager *m) {
        uint64_t now_sec = clock_realtime_usec() / USEC_PER_SEC;
        struct policy_plan would = m->plan;
        struct policy_vm vm = m->vms[STUB_WEB];
        struct report_burst none = { 0 };

        would.committed_bytes = 10 * GIB;
        for (size_t i = 0; i < 2; i++) {
                static const char *const names[] = { STUB_WEB_NAME, STUB_DB_NAME };
                struct report_vm *record = report_vm_of(&m->report, m->views[i].uuid, names[i], now_sec);

                vm.plan.need_bytes = i == 0 ? GIB : 4 * GIB - 100 * MIB;
                vm.plan.demand_bytes = i == 0 ? GIB + 512 * MIB : 4 * GIB;
                record->runs = true;
                for (unsigned k = 0; k < 720; k++)
                        report_add_vm(record, now_sec, 10 * USEC_PER_SEC, &vm, &none);
        }
        for (uint64_t hour = 0; hour < 48; hour++) {
                struct policy_plan plan = m->plan;
                bool dry_run = hour >= 24;

                plan.unsafe = dry_run && hour % 2 == 0;
                plan.committed_bytes = dry_run ? 16 * GIB : 12 * GIB;
                for (unsigned k = 0; k < 360; k++)
                        report_add_host(&m->report, &(const struct report_sample) {
                                .now_sec = now_sec - hour * 3600, .elapsed_usec = 10 * USEC_PER_SEC, .plan = &plan, .would = dry_run ? &would : NULL,
                                .demand_bytes = 9 * GIB, .swap_used_bytes = 512 * MIB, .moves = !dry_run, .moved_bytes = dry_run ? 0 : 64 * MIB,
                                .would_moves = dry_run, .would_moved_bytes = dry_run ? 32 * MIB : 0,
                        });
                report_add_burst(&m->report, NULL, now_sec - hour * 3600, hour % 6 == 0 ? BURST_LATE : BURST_AT_ONCE, 2 * USEC_PER_SEC);
        }
}

const struct report *manager_report(struct manager *m) {
        return &m->report;
}

/* The real policy, on what was invented. */
int manager_whatif(struct manager *m, const struct whatif_question *request, struct whatif_answer *ret, char error[static VIEW_ERROR_MAX]) {
        static const struct policy_state state;
        static const struct balloon_speed speed = { 0 };
        const struct whatif_live live = { &m->settings.policy, &m->host, &state, m->vms, m->n_vms, USEC_PER_SEC + 1 };

        if (m->forgotten) {
                snprintf(error, VIEW_ERROR_MAX, "this host's VMs are not all known yet; try again in a few seconds");
                return -EAGAIN;
        }
        return whatif_answer(&live, &speed, request, ret);
}

void manager_limits_abandon(struct manager *m, void *userdata) {
}

size_t manager_view_reservations(struct manager *m, struct reservation_view ret[static RESERVATIONS_MAX]) {
        for (size_t i = 0; i < m->reservations.n; i++) {
                const struct reservation *one = &m->reservations.list[i];

                ret[i] = (struct reservation_view) { one->id, one->bytes, one->until_usec, one->for_vm, one->met };
        }
        return m->reservations.n;
}

/* Up to 2 GiB is free at once; a wait for more is for ever. */
int manager_reserve(struct manager *m, const struct reserve_request *request, struct reservation_view *ret, char error[static VIEW_ERROR_MAX]) {
        struct reservation *one;
        int r;

        if (request->bytes > 8 * GIB) {
                snprintf(error, VIEW_ERROR_MAX, "9 GiB cannot be reserved: 1 GiB is missing");
                return -ENOSPC;
        }
        r = reservations_add(&m->reservations, request->bytes, request->ttl_usec, request->for_vm ?: "", &one);
        if (r < 0)
                return r;
        one->met = one->bytes <= 2 * GIB;
        *ret = (struct reservation_view) { one->id, one->bytes, one->until_usec, one->for_vm, one->met };
        return request->wait_usec > 0 && !one->met;
}

void manager_reserve_abandon(struct manager *m, void *userdata) {
        reservations_remove(&m->reservations, &m->reservations.list[m->reservations.n - 1]);
}

int manager_unreserve(struct manager *m, uint64_t id, const char *for_vm, char error[static VIEW_ERROR_MAX]) {
        struct reservation *one = for_vm ? reservations_find_vm(&m->reservations, for_vm) : reservations_find(&m->reservations, id);

        if (!one) {
                snprintf(error, VIEW_ERROR_MAX, "there is no such reservation");
                return -ENOENT;
        }
        reservations_remove(&m->reservations, one);
        return 0;
}
