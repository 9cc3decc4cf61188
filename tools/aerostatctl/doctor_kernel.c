/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/doctor.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "protocol/parse.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

static void check_psi(struct findings *f, int root_fd) {
        struct pressure pressure;
        struct finding *one;
        char text[256];

        if (procfs_read(root_fd, "proc/pressure/memory", text, sizeof(text)) >= 0 && pressure_parse(text, &pressure) >= 0) {
                findings_add(f, LEVEL_OK, "psi", NULL, "the kernel tells memory pressure");
                return;
        }
        one = findings_add(f, LEVEL_WARN, "psi", "without it pressure is found by looking every second or two, not at once",
                           "the kernel tells no memory pressure");
        finding_remedy(one, "boot with psi=1 (the kernel needs CONFIG_PSI)");
}

static void check_cgroup(struct findings *f, int root_fd) {
        struct finding *one;
        char text[512];

        if (procfs_read(root_fd, "sys/fs/cgroup/cgroup.controllers", text, sizeof(text)) >= 0 && strstr(text, "memory")) {
                findings_add(f, LEVEL_OK, "cgroup", NULL, "cgroup v2 with the memory controller");
                return;
        }
        one = findings_add(f, LEVEL_WARN, "cgroup", "the kernel then cannot hold VMs to the swap ceiling, nor a guest to its target",
                           "no cgroup v2 with memory");
        finding_remedy(one, "boot with systemd.unified_cgroup_hierarchy=1 cgroup_enable=memory");
}

static void check_overcommit(struct findings *f, int root_fd) {
        struct finding *one;

        if (doctor_number(root_fd, "proc/sys/vm/overcommit_memory") != 2) {
                findings_add(f, LEVEL_OK, "overcommit_memory", NULL, "the kernel lets QEMUs have more address space than there is memory");
                return;
        }
        one = findings_add(f, LEVEL_BAD, "overcommit_memory", "VMs fail to start, or QEMUs to allocate, while memory is free",
                           "vm.overcommit_memory is 2 (strict)");
        finding_remedy(one, "sysctl -w vm.overcommit_memory=0 (and in /etc/sysctl.d)");
}

static void check_thp(struct findings *f, int root_fd) {
        uint64_t none = doctor_number(root_fd, "sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none");
        struct finding *one;
        char text[128];

        if (procfs_read(root_fd, "sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text)) < 0 || strstr(text, "[never]")) {
                findings_add(f, LEVEL_OK, "thp", NULL, "no transparent huge pages: balloons keep what they gave, but guests pay more TLB misses");
                return;
        }
        if (none == 0 || none == AEROSTAT_UNKNOWN) {
                findings_add(f, LEVEL_OK, "thp", NULL, "transparent huge pages, and khugepaged does not refill what balloons gave back");
                return;
        }
        one = findings_add(f, LEVEL_WARN, "thp", "it fills the holes that balloons made: memory that "
                                                 "was given back is taken again, by nobody's decision",
                           "khugepaged/max_ptes_none is %" PRIu64, none);
        finding_remedy(one, "echo 0 >/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none (lasting: a line "
                            "`w /sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none - - - - 0` in /etc/tmpfiles.d/aerostat.conf)");
}

/* One pool of /sys/kernel/mm/hugepages; name: "hugepages-2048kB". */
static uint64_t check_pool(struct findings *f, int root_fd, const char *name) {
        uint64_t kib, values[3], idle_bytes;
        char path[128], number[24], total[FORMAT_SIZE_MAX], idle[FORMAT_SIZE_MAX];
        static const char *const files[] = { "nr_hugepages", "free_hugepages", "resv_hugepages" };
        struct finding *one;

        snprintf(number, sizeof(number), "%.20s", name + strlen("hugepages-"));
        number[strcspn(number, "k")] = 0;
        if (parse_u64(number, &kib) < 0)
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                snprintf(path, sizeof(path), "sys/kernel/mm/hugepages/%.40s/%s", name, files[i]);
                values[i] = doctor_number(root_fd, path);
                if (values[i] == AEROSTAT_UNKNOWN)
                        return 0;
        }
        idle_bytes = u64_mul(u64_sub(values[1], values[2]), kib * KIB);
        if (idle_bytes == 0)
                return values[0];
        one = findings_add(f, LEVEL_WARN, "huge_pages", "reserved huge pages are no use to anybody else: they can be neither ballooned nor swapped",
                           "%s of %s reserved as huge pages of %" PRIu64 " KiB lie idle", format_size(idle_bytes, idle),
                           format_size(u64_mul(values[0], kib * KIB), total), kib);
        finding_remedy(one, "echo %" PRIu64 " >/sys/kernel/mm/hugepages/%.40s/nr_hugepages", values[0] - u64_sub(values[1], values[2]), name);
        return values[0];
}

static void check_huge_pages(struct findings *f, int root_fd) {
        int fd = openat(root_fd, "sys/kernel/mm/hugepages", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
        size_t before = f->n;
        uint64_t pages = 0;
        const struct dirent *entry;

        while (folder && (entry = readdir(folder)))
                if (strncmp(entry->d_name, "hugepages-", 10) == 0)
                        pages += check_pool(f, root_fd, entry->d_name);
        if (folder)
                closedir(folder);
        if (f->n == before)
                findings_add(f, LEVEL_OK, "huge_pages", NULL, pages > 0 ? "%" PRIu64 " reserved, all in use" : "none reserved", pages);
}

static void check_libvirt(struct findings *f, int root_fd) {
        static const char *const sockets[] = { "run/libvirt/virtqemud-sock", "run/libvirt/libvirt-sock" };
        struct finding *one;
        bool found = false;

        for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
                found |= faccessat(root_fd, sockets[i], F_OK, 0) == 0;
                if (faccessat(root_fd, sockets[i], W_OK, AT_EACCESS) == 0) {
                        findings_add(f, LEVEL_OK, "libvirt", NULL, "its socket /%s may be used", sockets[i]);
                        return;
                }
        }
        if (found) {
                findings_add(f, LEVEL_OK, "libvirt", NULL, "its socket is there; whether it may be used can be told only by root");
                return;
        }
        one = findings_add(f, LEVEL_BAD, "libvirt", "aerostatd moves balloons through libvirt", "there is no socket of libvirt in /run/libvirt");
        finding_remedy(one, "systemctl enable --now libvirtd.socket (or virtqemud.socket, where libvirt is split into daemons)");
}

void doctor_check_kernel(struct findings *f, int root_fd) {
        check_psi(f, root_fd);
        check_cgroup(f, root_fd);
        check_overcommit(f, root_fd);
        check_thp(f, root_fd);
        check_huge_pages(f, root_fd);
        check_libvirt(f, root_fd);
}
