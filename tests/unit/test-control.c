/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "host-agent/control/control.h"
#include "host-agent/control/explain.h"
#include "host-agent/control/json.h"
#include "host-agent/control/methods.h"
#include "host-agent/control/put.h"
#include "host-agent/control/report.h"
#include "host-agent/control/whatif.h"
#include "host-agent/manager/nodes.h"
#include "protocol/base.h"
#include "protocol/clock.h"
#include "protocol/units.h"
#include "tests/unit/stub-manager.h"

/* The keys that the public interface promises, ended by NULL. */
static const char *const status_keys[] = {
        "state",
        "mode",
        "memory_bytes",
        "available_bytes",
        "reserve_bytes",
        "capacity_bytes",
        "envelope_bytes",
        "committed_bytes",
        "overcommit_ratio",
        "swap",
        "ksm",
        "psi",
        "vms",
        "alerts",
        "automation",
        "guarantee",
        "guarantee_reasons",
        NULL,
};
static const char *const swap_keys[] = { "total_bytes", "used_bytes", "ceiling_ratio", "warn_ratio", "allowance_bytes", NULL };
static const char *const ksm_keys[] = { "run", "saved_bytes", "profit_bytes", "cpu_ratio", NULL };
static const char *const psi_keys[] = { "some_ratio", "full_ratio", NULL };
static const char *const vm_keys[] = {
        "name",      "uuid",         "state",        "max_bytes",          "floor_bytes",    "weight",
        "priority",  "actual_bytes", "target_bytes", "demand_bytes",       "entitled_bytes", "committed_bytes",
        "rss_bytes", "swap_bytes",   "source",       "report_age_seconds", "guest",          "reason",
        NULL,
};
static const char *const guest_keys[] = {
        "total_bytes",
        "available_bytes",
        "free_bytes",
        "cache_bytes",
        "swap_total_bytes",
        "swap_used_bytes",
        "psi_some_ratio",
        "psi_full_ratio",
        "refault_bytes_per_second",
        "oom_kills",
        NULL,
};

static void assert_keys(const json_t *object, const char *const *keys) {
        assert_true(json_is_object(object));
        for (; *keys; keys++)
                if (!json_object_get(object, *keys))
                        fail_msg("there is no %s", *keys);
}

/* Every member's type follows from its name; null is allowed everywhere. */
static void assert_types(const json_t *value) {
        const char *key;
        json_t *member;
        size_t i;

        json_array_foreach(value, i, member)
                assert_types(member);
        if (!json_is_object(value))
                return;
        json_object_foreach((json_t *) value, key, member) {
                const char *last = strrchr(key, '_');

                if (last && strcmp(last, "_bytes") == 0 && !json_is_null(member) &&
                    !(json_is_integer(member) && json_integer_value(member) >= 0))
                        fail_msg("%s is no number of bytes", key);
                if (last && (strcmp(last, "_ratio") == 0 || strcmp(last, "_seconds") == 0) && !json_is_null(member) &&
                    !json_is_real(member))
                        fail_msg("%s is no fraction", key);
                for (const char *c = key; *c; c++)
                        assert_true((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_');
                assert_types(member);
        }
}

static void assert_null_members(const json_t *object, const char *const *keys) {
        for (; *keys; keys++)
                if (!json_is_null(json_object_get(object, *keys)))
                        fail_msg("%s is not null", *keys);
}

static int64_t integer(const json_t *object, const char *key) {
        const json_t *value = json_object_get(object, key);

        assert_true(json_is_integer(value));
        return json_integer_value(value);
}

static const char *text(const json_t *object, const char *key) {
        return json_string_value(json_object_get(object, key)) ?: "(none)";
}

static void test_status(void **state) {
        struct manager *manager = stub_manager_new(0);
        json_t *s = json_status(manager);
        struct tm tm = {};

        assert_keys(s, status_keys);
        assert_keys(json_object_get(s, "swap"), swap_keys);
        assert_keys(json_object_get(s, "ksm"), ksm_keys);
        assert_keys(json_object_get(s, "psi"), psi_keys);
        assert_types(s);
        assert_string_equal(text(s, "state"), "tight");
        assert_string_equal(text(s, "mode"), "guaranteed");
        assert_string_equal(text(s, "automation"), "running");
        assert_string_equal(text(s, "guarantee"), "conditional");
        assert_int_equal(json_array_size(json_object_get(s, "guarantee_reasons")), 2);
        assert_string_equal(json_string_value(json_array_get(json_object_get(s, "guarantee_reasons"), 0)), "autodeflate");
        assert_true(json_real_value(json_object_get(s, "overcommit_ratio")) == 1.5);
        assert_true(json_real_value(json_object_get(json_object_get(s, "psi"), "some_ratio")) == 0.0125);
        assert_int_equal(integer(s, "vms"), STUB_VMS);
        assert_int_equal(integer(json_object_get(s, "vm_states"), "unknown"), 2);
        assert_int_equal(integer(json_object_get(s, "vm_states"), "breaching"), 1);
        assert_true(json_is_array(json_object_get(s, "alerts")));
        assert_non_null(strptime(text(s, "time"), "%Y-%m-%dT%H:%M:%SZ", &tm));
        json_decref(s);
        stub_manager_free(manager);
}

static void test_unknown_is_null(void **state) {
        static const char *const host_unknown[] = {
                "state", "memory_bytes", "available_bytes", "reserve_bytes", "capacity_bytes", "envelope_bytes", "committed_bytes",
                "overcommit_ratio", "guarantee", "fits", "unsafe", "free_bytes", NULL,
        };
        static const char *const swap_unknown[] = { "total_bytes", "used_bytes", "allowance_bytes", NULL };
        static const char *const vm_unknown[] = { "actual_bytes", "demand_bytes",       "rss_bytes",
                                                  "swap_bytes",   "report_age_seconds", NULL };
        static const char *const show_unknown[] = {
                "agent_version",        "asked_bytes",      "need_bytes", "hot_cache_bytes",
                "headroom_bytes",       "overhead_bytes",   "pin_bytes",  "pin_seconds_left",
                "last_set_age_seconds", "reaction_seconds", NULL,
        };
        static const char *const undecided[] = {
                "target_bytes", "demand_bytes", "entitled_bytes", "committed_bytes", "reason", "reason_code", "explanation",
                "ideal_bytes",  NULL,
        };
        struct manager *manager = stub_manager_new(0);
        json_t *vm, *s;

        vm = json_show(manager, STUB_SILENT);
        assert_null_members(vm, vm_unknown);
        assert_null_members(vm, show_unknown);
        assert_null_members(json_object_get(vm, "guest"), guest_keys);
        assert_string_equal(text(vm, "source"), "none");
        assert_string_equal(text(vm, "state"), "unknown");
        assert_int_equal(integer(vm, "weight"), 0);
        json_decref(vm);

        /* Before the policy has seen it. */
        vm = json_show(manager, STUB_NEW);
        assert_null_members(vm, undecided);
        assert_string_equal(text(vm, "state"), "unknown");
        assert_int_equal(integer(vm, "max_bytes"), 4 * GIB);
        json_decref(vm);

        /* A report of an earlier boot is none. */
        stub_manager_vm(manager, STUB_WEB)->input.report_usec = 0;
        vm = json_show(manager, STUB_WEB);
        assert_null_members(json_object_get(vm, "guest"), guest_keys);
        json_decref(vm);

        stub_manager_forget(manager);
        s = json_status(manager);
        assert_keys(s, status_keys);
        assert_null_members(s, host_unknown);
        assert_null_members(json_object_get(s, "swap"), swap_unknown);
        assert_null_members(json_object_get(s, "ksm"), ksm_keys);
        assert_null_members(json_object_get(s, "psi"), psi_keys);
        json_decref(s);
        stub_manager_free(manager);
}

static void test_list_and_show(void **state) {
        struct manager *manager = stub_manager_new(0);
        json_t *list = json_list(manager), *vms = json_object_get(list, "vms"), *vm;
        const char *key;
        json_t *value;
        size_t i;

        assert_int_equal(json_array_size(vms), STUB_VMS);
        assert_types(list);
        json_array_foreach(vms, i, vm) {
                json_t *show = json_show(manager, i);

                assert_keys(vm, vm_keys);
                assert_keys(json_object_get(vm, "guest"), guest_keys);
                assert_types(show);
                json_object_foreach(vm, key, value)
                        assert_true(json_equal(json_object_get(show, key), value));
                json_decref(show);
        }
        vm = json_array_get(vms, STUB_WEB);
        assert_string_equal(text(vm, "name"), STUB_WEB_NAME);
        assert_string_equal(text(vm, "uuid"), "11111111-2222-3333-4444-555555555500");
        assert_string_equal(text(vm, "source"), "agent");
        assert_string_equal(text(vm, "reason"), "its share of a short host");
        assert_string_equal(text(vm, "reason_code"), "share");
        assert_int_equal(integer(vm, "swap_bytes"), 0);
        assert_true(json_real_value(json_object_get(vm, "report_age_seconds")) == 1.2);
        assert_string_equal(text(json_array_get(vms, STUB_DB), "source"), "balloon_stats");
        assert_true(json_is_null(json_object_get(json_object_get(json_array_get(vms, STUB_DB), "guest"), "psi_some_ratio")));
        assert_string_equal(text(json_array_get(vms, STUB_ODD), "name"), STUB_ODD_NAME);
        json_decref(list);
        stub_manager_free(manager);
}

/* Every reason and every weakness is explained, whatever the numbers are, within the buffer. */
static void test_explanations(void **state) {
        struct manager *manager = stub_manager_new(0);
        struct policy_vm *policy = stub_manager_vm(manager, STUB_WEB);
        char sentence[EXPLAIN_MAX];
        struct host_view host;
        struct vm_view vm;

        manager_view_host(manager, &host);
        manager_view_vm(manager, STUB_WEB, &vm);
        for (int pass = 0; pass < 2; pass++) {
                for (enum policy_reason reason = 0; reason < _POLICY_REASON_MAX; reason++) {
                        policy->plan.reason = reason;
                        explain_vm(&host, &vm, sentence);
                        assert_true(strlen(explain_briefly(reason)) > 3 && strlen(explain_briefly(reason)) <= 32);
                        assert_true(strlen(sentence) > 30 && strlen(sentence) < EXPLAIN_MAX - 1);
                        assert_int_equal(sentence[strlen(sentence) - 1] == '.' || sentence[strlen(sentence) - 1] == '?', 1);
                }
                for (unsigned bit = 0; bit < POLICY_WEAKNESSES; bit++) {
                        explain_weakness(&host, (enum policy_weakness) (1u << bit), sentence);
                        assert_true(strlen(sentence) > 20 && strlen(sentence) < EXPLAIN_MAX - 1);
                }
                /* And once more with nothing known. */
                memset(&policy->input, 0xff, sizeof(policy->input));
                policy->input.hugepages = true;
                memset(&policy->plan, 0xff, sizeof(policy->plan));
                vm.report_age_usec = AEROSTAT_UNKNOWN;
        }
        policy->plan.reason = POLICY_REASON_HELD;
        vm.last_resort_paused = true;
        vm.last_resort_left_usec = 90 * USEC_PER_SEC;
        assert_non_null(strstr(explain_vm(&host, &vm, sentence), "paused as the last resort"));
        assert_string_equal(explain_briefly(_POLICY_REASON_MAX), "unknown");
        policy->input.cannot_swap = true;
        assert_non_null(strstr(explain_entitlement(&host, &vm, sentence), "allowed no swap"));
        policy->input.cannot_swap = false;
        assert_null(strstr(explain_entitlement(&host, &vm, sentence), "allowed no swap"));
        stub_manager_free(manager);
}

/* Two nodes and one without memory between them; two VMs on node 0, of which one alone is seen here. */
static void invent_nodes(struct manager *manager) {
        struct policy_host *host = stub_manager_host(manager);
        struct policy_plan *plan = stub_manager_plan(manager);
        struct policy_vm *vm = stub_manager_vm(manager, STUB_WEB);

        host->n_nodes = 3;
        host->nodes[0] = (struct policy_node) { 8 * GIB, GIB };
        host->nodes[2] = (struct policy_node) { 8 * GIB, 5 * GIB };
        plan->n_nodesets = 1;
        plan->nodesets[0] = (struct policy_nodeset) {
                .mask = 1, .total_bytes = 8 * GIB, .available_bytes = GIB, .capacity_bytes = 6 * GIB, .rule_bytes = 6 * GIB,
                .committed_bytes = 5 * GIB,
                .liable_bytes = 5 * GIB, .free_bytes = GIB, .floors_bytes = 2 * GIB, .n_vms = 2, .floors_fit = true,
        };
        vm->input.node_mask = 1;
        vm->plan.nodeset = 1;
}

static void test_nodes(void **state) {
        struct manager *manager = stub_manager_new(0);
        struct policy_vm *policy = stub_manager_vm(manager, STUB_WEB);
        struct policy_nodeset *set = stub_manager_plan(manager)->nodesets;
        char sentence[EXPLAIN_MAX], nodes[NODES_TEXT_MAX];
        struct host_view host;
        struct vm_view vm;
        json_t *s, *list;

        s = json_status(manager);
        assert_int_equal(json_array_size(json_object_get(s, "nodes")), 0);
        json_decref(s);
        invent_nodes(manager);
        s = json_status(manager);
        list = json_object_get(s, "nodes");
        assert_types(list);
        assert_int_equal(json_array_size(list), 2);
        assert_int_equal(integer(json_array_get(list, 0), "node"), 0);
        assert_int_equal(integer(json_array_get(list, 0), "capacity_bytes"), 6 * GIB);
        assert_int_equal(integer(json_array_get(list, 0), "committed_bytes"), 5 * GIB);
        assert_int_equal(integer(json_array_get(list, 0), "vms"), 2);
        assert_int_equal(integer(json_array_get(list, 1), "node"), 2);
        assert_int_equal(integer(json_array_get(list, 1), "available_bytes"), 5 * GIB);
        assert_true(json_is_null(json_object_get(json_array_get(list, 1), "capacity_bytes"))); /* nobody is bound there: nothing is reckoned */
        json_decref(s);
        s = json_show(manager, STUB_WEB);
        assert_string_equal(text(s, "nodes"), "0");
        json_decref(s);
        s = json_show(manager, STUB_DB);
        assert_true(json_is_null(json_object_get(s, "nodes")));
        json_decref(s);

        manager_view_host(manager, &host);
        manager_view_vm(manager, STUB_WEB, &vm);
        policy->plan.reason = POLICY_REASON_NODE;
        assert_non_null(strstr(explain_vm(&host, &vm, sentence), "bound to NUMA node 0, where the VMs that are so may have 6 GiB together"));
        policy->plan.reason = POLICY_REASON_FUNDS;
        set->deficit_bytes = GIB;
        stub_manager_plan(manager)->deficit_bytes = 0;
        assert_non_null(strstr(explain_vm(&host, &vm, sentence), "NUMA node 0, which it is bound to, has promised 1 GiB more"));
        assert_non_null(strstr(explain_weakness(&host, POLICY_WEAK_UNSAFE, sentence), "bound to NUMA node 0 can take 1 GiB more"));
        assert_non_null(strstr(sentence, "memory is being taken back"));
        host.automation = AUTOMATION_PAUSED;
        assert_null(strstr(explain_weakness(&host, POLICY_WEAK_UNSAFE, sentence), "taken back"));
        set->deficit_bytes = 0;
        stub_manager_plan(manager)->resident_deficit_bytes = 2 * GIB;
        assert_non_null(strstr(explain_weakness(&host, POLICY_WEAK_UNSAFE, sentence), "what cannot be swapped can take 2 GiB more"));
        set->floors_fit = false;
        set->floors_bytes = 7 * GIB;
        stub_manager_plan(manager)->floors_fit = true;
        assert_non_null(strstr(explain_weakness(&host, POLICY_WEAK_FLOORS, sentence), "come to 7 GiB, but it can bear 6 GiB"));
        stub_manager_free(manager);

        assert_string_equal(nodes_to_string(0, nodes), "");
        assert_string_equal(nodes_to_string(0xb0f, nodes), "0-3,8-9,11");
        assert_string_equal(nodes_to_string(UINT64_C(1) << 63, nodes), "63");
        assert_string_equal(nodes_to_string(UINT64_MAX, nodes), "0-63");
        assert_true(strlen(nodes_to_string(UINT64_C(0xaaaaaaaaaaaaaaaa), nodes)) < NODES_TEXT_MAX - 1);
}

static void test_put(void **state) {
        struct put put = put_new();
        json_t *o;

        put_text(&put, "bad", "a\xff" "b\xc3");
        put_text(&put, "none", NULL);
        put_count(&put, "large", UINT64_MAX - 1);
        put_fraction(&put, "by_zero", 1, 0);
        put_usec(&put, "half", USEC_PER_SEC / 2);
        o = put_end(&put);
        assert_string_equal(text(o, "bad"), "a?b?");
        assert_true(json_is_null(json_object_get(o, "none")));
        assert_true(integer(o, "large") == INT64_MAX);
        assert_true(json_is_null(json_object_get(o, "by_zero")));
        assert_true(json_real_value(json_object_get(o, "half")) == 0.5);
        json_decref(o);

        put = put_new();
        put_value(&put, "x", NULL); /* as when there is no memory */
        put_count(&put, "y", 1);
        assert_null(put_end(&put));
}

/* What is cut within a character, or no UTF-8 at all, costs its own bytes, not what is around them, nor the reply. */
static void test_texts_that_are_no_utf8(void **state) {
        static const char *const texts[][2] = {
                { "\xe8\x99\x9b\xe6\x93", "\xe8\x99\x9b??" }, { "\xc3\xbc\xc0\x80", "\xc3\xbc??" }, { "\xe0\x80\x80", "???" },
                { "\xed\xa0\x80\xed\x9f\xbf", "???\xed\x9f\xbf" }, { "\xf4\x8f\xbf\xbf\xf4\x90\x80\x80", "\xf4\x8f\xbf\xbf????" },
                { "\xf0\x8f\x80\x80", "????" },
        };
        struct put_list list = put_list_new();
        json_t *sentences;

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                put_sentence(&list, "%s", texts[i][0]);
        sentences = put_list_end(&list);
        assert_int_equal(json_array_size(sentences), ARRAY_SIZE(texts));
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                assert_string_equal(json_string_value(json_array_get(sentences, i)), texts[i][1]);
        json_decref(sentences);
}

/* A sentence has 128 bytes of a name; of 50 characters with 3 bytes each, the 43rd is cut. */
static void test_whatif_of_a_long_name(void **state) {
        struct manager *manager = stub_manager_new(0);
        const size_t web = STUB_WEB;
        struct whatif_question request = { .swap_total_bytes = AEROSTAT_UNKNOWN, .bursts = &web, .n_bursts = 1 };
        _cleanup_(whatif_answer_done) struct whatif_answer what;
        char name[151], error[VIEW_ERROR_MAX], wanted[160];
        json_t *reply, *sentence;
        bool found = false;
        size_t i;

        for (i = 0; i < 50; i++)
                memcpy(name + 3 * i, "\xe8\x99\x9b", 4);
        stub_manager_rename(manager, STUB_WEB, name);
        snprintf(wanted, sizeof(wanted), "\"%.126s??\"", name);
        assert_int_equal(manager_whatif(manager, &request, &what, error), 0);
        reply = json_whatif(manager, &request, &what);
        assert_non_null(reply);
        json_array_foreach(json_object_get(reply, "sentences"), i, sentence)
                found |= strstr(json_string_value(sentence), wanted) != NULL;
        assert_true(found);
        json_decref(reply);
        stub_manager_free(manager);
}

/* The description says what is there: every method and every member. */
static void test_description(void **state) {
        struct manager *manager = stub_manager_new(0);
        struct whatif_question request = { .swap_total_bytes = AEROSTAT_UNKNOWN };
        _cleanup_(whatif_answer_done) struct whatif_answer what;
        char error[VIEW_ERROR_MAX];
        int r = manager_whatif(manager, &request, &what, error);
        json_t *whatif = r < 0 ? NULL : json_whatif(manager, &request, &what);
        json_t *replies[] = { json_status(manager), json_show(manager, STUB_WEB), json_explain(manager, STUB_WEB),
                              json_incref(json_object_get(whatif, "now")), json_incref(json_array_get(json_object_get(whatif, "vms"), 0)), whatif,
                              json_report(manager, clock_realtime_usec() / USEC_PER_SEC, 86400, GIB) };
        char wanted[96];
        const char *key;
        json_t *value;

        assert_non_null(strstr(control_interface_description, "\ninterface org.aerostat.Host\n"));
        for (size_t i = 0; i < control_n_methods; i++) {
                snprintf(wanted, sizeof(wanted), "\nmethod %s(", control_methods[i].name);
                if (!strstr(control_interface_description, wanted))
                        fail_msg("%s is not described", control_methods[i].name);
        }
        for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
                json_object_foreach(replies[i], key, value) {
                        snprintf(wanted, sizeof(wanted), " %s: ", key);
                        if (!strstr(control_interface_description, wanted))
                                fail_msg("%s is not described", key);
                }
                json_decref(replies[i]);
        }
        stub_manager_free(manager);
}

static mode_t mode_of(const char *path) {
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        return st.st_mode & 07777;
}

static void test_socket(void **state) {
        char folder[] = "/tmp/aerostat-test-XXXXXX", path[64], lock[72], metrics[64], error[CONTROL_ERROR_MAX];
        struct manager *manager = stub_manager_new(0);
        struct control *control, *second;
        sd_event *event;

        assert_non_null(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/s", folder);
        snprintf(lock, sizeof(lock), "%s.lock", path);
        assert_int_equal(sd_event_new(&event), 0);
        assert_int_equal(control_new(&control, event, manager, path, error), 0);
        assert_int_equal(control_new(&second, event, manager, path, error), -EADDRINUSE);
        assert_non_null(strstr(error, "another aerostatd is running"));
        strcpy(stub_manager_settings(manager)->control_group, "no-such-group-here");
        assert_int_equal(control_reload(control, error), 1);
        assert_non_null(strstr(error, "no-such-group-here"));
        strcpy(stub_manager_settings(manager)->control_group, "root");
        assert_int_equal(control_reload(control, error), 0);
        /* A reload narrows every socket, not the first alone. */
        snprintf(metrics, sizeof(metrics), "%s/m", folder);
        snprintf(stub_manager_settings(manager)->metrics_listen, SETTINGS_TEXT_MAX, "unix:%s", metrics);
        stub_manager_settings(manager)->control_read = SETTINGS_READ_EVERYONE;
        assert_int_equal(control_reload(control, error), 0);
        assert_int_equal(mode_of(path), 0666);
        assert_int_equal(mode_of(metrics), 0666);
        stub_manager_settings(manager)->control_read = SETTINGS_READ_GROUP;
        assert_int_equal(control_reload(control, error), 0);
        assert_int_equal(mode_of(path), 0660);
        assert_int_equal(mode_of(metrics), 0660);
        control_free(control);
        control_free(NULL);
        snprintf(metrics, sizeof(metrics), "%s/m.lock", folder);
        unlink(metrics);
        sd_event_unref(event);
        unlink(lock);
        assert_int_equal(rmdir(folder), 0);
        stub_manager_free(manager);
}

/* What a list costs the daemon's loop. */
static void test_thousand(void **state) {
        struct manager *manager = stub_manager_new(1000);
        struct timespec before, after;
        json_t *list;
        char *bytes;

        clock_gettime(CLOCK_MONOTONIC, &before);
        list = json_list(manager);
        bytes = json_dumps(list, JSON_COMPACT);
        clock_gettime(CLOCK_MONOTONIC, &after);
        print_message("list of 1,000 VMs: %zu bytes in %.1f ms\n", strlen(bytes),
                      (double) (after.tv_sec - before.tv_sec) * 1e3 + (double) (after.tv_nsec - before.tv_nsec) / 1e6);
        assert_int_equal(json_array_size(json_object_get(list, "vms")), 1000);
        free(bytes);
        json_decref(list);
        stub_manager_free(manager);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_status),        cmocka_unit_test(test_unknown_is_null),
                cmocka_unit_test(test_list_and_show), cmocka_unit_test(test_explanations),
                cmocka_unit_test(test_nodes),
                cmocka_unit_test(test_put),           cmocka_unit_test(test_description),
                cmocka_unit_test(test_texts_that_are_no_utf8), cmocka_unit_test(test_whatif_of_a_long_name),
                cmocka_unit_test(test_socket),        cmocka_unit_test(test_thousand),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
