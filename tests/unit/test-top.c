/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What `aerostatctl top` shows, and where: order, filter, selection, scrolling, bars, line breaks. The terminal itself: tests/terminal. */

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/units.h"
#include "tools/aerostatctl/text.h"
#include "tools/aerostatctl/top_model.h"
#include "tools/aerostatctl/top_text.h"

struct invented {
        const char *name, *state;
        uint64_t max, actual, demand, available, free; /* MiB; UINT64_MAX: not known */
        double psi;                                   /* negative: not known */
        uint64_t swap;
};

static json_t *mib_or_null(uint64_t mib) {
        return mib == AEROSTAT_UNKNOWN ? json_null() : json_integer((json_int_t) (mib * MIB));
}

static json_t *reply_of(const struct invented *vms, size_t n) {
        json_t *array = json_array();

        for (size_t i = 0; i < n; i++) {
                const struct invented *vm = &vms[i];
                char uuid[UUID_STRING_SIZE];

                snprintf(uuid, sizeof(uuid), "%08x-0000-0000-0000-000000000000", 0xabc00000u + (unsigned char) vm->name[0]);
                json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o}}",
                                                       "name", vm->name, "uuid", uuid, "state", vm->state,
                                                       "max_bytes", mib_or_null(vm->max), "actual_bytes", mib_or_null(vm->actual),
                                                       "demand_bytes", mib_or_null(vm->demand), "swap_bytes", mib_or_null(vm->swap),
                                                       "guest", "available_bytes", mib_or_null(vm->available), "free_bytes", mib_or_null(vm->free),
                                                       "psi_some_ratio", vm->psi < 0 ? json_null() : json_real(vm->psi)));
        }
        return json_pack("{s:o}", "vms", array);
}

static void update(struct top_model *model, const struct invented *vms, size_t n) {
        json_t *reply = reply_of(vms, n);

        assert_true(top_model_update(model, reply));
        json_decref(reply);
}

/* The names shown, in order, with commas between. */
static void assert_shown(const struct top_model *model, const char *expected) {
        char text[512] = "";

        for (size_t i = 0; i < model->n_shown; i++)
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? "," : "", model->shown[i]->name);
        assert_string_equal(text, expected);
}

#define NO AEROSTAT_UNKNOWN
static const struct invented vms[] = {
        { "calm", "managed", 4096, 2048, 1024, 512, 128, 0.001, 0 },
        { "Waits", "managed", 4096, 1024, 1024, 128, 64, 0.12, 7 },
        { "lacks", "managed", 4096, 1024, 3072, 32, 16, 0, 64 },
        { "rogue", "breaching", 2048, 2048, 100, 1024, 512, 0, 0 },
        { "silent", "unknown", 1024, NO, NO, NO, NO, -1, NO },
        { "idle", "managed", 8192, 4096, 1024, 3000, 3000, 0.004, 0 },
};

static void test_order(void **state) {
        struct top_model model = {};

        update(&model, vms, ARRAY_SIZE(vms));
        assert_shown(&model, "rogue,Waits,lacks,calm,idle,silent");
        top_model_sort(&model, TOP_SORT_NAME);
        assert_shown(&model, "Waits,calm,idle,lacks,rogue,silent");
        top_model_sort(&model, TOP_SORT_NAME);
        assert_shown(&model, "silent,rogue,lacks,idle,calm,Waits");
        top_model_sort(&model, TOP_SORT_SWAP); /* equal ones by name */
        assert_shown(&model, "lacks,Waits,calm,idle,rogue,silent");
        top_model_sort(&model, TOP_SORT_ACTUAL);
        assert_shown(&model, "idle,calm,rogue,Waits,lacks,silent");
        top_model_sort(&model, TOP_SORT_DEMAND);
        assert_shown(&model, "lacks,Waits,calm,idle,rogue,silent");
        top_model_sort(&model, TOP_SORT_MAX);
        assert_shown(&model, "idle,Waits,calm,lacks,rogue,silent");
        top_model_sort(&model, TOP_SORT_STATE);
        assert_shown(&model, "rogue,Waits,calm,idle,lacks,silent");
        top_model_done(&model);
}

/* Little changes of pressure leave the rows where they are. */
static void test_calm(void **state) {
        struct invented changed[ARRAY_SIZE(vms)];
        struct top_model model = {};

        memcpy(changed, vms, sizeof(vms));
        changed[5].psi = 0.009;         /* idle, behind calm */
        changed[5].demand = 4196;       /* lacks 100 MiB of 8 GiB */
        update(&model, changed, ARRAY_SIZE(changed));
        assert_shown(&model, "rogue,Waits,lacks,calm,idle,silent");
        changed[5].psi = 0.011;
        update(&model, changed, ARRAY_SIZE(changed));
        assert_shown(&model, "rogue,Waits,idle,lacks,calm,silent");
        top_model_done(&model);
}

static void test_severity(void **state) {
        struct top_model model = {};
        const int expected[] = { 0, 2, 2, 2, 0, 0 };

        update(&model, vms, ARRAY_SIZE(vms));
        for (size_t i = 0; i < ARRAY_SIZE(vms); i++)
                assert_int_equal(top_vm_severity(&model.vms[i]), expected[i]);
        top_model_done(&model);
}

static void test_filter(void **state) {
        struct top_model model = {};

        update(&model, vms, ARRAY_SIZE(vms));
        top_model_filter_add(&model, "L");
        assert_shown(&model, "lacks,calm,idle,silent");
        top_model_filter_add(&model, "a");
        assert_shown(&model, "lacks");
        top_model_filter_back(&model);
        assert_shown(&model, "lacks,calm,idle,silent");
        top_model_filter_clear(&model);
        assert_int_equal(model.n_shown, ARRAY_SIZE(vms));
        top_model_filter_add(&model, "ABC00073-0"); /* a UUID */
        assert_shown(&model, "silent");
        top_model_filter_clear(&model);
        top_model_filter_add(&model, "no such");
        assert_int_equal(model.n_shown, 0);
        assert_null(top_model_selected(&model));
        top_model_move(&model, 1);
        top_model_scroll(&model, 5);
        assert_int_equal(model.selected, 0);
        top_model_filter_clear(&model);
        top_model_filter_add(&model, "\xc3\xbc");
        top_model_filter_back(&model);
        assert_string_equal(model.filter, ""); /* a character, not a byte */
        for (size_t i = 0; i < 2 * TOP_FILTER_MAX; i++)
                top_model_filter_add(&model, "x");
        assert_int_equal(strlen(model.filter), TOP_FILTER_MAX - 1);
        top_model_done(&model);
}

static void test_selection(void **state) {
        struct invented changed[ARRAY_SIZE(vms)];
        struct top_model model = {};

        update(&model, vms, ARRAY_SIZE(vms));
        assert_string_equal(top_model_selected(&model)->name, "rogue");
        top_model_move(&model, 3);
        assert_string_equal(top_model_selected(&model)->name, "calm");
        /* It goes where its VM goes. */
        memcpy(changed, vms, sizeof(vms));
        changed[0].psi = 0.5;
        update(&model, changed, ARRAY_SIZE(changed));
        assert_int_equal(model.selected, 1);
        top_model_sort(&model, TOP_SORT_NAME);
        assert_string_equal(top_model_selected(&model)->name, "calm");
        /* A VM that is gone leaves its place to another. */
        update(&model, vms + 1, ARRAY_SIZE(vms) - 1);
        assert_int_equal(model.selected, 1);
        assert_non_null(top_model_selected(&model));
        /* Beyond the ends; and on top nobody is followed. */
        top_model_move(&model, INT32_MAX);
        assert_int_equal(model.selected, model.n_shown - 1);
        top_model_move(&model, -INT32_MAX);
        assert_int_equal(model.selected, 0);
        assert_string_equal(model.followed, "");
        update(&model, NULL, 0);
        assert_null(top_model_selected(&model));
        top_model_move(&model, 5);
        assert_int_equal(model.selected, 0);
        top_model_done(&model);
}

static void test_scrolling(void **state) {
        struct top_model model = {};

        update(&model, vms, ARRAY_SIZE(vms));
        top_model_scroll(&model, 4);
        assert_int_equal(model.first, 0);
        top_model_move(&model, 4);
        top_model_scroll(&model, 4);
        assert_int_equal(model.first, 1);
        top_model_move(&model, -2);
        top_model_scroll(&model, 4); /* still in sight: nothing moves */
        assert_int_equal(model.first, 1);
        top_model_scroll(&model, 1);
        assert_int_equal(model.first, 2);
        top_model_scroll(&model, 100); /* a larger window wastes no row */
        assert_int_equal(model.first, 0);
        top_model_scroll(&model, 0);
        top_model_done(&model);
}

/* The parts are all of the maximum, whatever a guest claims. */
static void test_parts(void **state) {
        static const struct invented odd[] = {
                { "plain", "managed", 1000, 600, 0, 300, 100, 0, 0 },
                { "claims", "managed", 1000, 600, 0, 9000, 8000, 0, 0 },
                { "grown", "managed", 1000, 5000, 0, 10, 900, 0, 0 },
                { "untold", "managed", 1000, 600, NO, NO, NO, -1, NO },
                { "nothing", "unknown", 1000, NO, NO, 100, 100, -1, NO },
                { "no-free", "managed", 1000, 600, 0, 300, NO, 0, 0 },
        };
        static const uint64_t expected[][_TOP_PARTS] = {
                { 300, 200, 100, 0, 400 }, { 0, 0, 600, 0, 400 }, { 990, 0, 10, 0, 0 },
                { 0, 0, 0, 600, 400 }, { 0, 0, 0, 1000, 0 }, { 300, 300, 0, 0, 400 },
        };
        struct top_model model = {};

        update(&model, odd, ARRAY_SIZE(odd));
        for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
                for (size_t part = 0; part < _TOP_PARTS; part++)
                        assert_int_equal(model.vms[i].parts_bytes[part], expected[i][part] * MIB);
        top_model_done(&model);
}

static void test_names(void **state) {
        static const struct invented hostile[] = { { "a\033[2Jb\nc", "managed", 1, 1, 1, 1, 1, 0, 0 } };
        struct top_model model = {};

        update(&model, hostile, 1);
        assert_string_equal(model.vms[0].name, "a?[2Jb?c");
        top_model_done(&model);
}

/* A reply of another version, or none of ours. */
static void test_strange_replies(void **state) {
        static const char *const texts[] = { "{}", "{\"vms\": 7}", "{\"vms\": [7, null, {}]}",
                                             "{\"vms\": [{\"name\": 1, \"max_bytes\": -5, \"guest\": []}]}" };
        struct top_model model = {};

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                json_t *reply = json_loads(texts[i], 0, NULL);

                assert_true(top_model_update(&model, reply));
                for (size_t vm = 0; vm < model.n_vms; vm++)
                        assert_int_equal(model.vms[vm].max_bytes, AEROSTAT_UNKNOWN);
                json_decref(reply);
        }
        top_model_done(&model);
}

static void test_split(void **state) {
        static const uint64_t parts[] = { 1, 1, 1 }, large[] = { 4 * TIB, 4 * TIB };
        unsigned widths[3];

        top_split(parts, 3, 3, 10, widths);
        assert_int_equal(widths[0], 3);
        assert_int_equal(widths[1], 4);
        assert_int_equal(widths[2], 3);
        top_split(parts, 3, 6, 10, widths); /* half of it */
        assert_int_equal(widths[0] + widths[1] + widths[2], 5);
        top_split(parts, 3, 2, 10, widths); /* more than there is */
        assert_int_equal(widths[0] + widths[1] + widths[2], 10);
        top_split(parts, 3, 0, 10, widths);
        assert_int_equal(widths[0] + widths[1] + widths[2], 0);
        top_split(parts, 3, 3, 0, widths);
        assert_int_equal(widths[0] + widths[1] + widths[2], 0);
        top_split(large, 2, 8 * TIB, 100, widths);
        assert_int_equal(widths[0], 50);
        assert_int_equal(widths[1], 50);
}

static void test_sizes(void **state) {
        static const struct {
                uint64_t bytes;
                const char *text;
        } sizes[] = {
                { 0, "0" }, { AEROSTAT_UNKNOWN, "-" }, { 512 * MIB, "512M" }, { GIB + 920 * MIB, "1.90G" }, { 4 * GIB, "4.00G" },
                { 64 * GIB, "64.0G" }, { 512 * GIB, "512G" }, { 1023 * MIB, "1023M" }, { GIB - 1, "1.00G" }, { 10 * GIB - 1, "10.0G" },
                { 100 * GIB - 1, "100G" }, { 700 * KIB, "700K" }, { 2 * TIB, "2.00T" },
        };
        char buf[TOP_SIZE_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                assert_string_equal(top_size(sizes[i].bytes, buf), sizes[i].text);
                assert_true(strlen(buf) <= 5);
        }
        assert_string_equal(top_percent(AEROSTAT_UNKNOWN, buf), "-");
        assert_string_equal(top_percent(0, buf), "0%");
        assert_string_equal(top_percent(3100, buf), "0.3%");
        assert_string_equal(top_percent(125000, buf), "12%");
        assert_string_equal(top_percent(999999, buf), "100%");
}

static void test_wrap(void **state) {
        size_t skip;

        assert_int_equal(top_wrap("one two three", 8, &skip), 7);
        assert_int_equal(skip, 8);
        assert_int_equal(top_wrap("one two", 7, &skip), 7);
        assert_int_equal(skip, 7);
        assert_int_equal(top_wrap("one two", 3, &skip), 3);
        assert_int_equal(skip, 4);
        assert_int_equal(top_wrap("endless", 3, &skip), 3); /* a word that does not fit is cut */
        assert_int_equal(skip, 3);
        assert_int_equal(top_wrap("\xc3\xbc\xc3\xbc\xc3\xbc", 2, &skip), 4); /* columns, not bytes */
        assert_int_equal(top_wrap("\xc3\xbc", 0, &skip), 2);               /* it always gets on */
        assert_int_equal(skip, 2);
        assert_int_equal(top_wrap("", 5, &skip), 0);
        assert_int_equal(skip, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order),     cmocka_unit_test(test_calm),   cmocka_unit_test(test_severity),
                cmocka_unit_test(test_filter),    cmocka_unit_test(test_selection), cmocka_unit_test(test_scrolling),
                cmocka_unit_test(test_parts),     cmocka_unit_test(test_names),  cmocka_unit_test(test_strange_replies),
                cmocka_unit_test(test_split),     cmocka_unit_test(test_sizes),  cmocka_unit_test(test_wrap),
        };

        setenv("LC_ALL", "C.UTF-8", 1);
        text_init();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
