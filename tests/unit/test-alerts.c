/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The alert engine with its times, and each alert from the views that call for it to its end. */

#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host-agent/control/alert_text.h"
#include "host-agent/manager/alert_conditions.h"
#include "protocol/units.h"

#define REPEAT USEC_PER_HOUR
#define REALTIME (UINT64_C(1700000000) * USEC_PER_SEC)

/* A host and one VM with which all is well; tests make it worse. */
struct world {
        struct alerts alerts;
        struct settings settings;
        struct policy_plan plan;
        struct policy_host host;
        struct policy_vm policy_vm;
        struct host_view host_view;
        struct vm_view vm_view;
        bool vm_gone;
        uint64_t now_usec;
};

/* Alerts that some test here made fire, and be resolved, from the views that call for them: bits. */
static unsigned ever_fired, ever_resolved;

static void observe(const struct alert_condition *condition, void *userdata) {
        struct world *w = userdata;

        alerts_observe(&w->alerts, condition, w->now_usec, REALTIME + w->now_usec);
}

static struct world *world_new(void) {
        struct world *w = calloc(1, sizeof(*w));
        const uint64_t no = AEROSTAT_UNKNOWN;

        assert_non_null(w);
        w->now_usec = USEC_PER_HOUR;
        w->settings.policy = (struct policy_config) { .swap_ceiling_ppm = 300000, .swap_warn_ppm = 800000, .fresh_usec = 10 * USEC_PER_SEC };
        w->settings.guest_ceiling_ppm = 300000;
        w->plan = (struct policy_plan) { .memory_bytes = 16 * GIB, .available_bytes = 4 * GIB, .reserve_bytes = GIB, .rule_bytes = 14 * GIB,
                                         .floors_fit = true };
        w->host = (struct policy_host) { .swap_total_bytes = 10 * GIB, .swap_used_bytes = 0 };
        w->policy_vm.input = (struct policy_vm_input) {
                .max_bytes = 4 * GIB, .actual_bytes = 2 * GIB, .rss_bytes = 2 * GIB, .swap_bytes = 0, .report_usec = 1,
                .guest_available_bytes = GIB, .guest_oom_kills = 1,
        };
        w->policy_vm.plan = (struct policy_vm_plan) { .class = POLICY_MANAGED, .target_bytes = 2 * GIB, .committed_bytes = 2 * GIB };
        w->host_view = (struct host_view) {
                .plan = &w->plan, .host = &w->host, .settings = &w->settings, .connected = true, .ksm_run = 0, .ksm_saved_bytes = 0,
                .ksm_profit_bytes = 0, .ksm_cpu_ppm = 0, .psi_some_ppm = 0, .psi_full_ppm = 0, .swap_in_bytes_per_sec = 0,
                .swap_out_bytes_per_sec = 0, .alerts = &w->alerts, .n_vms = 1, .decisions = 1,
        };
        w->vm_view = (struct vm_view) {
                .name = "web1", .uuid = { 1, 2, 3 }, .policy = &w->policy_vm, .source = SOURCE_AGENT, .agent_version = "0.1.0", .agent_spoke = true,
                .managed = true, .guest_psi_some_ppm = 0, .guest_swap_total_bytes = GIB, .guest_swap_used_bytes = 0,
                .oom_kill_usec_ago = no, .violation_usec_ago = no, .last_resort_usec_ago = no,
        };
        return w;
}

static void note(const struct alert_event *e) {
        if (e->type == ALERT_FIRED)
                ever_fired |= 1u << e->alert->name;
        else if (e->type == ALERT_RESOLVED)
                ever_resolved |= 1u << e->alert->name;
}

/* One round, a second after the last. Returns what it said of `name` (enum alert_event_type), or -1; anything about another alert fails the test. */
static int round_of(struct world *w, enum alert_name name) {
        struct alert_event e;
        int said = -1;

        w->now_usec += USEC_PER_SEC;
        alerts_begin(&w->alerts);
        alert_conditions_host(&w->host_view, observe, w);
        if (!w->vm_gone)
                alert_conditions_vm(&w->host_view, &w->vm_view, observe, w);
        while (alerts_next(&w->alerts, w->now_usec, REALTIME + w->now_usec, REPEAT, &e)) {
                note(&e);
                if (e.alert->name != name)
                        fail_msg("%s %s while looking at %s", alert_kinds[e.alert->name].name, alert_event_type_to_string(e.type),
                                 alert_kinds[name].name);
                assert_int_equal(said, -1);
                said = (int) e.type;
        }
        return said;
}

/* Seconds until it says that, at most `limit`. */
static uint64_t wait_for(struct world *w, enum alert_name name, enum alert_event_type type, uint64_t limit_usec) {
        for (uint64_t passed = USEC_PER_SEC; passed <= limit_usec; passed += USEC_PER_SEC) {
                int said = round_of(w, name);

                if (said == (int) type)
                        return passed;
                assert_int_equal(said, -1);
        }
        fail_msg("%s was not %s within its time", alert_kinds[name].name, alert_event_type_to_string(type));
        return 0;
}

static struct alert *only_alert(struct world *w) {
        assert_int_equal(w->alerts.n_firing, 1);
        for (size_t i = 0; i < ALERTS_MAX; i++)
                if (w->alerts.table[i].used && w->alerts.table[i].firing)
                        return &w->alerts.table[i];
        return NULL;
}

/* Each alert: what makes it hold, what only keeps it (NULL: nothing does), and the numbers that it has to say then. */
static void hold_tight(struct world *w) { w->plan.host_state = POLICY_TIGHT; w->plan.available_bytes = GIB / 2; }
static void hold_unsafe(struct world *w) { w->plan.unsafe = true; w->plan.deficit_bytes = GIB; }
/* The host could bear it, node 1 cannot. */
static void hold_node(struct world *w) {
        w->plan.unsafe = true;
        w->plan.n_nodesets = 2;
        w->plan.nodesets[0] = (struct policy_nodeset) { .mask = 1, .rule_bytes = 7 * GIB, .floors_fit = true };
        w->plan.nodesets[1] = (struct policy_nodeset) { .mask = 2, .rule_bytes = 6 * GIB, .deficit_bytes = 2 * GIB, .floors_bytes = GIB,
                .floors_fit = true };
}
static void hold_weak(struct world *w) { w->plan.weaknesses = POLICY_WEAK_AUTODEFLATE | POLICY_WEAK_UNSAFE; }
static void hold_near(struct world *w) { w->host.swap_used_bytes = 2500 * MIB; }
static void keep_near(struct world *w) { w->host.swap_used_bytes = 2300 * MIB; }
static void hold_thrash(struct world *w) { w->host_view.swap_in_bytes_per_sec = w->host_view.swap_out_bytes_per_sec = 10 * MIB; }
static void keep_thrash(struct world *w) { w->host_view.swap_in_bytes_per_sec = 101 * (uint64_t) sysconf(_SC_PAGESIZE); }
static void hold_ksm(struct world *w) { w->host_view.ksm_run = 1; w->host_view.ksm_profit_bytes = MIB; }
static void keep_ksm(struct world *w) { w->host_view.ksm_profit_bytes = 17 * MIB; }
static void hold_breach(struct world *w) { w->policy_vm.plan.class = POLICY_BREACHING; }
static void hold_guest_swap(struct world *w) { w->vm_view.guest_swap_used_bytes = 400 * MIB; }
static void keep_guest_swap(struct world *w) { w->vm_view.guest_swap_used_bytes = 280 * MIB; }
static void hold_pressure(struct world *w) { w->vm_view.guest_psi_some_ppm = 310000; }
static void keep_pressure(struct world *w) { w->vm_view.guest_psi_some_ppm = 60000; }
static void hold_short(struct world *w) {
        w->vm_view.guest_psi_some_ppm = AEROSTAT_UNKNOWN;
        w->policy_vm.plan.pressure_below_bytes = 100 * MIB;
        w->policy_vm.input.guest_available_bytes = 50 * MIB;
}
static void keep_short(struct world *w) { w->policy_vm.input.guest_available_bytes = 150 * MIB; }
static void hold_oom(struct world *w) { w->vm_view.oom_kill_usec_ago = 0; }
static void hold_stuck(struct world *w) { w->policy_vm.plan.class = POLICY_UNCOOPERATIVE; }
static void hold_taking(struct world *w) { hold_stuck(w); w->policy_vm.plan.reason = POLICY_REASON_TAKES; }
static void hold_stale(struct world *w) {
        w->policy_vm.plan.class = POLICY_UNKNOWN;
        w->vm_view.source = SOURCE_NONE;
        w->vm_view.report_age_usec = USEC_PER_MINUTE;
}
static void keep_stale(struct world *w) { w->policy_vm.plan.class = POLICY_BOOTING; w->vm_view.agent_spoke = false; }
/* Its kernel has crashed; what the policy takes it for first is that its balloon does not move, or a pin. */
static void hold_silent(struct world *w) { w->vm_view.report_age_usec = USEC_PER_MINUTE; }
static void hold_lost_agent(struct world *w) { w->vm_view.source = SOURCE_BALLOON_STATS; }
static void hold_unresponsive(struct world *w) { w->policy_vm.input.unresponsive = true; }
static void hold_violation(struct world *w) { w->vm_view.violation_usec_ago = 0; }
static void hold_resort(struct world *w) { w->vm_view.last_resort_usec_ago = 0; }

static const struct {
        enum alert_name name;
        void (*hold)(struct world *w), (*keep)(struct world *w);
        const char *says;
} cases[] = {
        { ALERT_HOST_TIGHT, hold_tight, NULL, "short of memory: 512 MiB available" },
        { ALERT_ENVELOPE_UNSAFE, hold_unsafe, NULL, "1 GiB more than the 14 GiB" },
        { ALERT_ENVELOPE_UNSAFE, hold_node, NULL, "bound to NUMA node 1 can take 2 GiB more than the 6 GiB" },
        { ALERT_GUARANTEE_WEAKENED, hold_weak, NULL, "no longer proven: autodeflate" },
        { ALERT_SWAP_NEAR_CEILING, hold_near, keep_near, "near its ceiling: 2.44 GiB used" },
        { ALERT_SWAP_THRASHING, hold_thrash, keep_thrash, "10 MiB/s come in" },
        { ALERT_KSM_UNPROFITABLE, hold_ksm, keep_ksm, "KSM does not pay" },
        { ALERT_GUEST_BREACHING, hold_breach, NULL, "web1 uses more than its balloon leaves it" },
        { ALERT_GUEST_SWAP_AT_CEILING, hold_guest_swap, keep_guest_swap, "web1 has filled its own swap" },
        { ALERT_GUEST_PRESSURE, hold_pressure, keep_pressure, "web1 waits for memory 31 % of the time" },
        { ALERT_GUEST_PRESSURE, hold_short, keep_short, "web1 is short of memory: 50 MiB available" },
        { ALERT_GUEST_OOM_KILL, hold_oom, NULL, "web1 ran out of memory and killed a process (1 since" },
        { ALERT_GUEST_UNCOOPERATIVE, hold_stuck, NULL, "web1 was asked to shrink" },
        { ALERT_GUEST_UNCOOPERATIVE, hold_taking, NULL, "web1 has lately taken back memory" },
        { ALERT_GUEST_STALE, hold_stale, keep_stale, "web1 has not reported for 1 min" },
        { ALERT_GUEST_STALE, hold_silent, NULL, "web1 has not reported for 1 min" },
        { ALERT_GUEST_STALE, hold_lost_agent, NULL, "the agent of web1 no longer reports" },
        { ALERT_VM_UNRESPONSIVE, hold_unresponsive, NULL, "QEMU of web1 does not answer" },
        { ALERT_PROTOCOL_ERROR, hold_violation, NULL, "agent of web1 breaks the protocol" },
        { ALERT_LAST_RESORT, hold_resort, NULL, "last resort was taken on web1" },
};

static void test_each_fires_and_resolves(void **state) {
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const struct alert_kind *kind = &alert_kinds[cases[i].name];
                struct world *w = world_new(), *calm = world_new();
                char text[ALERT_TEXT_MAX];
                uint64_t passed;

                assert_int_equal(round_of(w, cases[i].name), -1);
                cases[i].hold(w);
                passed = wait_for(w, cases[i].name, ALERT_FIRED, kind->hold_usec + 2 * USEC_PER_SEC);
                assert_true(passed >= kind->hold_usec);
                alert_message(only_alert(w), text);
                if (!strstr(text, cases[i].says))
                        fail_msg("%s says \"%s\"", kind->name, text);
                assert_true(strlen(alert_advice(cases[i].name)) > 20);
                /* fires once, repeats */
                passed = wait_for(w, cases[i].name, ALERT_REPEATED, REPEAT + 2 * USEC_PER_SEC);
                assert_true(passed >= REPEAT);
                if (cases[i].keep) { /* between the levels it stays, and says nothing before the next repeat */
                        cases[i].keep(w);
                        for (int s = 0; s < 3000; s++)
                                if (round_of(w, cases[i].name) != -1)
                                        fail_msg("%s is not kept", kind->name);
                        assert_int_equal(w->alerts.n_firing, 1);
                }
                /* gone */
                w->plan = calm->plan;
                w->host = calm->host;
                w->policy_vm = calm->policy_vm;
                w->host_view = (struct host_view) { .plan = &w->plan, .host = &w->host, .settings = &w->settings, .connected = true, .n_vms = 1,
                                                    .decisions = 1, .alerts = &w->alerts };
                calm->vm_view.policy = &w->policy_vm;
                w->vm_view = calm->vm_view;
                passed = wait_for(w, cases[i].name, ALERT_RESOLVED, kind->clear_usec + 2 * USEC_PER_SEC);
                assert_true(passed >= kind->clear_usec);
                assert_int_equal(w->alerts.n_firing, 0);
                assert_int_equal(w->alerts.n_used, 0);
                assert_int_equal(w->alerts.n_resolved, 1);
                assert_true(w->alerts.recent[0].until_realtime_usec > w->alerts.recent[0].since_realtime_usec);
                free(calm);
                free(w);
        }
}

/* What fires now, as a bit mask, after `seconds` of the same. */
static unsigned firing_after(struct world *w, unsigned seconds) {
        unsigned mask = 0;
        struct alert_event e;

        for (unsigned s = 0; s < seconds; s++) {
                w->now_usec += USEC_PER_SEC;
                alerts_begin(&w->alerts);
                alert_conditions_host(&w->host_view, observe, w);
                alert_conditions_vm(&w->host_view, &w->vm_view, observe, w);
                while (alerts_next(&w->alerts, w->now_usec, REALTIME + w->now_usec, 0, &e))
                        note(&e);
        }
        for (size_t i = 0; i < ALERTS_MAX; i++)
                if (w->alerts.table[i].used && w->alerts.table[i].firing)
                        mask |= 1u << w->alerts.table[i].name;
        return mask;
}

static void test_host_states_include_milder_ones(void **state) {
        const unsigned tight = 1u << ALERT_HOST_TIGHT, hard = 1u << ALERT_HOST_HARD, critical = 1u << ALERT_HOST_CRITICAL;
        struct world *w = world_new();

        w->plan.host_state = POLICY_CRITICAL;
        assert_int_equal(firing_after(w, 1), critical);
        assert_int_equal(firing_after(w, 15), critical | hard | tight);
        w->plan.host_state = POLICY_HARD;
        assert_int_equal(firing_after(w, 70), hard | tight);
        w->plan.host_state = POLICY_NORMAL;
        assert_int_equal(firing_after(w, 70), 0);
        free(w);
}

static void test_swap_levels(void **state) {
        const unsigned near = 1u << ALERT_SWAP_NEAR_CEILING, at = 1u << ALERT_SWAP_AT_CEILING, above = 1u << ALERT_SWAP_ABOVE_CEILING;
        struct world *w = world_new();

        w->host.swap_used_bytes = 3 * GIB - 40 * MIB; /* as far as the kernel's own limit lets it come */
        assert_int_equal(firing_after(w, 10), near | at);
        w->host.swap_used_bytes = 4 * GIB;
        assert_int_equal(firing_after(w, 1), near | at | above);
        w->host.swap_used_bytes = 2900 * MIB;
        assert_int_equal(firing_after(w, 70), near | at);
        w->host.swap_used_bytes = GIB;
        assert_int_equal(firing_after(w, 70), 0);
        w->host.swap_total_bytes = w->host.swap_used_bytes = 0; /* no swap: no ceiling to be at */
        assert_int_equal(firing_after(w, 10), 0);
        w->host.swap_total_bytes = w->host.swap_used_bytes = AEROSTAT_UNKNOWN;
        assert_int_equal(firing_after(w, 10), 0);
        free(w);
}

/* An operator who wants none used at all is told of what is. */
static void test_ceilings_of_zero(void **state) {
        struct world *w = world_new();

        w->settings.policy.swap_ceiling_ppm = w->settings.guest_ceiling_ppm = 0;
        assert_int_equal(firing_after(w, 100), 0);
        w->host.swap_used_bytes = 5 * GIB;
        assert_int_equal(firing_after(w, 100), 1u << ALERT_SWAP_ABOVE_CEILING);
        w->host.swap_used_bytes = 0;
        w->vm_view.guest_swap_used_bytes = MIB;
        assert_int_equal(firing_after(w, 100), 1u << ALERT_GUEST_SWAP_AT_CEILING);
        free(w);
}

/* After a restart nobody has heard the agent, but it was there in this boot. */
static void test_a_lost_agent_outlives_a_restart(void **state) {
        struct world *w = world_new();

        w->vm_view.agent_version = NULL;
        w->vm_view.source = SOURCE_BALLOON_STATS;
        assert_int_equal(firing_after(w, 40), 1u << ALERT_GUEST_STALE);
        w->vm_view.agent_spoke = false; /* one that never had an agent is judged by its balloon's statistics */
        assert_int_equal(firing_after(w, 70), 0);
        free(w);
}

/* An agent that is late for a moment, as in a guest that is short, ends nothing; nor do statistics of the balloon, which know nothing of its swap. */
static void test_late_reports_keep_what_was_said(void **state) {
        struct world *w = world_new();

        hold_guest_swap(w);
        assert_int_equal(firing_after(w, 20), 0);
        w->vm_view.source = SOURCE_BALLOON_STATS;
        assert_int_equal(firing_after(w, 5), 0);
        w->vm_view.source = SOURCE_AGENT;
        assert_int_equal(firing_after(w, 7), 1u << ALERT_GUEST_SWAP_AT_CEILING);
        free(w);
}

/* The last word of an agent that dies is one reading, and not 30 s of it. */
static void test_one_reading_fires_nothing(void **state) {
        struct world *w = world_new();

        hold_pressure(w);
        hold_guest_swap(w);
        for (unsigned s = 0; s < 60; s++) {
                w->vm_view.report_age_usec = s * USEC_PER_SEC;
                assert_int_equal(firing_after(w, 1) & ~(1u << ALERT_GUEST_STALE), 0);
        }
        free(w);
}

/* What a dead agent said last is no news. */
static void test_pressure_of_old_is_none(void **state) {
        struct world *w = world_new();

        hold_pressure(w);
        w->vm_view.report_age_usec = 19 * USEC_PER_SEC; /* late, as in a guest that is short */
        assert_int_equal(firing_after(w, 40), 1u << ALERT_GUEST_PRESSURE | 1u << ALERT_GUEST_STALE);
        w->vm_view.report_age_usec = 21 * USEC_PER_SEC;
        assert_int_equal(firing_after(w, 70), 1u << ALERT_GUEST_STALE);
        free(w);
}

/* Where an operator leaves KSM alone it is not ours to judge; where one does not, it is, whatever the configuration says. */
static void test_ksm_mode_in_force(void **state) {
        struct ksm_view ksm = { .config = { .mode = KSM_MODE_LEAVE } };
        struct world *w = world_new();

        hold_ksm(w);
        w->host_view.ksm = &ksm;
        assert_int_equal(firing_after(w, 3000), 0);
        ksm.config.mode = KSM_MODE_ON;
        w->settings.ksm_mode = SETTINGS_KSM_LEAVE;
        assert_int_equal(firing_after(w, 3000), 1u << ALERT_KSM_UNPROFITABLE);
        free(w);
}

static void test_short_trouble_is_no_alert(void **state) {
        struct world *w = world_new();

        for (int i = 0; i < 20; i++) { /* 29 s unsafe, 1 s safe: never 30 s without a break */
                hold_unsafe(w);
                for (int s = 0; s < 29; s++)
                        assert_int_equal(round_of(w, ALERT_ENVELOPE_UNSAFE), -1);
                w->plan.unsafe = false;
                assert_int_equal(round_of(w, ALERT_ENVELOPE_UNSAFE), -1);
        }
        assert_int_equal(w->alerts.n_used, 0);
        free(w);
}

static void test_flapping_is_one_alert(void **state) {
        struct world *w = world_new();

        hold_breach(w);
        (void) wait_for(w, ALERT_GUEST_BREACHING, ALERT_FIRED, USEC_PER_MINUTE);
        for (int i = 0; i < 50; i++) {
                w->policy_vm.plan.class = i % 2 ? POLICY_BREACHING : POLICY_MANAGED;
                for (int s = 0; s < 30; s++)
                        assert_int_equal(round_of(w, ALERT_GUEST_BREACHING), -1);
        }
        assert_int_equal(w->alerts.n_firing, 1);
        free(w);
}

static void test_a_vm_that_goes_takes_its_alerts(void **state) {
        struct world *w = world_new();

        hold_breach(w);
        (void) wait_for(w, ALERT_GUEST_BREACHING, ALERT_FIRED, USEC_PER_MINUTE);
        w->vm_gone = true;
        (void) wait_for(w, ALERT_GUEST_BREACHING, ALERT_RESOLVED, 2 * USEC_PER_MINUTE);
        free(w);
}

static void test_restart_does_not_fire_twice(void **state) {
        struct alert_condition c = { .name = ALERT_GUEST_UNCOOPERATIVE, .subject = "web1", .uuid = { 1, 2, 3 }, .numbers = { 1, 2 } };
        struct world *w = world_new();

        assert_true(alerts_restore(&w->alerts, &c, REALTIME - USEC_PER_DAY, USEC_PER_MINUTE, w->now_usec));
        assert_false(alerts_restore(&w->alerts, &c, REALTIME, 0, w->now_usec));
        for (int s = 0; s < 40; s++) /* the daemon takes a while to find out again that it is stuck */
                assert_int_equal(round_of(w, c.name), -1);
        hold_stuck(w);
        for (int s = 0; s < 100; s++)
                assert_int_equal(round_of(w, c.name), -1);
        assert_true(only_alert(w)->since_realtime_usec == REALTIME - USEC_PER_DAY);
        /* repeated an hour after it was told, which was a minute before the restart */
        assert_true(wait_for(w, c.name, ALERT_REPEATED, USEC_PER_HOUR) <= USEC_PER_HOUR - USEC_PER_MINUTE - 139 * USEC_PER_SEC);
        free(w);
}

static void test_unknown_is_no_alert(void **state) {
        struct world *w = world_new();
        const uint64_t no = AEROSTAT_UNKNOWN;

        w->host_view.psi_some_ppm = w->host_view.swap_in_bytes_per_sec = w->host_view.swap_out_bytes_per_sec = no;
        w->host_view.ksm_run = w->host_view.ksm_profit_bytes = no;
        w->host.swap_used_bytes = no;
        w->vm_view.guest_psi_some_ppm = no;
        w->policy_vm.input.guest_swap_total_bytes = w->vm_view.guest_swap_used_bytes = no;
        assert_int_equal(firing_after(w, 100), 0);
        w->host_view.decisions = 0; /* a plan that means nothing yet */
        w->plan.host_state = POLICY_CRITICAL;
        assert_int_equal(firing_after(w, 100), 0);
        free(w);
}

/* What happened in a moment fires for ten minutes, and whoever wants to be told every two (Alertmanager resolves what it hears no more of) is. */
static void test_repeated_for_as_long_as_it_fires(void **state) {
        const struct alert_condition c = { .name = ALERT_GUEST_OOM_KILL, .subject = "vm" };
        struct alerts *alerts = calloc(1, sizeof(*alerts));
        struct alert_event e;
        unsigned times[ALERT_RESOLVED + 1] = { 0 };

        assert_non_null(alerts);
        for (uint64_t now = 1000; now < 2000; now++) {
                alerts_begin(alerts);
                if (now == 1000)
                        alerts_observe(alerts, &c, now * USEC_PER_SEC, REALTIME);
                while (alerts_next(alerts, now * USEC_PER_SEC, REALTIME, 2 * USEC_PER_MINUTE, &e))
                        times[e.type]++;
        }
        assert_int_equal(times[ALERT_FIRED], 1);
        assert_int_equal(times[ALERT_REPEATED], 4);
        assert_int_equal(times[ALERT_RESOLVED], 1);
        free(alerts);
}

static void test_bounded_and_the_host_is_heard(void **state) {
        struct alerts *alerts = calloc(1, sizeof(*alerts));
        struct alert_event e;
        size_t fired = 0;

        assert_non_null(alerts);
        for (uint64_t now = 0; now < 20; now++) {
                alerts_begin(alerts);
                for (uint64_t i = 0; i < 3000; i++) {
                        struct alert_condition c = { .name = ALERT_GUEST_BREACHING, .subject = "vm" };

                        memcpy(c.uuid, &i, sizeof(i));
                        alerts_observe(alerts, &c, now * USEC_PER_SEC, REALTIME);
                }
                alerts_observe(alerts, &(struct alert_condition) { .name = ALERT_HOST_CRITICAL, .subject = "host" }, now * USEC_PER_SEC, REALTIME);
                while (alerts_next(alerts, now * USEC_PER_SEC, REALTIME, 0, &e))
                        fired++;
                assert_int_equal(alerts->dropped, 3000 - (ALERTS_MAX - _ALERT_HOST_NAMES - 64));
        }
        assert_int_equal(fired, ALERTS_MAX - _ALERT_HOST_NAMES - 64 + 1);
        assert_int_equal(alerts->n_firing, fired);
        /* Nor do they hide what is critical in one of them. */
        alerts_begin(alerts);
        alerts_observe(alerts, &(struct alert_condition) { .name = ALERT_LAST_RESORT, .subject = "vm", .uuid = { 1 } }, 20 * USEC_PER_SEC, REALTIME);
        assert_true(alerts_next(alerts, 20 * USEC_PER_SEC, REALTIME, 0, &e));
        assert_int_equal(e.type, ALERT_FIRED);
        assert_int_equal(e.alert->name, ALERT_LAST_RESORT);
        fired++;
        while (alerts_next(alerts, 20 * USEC_PER_SEC, REALTIME, 0, &e))
                fail();
        for (uint64_t now = 20; now < 700; now++) {
                alerts_begin(alerts);
                while (alerts_next(alerts, now * USEC_PER_SEC, REALTIME, 0, &e)) {
                        assert_int_equal(e.type, ALERT_RESOLVED);
                        fired--;
                }
        }
        assert_int_equal(fired, 0);
        assert_int_equal(alerts->n_used, 0);
        free(alerts);
}

static void test_long_names_are_cut_at_a_character(void **state) {
        struct alerts *alerts = calloc(1, sizeof(*alerts));
        struct alert_condition c = { .name = ALERT_GUEST_UNCOOPERATIVE };
        char name[400];
        struct alert_event e;

        assert_non_null(alerts);
        for (size_t i = 0; i + 2 < sizeof(name); i += 2)
                memcpy(name + i, "\xc3\xbc", 2);
        name[398] = 0;
        c.subject = name;
        alerts_begin(alerts);
        alerts_observe(alerts, &c, 0, 0);
        assert_true(alerts_next(alerts, 0, 0, 0, &e));
        assert_int_equal(strlen(e.alert->subject), 254);
        free(alerts);
}

/* The last test: the table, one by one. */
static void test_none_is_left_out(void **state) {
        for (int i = 0; i < _ALERT_NAMES; i++)
                if (!(ever_fired & 1u << i) || !(ever_resolved & 1u << i))
                        fail_msg("no test makes %s fire and resolve", alert_kinds[i].name);
}

static void test_names(void **state) {
        for (int i = 0; i < _ALERT_NAMES; i++) {
                assert_int_equal(alert_name_from_string(alert_kinds[i].name), i);
                assert_non_null(alert_advice((enum alert_name) i));
        }
        assert_int_equal(alert_name_from_string("HostFine"), -1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_fires_and_resolves), cmocka_unit_test(test_host_states_include_milder_ones),
                cmocka_unit_test(test_swap_levels), cmocka_unit_test(test_ksm_mode_in_force),
                cmocka_unit_test(test_short_trouble_is_no_alert), cmocka_unit_test(test_flapping_is_one_alert),
                cmocka_unit_test(test_repeated_for_as_long_as_it_fires),
                cmocka_unit_test(test_a_vm_that_goes_takes_its_alerts), cmocka_unit_test(test_restart_does_not_fire_twice),
                cmocka_unit_test(test_unknown_is_no_alert), cmocka_unit_test(test_ceilings_of_zero),
                cmocka_unit_test(test_a_lost_agent_outlives_a_restart), cmocka_unit_test(test_pressure_of_old_is_none),
                cmocka_unit_test(test_late_reports_keep_what_was_said), cmocka_unit_test(test_one_reading_fires_nothing),
                cmocka_unit_test(test_bounded_and_the_host_is_heard),
                cmocka_unit_test(test_long_names_are_cut_at_a_character), cmocka_unit_test(test_names),
                cmocka_unit_test(test_none_is_left_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
