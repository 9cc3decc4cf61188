/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* VMs whose calls hang, and what goes on meanwhile. */

#include "tests/unit/virt-driver.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/units.h"

static void test_one_hangs(void **state) {
        size_t from = now(), answers;
        uint8_t stuck[16], other[16];
        virDomainPtr a = start_domain("stuck", stuck), b = start_domain("other", other);
        uint64_t begun;

        await(VIRT_EVENT_DOMAIN, stuck, &from);
        from = 0;
        await(VIRT_EVENT_DOMAIN, other, &from);
        run_for(50 * USEC_PER_MSEC);
        hang(stuck);
        assert_int_equal(virt_request_stats(t.virt, stuck), 0);
        run_for(20 * USEC_PER_MSEC);
        begun = now_usec();
        assert_int_equal(virt_request_target(t.virt, stuck, 600 * MIB), 0);
        assert_int_equal(virt_request_target(t.virt, stuck, 700 * MIB), 0);
        assert_int_equal(virt_request_stats(t.virt, stuck), 0);
        assert_int_equal(virt_request_stats(t.virt, stuck), 0);
        assert_int_equal(virt_request_target(t.virt, stuck, 800 * MIB), 0);
        assert_int_equal(virt_request_target(t.virt, other, 512 * MIB), 0);
        await(VIRT_EVENT_TARGET, other, &from);
        assert_true(now_usec() - begun < USEC_PER_SEC);
        await(VIRT_EVENT_SLOW, stuck, &from);
        assert_in_range(now_usec() - begun, 2 * USEC_PER_SEC, 5 * USEC_PER_SEC);
        discovery_list(t.virt); /* a listing does not wait for it either */
        await(VIRT_EVENT_SYNCED, NULL, &from);
        answers = now();
        release_all();
        await(VIRT_EVENT_ANSWERS, stuck, &answers);
        await(VIRT_EVENT_STATS, stuck, &answers);
        assert_int_equal(await(VIRT_EVENT_TARGET, stuck, &answers)->target_bytes, 800 * MIB);
        await(VIRT_EVENT_STATS, stuck, &answers);
        run_for(100 * USEC_PER_MSEC);
        assert_int_equal(n_calls(CALL_TARGET), 2);
        assert_int_equal(n_calls(CALL_STATS), 2);
        from = 0;
        await(VIRT_EVENT_SLOW, stuck, &from);
        assert_false(came(VIRT_EVENT_SLOW, stuck, from));
        stop_domain(a);
        stop_domain(b);
}

/* What libvirt says of a VM whose monitor is held by a call that hangs: a timeout. That is no sign of life. */
static void test_timeout_is_no_answer(void **state) {
        size_t from = now();
        uint8_t uuid[16];

        test_uuid(uuid);
        pthread_mutex_lock(&runner.lock);
        runner.hang_answers_late = true;
        pthread_mutex_unlock(&runner.lock);
        hang(uuid);
        assert_int_equal(virt_request_stats(t.virt, uuid), 0);
        await(VIRT_EVENT_SLOW, uuid, &from);
        release_all();
        assert_int_equal(await(VIRT_EVENT_STATS, uuid, &from)->result, -ETIMEDOUT);
        assert_false(came(VIRT_EVENT_ANSWERS, uuid, 0));
        discovery_list(t.virt); /* libvirtd can describe a VM that hangs */
        await(VIRT_EVENT_DOMAIN, uuid, &from);
        assert_false(came(VIRT_EVENT_ANSWERS, uuid, 0));
        assert_int_equal(virt_request_stats(t.virt, uuid), 0);
        await(VIRT_EVENT_STATS, uuid, &from);
        assert_true(came(VIRT_EVENT_ANSWERS, uuid, 0));
}

/* More VMs hang than there are workers to begin with. */
static void test_many_hang(void **state) {
        enum { N = 40 };
        virDomainPtr domains[N], other;
        uint8_t uuids[N][16], uuid[16];
        size_t from = 0;
        uint64_t begun;

        other = start_domain("fine", uuid);
        await(VIRT_EVENT_DOMAIN, uuid, &from);
        for (int i = 0; i < N; i++) {
                char name[16];

                snprintf(name, sizeof(name), "hangs%d", i);
                domains[i] = start_domain(name, uuids[i]);
        }
        for (int i = 0; i < N; i++) {
                from = 0;
                await(VIRT_EVENT_DOMAIN, uuids[i], &from);
        }
        for (int i = 0; i < N; i++) {
                hang(uuids[i]);
                assert_int_equal(virt_request_stats(t.virt, uuids[i]), 0);
        }
        run_for(20 * USEC_PER_MSEC);
        begun = now_usec();
        assert_int_equal(virt_request_target(t.virt, uuid, 512 * MIB), 0);
        from = 0;
        await(VIRT_EVENT_TARGET, uuid, &from);
        print_message("a target behind %d calls that hang: %llu ms\n", N, (unsigned long long) (now_usec() - begun) / 1000);
        assert_true(now_usec() - begun < USEC_PER_SEC);
        release_all();
        for (int i = 0; i < N; i++) {
                from = 0;
                await(VIRT_EVENT_STATS, uuids[i], &from);
                stop_domain(domains[i]);
        }
        stop_domain(other);
}

/* A VM that stops while a call on it hangs: GONE at once, nothing after that, and it can come back. */
static void test_stops_while_it_hangs(void **state) {
        size_t from = 0;
        uint8_t uuid[16], again[16];
        virDomainPtr domain = start_domain("gone", uuid);
        char xml[512], text[VIR_UUID_STRING_BUFLEN];

        await(VIRT_EVENT_DOMAIN, uuid, &from);
        run_for(50 * USEC_PER_MSEC);
        (void) virDomainGetUUIDString(domain, text);
        hang(uuid);
        assert_int_equal(virt_request_stats(t.virt, uuid), 0);
        assert_int_equal(virt_request_target(t.virt, uuid, 512 * MIB), 0);
        run_for(20 * USEC_PER_MSEC);
        stop_domain(domain);
        await(VIRT_EVENT_GONE, uuid, &from);
        assert_int_equal(virt_request_stats(t.virt, uuid), -ENOENT);
        snprintf(xml, sizeof(xml), "<domain type='test'><name>gone</name><uuid>%s</uuid><memory unit='MiB'>512</memory><os><type>hvm</type>"
                 "</os></domain>", text);
        domain = virDomainCreateXML(driver, xml, 0);
        assert_non_null(domain);
        (void) virDomainGetUUID(domain, again);
        assert_memory_equal(uuid, again, 16);
        run_for(50 * USEC_PER_MSEC);
        release_all();
        assert_int_equal(await(VIRT_EVENT_DOMAIN, uuid, &from)->info.max_bytes, 512 * MIB);
        run_for(50 * USEC_PER_MSEC);
        assert_false(came(VIRT_EVENT_STATS, uuid, 0)); /* asked of the run before */
        assert_false(came(VIRT_EVENT_TARGET, uuid, 0));
        stop_domain(domain);
        await(VIRT_EVENT_GONE, uuid, &from);
}

/* A QEMU that hangs as we start: the others are served, but nobody may take it for gone. */
static void test_hangs_from_the_start(void **state) {
        uint8_t stuck[16], other[16];
        virDomainPtr domain = start_domain("stuck", stuck);
        size_t from = 0, before;

        test_uuid(other);
        await(VIRT_EVENT_DOMAIN, stuck, &from);
        t.virt = virt_free(t.virt);
        from = before = now();
        hang(stuck);
        assert_int_equal(virt_new_with_runner(&t.virt, t.loop, "test:///default", on_event, NULL, run_hooked), 0);
        assert_false(await(VIRT_EVENT_SYNCED, NULL, &from)->complete);
        assert_true(came(VIRT_EVENT_DOMAIN, other, before));
        assert_false(came(VIRT_EVENT_DOMAIN, stuck, before));
        from = now();
        release_all();
        await(VIRT_EVENT_DOMAIN, stuck, &from);
        discovery_list(t.virt);
        assert_true(await(VIRT_EVENT_SYNCED, NULL, &from)->complete);
        stop_domain(domain);
}

static void test_hold(void **state) {
        unsigned before = n_calls(CALL_LIST);
        size_t from = now();

        virt_hold_enumeration(t.virt, true);
        virt_hold_enumeration(t.virt, true);
        discovery_list(t.virt);
        virt_hold_enumeration(t.virt, false);
        run_for(100 * USEC_PER_MSEC);
        assert_int_equal(n_calls(CALL_LIST), before);
        virt_hold_enumeration(t.virt, false);
        await(VIRT_EVENT_SYNCED, NULL, &from);
        assert_int_equal(n_calls(CALL_LIST), before + 1);
}

/* A worker that hangs is left behind; the rest ends, and in bounded time. */
static void test_free_while_it_hangs(void **state) {
        uint8_t uuid[16];
        uint64_t begun;

        test_uuid(uuid);
        hang(uuid);
        assert_int_equal(virt_request_stats(t.virt, uuid), 0);
        run_for(50 * USEC_PER_MSEC);
        begun = now_usec();
        t.virt = virt_free(t.virt);
        assert_true(now_usec() - begun < 4 * USEC_PER_SEC);
        release_all();
        usleep(100000); /* it ends now; the sanitizers look on */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                test(test_one_hangs), test(test_timeout_is_no_answer), test(test_many_hang), test(test_stops_while_it_hangs),
                test(test_hangs_from_the_start), test(test_hold), test(test_free_while_it_hangs),
        };

        return cmocka_run_group_tests(tests, open_driver, close_driver);
}
