/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/doctor.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/parse.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

struct swaps {
        uint64_t disk_total_bytes, disk_used_bytes, zram_total_bytes;
};

static void read_swaps(int root_fd, struct swaps *ret) {
        char text[16384], name[512], type[32], *rest = text, *line;
        unsigned long long total, used;

        *ret = (struct swaps) {};
        if (procfs_read(root_fd, "proc/swaps", text, sizeof(text)) < 0)
                return;
        while ((line = strsep(&rest, "\n"))) {
                if (sscanf(line, "%511s %31s %llu %llu", name, type, &total, &used) != 4)
                        continue; /* the heading */
                if (strstr(name, "/zram"))
                        ret->zram_total_bytes = u64_add(ret->zram_total_bytes, u64_mul(total, KIB));
                else {
                        ret->disk_total_bytes = u64_add(ret->disk_total_bytes, u64_mul(total, KIB));
                        ret->disk_used_bytes = u64_add(ret->disk_used_bytes, u64_mul(used, KIB));
                }
        }
}

/* The old rules of thumb: twice the memory below 2 GiB, memory and 2 GiB more up to 16 GiB, above that 8 GiB and more where it is needed. */
static uint64_t classic_swap(uint64_t memory_bytes) {
        if (memory_bytes < 2 * GIB)
                return u64_mul(memory_bytes, 2);
        return memory_bytes <= 16 * GIB ? memory_bytes + 2 * GIB : 8 * GIB;
}

static void remedy_swap(struct finding *one, uint64_t bytes) {
        uint64_t gib = (bytes + GIB - 1) / GIB;

        finding_remedy(one, "aerostatctl swap add %" PRIu64 "G (and the line that it prints, in /etc/fstab)", gib);
}

void doctor_check_swap(struct findings *f, int root_fd, uint64_t ceiling_ppm, uint64_t warn_ppm) {
        static const char why_none[] = "swap on a disk is what stands between all guests bursting at "
                                       "once and the OOM killer; it is to be there, and hardly used";
        static const char why_ceiling[] = "swap is for the worst case: guests whose memory is on "
                                          "a disk are slow, and what backs the promise is used up";
        struct meminfo meminfo;
        struct swaps swaps;
        char text[32768], total[FORMAT_SIZE_MAX], used[FORMAT_SIZE_MAX], ceiling[FORMAT_SIZE_MAX], classic[FORMAT_SIZE_MAX];
        uint64_t ceiling_bytes, classic_bytes;
        struct finding *one;

        if (procfs_read(root_fd, "proc/meminfo", text, sizeof(text)) < 0 || meminfo_parse(text, &meminfo) < 0) {
                findings_add(f, LEVEL_BAD, "swap", "", "/proc/meminfo cannot be read");
                return;
        }
        read_swaps(root_fd, &swaps);
        ceiling_bytes = u64_mul_div(swaps.disk_total_bytes, ceiling_ppm, PPM_ONE);
        classic_bytes = classic_swap(meminfo.total_bytes);
        format_size(swaps.disk_total_bytes, total);
        format_size(swaps.disk_used_bytes, used);
        format_size(ceiling_bytes, ceiling);
        format_size(classic_bytes, classic);
        if (swaps.disk_total_bytes == 0) {
                one = findings_add(f, LEVEL_BAD, "swap", why_none,
                                   swaps.zram_total_bytes > 0 ? "all swap is zram, which is memory itself" : "there is no swap");
                remedy_swap(one, classic_bytes);
                return;
        }
        if (swaps.disk_used_bytes > 0 && swaps.disk_used_bytes >= u64_mul_div(ceiling_bytes, warn_ppm, PPM_ONE)) {
                bool above = swaps.disk_used_bytes >= ceiling_bytes;

                one = findings_add(f, above ? LEVEL_BAD : LEVEL_WARN, "swap_use", why_ceiling, "%s of swap in use, %s the ceiling of %s", used,
                                   above ? "at or above" : "near", ceiling);
                finding_remedy(one, "aerostatctl list (who swaps?); with memory free for it, swapoff -a && swapon -a brings it back");
        } else
                findings_add(f, LEVEL_OK, "swap_use", NULL, "%s in use, ceiling %s", used, ceiling);
        if (swaps.disk_total_bytes < classic_bytes - classic_bytes / 16) { /* a partition is never quite the size that was asked for */
                one = findings_add(f, LEVEL_WARN, "swap", why_none, "%s of swap for %s of memory; the usual rule wants %s", total,
                                   format_size(meminfo.total_bytes, used), classic);
                remedy_swap(one, classic_bytes - swaps.disk_total_bytes);
        } else
                findings_add(f, LEVEL_OK, "swap", NULL, "%s of swap on disks (the usual rule wants %s)", total, classic);
}

static const char why_tuners[] = "two programs that turn the same knobs undo each other";

/* A unit that has set KSM's knobs once has no process; systemd keeps a symbolic link here for each unit that is active. aerostatd leaves KSM alone
 * for it as it does for ksmtuned. */
static void check_ksm_unit(struct findings *f, int root_fd) {
        struct stat st;
        struct finding *one;

        if (fstatat(root_fd, "run/systemd/units/invocation:ksm.service", &st, AT_SYMLINK_NOFOLLOW) < 0)
                return;
        one = findings_add(f, LEVEL_WARN, "tuners", why_tuners, "ksm.service is active");
        finding_remedy(one, "systemctl disable --now ksm");
}

/* Programs that write KSM's knobs or move balloons, by the names of their processes. */
static void check_tuners(struct findings *f, int root_fd) {
        static const struct {
                const char *comm, *remedy;
        } tuners[] = {
                { "ksmtuned", "systemctl disable --now ksmtuned ksm" },
                { "uksmd", "systemctl disable --now uksmd" },
                { "momd", "systemctl disable --now mom-vdsm momd" },
        };
        int fd = openat(root_fd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
        size_t before = f->n;
        const struct dirent *entry;
        char path[64], comm[32];

        while (folder && (entry = readdir(folder))) {
                if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name))
                        continue;
                snprintf(path, sizeof(path), "proc/%.16s/comm", entry->d_name);
                if (procfs_read(root_fd, path, comm, sizeof(comm)) < 0)
                        continue;
                comm[strcspn(comm, "\n")] = 0;
                for (size_t i = 0; i < ARRAY_SIZE(tuners); i++)
                        if (strcmp(comm, tuners[i].comm) == 0) {
                                struct finding *one = findings_add(f, LEVEL_WARN, "tuners", why_tuners, "%s is running (process %s)", comm,
                                                                   entry->d_name);

                                finding_remedy(one, "%s", tuners[i].remedy);
                        }
        }
        if (folder)
                closedir(folder);
        check_ksm_unit(f, root_fd);
        if (f->n == before)
                findings_add(f, LEVEL_OK, "tuners", NULL, "no other program tunes KSM or moves balloons");
}

void doctor_check_ksm(struct findings *f, int root_fd) {
        uint64_t run = doctor_number(root_fd, "sys/kernel/mm/ksm/run"), sharing = doctor_number(root_fd, "sys/kernel/mm/ksm/pages_sharing");
        char saved[FORMAT_SIZE_MAX];
        struct finding *one;

        if (run == AEROSTAT_UNKNOWN) {
                one = findings_add(f, LEVEL_WARN, "ksm", "equal pages of guests stay in memory once for each", "this kernel has no KSM");
                finding_remedy(one, "a kernel with CONFIG_KSM");
        } else {
                format_size(sharing == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN : u64_mul(sharing, (uint64_t) sysconf(_SC_PAGESIZE)), saved);
                findings_add(f, LEVEL_OK, "ksm", NULL, "%s, saves %s",
                             run == 1 ? "runs" : run == 2 ? "unmerges" : "stopped (aerostatd starts it when it pays)", saved);
        }
        check_tuners(f, root_fd);
}
