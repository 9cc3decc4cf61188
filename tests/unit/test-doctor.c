/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>

#include "protocol/units.h"
#include "tests/unit/tree.h"
#include "tools/aerostatctl/doctor.h"

#define MEMINFO "MemTotal: 16777216 kB\nMemFree: 8000000 kB\nMemAvailable: 9000000 kB\n"
#define THP "sys/kernel/mm/transparent_hugepage/"
#define HUGE "sys/kernel/mm/hugepages/hugepages-2048kB/"

/* A host on which all is well. */
static const struct tree_file good[] = {
        { "dev/kvm", "" },
        { "run/libvirt/libvirt-sock", "" },
        { "proc/meminfo", MEMINFO },
        { "proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n" },
        { "proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 18874364 0 -2\n/dev/zram0 partition 1048572 1048572 100\n" },
        { "proc/sys/vm/overcommit_memory", "0\n" },
        { "proc/1/comm", "systemd\n" },
        { "proc/1/cmdline", "/sbin/init" },
        { "sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n" },
        { "sys/module/kvm_intel/parameters/ept", "Y\n" },
        { "sys/module/kvm_intel/parameters/vpid", "Y\n" },
        { "sys/devices/system/cpu/online", "0-3,8-11\n" },
        { "sys/devices/system/node/has_memory", "0\n" },
        { "sys/kernel/mm/ksm/run", "1\n" },
        { "sys/kernel/mm/ksm/pages_sharing", "1024\n" },
        { THP "enabled", "always [madvise] never\n" },
        { THP "khugepaged/max_ptes_none", "0\n" },
        { HUGE "nr_hugepages", "0\n" },
        { HUGE "free_hugepages", "0\n" },
        { HUGE "resv_hugepages", "0\n" },
        {},
};

static void check_host(struct findings *f, const struct tree *tree) {
        struct doctor_vm *vms = NULL;
        size_t n = 0;

        assert_int_equal(doctor_vms_read(tree->fd, &vms, &n), 0);
        doctor_check_cpu(f, tree->fd, vms, n);
        doctor_check_kernel(f, tree->fd);
        doctor_check_swap(f, tree->fd, 300000, 800000);
        doctor_check_ksm(f, tree->fd);
        free(vms);
}

static void test_good_host(void **state) {
        struct tree tree = tree_make(good);
        struct findings f = {};

        check_host(&f, &tree);
        for (size_t i = 0; i < f.n; i++)
                if (f.list[i].level != LEVEL_OK)
                        fail_msg("%s: %s", f.list[i].check, f.list[i].text);
        assert_int_equal(f.n, 14);
        findings_free(&f);
        tree_remove(&tree);
}

/* One thing at a time is not well; path NULL: that file is removed. Everything that is not well says why, and what mends it. */
static void test_each_fault(void **state) {
        static const struct {
                const char *path, *text, *check;
                enum level level;
                const char *says, *remedy;
        } faults[] = {
                { "dev/kvm", NULL, "kvm", LEVEL_BAD, "no /dev/kvm", "modprobe" },
                { "sys/module/kvm_intel/parameters/ept", "N\n", "paging", LEVEL_BAD, "without EPT", "ept=1" },
                { "sys/module/kvm_intel/parameters/vpid", "0\n", "paging", LEVEL_WARN, "without VPID", "vpid=1" },
                { "sys/module/kvm_amd/parameters/npt", "0\n", "paging", LEVEL_BAD, "without NPT", "npt=1" },
                { "proc/pressure/memory", NULL, "psi", LEVEL_WARN, "no memory pressure", "psi=1" },
                { "sys/fs/cgroup/cgroup.controllers", NULL, "cgroup", LEVEL_WARN, "no cgroup v2", "unified_cgroup_hierarchy" },
                { "proc/sys/vm/overcommit_memory", "2\n", "overcommit_memory", LEVEL_BAD, "strict", "overcommit_memory=0" },
                { THP "khugepaged/max_ptes_none", "511\n", "thp", LEVEL_WARN, "is 511", "echo 0" },
                { HUGE "free_hugepages", "512\n", "huge_pages", LEVEL_WARN, "1 GiB of", "hugepages-2048kB/nr_hugepages" },
                { "run/libvirt/libvirt-sock", NULL, "libvirt", LEVEL_BAD, "no socket", "libvirtd.socket" },
                { "proc/swaps", "Filename Type Size Used Priority\n", "swap", LEVEL_BAD, "there is no swap", "swap add 18G" },
                { "proc/swaps", "/dev/zram0 partition 1048572 0 100\n", "swap", LEVEL_BAD, "zram", "swap add 18G" },
                { "proc/swaps", "/swap file 4194304 0 -2\n", "swap", LEVEL_WARN, "wants 18 GiB", "swap add 14G" },
                { "proc/swaps", "/swap file 20971520 5242880 -2\n", "swap_use", LEVEL_WARN, "near the ceiling of 6 GiB", "swapoff" },
                { "proc/swaps", "/swap file 20971520 10485760 -2\n", "swap_use", LEVEL_BAD, "above the ceiling", "swapoff" },
                { "sys/kernel/mm/ksm/run", NULL, "ksm", LEVEL_WARN, "no KSM", "CONFIG_KSM" },
                { "run/systemd/units/invocation:ksm.service", "", "tuners", LEVEL_WARN, "ksm.service is active", "disable --now ksm" },
                { "proc/77/comm", "ksmtuned\n", "tuners", LEVEL_WARN, "process 77", "disable --now ksmtuned" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
                struct tree tree = tree_make(good);
                struct findings f = {};
                size_t wrong = 0;
                char path[256];

                snprintf(path, sizeof(path), "%s/%s", tree.path, faults[i].path);
                if (strcmp(faults[i].path, HUGE "free_hugepages") == 0)
                        assert_true(tree_put(&tree, HUGE "nr_hugepages", "1024\n", 5));
                if (faults[i].text)
                        assert_true(tree_put(&tree, faults[i].path, faults[i].text, strlen(faults[i].text)));
                else
                        assert_int_equal(unlink(path), 0);
                check_host(&f, &tree);
                for (size_t k = 0; k < f.n; k++) {
                        const struct finding *one = &f.list[k];

                        if (one->level == LEVEL_OK)
                                continue;
                        wrong++;
                        assert_string_equal(one->check, faults[i].check);
                        assert_int_equal(one->level, faults[i].level);
                        assert_non_null(strstr(one->text, faults[i].says));
                        assert_non_null(strstr(one->remedy, faults[i].remedy));
                        assert_true(one->why && *one->why);
                }
                if (wrong != 1)
                        fail_msg("%s: %zu findings instead of one", faults[i].path, wrong);
                findings_free(&f);
                tree_remove(&tree);
        }
}

static void test_numa(void **state) {
        struct tree tree = tree_make(good);
        struct findings f = {};

        assert_true(tree_put(&tree, "sys/devices/system/node/has_memory", "0-1\n", 4));
        doctor_check_cpu(&f, tree.fd, NULL, 0);
        assert_string_equal(f.list[f.n - 1].text, "2 nodes");
        assert_true(tree_put(&tree, "proc/sys/vm/zone_reclaim_mode", "1\n", 2));
        doctor_check_cpu(&f, tree.fd, NULL, 0);
        assert_int_equal(f.list[f.n - 1].level, LEVEL_WARN);
        findings_free(&f);
        tree_remove(&tree);
}

#define ARGS(...) ((const char *const[]) { __VA_ARGS__ })
#define PARSE(vm, ...) doctor_vm_parse(ARGS(__VA_ARGS__), ARRAY_SIZE(ARGS(__VA_ARGS__)), vm)

/* As libvirt 9.0 writes it for QEMU 7.2. */
static void test_parse_libvirt(void **state) {
        struct doctor_vm vm;

        assert_true(PARSE(&vm, "/usr/bin/qemu-system-x86_64", "-name", "guest=web,,1,debug-threads=on", "-S", "-machine",
                          "pc-q35-7.2,usb=off,mem-merge=off",
                          "-m", "size=1048576k", "-object", "{\"qom-type\":\"memory-backend-ram\",\"id\":\"pc.ram\",\"size\":1073741824}",
                          "-overcommit",
                          "mem-lock=off", "-smp", "2,sockets=2,cores=1,threads=1", "-uuid", "11111111-2222-3333-4444-555555555501", "-device",
                          "{\"driver\":\"virtserialport\",\"nr\":1,\"name\":\"org.aerostat.guest.0\"}", "-device",
                          "{\"driver\":\"virtio-balloon-pci\",\"id\":\"balloon0\",\"deflate-on-oom\":true,\"free-page-reporting\":true}"));
        assert_string_equal(vm.name, "web,1");
        assert_string_equal(vm.uuid, "11111111-2222-3333-4444-555555555501");
        assert_int_equal(vm.max_bytes, GIB);
        assert_int_equal(vm.vcpus, 2);
        assert_true(vm.has_balloon && vm.autodeflate && vm.free_page_reporting && vm.has_channel && vm.no_merge);
        assert_false(vm.hugepages || vm.locked || vm.vfio || vm.shared || vm.prealloc);
}

/* The older form, and all that keeps a balloon from giving memory back. */
static void test_parse_options(void **state) {
        struct doctor_vm vm;

        assert_true(PARSE(&vm, "/usr/libexec/qemu-kvm", "-name", "db", "-m", "2048", "-smp", "cpus=4", "-device",
                          "virtio-balloon-pci,id=b", "-device",
                          "vfio-pci,host=01:00.0", "-object", "memory-backend-file,id=m,mem-path=/dev/hugepages/x,share=yes,prealloc=yes,size=2G",
                          "-overcommit",
                          "mem-lock=on"));
        assert_string_equal(vm.name, "db");
        assert_int_equal(vm.max_bytes, 2 * GIB);
        assert_int_equal(vm.vcpus, 4);
        assert_true(vm.has_balloon && vm.hugepages && vm.locked && vm.vfio && vm.shared && vm.prealloc);
        assert_false(vm.autodeflate || vm.free_page_reporting || vm.has_channel);
}

static void test_parse_odd(void **state) {
        struct doctor_vm vm = { .pid = 7 };

        assert_false(doctor_vm_parse(NULL, 0, &vm));
        assert_false(PARSE(&vm, ""));
        assert_false(PARSE(&vm, "/bin/sh", "-c", "qemu-system-x86_64"));
        assert_int_equal(vm.pid, 7);
        assert_true(PARSE(&vm, "qemu-system-aarch64", "-m", "size=lots", "-smp", "x", "-device", "{\"driver\":7}", "-device", "{broken", "-object",
                          "", "-name"));
        assert_int_equal(vm.max_bytes, AEROSTAT_UNKNOWN);
        assert_int_equal(vm.vcpus, AEROSTAT_UNKNOWN);
        assert_string_equal(vm.name, "");
}

static size_t count(const struct findings *f, const char *check, enum level level) {
        size_t n = 0;

        for (size_t i = 0; i < f->n; i++)
                n += strcmp(f->list[i].check, check) == 0 && f->list[i].level == level;
        return n;
}

static void test_vm(void **state) {
        struct doctor_vm vm = { .name = "web1", .max_bytes = 4 * GIB, .vcpus = 2, .has_balloon = true, .autodeflate = true,
                                .free_page_reporting = true, .has_channel = true };
        struct findings f = {};

        doctor_check_vm(&f, &vm, 16 * GIB);
        for (size_t i = 0; i < f.n; i++) {
                assert_int_equal(f.list[i].level, LEVEL_OK);
                assert_string_equal(f.list[i].vm, "web1");
        }
        f.n = 0;
        vm = (struct doctor_vm) { .name = "db", .max_bytes = 32 * GIB, .hugepages = true, .locked = true, .vfio = true, .prealloc = true };
        doctor_check_vm(&f, &vm, 16 * GIB);
        assert_int_equal(count(&f, "balloon", LEVEL_BAD), 1);
        assert_int_equal(count(&f, "memory", LEVEL_WARN), 4);
        assert_int_equal(count(&f, "memory", LEVEL_BAD), 1);
        assert_int_equal(count(&f, "channel", LEVEL_WARN), 1);
        f.n = 0;
        vm = (struct doctor_vm) { .has_balloon = true, .max_bytes = AEROSTAT_UNKNOWN };
        doctor_check_vm(&f, &vm, 16 * GIB);
        assert_int_equal(count(&f, "autodeflate", LEVEL_WARN) + count(&f, "free_page_reporting", LEVEL_WARN), 2);
        findings_free(&f);
}

/* VMs come from the command lines of processes, ordered by name; what is no QEMU does not count. */
static void test_vms_read(void **state) {
        static const char db[] = "qemu-system-x86_64\0-name\0guest=db\0-smp\0" "16\0", web[] = "qemu-system-x86_64\0-name\0guest=web\0-smp\0" "2\0";
        struct tree tree = tree_make(good);
        struct doctor_vm *vms = NULL;
        struct findings f = {};
        size_t n = 0;

        assert_true(tree_put(&tree, "proc/200/cmdline", web, sizeof(web) - 1));
        assert_true(tree_put(&tree, "proc/300/cmdline", db, sizeof(db) - 1));
        assert_int_equal(doctor_vms_read(tree.fd, &vms, &n), 0);
        assert_int_equal(n, 2);
        assert_string_equal(vms[0].name, "db");
        assert_int_equal(vms[0].pid, 300);
        assert_string_equal(vms[1].name, "web");
        doctor_check_cpu(&f, tree.fd, vms, n);
        assert_int_equal(count(&f, "vcpus", LEVEL_BAD), 1); /* 16 on 8 CPUs */
        f.n = 0;
        vms[0].vcpus = 7;
        doctor_check_cpu(&f, tree.fd, vms, n);
        assert_int_equal(count(&f, "vcpus", LEVEL_WARN), 1); /* 9 in all */
        /* CPUs that are threads of fewer cores. */
        for (int cpu = 0; cpu < 8; cpu++) {
                char path[96], siblings[16];

                snprintf(path, sizeof(path), "sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
                snprintf(siblings, sizeof(siblings), "%d,%d\n", cpu % 4, cpu % 4 + 4);
                assert_true(tree_put(&tree, path, siblings, strlen(siblings)));
        }
        f.n = 0;
        doctor_check_cpu(&f, tree.fd, vms, n);
        assert_non_null(strstr(f.list[f.n - 2].text, "9 vCPUs in all on 8 CPUs, threads of 4 cores"));
        vms[0].vcpus = 4;
        doctor_check_cpu(&f, tree.fd, vms, n);
        assert_int_equal(f.list[f.n - 2].level, LEVEL_OK);
        assert_non_null(strstr(f.list[f.n - 2].text, "6 vCPUs on 8 CPUs, threads of 4 cores: more than those"));
        vms[0].vcpus = 2;
        doctor_check_cpu(&f, tree.fd, vms, n);
        assert_string_equal(f.list[f.n - 2].text, "4 vCPUs on 8 CPUs, threads of 4 cores");
        free(vms);
        findings_free(&f);
        tree_remove(&tree);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good_host),     cmocka_unit_test(test_each_fault), cmocka_unit_test(test_numa),
                cmocka_unit_test(test_parse_libvirt), cmocka_unit_test(test_parse_options), cmocka_unit_test(test_parse_odd),
                cmocka_unit_test(test_vm),            cmocka_unit_test(test_vms_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
