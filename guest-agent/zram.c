/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-agent/zram.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-agent/log.h"
#include "protocol/base.h"
#include "protocol/parse.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

#define LABEL "aerostat-guest" /* how a next run knows what this one has made */
#define LABEL_OFFSET 1052      /* in the header that mkswap writes */
#define PRIORITY 100           /* before any disk that may come later */
#define ZRAM_PATH_MAX 256
#define MARGIN_BYTES (32 * MIB) /* of what is available, for what the guest does while the zram is emptied */

extern char **environ;

static const char *next_line(const char *s) {
        s += strcspn(s, "\n");
        return *s ? s + 1 : s;
}

static const char *next_field(const char *s) {
        s += strcspn(s, " \t\n");
        return s + strspn(s, " \t");
}

int zram_parse_swaps(const char *text, unsigned *ret_index) {
        const char *first = next_line(text); /* after the heading */
        unsigned index;

        for (const char *line = first; *line; line = next_line(line))
                if (sscanf(line, "/dev/zram%u", &index) == 1) {
                        *ret_index = index;
                        return 2;
                }
        return *first ? 1 : 0;
}

/* Lines are "Filename Type Size Used Priority", sizes in KiB. */
bool zram_fits(const char *text, unsigned index, uint64_t available_bytes, uint64_t *ret_used_bytes, uint64_t *ret_room_bytes) {
        uint64_t used_bytes = 0, room_bytes = u64_sub(available_bytes, MARGIN_BYTES);

        for (text = next_line(text); *text; text = next_line(text)) {
                const char *p = next_field(next_field(text));
                uint64_t total, used;
                unsigned zram;

                if (!procfs_take_u64(&p, &total))
                        continue;
                p = next_field(p);
                if (!procfs_take_u64(&p, &used))
                        continue;
                if (sscanf(text, "/dev/zram%u", &zram) != 1)
                        room_bytes = u64_add(room_bytes, u64_mul(u64_sub(total, used), KIB));
                else if (zram == index)
                        used_bytes = u64_mul(used, KIB);
        }
        *ret_used_bytes = used_bytes;
        *ret_room_bytes = room_bytes;
        return used_bytes <= room_bytes;
}

static int spawn(const char *const *argv) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none;
        int r, status;
        pid_t pid;

        /* Ours are blocked for signalfd. */
        sigemptyset(&none);
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        r = posix_spawnp(&pid, argv[0], &actions, &attributes, (char *const *) argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
        if (r != 0)
                return -r;
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int write_number(int root_fd, const char *path, uint64_t number) {
        _cleanup_close_ int fd = openat(root_fd, path, O_WRONLY | O_CLOEXEC);
        char text[32];
        int n = snprintf(text, sizeof(text), "%llu", (unsigned long long) number);

        if (fd < 0)
                return -errno;
        return write(fd, text, (size_t) n) < 0 ? -errno : 0;
}

/* A new device; its number. */
static int add_device(int root_fd) {
        static const char *const modprobe[] = { "modprobe", "zram", NULL };
        uint64_t index;
        char text[32];
        ssize_t n;

        if (faccessat(root_fd, "sys/class/zram-control/hot_add", F_OK, 0) < 0)
                (void) spawn(modprobe);
        if (faccessat(root_fd, "sys/class/zram-control/hot_remove", W_OK, 0) < 0) /* to read hot_add makes a device, which could not be removed */
                return -errno;
        n = procfs_read(root_fd, "sys/class/zram-control/hot_add", text, sizeof(text));
        if (n < 0)
                return (int) n;
        text[strcspn(text, "\n")] = 0;
        return parse_u64(text, &index) < 0 || index > INT32_MAX ? -EBADMSG : (int) index;
}

static void remove_device(int root_fd, unsigned index) {
        char path[ZRAM_PATH_MAX];

        snprintf(path, sizeof(path), "sys/block/zram%u/reset", index);
        (void) write_number(root_fd, path, 1);
        (void) write_number(root_fd, "sys/class/zram-control/hot_remove", index);
}

static int activate(int root_fd, const char *root, unsigned index, uint64_t size_bytes) {
        char path[ZRAM_PATH_MAX];
        const char *const mkswap[] = { "mkswap", "-L", LABEL, path, NULL };
        int r;

        snprintf(path, sizeof(path), "sys/block/zram%u/disksize", index);
        r = write_number(root_fd, path, size_bytes);
        if (r < 0)
                return r;
        snprintf(path, sizeof(path), "%s/dev/zram%u", root, index);
        r = spawn(mkswap);
        if (r < 0)
                return r;
        return swapon(path, SWAP_FLAG_PREFER | PRIORITY) < 0 ? -errno : 0;
}

/* Whether the device carries our label: an agent before us was killed, or left it because it did not fit into memory. */
static bool is_ours(const char *root, unsigned index) {
        char path[ZRAM_PATH_MAX], label[16] = "";
        _cleanup_close_ int fd = -1;

        snprintf(path, sizeof(path), "%s/dev/zram%u", root, index);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd >= 0 && pread(fd, label, sizeof(label), LABEL_OFFSET) == sizeof(label) && strncmp(label, LABEL, sizeof(label)) == 0;
}

int zram_setup(const char *root, uint64_t size_bytes, struct zram *ret) {
        _cleanup_close_ int root_fd = procfs_open_root(root);
        char text[4096], size[FORMAT_SIZE_MAX];
        unsigned index = 0;
        int r, state = 0;

        if (root_fd < 0)
                return root_fd;
        if (procfs_read(root_fd, "proc/swaps", text, sizeof(text)) >= 0)
                state = zram_parse_swaps(text, &index);
        if (state == 2 && is_ours(root, index)) {
                *ret = (struct zram) { .active = true, .index = index, .size_bytes = size_bytes };
                log_info("zram%u, which swaps already, is from an agent before: taken over", index);
                return 0;
        }
        if (state != 0) {
                log_info("this guest has swap: no zram is set up");
                return 1;
        }
        size_bytes -= size_bytes % MIB;
        r = add_device(root_fd);
        if (r < 0) {
                if (r == -EROFS)
                        log_warning("no zram: this service may not write to /sys; aerostat-guest.conf(5) has the drop-in that lets it");
                else
                        log_warning("no zram: this kernel does not offer it (%s)", strerror(-r));
                return r;
        }
        index = (unsigned) r;
        r = activate(root_fd, root, index, size_bytes);
        if (r < 0) {
                log_warning("no zram: zram%u cannot be made a swap (%s); is mkswap installed?", index, strerror(-r));
                remove_device(root_fd, index);
                return r;
        }
        *ret = (struct zram) { .active = true, .index = index, .size_bytes = size_bytes };
        log_info("swapping on zram%u, %s", index, format_size(size_bytes, size));
        return 0;
}

/* swapoff() itself refuses only what is larger than all of memory and swap, used or not: a squeezed guest would have to kill. */
static bool fits_now(int root_fd, unsigned index) {
        char text[8192], used[FORMAT_SIZE_MAX], room[FORMAT_SIZE_MAX];
        uint64_t used_bytes, room_bytes;
        struct meminfo m;

        if (procfs_read(root_fd, "proc/meminfo", text, sizeof(text)) < 0 || meminfo_parse(text, &m) < 0 ||
            procfs_read(root_fd, "proc/swaps", text, sizeof(text)) < 0) {
                log_warning("zram%u stays: whether what is swapped there fits into memory is not known", index);
                return false;
        }
        if (zram_fits(text, index, m.available_bytes, &used_bytes, &room_bytes))
                return true;
        log_warning("zram%u stays: %s are swapped there, and there is room for %s in memory and other swap", index, format_size(used_bytes, used),
                    format_size(room_bytes, room));
        return false;
}

void zram_remove(const char *root, struct zram *zram) {
        _cleanup_close_ int root_fd = procfs_open_root(root);
        char path[ZRAM_PATH_MAX];

        if (!zram->active || root_fd < 0)
                return;
        zram->active = false;
        if (!fits_now(root_fd, zram->index))
                return;
        snprintf(path, sizeof(path), "%s/dev/zram%u", root, zram->index);
        if (swapoff(path) < 0) {
                log_warning("zram%u stays: the kernel does not stop swapping there (%s)", zram->index, strerror(errno));
                return;
        }
        remove_device(root_fd, zram->index);
        log_info("zram%u removed", zram->index);
}
