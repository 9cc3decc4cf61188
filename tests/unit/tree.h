/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A folder that stands for "/" in a test: made from a table of paths and texts, removed afterwards. */

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/procfs.h"

struct tree {
        char path[64];
        int fd;
};

struct tree_file {
        const char *path, *text;
};

/* Writes a file, and the folders above it. Returns false when that fails. */
static inline bool tree_put(const struct tree *tree, const char *path, const char *data, size_t size) {
        char full[512];
        FILE *f;
        bool ok;

        snprintf(full, sizeof(full), "%s/%s", tree->path, path);
        for (char *p = full + strlen(tree->path) + 1; (p = strchr(p, '/')); p++) {
                *p = 0;
                if (mkdir(full, 0700) < 0 && errno != EEXIST)
                        return false;
                *p = '/';
        }
        f = fopen(full, "w");
        if (!f)
                return false;
        ok = fwrite(data, 1, size, f) == size;
        return fclose(f) == 0 && ok;
}

/* files ends with a NULL path. */
static inline struct tree tree_make(const struct tree_file *files) {
        struct tree tree = { "/tmp/aerostat-tree-XXXXXX", -1 };

        if (!mkdtemp(tree.path))
                abort();
        for (; files->path; files++)
                if (!tree_put(&tree, files->path, files->text, strlen(files->text)))
                        abort();
        tree.fd = procfs_open_root(tree.path);
        return tree;
}

static inline int tree_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
        return remove(path);
}

static inline void tree_remove(struct tree *tree) {
        close(tree->fd);
        (void) nftw(tree->path, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
