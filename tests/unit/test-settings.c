/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "host-agent/settings/settings.h"
#include "protocol/units.h"

static struct settings s;
static char error[SETTINGS_ERROR_MAX];

static int parse(const char *text) {
        settings_init(&s);
        error[0] = 0;
        return settings_parse("f.conf", text, &s, error);
}

static void test_defaults(void **state) {
        assert_int_equal(parse(""), 0);
        assert_string_equal(s.uri, "qemu:///system");
        assert_int_equal(s.policy.mode, POLICY_GUARANTEED);
        assert_int_equal(s.policy.reserve_bytes, AEROSTAT_UNKNOWN);
        assert_int_equal(s.policy.swap_ceiling_ppm, 300000);
        assert_int_equal(s.policy.fresh_usec, 10 * USEC_PER_SEC);
        assert_int_equal(s.defaults.floor_ppm, 250000);
        assert_int_equal(s.defaults.weight, 1000);
        assert_int_equal(s.defaults.priority, 100);
        assert_true(s.defaults.managed && s.defaults.has_managed && s.defaults.has_floor);
        assert_int_equal(s.report_interval_usec, 2 * USEC_PER_SEC);
        assert_true(s.contain && s.swap_enforce && !s.swap_per_vm_limits && !s.dry_run);
        assert_int_equal(s.ksm_mode, SETTINGS_KSM_AUTO);
        assert_int_equal(s.ksm_cpu_critical_ppm, 600000);
        assert_int_equal(s.last_resort_max_duration_usec, 10 * USEC_PER_MINUTE);
        assert_string_equal(s.metrics_listen, "");
        assert_string_equal(s.metrics_names, "");
        assert_string_equal(s.control_group, "aerostat");
        assert_int_equal(s.n_vms, 0);
}

static void test_values(void **state) {
        assert_int_equal(parse("# all of it\n"
                               "[host]\nuri = test:///default\nreserve = 1.5G\nmemory=4G ; a note\nmode = opportunistic\n"
                               "overcommit-factor = 2.25\ndry-run = yes\non-exit = release\n\n"
                               "[policy]   # a note\nfloor = 512M\nweight = 0\nreport-interval = 4s\n"
                               "[swap]\nceiling = 0.5%\n"
                               "[metrics]\nlisten = [::1]:19788\nnames = kvm1.example.org  kvm1-mgmt\n"
                               "[alerts]\ncommand = /bin/notify --now\n"
                               "[vm \"db-*\"]\nmanaged = no\nfloor = 50%\n"), 0);
        assert_string_equal(s.uri, "test:///default");
        assert_int_equal(s.policy.reserve_bytes, 1536 * MIB);
        assert_int_equal(s.policy.memory_bytes, 4 * GIB);
        assert_int_equal(s.policy.mode, POLICY_OPPORTUNISTIC);
        assert_int_equal(s.policy.overcommit_factor_ppm, 2250000);
        assert_true(s.dry_run);
        assert_int_equal(s.on_exit, SETTINGS_EXIT_RELEASE);
        assert_int_equal(s.defaults.floor_ppm, AEROSTAT_UNKNOWN);
        assert_int_equal(s.defaults.floor_bytes, 512 * MIB);
        assert_int_equal(s.defaults.weight, 0);
        assert_int_equal(s.policy.fresh_usec, 12 * USEC_PER_SEC);
        assert_int_equal(s.policy.swap_ceiling_ppm, 5000);
        assert_string_equal(s.metrics_listen, "[::1]:19788");
        assert_string_equal(s.metrics_names, "kvm1.example.org  kvm1-mgmt");
        assert_string_equal(s.alert_command, "/bin/notify --now");
        assert_int_equal(s.n_vms, 1);
        assert_string_equal(s.vms[0].pattern, "db-*");
        assert_true(s.vms[0].has_managed && !s.vms[0].managed);
        assert_true(s.vms[0].has_floor && s.vms[0].floor_ppm == 500000);
        assert_false(s.vms[0].has_weight || s.vms[0].has_priority);
}

static void test_sentences(void **state) {
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "[swap]\n\ncieling = 20%\n", "f.conf:3: unknown key 'cieling' in [swap]; did you mean 'ceiling'?" },
                { "[policy]\nceiling = 20%\n", "f.conf:2: unknown key 'ceiling' in [policy]; it belongs to [swap]" },
                { "[host]\ncolour = red\n", "f.conf:2: unknown key 'colour' in [host]" },
                { "[polcy]\n", "f.conf:1: unknown section [polcy]; did you mean [policy]?" },
                { "[ host ]\n", "f.conf:1: unknown section [ host ]; did you mean [host]?" },
                { "[nothing like it]\n", "f.conf:1: unknown section [nothing like it]" },
                { "[]\n", "f.conf:1: unknown section []" },
                { "[host\n", "f.conf:1: the section's closing ']' is missing" },
                { "[host] mode = guaranteed\n", "f.conf:1: 'mode = guaranteed' after the section's name: a key needs a line of its own" },
                { "mode = guaranteed\n", "f.conf:1: 'mode' stands before the first [section]" },
                { "[host]\nguaranteed\nalso = wrong\n", "f.conf:2: neither 'key = value' nor [section] nor a comment" },
                { "[host]\nmode = fast\n", "f.conf:2: [host] mode = 'fast' is not known: choose guaranteed, swap_backed or opportunistic" },
                { "[host]\nmode =\n", "f.conf:2: [host] mode = '' is not known: choose guaranteed, swap_backed or opportunistic" },
                { "[hook]\non-error = Allow\n", "f.conf:2: [hook] on-error = 'Allow' is not known: choose allow or refuse" },
                { "[host]\nreserve = 512\n", "f.conf:2: [host] reserve = '512' is not auto or a size with its unit, such as 512M or 1.5G" },
                { "[host]\nmemory = 1M\n", "f.conf:2: [host] memory = 1M is out of range: 64M to 4096T" },
                { "[host]\ndry-run = maybe\n", "f.conf:2: [host] dry-run = 'maybe' is not yes or no" },
                { "[host]\novercommit-factor = 0.5\n", "f.conf:2: [host] overcommit-factor = 0.5 is out of range: 1 to 10" },
                { "[host]\nuri =\n", "f.conf:2: [host] uri = '' is not a libvirt URI, such as qemu:///system" },
                { "[swap]\nceiling = 130%\n", "f.conf:2: [swap] ceiling = 130% is out of range: 0% to 100%" },
                { "[swap]\nceiling = 30\n", "f.conf:2: [swap] ceiling = '30' is not a percentage, such as 30% or 0.5%" },
                { "[swap]\nceiling = 30% # of all\n", "f.conf:2: [swap] ceiling = '30% # of all' is not a percentage, such as 30% or 0.5%" },
                { "[policy]\nfloor = 512\n",
                  "f.conf:2: [policy] floor = '512' is not a size with its unit or a share of the VM's memory, such as 512M or 25%" },
                { "[policy]\nfloor = 101%\n", "f.conf:2: [policy] floor = 101% is out of range: 0% to 100%" },
                { "[policy]\nfloor = 99999999999G\n", "f.conf:2: [policy] floor = '99999999999G' is not taken: too large" },
                { "[policy]\nweight = 1000001\n", "f.conf:2: [policy] weight = 1000001 is out of range: 0 to 1000000" },
                { "[policy]\nweight = -1\n", "f.conf:2: [policy] weight = '-1' is not a whole number" },
                { "[policy]\npsi-target = 0%\n", "f.conf:2: [policy] psi-target = 0% is out of range: 0.01% to 100%" },
                { "[policy]\nreport-interval = 100ms\n", "f.conf:2: [policy] report-interval = 100ms is out of range: 500ms to 1h" },
                { "[policy]\nreport-interval = 2\n",
                  "f.conf:2: [policy] report-interval = '2' is not a time with its unit, such as 500ms, 10s, 5m, 2h or 1d" },
                { "[policy]\nstats-period = 1500ms\n",
                  "f.conf:2: [policy] stats-period = '1500ms' is not a time in whole seconds with its unit, such as 2s or 1m" },
                { "[policy]\nmanaged = no\n", "f.conf:2: unknown key 'managed' in [policy]; it belongs to [vm]" },
                { "[swap]\nwarn = 80%\n[host]\n[swap]\nwarn = 70%\n", "f.conf:5: 'warn' stands twice in [swap] of this file" },
                { "[alerts]\ncommand = notify\n",
                  "f.conf:2: [alerts] command = 'notify' is not a command: it begins with an absolute path, such as /usr/local/bin/notify" },
                { "[alerts]\ncommand = /bin/notify # me\n",
                  "f.conf:2: [alerts] command = '/bin/notify # me' is not taken: a comment needs a line of its own" },
                { "[host]\nuri =;x\n", "f.conf:2: [host] uri = ';x' is not taken: a comment needs a line of its own" },
                { "[metrics]\nlisten = 19788\n",
                  "f.conf:2: [metrics] listen = '19788' is not an address: write HOST:PORT, such as 127.0.0.1:19788, or "
                  "unix:/run/aerostat/metrics.sock" },
                { "[metrics]\nnames = kvm1, kvm2\n",
                  "f.conf:2: [metrics] names = 'kvm1, kvm2' is not a list of host names, such as kvm1.example.org; blanks go between them" },
                { "[control]\ngroup = -x\n", "f.conf:2: [control] group = '-x' is not the name of a group" },
                { "[vm]\n", "f.conf:1: a [vm] section names VMs in quotes: [vm \"db-*\"]" },
                { "[vm\"db-*\"]\n", "f.conf:1: a [vm] section names VMs in quotes: [vm \"db-*\"]" },
                { "[vm db-*]\n", "f.conf:1: a [vm] section names VMs in quotes: [vm \"db-*\"]" },
                { "[vm \"db-*]\n", "f.conf:1: the closing quote of the VM pattern is missing" },
                { "[vm \"db-*\"\n", "f.conf:1: the section's closing ']' is missing" },
                { "[vm \"\"]\n", "f.conf:1: the VM pattern is empty; \"*\" means every VM" },
                { "[vm \"a\"] x\n", "f.conf:1: 'x' after the section's name: a key needs a line of its own" },
                { "[vm \"a\"]\n[vm \"b\"]\n[vm \"a\"]\n", "f.conf:3: [vm \"a\"] stands twice in this file" },
                { "[vm \"a\"]\nweight = 1\nweight = 2\n", "f.conf:3: 'weight' stands twice in [vm] of this file" },
                { "[vm \"a\"]\npriority = 1001\n", "f.conf:2: [vm] priority = 1001 is out of range: 0 to 1000" },
                { "[host]\n  mode = guaranteed\n", "f.conf:2: the line is indented: settings start in the first column" },
                { "[host]\r\n", "f.conf:1: a carriage return: save the file with Unix line ends" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                int r = parse(cases[i].text);
                if (r >= 0 || strcmp(error, cases[i].error) != 0)
                        fail_msg("%s => %d\n  got      %s\n  expected %s", cases[i].text, r, error, cases[i].error);
        }
}

/* The traps of libinih 55 (settings/parse.c). */
static void test_libinih(void **state) {
        char text[1024];

        /* The tail of a long comment was taken for a setting. */
        snprintf(text, sizeof(text), "[swap]\n# %0190d ceiling = 99%%\n", 0);
        assert_int_equal(parse(text), -EINVAL);
        assert_string_equal(error, "f.conf:2: the line is too long (180 characters at most)");
        assert_int_equal(s.policy.swap_ceiling_ppm, 300000);
        /* A bracket in a pattern ended the section. */
        assert_int_equal(parse("[vm \"web[0-9]\"]\nweight = 7\n"), 0);
        assert_string_equal(s.vms[0].pattern, "web[0-9]");
        assert_int_equal(s.vms[0].weight, 7);
        /* A pattern longer than 49 characters was cut. */
        snprintf(text, sizeof(text), "[vm \"%0120d\"]\nweight = 7\n", 0);
        assert_int_equal(parse(text), 0);
        assert_int_equal(strlen(s.vms[0].pattern), 120);
        /* A semicolon after a blank ended the header. */
        assert_int_equal(parse("[vm \"a ;b\"] ; a note\nweight = 7\n"), 0);
        assert_string_equal(s.vms[0].pattern, "a ;b");
        /* A byte order mark hid a header on the first line. */
        assert_int_equal(parse("\xef\xbb\xbf[swap]\nceiling = 20%"), -EINVAL);
        assert_string_equal(error, "f.conf:1: a byte order mark: save the file as UTF-8 without it");
        /* No newline at the end. */
        assert_int_equal(parse("[swap]\nceiling = 20%"), 0);
        assert_int_equal(s.policy.swap_ceiling_ppm, 200000);
}

static void test_vm_precedence(void **state) {
        struct settings_vm vm;

        assert_int_equal(parse("[policy]\nweight = 5\n"
                               "[vm \"db-1\"]\nweight = 30\n"
                               "[vm \"db-*\"]\nweight = 20\nfloor = 1G\n"
                               "[vm \"*\"]\nweight = 10\nfloor = 2G\npriority = 1\n"
                               "[vm \"*-1\"]\npriority = 2\n"
                               "[vm \"web[1]\"]\nmanaged = no\n"
                               "[vm \"web?\"]\nmanaged = yes\n"), 0);
        settings_for_vm(&s, "db-1", &vm);
        assert_int_equal(vm.weight, 30);                /* the exact name, although it stands first */
        assert_int_equal(vm.floor_bytes, GIB);          /* which has no floor: the next less specific */
        assert_int_equal(vm.floor_ppm, AEROSTAT_UNKNOWN);
        assert_int_equal(vm.priority, 2);               /* equally specific: the later one */
        assert_true(vm.managed);
        settings_for_vm(&s, "db-22", &vm);
        assert_int_equal(vm.weight, 20);
        assert_int_equal(vm.priority, 1);
        settings_for_vm(&s, "other", &vm);
        assert_int_equal(vm.weight, 10);
        assert_int_equal(vm.floor_bytes, 2 * GIB);
        settings_for_vm(&s, "web1", &vm);
        assert_true(vm.managed);                        /* same literal prefix: the later one */
        settings_for_vm(&s, "web[1]", &vm);
        assert_false(vm.managed);                       /* a name before it is a pattern */
        assert_true(vm.has_managed && vm.has_floor && vm.has_weight && vm.has_priority);

        assert_int_equal(parse("[policy]\nweight = 5\n"), 0);
        settings_for_vm(&s, "any", &vm);
        assert_int_equal(vm.weight, 5);
        assert_int_equal(vm.floor_ppm, 250000);
}

static void test_floor(void **state) {
        struct settings_vm vm = { .floor_ppm = 250000 };

        assert_int_equal(settings_floor_bytes(&vm, 4 * GIB), GIB);
        assert_int_equal(settings_floor_bytes(&vm, UINT64_MAX), UINT64_MAX / 4);
        vm = (struct settings_vm) { .floor_ppm = AEROSTAT_UNKNOWN, .floor_bytes = 512 * MIB };
        assert_int_equal(settings_floor_bytes(&vm, 4 * GIB), 512 * MIB);
        assert_int_equal(settings_floor_bytes(&vm, 256 * MIB), 256 * MIB);
}

static void test_format_roundtrip(void **state) {
        char *first, *second;
        struct settings again;

        assert_int_equal(parse("[host]\nmemory = 1.5G\novercommit-factor = 1.234567\nreserve = 1025B\n"
                               "[policy]\nfloor = 0\npsi-target = 0.0125%\nreport-interval = 1500ms\nheadroom = 500%\n"
                               "[ksm]\nmode = leave\n[hook]\nwait = 0s\n[alerts]\nrepeat = 2d\ncommand = /bin/a b\n"
                               "[vm \"db-*\"]\nfloor = 33.3333%\npriority = 7\n[vm \"x\"]\n"), 0);
        assert_int_equal(settings_format(&s, &first), 0);
        assert_non_null(strstr(first, "memory = 1536M\n"));
        assert_non_null(strstr(first, "overcommit-factor = 1.234567\n"));
        assert_non_null(strstr(first, "psi-target = 0.0125%\n"));
        assert_non_null(strstr(first, "report-interval = 1500ms\n"));
        assert_non_null(strstr(first, "[vm \"db-*\"]\nfloor = 33.3333%\npriority = 7\n\n[vm \"x\"]\n"));
        settings_init(&again);
        assert_int_equal(settings_parse("again", first, &again, error), 0);
        assert_memory_equal(&again, &s, sizeof(s));
        assert_int_equal(settings_format(&again, &second), 0);
        assert_string_equal(first, second);
        free(first);
        free(second);
}

/* Files. */

static char folder[64];

static int make_folder(void **state) {
        strcpy(folder, "/tmp/aerostat-settings-XXXXXX");
        return mkdtemp(folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
        return remove(path);
}

static int remove_folder(void **state) {
        return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *in_folder(const char *name) {
        static char path[128];

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        return path;
}

static void put_bytes(const char *name, const char *data, size_t size) {
        FILE *f = fopen(in_folder(name), "w");

        assert_non_null(f);
        assert_int_equal(fwrite(data, 1, size, f), size);
        fclose(f);
}

static void put(const char *name, const char *text) {
        put_bytes(name, text, strlen(text));
}

static int load(const char *name, bool required) {
        memset(&s, 0x5a, sizeof(s));
        error[0] = 0;
        return settings_load(in_folder(name), required, &s, error);
}

static void assert_refused(const char *name, int expected, const char *sentence) {
        struct settings before;

        memset(&before, 0x5a, sizeof(before));
        assert_int_equal(load(name, true), expected);
        if (!strstr(error, sentence))
                fail_msg("'%s' does not contain '%s'", error, sentence);
        assert_memory_equal(&s, &before, sizeof(s));
}

static void test_files(void **state) {
        assert_int_equal(load("missing.conf", false), 0);
        assert_int_equal(s.policy.swap_ceiling_ppm, 300000);
        assert_refused("missing.conf", -ENOENT, "missing.conf: No such file or directory");

        put("a.conf", "[swap]\nceiling = 10%\nwarn = 60%\n[vm \"a*\"]\nweight = 1\nfloor = 1G\n[vm \"?b\"]\n");
        mkdir(in_folder("a.conf.d"), 0755);
        put("a.conf.d/20-later.conf", "[swap]\nceiling = 12%\n");
        put("a.conf.d/10-first.conf", "[swap]\nceiling = 11%\n[vm \"a*\"]\nweight = 2\n");
        put("a.conf.d/30-not.conf.bak", "junk");
        put("a.conf.d/.hidden.conf", "junk");
        assert_int_equal(load("a.conf", true), 0);
        assert_int_equal(s.policy.swap_ceiling_ppm, 120000);
        assert_int_equal(s.policy.swap_warn_ppm, 600000);
        assert_int_equal(s.n_vms, 2);
        assert_string_equal(s.vms[1].pattern, "a*");     /* named last, and of what it said before the rest still holds */
        assert_int_equal(s.vms[1].weight, 2);
        assert_int_equal(s.vms[1].floor_bytes, GIB);

        put("a.conf.d/40-bad.conf", "[swap]\n\nceiling = 30\n");
        assert_refused("a.conf", -EINVAL, "a.conf.d/40-bad.conf:3: [swap] ceiling = '30'");
}

static void test_bad_files(void **state) {
        char *big = malloc(2 * MIB);

        mkdir(in_folder("dir.conf"), 0755);
        assert_refused("dir.conf", -EISDIR, "dir.conf: not a regular file");
        assert_int_equal(mkfifo(in_folder("fifo.conf"), 0600), 0);
        assert_refused("fifo.conf", -EINVAL, "fifo.conf: not a regular file");
        put_bytes("nul.conf", "[host]\0\n", 8);
        assert_refused("nul.conf", -EINVAL, "nul.conf: holds NUL bytes");
        memset(big, '\n', 2 * MIB);
        put_bytes("big.conf", big, 2 * MIB);
        assert_refused("big.conf", -EFBIG, "big.conf: larger than 1 MiB");
        put_bytes("full.conf", big, MIB);
        assert_int_equal(load("full.conf", true), 0);
        free(big);
        put("file.conf", "");
        put("file.conf.d", "");
        assert_refused("file.conf", -ENOTDIR, "file.conf.d: Not a directory");
        put("junk.conf", "\x7f" "ELF\x01\x02\n");
        assert_refused("junk.conf", -EINVAL, "junk.conf:1: a control character");
        if (geteuid() != 0) { /* root reads everything */
                put("secret.conf", "");
                chmod(in_folder("secret.conf"), 0);
                assert_refused("secret.conf", -EACCES, "secret.conf: Permission denied");
        }
}

static void test_keys_together(void **state) {
        put("ksm.conf", "[ksm]\ncpu-normal = 70%\n");
        assert_refused("ksm.conf", -EINVAL, "ksm.conf: [ksm] cpu-normal is above cpu-critical");
        put("last.conf", "[last-resort]\naction = command\n");
        assert_refused("last.conf", -EINVAL, "last.conf: [last-resort] action = command, but there is no command");
}

static void test_many_patterns(void **state) {
        char *text, *p;

        p = text = malloc(SETTINGS_VM_PATTERNS_MAX * 16 + 16);
        for (int i = 0; i < SETTINGS_VM_PATTERNS_MAX; i++)
                p += sprintf(p, "[vm \"vm%d\"]\n", i);
        assert_int_equal(parse(text), 0);
        assert_int_equal(s.n_vms, SETTINGS_VM_PATTERNS_MAX);
        strcpy(p, "[vm \"more\"]\n");
        assert_int_equal(parse(text), -EINVAL);
        assert_string_equal(error, "f.conf:257: more than 256 [vm] patterns");
        free(text);
}

/* data/aerostatd.conf has every key, commented out with its default: without the '#' it says what settings_format() prints. */
static void test_sample(void **state) {
        char line[512], text[16384] = "", bare[16384] = "", *expected;
        FILE *f = fopen(SRCDIR "/data/aerostatd.conf", "r");
        const char *p;

        assert_non_null(f);
        while (fgets(line, sizeof(line), f)) {
                const char *setting = line[0] == '#' && line[1] != ' ' && line[1] != '\n' ? line + 1 : line;
                if (strncmp(line, "#[vm ", 5) == 0)
                        break; /* examples follow */
                strcat(text, setting);
                if (*setting != '#' && *setting != '\n')
                        strcat(bare, setting);
        }
        fclose(f);
        if (parse(text) < 0)
                fail_msg("%s", error);
        settings_init(&s);
        assert_int_equal(settings_format(&s, &expected), 0);
        p = bare;
        for (char *e = strtok(expected, "\n"); e; e = strtok(NULL, "\n")) {
                size_t n = strcspn(p, "\n"), m = strlen(e);
                if (e[m - 1] == ' ')
                        m--; /* "command = " */
                if (n != m || strncmp(p, e, m) != 0)
                        fail_msg("data/aerostatd.conf: '%.*s' where '%s' is expected", (int) n, p, e);
                p += n + 1;
        }
        assert_int_equal(*p, 0);
        free(expected);
}

/* And all of it, examples too, is good. */
static void test_sample_examples(void **state) {
        char line[512], text[16384] = "";
        FILE *f = fopen(SRCDIR "/data/aerostatd.conf", "r");

        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
                strcat(text, line[0] == '#' && line[1] != ' ' && line[1] != '\n' ? line + 1 : line);
        fclose(f);
        if (parse(text) < 0)
                fail_msg("%s", error);
        assert_true(s.n_vms > 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults), cmocka_unit_test(test_values), cmocka_unit_test(test_sentences),
                cmocka_unit_test(test_libinih), cmocka_unit_test(test_vm_precedence), cmocka_unit_test(test_floor),
                cmocka_unit_test(test_format_roundtrip),
                cmocka_unit_test_setup_teardown(test_files, make_folder, remove_folder),
                cmocka_unit_test_setup_teardown(test_bad_files, make_folder, remove_folder),
                cmocka_unit_test_setup_teardown(test_keys_together, make_folder, remove_folder),
                cmocka_unit_test(test_many_patterns), cmocka_unit_test(test_sample), cmocka_unit_test(test_sample_examples),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
