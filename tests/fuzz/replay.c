/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs a fuzz target on the files named, or on all files of its corpus: tests/fuzz/corpus/NAME for the program fuzz-NAME. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "protocol/base.h"
#include "protocol/procfs.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (1024 * 1024)

static int replay(int dir_fd, const char *path) {
        _cleanup_free_ char *buf = malloc(INPUT_MAX);
        ssize_t n = buf ? procfs_read(dir_fd, path, buf, INPUT_MAX) : -ENOMEM;

        if (n < 0) {
                fprintf(stderr, "%s: %s\n", path, strerror((int) -n));
                return -1;
        }
        (void) LLVMFuzzerTestOneInput((const uint8_t *) buf, (size_t) n);
        return 0;
}

static int replay_corpus(const char *program) {
        const char *name = strrchr(program, '/');
        char path[512];
        struct dirent *entry;
        unsigned files = 0;
        DIR *dir;

        name = name ? name + 1 : program;
        snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", TOP_SRCDIR, name + strlen("fuzz-"));
        dir = opendir(path);
        if (!dir) {
                fprintf(stderr, "%s: %s\n", path, strerror(errno));
                return 1;
        }
        while ((entry = readdir(dir)))
                if (entry->d_name[0] != '.' && replay(dirfd(dir), entry->d_name) == 0)
                        files++;
        closedir(dir);
        printf("%s: %u inputs\n", name, files);
        return files == 0;
}

int main(int argc, char **argv) {
        int r = 0;

        if (argc < 2)
                return replay_corpus(argv[0]);
        for (int i = 1; i < argc; i++)
                r |= replay(AT_FDCWD, argv[i]);
        return r != 0;
}
