/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "guest-agent/sample.h"
#include "protocol/base.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define FIXTURES TOP_SRCDIR "/tests/unit/fixtures/"

static struct sampler sampler;

static struct message_report sample(const char *tree) {
        struct message_report report;

        assert_int_equal(sampler_open(&sampler, tree), 0);
        sampler.page_size_bytes = 4096; /* the fixtures' */
        assert_int_equal(sampler_report(&sampler, &report), 0);
        return report;
}

static void test_everything(void **state) {
        struct message_report r = sample(FIXTURES "guest-linux-6.18");
        struct message_hello_ack identity;
        uint8_t boot_id[16];
        uint64_t total, available;
        char uuid[UUID_STRING_SIZE];

        assert_int_equal(r.total_bytes, 1010372 * KIB);
        assert_int_equal(r.available_bytes, 702116 * KIB);
        assert_int_equal(r.free_bytes, 161204 * KIB);
        assert_int_equal(r.cache_bytes, (563200 + 20480 - 10240) * KIB);
        assert_int_equal(r.shmem_bytes, 10240 * KIB);
        assert_int_equal(r.anon_bytes, 118784 * KIB);
        assert_int_equal(r.dirty_bytes, 1500 * KIB);
        assert_int_equal(r.mlocked_bytes, 11560 * KIB);
        assert_int_equal(r.slab_reclaimable_bytes, 40960 * KIB);
        assert_int_equal(r.hugetlb_bytes, 16384 * KIB);
        assert_int_equal(r.swap_total_bytes, 524284 * KIB);
        assert_int_equal(r.swap_free_bytes, 512000 * KIB);
        assert_int_equal(r.balloon_bytes, 256 * MIB);
        assert_int_equal(r.arc_reclaimable_bytes, 96 * MIB);
        assert_int_equal(r.zram_disk_bytes, 768 * MIB);
        assert_int_equal(r.zram_used_bytes, 5 * MIB);
        assert_int_equal(r.swap_in_bytes, 100 * 4096);
        assert_int_equal(r.swap_out_bytes, 3171 * 4096);
        assert_int_equal(r.refault_file_bytes, 4711 * 4096);
        assert_int_equal(r.refault_anon_bytes, 90 * 4096);
        assert_int_equal(r.major_faults, 1234);
        assert_int_equal(r.oom_kills, 2);
        assert_int_equal(r.alloc_stalls, 12);
        assert_int_equal(r.psi_some_total_usec, 5871234);
        assert_int_equal(r.psi_full_avg10_ppm, 4100);

        assert_int_equal(sampler_look(&sampler, &total, &available), 0);
        assert_int_equal(total, r.total_bytes);
        assert_int_equal(available, r.available_bytes);
        sampler_boot_id(&sampler, boot_id);
        assert_string_equal(format_uuid(boot_id, uuid), "c7a5fdbd-edaf-4455-926a-d65c16db1809");
        assert_int_equal(sampler_identity(&sampler, &identity), 0);
        assert_int_equal(identity.features, MESSAGE_FEATURE_PSI | MESSAGE_FEATURE_BALLOON);
        assert_int_equal(identity.memory_total_bytes, r.total_bytes);
        assert_string_equal(identity.agent_version, PACKAGE_VERSION);
        sampler_close(&sampler);
}

static void test_older_kernels(void **state) {
        struct message_report r = sample(FIXTURES "guest-linux-6.1");

        /* Without "Balloon:" the counters say it; the same guest. */
        assert_int_equal(r.balloon_bytes, 256 * MIB);
        assert_true(r.arc_reclaimable_bytes == AEROSTAT_UNKNOWN);
        assert_true(r.zram_disk_bytes == AEROSTAT_UNKNOWN);
        assert_true(r.zram_used_bytes == AEROSTAT_UNKNOWN);
        sampler_close(&sampler);

        r = sample(FIXTURES "guest-linux-4.19");
        assert_int_equal(r.balloon_bytes, 256 * MIB);
        assert_int_equal(r.refault_file_bytes, 4711 * 4096);
        assert_true(r.refault_anon_bytes == AEROSTAT_UNKNOWN);
        assert_true(r.psi_some_total_usec == AEROSTAT_UNKNOWN);
        assert_true(r.hugetlb_bytes == AEROSTAT_UNKNOWN);
        sampler_close(&sampler);

        r = sample(FIXTURES "guest-linux-3.10");
        assert_int_equal(r.swap_total_bytes, 0);
        assert_true(r.balloon_bytes == AEROSTAT_UNKNOWN);
        assert_true(r.oom_kills == AEROSTAT_UNKNOWN);
        assert_int_equal(r.alloc_stalls, 12);
        sampler_close(&sampler);
}

static void test_bare_minimum(void **state) {
        struct message_report r = sample(FIXTURES "guest-minimal");
        struct message_hello_ack identity;
        uint8_t a[16], b[16];
        size_t known = 0;

        for (size_t i = 0; i < n_report_fields; i++)
                known += *(uint64_t *) (void *) ((char *) &r + report_fields[i].offset) != AEROSTAT_UNKNOWN;
        assert_int_equal(known, 4); /* reason, total, available, free */
        assert_int_equal(sampler_identity(&sampler, &identity), 0);
        assert_int_equal(identity.features, 0);
        /* Without a boot id each start is a boot of its own. */
        sampler_boot_id(&sampler, a);
        sampler_boot_id(&sampler, b);
        assert_memory_not_equal(a, b, 16);
        sampler_close(&sampler);
}

static void test_nothing_there(void **state) {
        assert_int_equal(sampler_open(&sampler, FIXTURES "no-such-tree"), -ENOENT);
        assert_int_equal(sampler_open(&sampler, FIXTURES), -ENOENT);
}

/* A tree of its own, for contents that no kernel has. */
static void write_meminfo(const char *dir, const char *text) {
        char path[64];
        FILE *f;

        snprintf(path, sizeof(path), "%s/proc/meminfo", dir);
        f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void test_impossible_numbers(void **state) {
        char dir[] = "/tmp/aerostat-test-XXXXXX", path[64];
        struct message_report r;
        uint64_t total, available;

        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/proc", dir);
        assert_int_equal(mkdir(path, 0700), 0);
        /* More available than there is; a size that no wire can carry. */
        write_meminfo(dir, "MemTotal: 100 kB\nMemFree: 5 kB\nMemAvailable: 200 kB\nDirty: 9007199254740992 kB\nWriteback: 1 kB\n");
        r = sample(dir);
        assert_int_equal(r.available_bytes, 100 * KIB);
        assert_true(r.dirty_bytes == AEROSTAT_UNKNOWN);
        /* The file changes under us. */
        write_meminfo(dir, "MemTotal: 0 kB\nMemFree: 5 kB\nMemAvailable: 200 kB\n");
        assert_int_equal(sampler_look(&sampler, &total, &available), -EBADMSG);
        write_meminfo(dir, "MemTotal: 9007199254740992 kB\nMemFree: 5 kB\nMemAvailable: 200 kB\n");
        assert_int_equal(sampler_report(&sampler, &r), -EBADMSG);
        write_meminfo(dir, "nonsense");
        assert_int_equal(sampler_report(&sampler, &r), -EBADMSG);
        sampler_close(&sampler);
        snprintf(path, sizeof(path), "%s/proc/meminfo", dir);
        unlink(path);
        snprintf(path, sizeof(path), "%s/proc", dir);
        rmdir(path);
        rmdir(dir);
}

/* Whatever this machine is, its own numbers make a message that can be sent. */
static void test_this_machine(void **state) {
        struct frame frame = { 0 };
        uint8_t buf[FRAME_SIZE_MAX];
        size_t n;

        if (sampler_open(&sampler, "/") < 0)
                skip();
        sampler_close(&sampler);
        assert_int_equal(message_encode(&frame, &(struct message) { .type = MESSAGE_REPORT, .report = sample("/") }, buf, sizeof(buf), &n), 0);
        sampler_close(&sampler);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_everything), cmocka_unit_test(test_older_kernels), cmocka_unit_test(test_bare_minimum),
                cmocka_unit_test(test_nothing_there), cmocka_unit_test(test_impossible_numbers), cmocka_unit_test(test_this_machine),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
