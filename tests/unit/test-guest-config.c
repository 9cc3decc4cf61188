/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "guest-agent/config.h"
#include "guest-agent/port.h"
#include "guest-agent/zram.h"
#include "protocol/base.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

static char error[CONFIG_ERROR_MAX];

static void assert_config_equal(const struct config *a, const struct config *b) {
        assert_string_equal(a->port, b->port);
        assert_int_equal(a->psi_stall_usec, b->psi_stall_usec);
        assert_int_equal(a->psi_window_usec, b->psi_window_usec);
        assert_int_equal(a->oom_score_adj, b->oom_score_adj);
        assert_int_equal(a->lock_memory, b->lock_memory);
        assert_int_equal(a->log_level, b->log_level);
        assert_int_equal(a->zram_enabled, b->zram_enabled);
        assert_true(a->zram_size_bytes == b->zram_size_bytes);
        assert_true(a->zram_size_ppm == b->zram_size_ppm);
}

static void test_defaults(void **state) {
        struct config config, parsed;

        config_init(&config);
        assert_string_equal(config.port, PORT_NAME_DEFAULT);
        assert_int_equal(config_parse("", "x", &parsed, error), 0);
        assert_config_equal(&config, &parsed);
        assert_int_equal(config_parse("# nothing\n\n[agent]\n; but comments", "x", &parsed, error), 0);
        assert_config_equal(&config, &parsed);
}

static void test_all_keys(void **state) {
        struct config config;

        assert_int_equal(config_parse("[agent]\n"
                                      "port = /dev/vport1p1\n"
                                      "psi-stall=50ms\n"
                                      "psi-window = 2s   ; a comment\n"
                                      "oom-score-adj = -1000\n"
                                      "lock-memory = no\n"
                                      "log-level = debug\n",
                                      "x", &config, error), 0);
        assert_string_equal(config.port, "/dev/vport1p1");
        assert_int_equal(config.psi_stall_usec, 50 * USEC_PER_MSEC);
        assert_int_equal(config.psi_window_usec, 2 * USEC_PER_SEC);
        assert_int_equal(config.oom_score_adj, -1000);
        assert_false(config.lock_memory);
        assert_int_equal(config.log_level, LOG_LEVEL_DEBUG);
}

static void test_zram(void **state) {
        struct config config;

        config_init(&config);
        assert_false(config.zram_enabled);
        assert_int_equal(config_parse("[zram]\nenabled = yes\nsize = 50%\n[agent]\nlock-memory = no\n", "x", &config, error), 0);
        assert_true(config.zram_enabled);
        assert_int_equal(config.zram_size_ppm, 500000);
        assert_int_equal(config_parse("[zram]\nsize = 256M\n", "x", &config, error), 0);
        assert_int_equal(config.zram_size_bytes, 256 * MIB);
        assert_true(config.zram_size_ppm == AEROSTAT_UNKNOWN);
        assert_int_equal(config_parse("[zram]\nsize = 0%\n", "f", &config, error), -EINVAL);
        assert_string_equal(error, "f:2: size = '0%' is not a share of memory from 1% to 200%, or a size such as 256M");
        assert_int_equal(config_parse("[zram]\nlock-memory = no\n", "f", &config, error), -EINVAL);
        assert_string_equal(error, "f:2: unknown key 'lock-memory' in [zram]");
        assert_int_equal(config_parse("[zram]\nsise = 5%\n", "f", &config, error), -EINVAL);
        assert_string_equal(error, "f:2: unknown key 'sise' in [zram]; did you mean 'size'?");
}

static void test_zram_swaps(void **state) {
        static const char heading[] = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        unsigned index = 77;
        char text[512];

        assert_int_equal(zram_parse_swaps("", &index), 0);
        assert_int_equal(zram_parse_swaps(heading, &index), 0);
        snprintf(text, sizeof(text), "%s/dev/vda2 partition 1 0 -2\n", heading);
        assert_int_equal(zram_parse_swaps(text, &index), 1);
        assert_int_equal(index, 77);
        snprintf(text, sizeof(text), "%s/dev/zram3 partition 1 0 100\n", heading);
        assert_int_equal(zram_parse_swaps(text, &index), 2);
        assert_int_equal(index, 3);
        snprintf(text, sizeof(text), "%s/swap file 1 0 -2\n/dev/zram4 partition 1 0 100\n", heading);
        assert_int_equal(zram_parse_swaps(text, &index), 2); /* one that stayed is taken over also where there is other swap by now */
        assert_int_equal(index, 4);
}

static void test_zram_fits(void **state) {
#define ZRAM "/dev/zram3                              partition\t262140\t\t204800\t\t100\n" /* 200 MiB in it */
        static const struct {
                const char *swaps;
                uint64_t available_bytes, used_bytes, room_bytes;
                bool fits;
        } cases[] = {
                { ZRAM, 50 * MIB, 200 * MIB, 18 * MIB, false }, /* squeezed: swapoff() would have to kill */
                { ZRAM, 20 * MIB, 200 * MIB, 0, false },
                { ZRAM, 232 * MIB - 1, 200 * MIB, 200 * MIB - 1, false },
                { ZRAM, 232 * MIB, 200 * MIB, 200 * MIB, true },
                { ZRAM "/swap file 307200 102400 -2\n", 50 * MIB, 200 * MIB, 218 * MIB, true },
                { ZRAM "/swap file 307200 204800 -2\n", 50 * MIB, 200 * MIB, 118 * MIB, false },
                { ZRAM "/dev/zram31 partition 524288 0 -2\n", 50 * MIB, 200 * MIB, 18 * MIB, false }, /* is memory, too */
                { "/swap file 307200 0 -2\n" ZRAM, 50 * MIB, 200 * MIB, 318 * MIB, true },
                { "/dev/zram3 partition 262140 0 100\n", 20 * MIB, 0, 0, true },
                { "", 20 * MIB, 0, 0, true }, /* swaps no longer */
                { "/dev/zram3 partition 99999999999999999999 99999999999999999999 100\n", GIB, AEROSTAT_UNKNOWN, GIB - 32 * MIB, false },
                { "/dev/zram3 partition\n", GIB, 0, GIB - 32 * MIB, true },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                uint64_t used, room;
                char text[512];

                snprintf(text, sizeof(text), "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n%s", cases[i].swaps);
                assert_int_equal(zram_fits(text, 3, cases[i].available_bytes, &used, &room), cases[i].fits);
                assert_int_equal(used, cases[i].used_bytes);
                assert_int_equal(room, cases[i].room_bytes);
        }
#undef ZRAM
}

static void test_errors(void **state) {
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "[agent]\nprot = x\n", "f:2: unknown key 'prot' in [agent]; did you mean 'port'?" },
                { "[agent]\n\nPort = x\n", "f:3: unknown key 'Port' in [agent]; did you mean 'port'?" },
                { "[agent]\ncolour = x\n", "f:2: unknown key 'colour' in [agent]" },
                { "[agnet]\nport = x\n", "f:2: unknown section 'agnet'; did you mean 'agent'?" },
                { "[policy]\nfloor = 25%\n", "f:2: unknown section 'policy'" },
                { "port = x\n", "f:1: 'port' stands before any section; put [agent] above it" },
                { "[agent]\nport = x\nlog-level = info\nport = y\n", "f:4: 'port' is set twice (before in line 2)" },
                { "[agent]\nport =\n", "f:2: port = '' is not the name of a virtio port, or a path, of less than 128 characters" },
                { "[agent]\npsi-stall = 20\n", "f:2: psi-stall = '20' is not a time such as 20ms, at most 10s (0s: no trigger)" },
                { "[agent]\npsi-stall = 11s\n", "f:2: psi-stall = '11s' is not a time such as 20ms, at most 10s (0s: no trigger)" },
                { "[agent]\npsi-stall = 1s\n", "f:2: psi-stall is longer than psi-window" },
                { "[agent]\npsi-window = 100ms\n", "f:2: psi-window = '100ms' is not a time from 500ms to 10s" },
                { "[agent]\noom-score-adj = -1001\n", "f:2: oom-score-adj = '-1001' is not a number from -1000 to 1000" },
                { "[agent]\noom-score-adj = --5\n", "f:2: oom-score-adj = '--5' is not a number from -1000 to 1000" },
                { "[agent]\noom-score-adj = +5\n", "f:2: oom-score-adj = '+5' is not a number from -1000 to 1000" },
                { "[agent]\nlock-memory = maybe\n", "f:2: lock-memory = 'maybe' is not yes or no" },
                { "[agent]\nlog-level = loud\n", "f:2: log-level = 'loud' is not error, warning, info or debug" },
                { "[agent]\nport\n", "f:2: this is no [section], no 'key = value' and no comment" },
                { "[agent\nport = x\n", "f:1: this is no [section], no 'key = value' and no comment" },
                { "[agent]\nport = a\n  log-level = info\n", "f:3: the line is indented: settings start in the first column" },
                { "[agent]\r\nport = a\r\n", "f:1: a carriage return: save the file with Unix line ends" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct config config = { .oom_score_adj = 42 };

                assert_int_equal(config_parse(cases[i].text, "f", &config, error), -EINVAL);
                assert_string_equal(error, cases[i].error);
                assert_int_equal(config.oom_score_adj, 42);
        }
}

static void test_files(void **state) {
        char path[] = "/tmp/aerostat-test-XXXXXX";
        _cleanup_close_ int fd = mkstemp(path);
        struct config config;

        assert_true(fd >= 0);
        assert_int_equal(write(fd, "[agent]\nport = x\n", 17), 17);
        assert_int_equal(config_load(path, &config, error), 0);
        assert_string_equal(config.port, "x");
        assert_int_equal(write(fd, "\0", 1), 1);
        assert_int_equal(config_load(path, &config, error), -EINVAL);
        assert_non_null(strstr(error, "NUL byte"));
        assert_int_equal(ftruncate(fd, 1 << 20), 0);
        assert_int_equal(config_load(path, &config, error), -E2BIG);
        unlink(path);
        assert_int_equal(config_load(path, &config, error), -ENOENT);
        assert_non_null(strstr(error, "No such file"));
        assert_int_equal(config_load("/", &config, error), -EISDIR);
}

/* The sample configuration that is installed shows every key with its default. */
static void test_installed_sample(void **state) {
        struct config config, defaults;
        char text[4096];
        unsigned keys = 0;

        config_init(&defaults);
        assert_int_equal(config_load(TOP_SRCDIR "/data/aerostat-guest.conf", &config, error), 0);
        assert_config_equal(&config, &defaults);
        /* With its keys uncommented: "#key", not "# words". */
        assert_true(procfs_read(AT_FDCWD, TOP_SRCDIR "/data/aerostat-guest.conf", text, sizeof(text)) > 0);
        for (char *p = text; (p = strstr(p, "\n#")); p += 2) {
                if (p[2] == ' ')
                        continue;
                memmove(p + 1, p + 2, strlen(p + 2) + 1);
                keys++;
        }
        assert_int_equal(keys, 8);
        if (config_parse(text, "sample", &config, error) < 0)
                fail_msg("%s", error);
        assert_config_equal(&config, &defaults);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults), cmocka_unit_test(test_all_keys), cmocka_unit_test(test_errors),
                cmocka_unit_test(test_zram), cmocka_unit_test(test_zram_swaps), cmocka_unit_test(test_zram_fits),
                cmocka_unit_test(test_files), cmocka_unit_test(test_installed_sample),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
