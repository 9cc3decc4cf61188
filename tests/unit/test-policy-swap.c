/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include "host-agent/policy/swap.h"
#include "protocol/units.h"

static struct swap_input input(void) {
        return (struct swap_input) {
                .now_usec = USEC_PER_HOUR, .enforce = true, .total_bytes = 1000 * MIB, .used_bytes = 0,
                .ceiling_ppm = 300000, .available_bytes = 2 * GIB, .reserve_bytes = GIB,
        };
}

static void tick(struct swap_input *in, struct swap_state *s, struct swap_plan *p, unsigned seconds) {
        for (unsigned i = 0; i < seconds; i++) {
                in->now_usec += USEC_PER_SEC;
                swap_decide(in, s, p);
        }
}

static void test_armed_from_the_start(void **state) {
        struct swap_input in = input();
        struct swap_state s = { 0 };
        struct swap_plan p;

        swap_decide(&in, &s, &p);
        assert_int_equal(p.limit_bytes, 300 * MIB);
        assert_int_equal(p.ceiling_bytes, 300 * MIB);
        assert_false(p.above_ceiling);
        in.zram_bytes = 50 * MIB; /* the kernel counts it in the same limit */
        in.used_bytes = in.vms_bytes = 300 * MIB + 1;
        tick(&in, &s, &p, 1);
        assert_int_equal(p.limit_bytes, 350 * MIB);
        in.used_bytes += 100 * MIB; /* others' */
        tick(&in, &s, &p, 1);
        assert_int_equal(p.limit_bytes, 250 * MIB);
        in.zswap_bytes = GIB;
        tick(&in, &s, &p, 1);
        assert_int_equal(p.limit_bytes, 50 * MIB);
        assert_true(p.above_ceiling);
        in.enforce = false;
        tick(&in, &s, &p, 1);
        assert_true(p.limit_bytes == AEROSTAT_UNKNOWN);
        in.enforce = true;
        in.total_bytes = in.used_bytes = in.zram_bytes = 0; /* no swap at all */
        tick(&in, &s, &p, 1);
        assert_int_equal(p.limit_bytes, 0);
}

static void test_survival(void **state) {
        struct swap_input in = input();
        struct swap_state s = { 0 };
        struct swap_plan p;

        in.available_bytes = in.reserve_bytes * 16 / 100 - 1;
        in.vms_bytes = in.used_bytes = 200 * MIB; /* memory is gone, but the limit holds nobody back */
        swap_decide(&in, &s, &p);
        assert_int_equal(p.lift_bytes, 0);
        for (unsigned i = 1; i <= 4; i++) {
                in.vms_bytes = in.used_bytes = (i == 1 ? 300 : 300 + 64 * (i - 1)) * MIB; /* VMs follow the limit */
                tick(&in, &s, &p, 1);
                assert_int_equal(p.lift_bytes, 64 * i * MIB);
                assert_int_equal(p.limit_bytes, (300 + 64 * i) * MIB);
        }
        in.vms_bytes = in.used_bytes = 1000 * MIB;
        in.soft = true; /* on v1 the limit is a brake */
        tick(&in, &s, &p, 1);
        assert_int_equal(p.limit_bytes, 300 * MIB);
        in.soft = false;
        tick(&in, &s, &p, 100);
        assert_int_equal(p.limit_bytes, 1000 * MIB); /* all there is, and no more */
        assert_true(p.above_ceiling);

        in.available_bytes = in.reserve_bytes * 30 / 100; /* better, but not clear: it stays */
        tick(&in, &s, &p, 600);
        assert_int_equal(p.limit_bytes, 1000 * MIB);
        in.available_bytes = in.reserve_bytes;
        tick(&in, &s, &p, 29);
        assert_int_equal(p.limit_bytes, 1000 * MIB);
        tick(&in, &s, &p, 2);
        assert_int_equal(p.limit_bytes, 936 * MIB);
        tick(&in, &s, &p, 60);
        assert_int_equal(p.limit_bytes, 300 * MIB); /* what is in swap stays there, but no more comes */
        assert_int_equal(p.lift_bytes, 0);
}

/* A burst is faster than a decision a second: what is to come counts. */
static void test_survival_in_time(void **state) {
        struct swap_input in = input();
        struct swap_state s = { 0 };
        struct swap_plan p;

        in.available_bytes = 900 * MIB;
        in.vms_bytes = in.used_bytes = 250 * MIB;
        assert_true(swap_is_urgent(&in));
        swap_decide(&in, &s, &p);
        assert_int_equal(p.lift_bytes, 0);
        in.now_usec += 100 * USEC_PER_MSEC;
        in.available_bytes = 700 * MIB; /* nothing in 350 ms */
        in.vms_bytes = in.used_bytes = 260 * MIB; /* 310 MiB in half a second */
        swap_decide(&in, &s, &p);
        assert_int_equal(p.lift_bytes, 0); /* perhaps a jump */
        in.now_usec += 100 * USEC_PER_MSEC;
        in.available_bytes = 550 * MIB;
        in.vms_bytes = in.used_bytes = 270 * MIB;
        swap_decide(&in, &s, &p);
        assert_int_equal(p.lift_bytes, 64 * MIB);
        s = (struct swap_state) { 0 };
        in.vms_bytes = in.used_bytes = 100 * MIB; /* far from the limit */
        assert_false(swap_is_urgent(&in));
        swap_decide(&in, &s, &p);
        in.now_usec += 100 * USEC_PER_MSEC;
        in.available_bytes = 500 * MIB;
        swap_decide(&in, &s, &p);
        assert_int_equal(p.lift_bytes, 0);
}

/* Seen in the lab: reclaim runs ahead by 10 MiB and more at once. What is in swap then is free in memory, and nobody has taken it. */
static void test_reclaim_is_no_burst(void **state) {
        static const uint64_t seen[][2] = { { 108900, 7500 }, { 119300, 14400 }, { 127800, 19800 }, { 126000, 9000 } }; /* KiB swapped, available */
        struct swap_input in = input();
        struct swap_state s = { 0 };
        struct swap_plan p;

        in.total_bytes = 512 * MIB;
        in.reserve_bytes = 64 * MIB;
        for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
                in.vms_bytes = in.used_bytes = seen[i][0] * 1024;
                in.available_bytes = seen[i][1] * 1024;
                swap_decide(&in, &s, &p);
                assert_int_equal(p.lift_bytes, 0);
                in.now_usec += 110 * USEC_PER_MSEC;
        }
}

/* With shares the sum of all says little: what counts is whether anybody can still swap. */
static void test_survival_with_shares(void **state) {
        struct swap_vm vms[] = {
                { .weight = 1000, .swap_bytes = 1228 * MIB, .resident_bytes = 4 * GIB }, /* at its share */
                { .weight = 1000, .resident_bytes = 512 * MIB },
        };
        struct swap_input in = input();
        struct swap_state s = { 0 };
        struct swap_plan p;

        in.total_bytes = 8 * GIB;
        in.vms = vms;
        in.n_vms = ARRAY_SIZE(vms);
        in.vms_bytes = in.used_bytes = 1228 * MIB;
        assert_false(swap_is_urgent(&in)); /* memory is there */
        in.available_bytes = 0;
        assert_true(swap_is_urgent(&in));
        swap_decide(&in, &s, &p);
        assert_int_equal(p.lift_bytes, 0); /* the other one can still swap */
        vms[1].swap_bytes = 500 * MIB;
        vms[1].resident_bytes = 12 * MIB;
        in.vms_bytes = in.used_bytes = 1728 * MIB; /* 70 % of the limit of all */
        tick(&in, &s, &p, 1);
        assert_int_equal(p.lift_bytes, in.total_bytes / 20);
        assert_int_equal(p.limit_bytes, p.ceiling_bytes + p.lift_bytes);
        vms[0].swap_bytes = in.vms_bytes = in.used_bytes = 8 * GIB; /* until a share is all of swap */
        vms[1].swap_bytes = 0;
        tick(&in, &s, &p, 100);
        assert_int_equal(p.limit_bytes, 8 * GIB);
        assert_int_equal(swap_share(p.limit_bytes, p.lift_bytes, 0, 2000, 2), 8 * GIB);

        s = (struct swap_state) { 0 }; /* a VM that has no share at all, beside one that is far from its own and cannot swap */
        in.vms_bytes = in.used_bytes = vms[0].swap_bytes = 0;
        vms[0].weight = 0;
        vms[1].resident_bytes = 0;
        assert_true(swap_is_urgent(&in));
        tick(&in, &s, &p, 1);
        assert_true(p.lift_bytes > 0);
}

/* The kernel counts zram and disks together, the ceiling is for disks. */
static void test_zram_beside_disks(void **state) {
        struct swap_input in = input();
        struct swap_state s = { 0 };
        struct swap_plan p;

        in.total_bytes = 10 * GIB;
        in.zram_bytes = 4 * GIB;
        in.vms_bytes = in.zram_used_bytes = 3 * GIB; /* nothing on disk */
        in.available_bytes = 0;
        assert_false(swap_is_urgent(&in));
        tick(&in, &s, &p, 1);
        assert_int_equal(p.lift_bytes, 0);
        assert_int_equal(p.limit_bytes, 7 * GIB);
        in.zram_used_bytes = 4 * GIB;
        in.vms_bytes = 7 * GIB;
        in.used_bytes = 3 * GIB; /* now the limit holds them back */
        assert_true(swap_is_urgent(&in));
        tick(&in, &s, &p, 1);
        assert_true(p.lift_bytes > 0);

        in.vms_bytes = 4 * GIB; /* in zram, and others have 2 GiB on disk, as far as anybody knows */
        in.used_bytes = 2 * GIB;
        tick(&in, &s, &p, 1);
        assert_int_equal(p.allowance_bytes, 3 * GIB - (2 * GIB - swap_on_disk(4 * GIB, 2 * GIB, 4 * GIB)));
        assert_int_equal(swap_on_disk(300 * MIB, 200 * MIB, 400 * MIB), 100 * MIB);
        assert_int_equal(swap_on_disk(600 * MIB, 200 * MIB, 400 * MIB), 200 * MIB); /* VMs have it all */
        assert_int_equal(swap_on_disk(900 * MIB, 200 * MIB, 400 * MIB), 200 * MIB); /* readings of different moments */
        assert_int_equal(swap_on_disk(300 * MIB, 0, 400 * MIB), 0);
        assert_int_equal(swap_on_disk(300 * MIB, 200 * MIB, 0), 300 * MIB);
        assert_int_equal(swap_on_disk(300 * MIB, 200 * MIB, AEROSTAT_UNKNOWN), 300 * MIB);
        assert_int_equal(swap_on_disk(AEROSTAT_UNKNOWN, 200 * MIB, 0), 0);
}

static void test_thrashing(void **state) {
        struct swap_input in = input();
        struct swap_state s = { 0 };
        struct swap_plan p;

        swap_decide(&in, &s, &p);
        for (int i = 0; i < 59; i++) {
                in.in_pages += 201, in.out_pages += 1000;
                tick(&in, &s, &p, 1);
                assert_false(p.thrashing);
        }
        in.in_pages += 201, in.out_pages += 1000;
        tick(&in, &s, &p, 1);
        assert_true(p.thrashing);
        assert_int_equal(p.in_per_sec, 201);
        for (int i = 0; i < 60; i++) { /* a little less: it stays on */
                in.in_pages += 150, in.out_pages += 1000;
                tick(&in, &s, &p, 1);
        }
        assert_true(p.thrashing);
        for (int i = 0; i < 10; i++) {
                in.out_pages += 1000;
                tick(&in, &s, &p, 1);
        }
        assert_false(p.thrashing);
        for (int i = 0; i < 300; i++) { /* out alone is no thrashing */
                in.out_pages += 5000;
                tick(&in, &s, &p, 1);
        }
        assert_false(p.thrashing);
        in.in_pages = AEROSTAT_UNKNOWN;
        tick(&in, &s, &p, 20);
        assert_true(p.in_per_sec == AEROSTAT_UNKNOWN);
}

static void test_shares(void **state) {
        assert_int_equal(swap_share(300 * MIB, 0, 1000, 3000, 3), 100 * MIB);
        assert_int_equal(swap_share(300 * MIB, 0, 0, 3000, 3), 0);
        assert_int_equal(swap_share(300 * MIB, 0, 0, 0, 3), 100 * MIB);
        assert_true(swap_share(AEROSTAT_UNKNOWN, 1, 1, 2, 2) == AEROSTAT_UNKNOWN);
        assert_int_equal(swap_share(100, 0, UINT64_MAX, 1, 1), 100);
        assert_int_equal(swap_share(364 * MIB, 64 * MIB, 1000, 3000, 3), 164 * MIB); /* lifted */
        assert_int_equal(swap_share(364 * MIB, 64 * MIB, 0, 3000, 3), 64 * MIB);
        assert_int_equal(swap_share(GIB, 2 * GIB, 0, 3000, 3), GIB);
}

static void test_v1_swappiness(void **state) {
        assert_int_equal(swap_v1_swappiness(0, 100 * MIB, 60), 60);
        assert_int_equal(swap_v1_swappiness(80 * MIB, 100 * MIB, 60), 60);
        assert_int_equal(swap_v1_swappiness(90 * MIB, 100 * MIB, 60), 30);
        assert_int_equal(swap_v1_swappiness(100 * MIB, 100 * MIB, 60), 1);
        assert_int_equal(swap_v1_swappiness(0, 0, 60), 1);
        assert_int_equal(swap_v1_swappiness(0, 0, 0), 0);
        assert_int_equal(swap_v1_swappiness(UINT64_MAX - 1, AEROSTAT_UNKNOWN, 60), 60);
        assert_int_equal(swap_v1_swappiness(AEROSTAT_UNKNOWN, MIB, 60), 60);
        assert_int_equal(swap_v1_swappiness(AEROSTAT_UNKNOWN, 0, 60), 1);
}

static void test_sizing(void **state) {
        struct swap_sizing_input in = {
                .mode = POLICY_SWAP_BACKED, .overcommit_factor_ppm = 1500000, .ceiling_ppm = 300000, .ksm_credit_ppm = 500000,
                .memory_bytes = 16 * GIB, .capacity_bytes = 14 * GIB, .vms_bytes = 20 * GIB, .ksm_saved_bytes = 3 * GIB, .total_bytes = 8 * GIB,
        };
        struct swap_sizing s;

        swap_size(&in, &s);
        assert_int_equal(s.backed_bytes, 6 * GIB);
        assert_int_equal(s.needed_bytes, 20 * GIB);
        assert_int_equal(s.classic_bytes, 18 * GIB);
        assert_int_equal(s.advised_bytes, 20 * GIB);
        assert_int_equal(s.missing_bytes, 12 * GIB);
        in.mode = POLICY_OPPORTUNISTIC; /* 20 / 1.5 fits the capacity */
        swap_size(&in, &s);
        assert_int_equal(s.needed_bytes, 0);
        assert_int_equal(s.advised_bytes, 18 * GIB);
        in.mode = POLICY_GUARANTEED;
        in.others_bytes = 300 * MIB;
        swap_size(&in, &s);
        assert_int_equal(s.backed_bytes, 3 * GIB / 2);
        assert_int_equal(s.needed_bytes, (3 * GIB / 2 + 300 * MIB) * 10 / 3);
        in.zswap_bytes = 600 * MIB; /* the allowance is less by that, too */
        swap_size(&in, &s);
        assert_int_equal(s.needed_bytes, (3 * GIB / 2 + 900 * MIB) * 10 / 3);
        in.ceiling_ppm = 0;
        swap_size(&in, &s);
        assert_true(s.needed_bytes == AEROSTAT_UNKNOWN);
        assert_int_equal(s.advised_bytes, s.classic_bytes);
        in.memory_bytes = GIB;
        swap_size(&in, &s);
        assert_int_equal(s.classic_bytes, 2 * GIB);
        in.memory_bytes = 64 * GIB;
        swap_size(&in, &s);
        assert_int_equal(s.classic_bytes, 8 * GIB);
}

/* Whatever comes in: the limit is never below the allowance and never beyond all of swap, and it is constant under constant input in the end. */
static void test_any_input(void **state) {
        static const uint64_t values[] = { 0, 1, 300 * MIB, GIB, UINT64_C(1) << 52, UINT64_MAX - 1, UINT64_MAX };
        uint64_t seed = 7, now = 0;
        struct swap_state s = { 0 };

#define ANY (seed = seed * 6364136223846793005 + 1442695040888963407, values[(seed >> 33) % ARRAY_SIZE(values)])
        for (int i = 0; i < 200000; i++) {
                struct swap_vm vms[] = { { .weight = ANY, .swap_bytes = ANY, .resident_bytes = ANY }, { .weight = ANY, .swap_bytes = ANY } };
                struct swap_input in = {
                        .vms = ANY % 2 ? vms : NULL, .n_vms = ARRAY_SIZE(vms),
                        .now_usec = now = u64_add(now, MIN(ANY, USEC_PER_DAY)), .enforce = (seed >> 40) & 1, .vms_bytes = ANY, .zswap_bytes = ANY,
                        .zram_bytes = ANY, .zram_used_bytes = ANY, .total_bytes = ANY, .used_bytes = ANY, .ceiling_ppm = ANY, .available_bytes = ANY, .reserve_bytes = ANY,
                        .in_pages = ANY, .out_pages = ANY,
                };
                struct swap_sizing_input sizing_input = {
                        .mode = (enum policy_mode)(seed % 3), .overcommit_factor_ppm = ANY, .ceiling_ppm = ANY, .ksm_credit_ppm = ANY,
                        .memory_bytes = ANY, .capacity_bytes = ANY, .vms_bytes = ANY, .others_bytes = ANY, .zswap_bytes = ANY, .ksm_saved_bytes = ANY, .total_bytes = ANY,
                };
                struct swap_sizing sizing;
                struct swap_plan p;

                swap_decide(&in, &s, &p);
                assert_true(!in.enforce || p.limit_bytes >= MIN(p.allowance_bytes, UINT64_MAX - 1));
                assert_true(p.lift_bytes <= (in.total_bytes == AEROSTAT_UNKNOWN ? 0 : in.total_bytes));
                swap_size(&sizing_input, &sizing);
                assert_true(sizing.advised_bytes >= sizing.classic_bytes);
        }
#undef ANY
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_armed_from_the_start),
                cmocka_unit_test(test_survival),
                cmocka_unit_test(test_survival_in_time),
                cmocka_unit_test(test_reclaim_is_no_burst),
                cmocka_unit_test(test_survival_with_shares),
                cmocka_unit_test(test_zram_beside_disks),
                cmocka_unit_test(test_thrashing),
                cmocka_unit_test(test_shares),
                cmocka_unit_test(test_v1_swappiness),
                cmocka_unit_test(test_sizing),
                cmocka_unit_test(test_any_input),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
