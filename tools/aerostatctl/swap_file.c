/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "protocol/base.h"
#include "protocol/parse.h"
#include "protocol/procfs.h"
#include "protocol/units.h"
#include "tools/aerostatctl/swap_file.h"

#define LABEL "aerostat" /* how `remove` knows what `add` has made */
#define LABEL_OFFSET 1052 /* in the header that mkswap writes: 1024 + 4 + 4 + 4 + 16 */
#define SIZE_MIN MIB
#define ROOM_LEFT GIB /* a file system that is full harms more than swap helps */

extern char **environ;

static int refuse_path(const char *path) {
        struct stat st;

        if (path[0] != '/')
                return complain(CTL_USAGE, "%s is no absolute path: it starts with /, as in: aerostatctl swap add 4G /var/lib/aerostat/swapfile",
                                path);
        for (const char *p = path; *p; p++)
                if ((unsigned char) *p <= ' ' || *p == '\\')
                        return complain(CTL_USAGE, "a swap file's path has no blanks and no backslashes: /proc/swaps and fstab escape them");
        if (lstat(path, &st) < 0)
                return errno == ENOENT ? CTL_DONE : complain(CTL_FAILED, "%s: %s", path, strerror(errno));
        return complain(CTL_FAILED, S_ISDIR(st.st_mode) ? "%s is a directory; give the path of a file that does not exist yet"
                                                        : "%s exists already; name a file that does not exist yet", path);
}

/* Whether the folder is on a disk that has room. */
static int refuse_room(const char *path, uint64_t bytes) {
        _cleanup_free_ char *folder = strdup(path);
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_SIZE_MAX];
        struct statfs fs;
        uint64_t room;

        if (!folder)
                return complain(CTL_FAILED, "out of memory");
        strrchr(folder, '/')[folder == strrchr(folder, '/')] = 0;
        if (statfs(folder, &fs) < 0)
                return complain(CTL_FAILED, "%s: %s", folder, strerror(errno));
        if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
                return complain(CTL_FAILED, "%s is in memory: swap there would take what it is to give", folder);
        room = u64_mul(fs.f_bavail, (uint64_t) fs.f_bsize);
        if (room < u64_add(bytes, ROOM_LEFT))
                return complain(CTL_FAILED, "no room: %s has %s free, and %s would leave less than %s", folder, format_size(room, a),
                                format_size(bytes, b), format_size(ROOM_LEFT, c));
        return CTL_DONE;
}

static volatile sig_atomic_t interrupted;

static int write_zeros(int fd, uint64_t bytes) {
        _cleanup_free_ char *zeros = calloc(1, MIB);

        if (!zeros)
                return -ENOMEM;
        for (uint64_t done = 0; done < bytes;) {
                ssize_t n = pwrite(fd, zeros, MIN(MIB, bytes - done), (off_t) done);

                if (n < 0 || interrupted)
                        return n < 0 ? -errno : -EINTR; /* a write that has begun is not interrupted */
                done += (uint64_t) n;
        }
        return fsync(fd) < 0 ? -errno : 0;
}

/* mkswap and swapon get the file by its descriptor: whoever can rename in its folder could put another file in the path's place meanwhile. */
static int run_mkswap(int fd) {
        char file[32], *const argv[] = { (char *) "mkswap", (char *) "-L", (char *) LABEL, file, NULL };
        posix_spawn_file_actions_t actions;
        int r, status;
        pid_t pid;

        setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
        snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, fd, fd); /* kept over exec */
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        if (r != 0)
                return -r;
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int format_and_activate(int fd, const char *path) {
        char file[32];
        int r = run_mkswap(fd);

        if (r < 0)
                return complain(CTL_FAILED, r == -ENOENT ? "mkswap (of util-linux) is not installed" : "mkswap failed on %s", path);
        snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
        return swapon(file, 0) < 0 ? -errno : 0;
}

/* 0 or an exit code; the file is removed by the caller where it is one. */
static int fill(int fd, const char *path, uint64_t bytes) {
        int flags = 0, r;

        /* btrfs swaps only on files that are not copied on write; elsewhere this fails and does not matter. */
        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
                flags |= FS_NOCOW_FL;
                (void) ioctl(fd, FS_IOC_SETFLAGS, &flags);
        }
        r = fallocate(fd, 0, 0, (off_t) bytes) < 0 ? -errno : 0;
        if (r == -EOPNOTSUPP)
                r = write_zeros(fd, bytes);
        if (r < 0)
                return complain(CTL_FAILED, "%s cannot be made %" PRIu64 " bytes long: %s", path, bytes, strerror(-r));
        r = format_and_activate(fd, path);
        if (r == -EINVAL) { /* a file system that counts what was allocated and not written as holes */
                r = write_zeros(fd, bytes);
                if (r >= 0)
                        r = format_and_activate(fd, path);
        }
        if (r < 0)
                return complain(CTL_FAILED, "the kernel does not swap on %s: %s", path, strerror(-r));
        return r;
}

static void print_json(json_t *object) {
        if (object)
                json_dumpf(object, stdout, 0);
        puts("");
        json_decref(object);
}

static void on_signal(int number) {
        interrupted = number;
}

int swap_file_add(const struct context *context, const char *path, uint64_t bytes) {
        struct sigaction action = { .sa_handler = on_signal };
        char size[FORMAT_SIZE_MAX];
        int fd, r;

        bytes -= bytes % (uint64_t) sysconf(_SC_PAGESIZE);
        if (bytes < SIZE_MIN)
                return complain(CTL_USAGE, "swap of less than 1 MiB is of no use");
        r = refuse_path(path);
        if (r == CTL_DONE)
                r = refuse_room(path, bytes);
        if (r != CTL_DONE)
                return r;
        if (geteuid() != 0)
                return complain(CTL_FAILED, "only root may add swap: run this with sudo");
        /* No half file is left behind: an interrupt ends the filling, and what was made goes. */
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return complain(CTL_FAILED, "%s: %s", path, strerror(errno));
        r = fill(fd, path, bytes);
        close(fd);
        if (r != CTL_DONE || interrupted) {
                if (r == CTL_DONE)
                        (void) swapoff(path);
                (void) unlink(path);
                return r != CTL_DONE ? r : complain(CTL_FAILED, "interrupted; %s is removed again", path);
        }
        if (context->json)
                print_json(json_pack("{s:s, s:I, s:b}", "path", path, "size_bytes", (json_int_t) bytes, "added", 1));
        else
                printf("Swapping on %s, %s. To keep it after a reboot, add to /etc/fstab:\n  %s none swap sw 0 0\n", path,
                       format_size(bytes, size), path);
        return CTL_DONE;
}

/* How much of this swap is used, from /proc/swaps; unknown: it is not active. */
static uint64_t used_of(const char *path) {
        char buf[16 * 1024], *line, *save;

        if (procfs_read(AT_FDCWD, "/proc/swaps", buf, sizeof(buf)) < 0)
                return AEROSTAT_UNKNOWN;
        for (line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                unsigned long long size_kib, used_kib;
                char name[512], type[32];

                if (sscanf(line, "%511s %31s %llu %llu", name, type, &size_kib, &used_kib) == 4 && strcmp(name, path) == 0)
                        return used_kib * KIB;
        }
        return AEROSTAT_UNKNOWN;
}

static bool is_ours(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        char label[16] = "";
        struct stat st;

        return fd >= 0 && fstat(fd, &st) >= 0 && S_ISREG(st.st_mode) && pread(fd, label, sizeof(label), LABEL_OFFSET) == sizeof(label) &&
               strncmp(label, LABEL, sizeof(label)) == 0;
}

int swap_file_remove(const struct context *context, const char *given, uint64_t reserve_bytes) {
        _cleanup_free_ char *real = realpath(given, NULL); /* as /proc/swaps has it */
        const char *path = real ? real : given;
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_SIZE_MAX], buf[16 * 1024];
        uint64_t used = used_of(path);
        struct meminfo m;
        bool ours;

        if (used == AEROSTAT_UNKNOWN)
                return complain(CTL_FAILED, "%s is no swap in use; /proc/swaps lists those that are", path);
        if (procfs_read(AT_FDCWD, "/proc/meminfo", buf, sizeof(buf)) < 0 || meminfo_parse(buf, &m) < 0)
                return complain(CTL_FAILED, "/proc/meminfo cannot be read, so that nobody knows whether what is swapped there fits: it stays in use");
        if (reserve_bytes == AEROSTAT_UNKNOWN) /* as aerostatd's own default for hosts of up to 15 GiB, and more than that above */
                reserve_bytes = m.total_bytes / 100 * 6;
        if (used > u64_sub(m.available_bytes, reserve_bytes))
                return complain(CTL_FAILED, "what is in %s would not fit: %s is swapped there, and of %s available memory %s is the reserve; "
                                            "add other swap first, or free memory", path,
                                format_size(used, a), format_size(m.available_bytes, b), format_size(reserve_bytes, c));
        if (geteuid() != 0)
                return complain(CTL_FAILED, "only root may remove swap: run this with sudo");
        ours = is_ours(path);
        if (swapoff(path) < 0)
                return complain(CTL_FAILED, "%s stays in use: %s", path, strerror(errno));
        if (ours && unlink(path) < 0)
                return complain(CTL_FAILED, "%s is not used any more, but cannot be removed: %s", path, strerror(errno));
        if (context->json)
                print_json(json_pack("{s:s, s:I, s:I, s:I, s:b}", "path", path, "moved_bytes", (json_int_t) used, "available_bytes",
                                     (json_int_t) m.available_bytes, "reserve_bytes", (json_int_t) reserve_bytes, "file_removed", ours));
        else
                printf("%s is not used any more; %s moved back to memory, of which %s was available and %s is the reserve. %s\n", path,
                       format_size(used, a), format_size(m.available_bytes, b), format_size(reserve_bytes, c),
                       ours ? "The file is removed; so must be its line in /etc/fstab, if it has one."
                            : "The file stays: aerostatctl did not make it.");
        return CTL_DONE;
}
