/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/procfs.h"

/* First line: the format and the boot; then "PATH<tab>VALUE" for each entry. */
#define MAGIC "aerostat-undo 1 "
#define VALUE_MAX 128
#define FILE_MAX (8 * 1024 * 1024) /* a line of some 150 characters for each VM */
#define BOOT_ID_MAX 64

struct entry {
        char *path, *value;
};

struct undo {
        int root_fd;
        char *file, *temporary;        /* paths; NULL: nothing is kept on disk */
        char boot_id[BOOT_ID_MAX];
        struct entry *entries;
        size_t n_entries, n_allocated;
};

static bool is_plain(const char *text) {
        for (; *text; text++)
                if ((unsigned char) *text < ' ')
                        return false;
        return true;
}

static int append(struct undo *undo, const char *path, const char *value) {
        struct entry e;

        if (!is_plain(path) || !is_plain(value) || !*path)
                return -EINVAL;
        if (undo->n_entries == undo->n_allocated) {
                size_t n = MAX(16, 2 * undo->n_allocated);
                struct entry *p = reallocarray(undo->entries, n, sizeof(*p));

                if (!p)
                        return -ENOMEM;
                undo->entries = p;
                undo->n_allocated = n;
        }
        e.path = strdup(path);
        e.value = strdup(value);
        if (!e.path || !e.value) {
                free(e.path);
                free(e.value);
                return -ENOMEM;
        }
        undo->entries[undo->n_entries++] = e;
        return 0;
}

static void take_out(struct undo *undo, size_t index) {
        free(undo->entries[index].path);
        free(undo->entries[index].value);
        memmove(undo->entries + index, undo->entries + index + 1, (undo->n_entries - index - 1) * sizeof(*undo->entries));
        undo->n_entries--;
}

/* Replaces the file as a whole; no entries, no file. */
static int store(struct undo *undo) {
        FILE *f;
        bool failed;

        if (!undo->file)
                return 0;
        if (undo->n_entries == 0)
                return unlink(undo->file) < 0 && errno != ENOENT ? -errno : 0;
        f = fopen(undo->temporary, "we");
        if (!f)
                return -errno;
        fprintf(f, MAGIC "%s\n", undo->boot_id);
        for (size_t i = 0; i < undo->n_entries; i++)
                fprintf(f, "%s\t%s\n", undo->entries[i].path, undo->entries[i].value);
        failed = ferror(f);
        failed |= fclose(f) != 0;
        if (failed || rename(undo->temporary, undo->file) < 0) {
                int r = errno ? -errno : -EIO;

                (void) unlink(undo->temporary);
                return r;
        }
        return 0;
}

static int parse(struct undo *undo, char *text) {
        char *line, *save, *tab;
        int r;

        line = strtok_r(text, "\n", &save);
        if (!line || strncmp(line, MAGIC, strlen(MAGIC)) != 0)
                return -EBADMSG;
        if (strcmp(line + strlen(MAGIC), undo->boot_id) != 0)
                return 0; /* an earlier boot */
        while ((line = strtok_r(NULL, "\n", &save))) {
                tab = strchr(line, '\t');
                if (!tab)
                        return -EBADMSG;
                *tab = 0;
                r = append(undo, line, tab + 1);
                if (r < 0)
                        return r == -EINVAL ? -EBADMSG : r;
        }
        return 0;
}

static int load(struct undo *undo) {
        _cleanup_free_ char *text = malloc(FILE_MAX);
        ssize_t n;

        if (!text)
                return -ENOMEM;
        n = procfs_read(AT_FDCWD, undo->file, text, FILE_MAX);
        if (n == -ENOENT)
                return 0;
        return n == -E2BIG ? -EBADMSG : n < 0 ? (int) n : parse(undo, text);
}

/* A file that is not ours must not keep the daemon from starting: without it there is one thing less to undo. */
static int set_aside(struct undo *undo) {
        _cleanup_free_ char *bad = NULL;

        while (undo->n_entries > 0)
                take_out(undo, undo->n_entries - 1);
        if (asprintf(&bad, "%s.bad", undo->file) < 0)
                return -ENOMEM;
        return rename(undo->file, bad) < 0 ? -errno : 1;
}

int undo_new(struct undo **ret, int root_fd, const char *state_dir) {
        _cleanup_(undo_freep) struct undo *undo = calloc(1, sizeof(*undo));
        int r = 0;

        if (!undo)
                return -ENOMEM;
        undo->root_fd = root_fd;
        if (procfs_read(root_fd, "proc/sys/kernel/random/boot_id", undo->boot_id, sizeof(undo->boot_id)) < 0)
                snprintf(undo->boot_id, sizeof(undo->boot_id), "unknown");
        undo->boot_id[strcspn(undo->boot_id, "\n")] = 0;
        if (state_dir) {
                if (asprintf(&undo->file, "%s/undo", state_dir) < 0 || asprintf(&undo->temporary, "%s/undo.new", state_dir) < 0)
                        return -ENOMEM;
                r = load(undo);
                if (r == -EBADMSG)
                        r = set_aside(undo);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(undo);
        return r;
}

struct undo *undo_free(struct undo *undo) {
        if (!undo)
                return NULL;
        while (undo->n_entries > 0)
                take_out(undo, undo->n_entries - 1);
        free(undo->entries);
        free(undo->file);
        free(undo->temporary);
        free(undo);
        return NULL;
}

const char *undo_value(const struct undo *undo, const char *path) {
        for (size_t i = 0; i < undo->n_entries; i++)
                if (strcmp(undo->entries[i].path, path) == 0)
                        return undo->entries[i].value;
        return NULL;
}

bool undo_entry(struct undo *undo, size_t index, const char **ret_path, const char **ret_value) {
        if (index >= undo->n_entries)
                return false;
        *ret_path = undo->entries[index].path;
        *ret_value = undo->entries[index].value;
        return true;
}

int undo_note(struct undo *undo, const char *name, const char *value) {
        int r;

        if (undo_value(undo, name))
                return 1;
        r = append(undo, name, value);
        if (r < 0)
                return r;
        r = store(undo);
        if (r < 0)
                take_out(undo, undo->n_entries - 1);
        return r;
}

int undo_note_file(struct undo *undo, const char *path) {
        char buf[VALUE_MAX], *value = buf, *choice;
        ssize_t n;

        if (undo_value(undo, path))
                return 1;
        n = procfs_read(undo->root_fd, path, buf, sizeof(buf));
        if (n < 0)
                return (int) n;
        buf[strcspn(buf, "\n")] = 0;
        choice = strchr(buf, '[');
        if (choice) {
                value = choice + 1;
                value[strcspn(value, "]")] = 0;
        }
        return undo_note(undo, path, value);
}

static int write_back(struct undo *undo, const struct entry *e) {
        _cleanup_close_ int fd = openat(undo->root_fd, e->path, O_WRONLY | O_TRUNC | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return write(fd, e->value, strlen(e->value)) < 0 ? -errno : 0;
}

int undo_restore_files(struct undo *undo, const char *prefix, int *ret_error) {
        int restored = 0, error = 0;

        for (size_t i = 0; i < undo->n_entries;) {
                int r;

                if (strncmp(undo->entries[i].path, prefix, strlen(prefix)) != 0) {
                        i++;
                        continue;
                }
                r = write_back(undo, &undo->entries[i]);
                if (r < 0 && r != -ENOENT && r != -ENODEV) {
                        error = error ? error : -r;
                        i++;
                        continue;
                }
                restored += r == 0;
                take_out(undo, i);
        }
        if (store(undo) < 0 && error == 0)
                error = EIO;
        *ret_error = error;
        return restored;
}

void undo_forget(struct undo *undo, const char *prefix) {
        for (size_t i = 0; i < undo->n_entries;)
                if (strncmp(undo->entries[i].path, prefix, strlen(prefix)) == 0)
                        take_out(undo, i);
                else
                        i++;
        (void) store(undo);
}
