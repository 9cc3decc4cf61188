/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/doctor.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "protocol/parse.h"
#include "protocol/procfs.h"

/* How many a kernel list such as "0-3,8" names; 0 when it is not one. */
static uint64_t count_list(int root_fd, const char *path) {
        char text[1024];
        uint64_t n = 0;

        if (procfs_read(root_fd, path, text, sizeof(text)) < 0)
                return 0;
        for (const char *p = text; *p >= '0' && *p <= '9';) {
                char *end;
                unsigned long first = strtoul(p, &end, 10), last = first;

                if (*end == '-')
                        last = strtoul(end + 1, &end, 10);
                n += last >= first ? last - first + 1 : 0;
                p = *end == ',' ? end + 1 : end;
                if (p == end)
                        break;
        }
        return n;
}

/* Cores, of which the CPUs are threads: those that are the first of their siblings. 0: not known. */
static uint64_t count_cores(int root_fd) {
        int fd = openat(root_fd, "sys/devices/system/cpu", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *entry;
        uint64_t cores = 0;

        while (folder && (entry = readdir(folder))) {
                char path[128], siblings[256];

                if (strncmp(entry->d_name, "cpu", 3) != 0 || entry->d_name[3] < '0' || entry->d_name[3] > '9')
                        continue;
                snprintf(path, sizeof(path), "sys/devices/system/cpu/%.16s/topology/thread_siblings_list", entry->d_name);
                if (procfs_read(root_fd, path, siblings, sizeof(siblings)) >= 0)
                        cores += strtoul(siblings, NULL, 10) == strtoul(entry->d_name + 3, NULL, 10);
        }
        if (folder)
                closedir(folder);
        return cores;
}

static void check_kvm(struct findings *f, int root_fd) {
        static const char why_none[] = "without KVM a guest runs 10 to 50 times slower, and balloons move as slowly";
        static const char why_paging[] = "without nested paging every page that a balloon moves costs exits to the host";
        static const char why_vpid[] = "without VPID the TLB is flushed at every exit";
        uint64_t ept = doctor_number(root_fd, "sys/module/kvm_intel/parameters/ept");
        uint64_t npt = doctor_number(root_fd, "sys/module/kvm_amd/parameters/npt");
        uint64_t vpid = doctor_number(root_fd, "sys/module/kvm_intel/parameters/vpid");
        struct finding *one;

        if (faccessat(root_fd, "dev/kvm", F_OK, 0) < 0) {
                one = findings_add(f, LEVEL_BAD, "kvm", why_none, "there is no /dev/kvm");
                finding_remedy(one, "modprobe kvm_intel || modprobe kvm_amd (and switch VT-x or AMD-V on in the firmware)");
                return;
        }
        if (ept == 0) {
                one = findings_add(f, LEVEL_BAD, "paging", why_paging, "kvm_intel runs without EPT");
                finding_remedy(one, "echo 'options kvm_intel ept=1 vpid=1' >/etc/modprobe.d/kvm.conf, then reload kvm_intel with all VMs stopped");
        } else if (npt == 0) {
                one = findings_add(f, LEVEL_BAD, "paging", why_paging, "kvm_amd runs without NPT");
                finding_remedy(one, "echo 'options kvm_amd npt=1' >/etc/modprobe.d/kvm.conf, then reload kvm_amd with all VMs stopped");
        } else if (vpid == 0) {
                one = findings_add(f, LEVEL_WARN, "paging", why_vpid, "kvm_intel runs without VPID");
                finding_remedy(one, "echo 'options kvm_intel vpid=1' >/etc/modprobe.d/kvm.conf, then reload kvm_intel with all VMs stopped");
        } else if (ept == 1 || npt == 1)
                findings_add(f, LEVEL_OK, "paging", NULL, ept == 1 ? "EPT%s" : "NPT%s", vpid == 1 ? " and VPID" : "");
        else
                findings_add(f, LEVEL_OK, "paging", NULL, "neither kvm_intel nor kvm_amd says how its guests' "
                                                          "pages are mapped (another CPU, or not loaded)");
        findings_add(f, LEVEL_OK, "kvm", NULL, "/dev/kvm is there");
}

void doctor_check_cpu(struct findings *f, int root_fd, const struct doctor_vm *vms, size_t n_vms) {
        uint64_t cpus = count_list(root_fd, "sys/devices/system/cpu/online"), nodes = count_list(root_fd, "sys/devices/system/node/has_memory");
        uint64_t vcpus = 0, widest = 0, cores = count_cores(root_fd);
        uint64_t reclaim = doctor_number(root_fd, "proc/sys/vm/zone_reclaim_mode");
        struct finding *one;
        char of_cores[48] = "";

        check_kvm(f, root_fd);
        if (cores > 0 && cores < cpus)
                snprintf(of_cores, sizeof(of_cores), ", threads of %" PRIu64 " cores", cores);
        for (size_t i = 0; i < n_vms; i++)
                if (vms[i].vcpus != AEROSTAT_UNKNOWN) {
                        vcpus = u64_add(vcpus, vms[i].vcpus);
                        widest = MAX(widest, vms[i].vcpus);
                }
        if (cpus == 0)
                findings_add(f, LEVEL_WARN, "vcpus", "", "the kernel does not say how many CPUs this host has");
        else if (widest > cpus) {
                one = findings_add(f, LEVEL_BAD, "vcpus", "its vCPUs wait for each other, with locks held",
                                   "a VM has %" PRIu64 " vCPUs, and the host %" PRIu64 " CPUs", widest, cpus);
                finding_remedy(one, "virsh setvcpus VM %" PRIu64 " --config --maximum, and at its next start", cpus);
        } else if (vcpus > cpus) {
                one = findings_add(f, LEVEL_WARN, "vcpus", "guests wait for CPU, and a balloon moves only while its guest runs",
                                   "%" PRIu64 " vCPUs in all on %" PRIu64 " CPUs%s", vcpus, cpus, of_cores);
                finding_remedy(one, "virsh setvcpus VM N --config for VMs that do not need theirs (virsh cpu-stats VM)");
        } else
                findings_add(f, LEVEL_OK, "vcpus", NULL, "%" PRIu64 " vCPUs on %" PRIu64 " CPUs%s%s", vcpus, cpus, of_cores,
                             *of_cores && vcpus > cores ? ": more than those, so that some are half as fast" : "");
        if (nodes > 1 && reclaim != 0 && reclaim != AEROSTAT_UNKNOWN) {
                one = findings_add(f, LEVEL_WARN, "numa", "a node then reclaims and swaps while others have memory free",
                                   "vm.zone_reclaim_mode is on, with %" PRIu64 " NUMA nodes", nodes);
                finding_remedy(one, "sysctl -w vm.zone_reclaim_mode=0 (and in /etc/sysctl.d)");
        } else if (nodes > 1 && doctor_number(root_fd, "sys/kernel/mm/ksm/merge_across_nodes") == 1) {
                one = findings_add(f, LEVEL_WARN, "numa", "a merged page is on one node only, and remote for VMs of the others",
                                   "KSM merges across %" PRIu64 " NUMA nodes", nodes);
                finding_remedy(one, "with nothing merged (echo 2 >/sys/kernel/mm/ksm/run): echo 0 >/sys/kernel/mm/ksm/merge_across_nodes");
        } else
                findings_add(f, LEVEL_OK, "numa", NULL, nodes > 1 ? "%" PRIu64 " nodes" : "one node", nodes);
}
