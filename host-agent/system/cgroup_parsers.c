/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/cgroup.h"

#include <string.h>

#include "host-agent/system/parsers.h"

/* Whether a comma-separated list of n characters has this word. */
static bool list_has(const char *list, size_t n, const char *word) {
        size_t length = strlen(word);
        const char *end = list + n;

        while (list < end) {
                const char *comma = memchr(list, ',', (size_t) (end - list));
                size_t item = (size_t) ((comma ? comma : end) - list);

                if (item == length && strncmp(list, word, length) == 0)
                        return true;
                list += item + 1;
        }
        return false;
}

static bool copy_path(char to[static CGROUP_PATH_MAX], const char *from) {
        size_t n = strlen(from);

        if (n >= CGROUP_PATH_MAX)
                return false;
        memcpy(to, from, n + 1);
        return true;
}

/* "4:memory:/path" or "0::/path". */
void cgroup_parse_membership(struct cgroup_place *place, const char *line) {
        const char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        bool v1, v2;

        if (!path || path[1] != '/')
                return;
        controllers++;
        v1 = list_has(controllers, (size_t) (path - controllers), "memory");
        v2 = path == controllers && strncmp(line, "0:", 2) == 0;
        if (!v1 && (!v2 || place->found))
                return;
        if (!copy_path(place->path, path + 1))
                return;
        place->found = true;
        place->v2 = v2;
}

/* How much of path the root of a mount stands for, or -1 where the path does not lie below it. */
static ssize_t match_root(const char *path, const char *root) {
        size_t n = strlen(root);

        if (strcmp(root, "/") == 0)
                return 0;
        return strncmp(path, root, n) == 0 && (path[n] == '/' || !path[n]) ? (ssize_t) n : -1;
}

/* "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:1 - cgroup cgroup rw,memory": id, parent, device, root, mount point, options, any
 * number of tags, a dash, type, source, options of the hierarchy. */
void cgroup_parse_mount(struct cgroup_place *place, char *line) {
        char *fields[5], *save, *type, *options, *dash = strstr(line, " - ");
        ssize_t root_length;

        if (!dash || !place->found)
                return;
        *dash = 0;
        type = strtok_r(dash + 3, " ", &save);
        (void) strtok_r(NULL, " ", &save);
        options = strtok_r(NULL, " ", &save);
        if (!type || !options)
                return;
        if (place->v2 ? strcmp(type, "cgroup2") != 0 : strcmp(type, "cgroup") != 0 || !list_has(options, strlen(options), "memory"))
                return;
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                fields[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
                if (!fields[i])
                        return;
        }
        unescape_octal(fields[3]);
        unescape_octal(fields[4]);
        root_length = match_root(place->path, fields[3]);
        if (root_length < 0 || (place->mounted && (size_t) root_length >= place->root_length) || fields[4][0] != '/')
                return;
        place->mounted = copy_path(place->mount, fields[4]);
        place->root_length = (size_t) root_length;
}

/* Whether a component is libvirt's group for one VM: "machine-qemu\x2d1\x2dweb1.scope" where systemd makes it, "qemu-1-web1.libvirt-qemu"
 * otherwise. */
static bool is_machine(const char *component, size_t n) {
        static const char prefix[] = "machine-qemu", scope[] = ".scope", plain[] = ".libvirt-qemu";

        if (n > strlen(plain) && strncmp(component + n - strlen(plain), plain, strlen(plain)) == 0)
                return true;
        return n > strlen(prefix) + strlen(scope) && strncmp(component, prefix, strlen(prefix)) == 0 &&
               strncmp(component + n - strlen(scope), scope, strlen(scope)) == 0;
}

bool cgroup_find_machine(const char *path, size_t *ret_above, size_t *ret_machine) {
        const char *slash = path;

        while (*slash == '/') {
                size_t n = strcspn(slash + 1, "/");

                if (is_machine(slash + 1, n)) {
                        *ret_above = (size_t) (slash - path);
                        *ret_machine = *ret_above + 1 + n;
                        return true;
                }
                slash += 1 + n;
        }
        return false;
}

size_t cgroup_parent_length(const char *path) {
        const char *slash = strrchr(path, '/');
        size_t above, machine;

        if (cgroup_find_machine(path, &above, &machine))
                return above;
        return slash ? (size_t) (slash - path) : 0;
}

uint64_t cgroup_parse_limit(const char *text) {
        uint64_t bytes = number_parse(text);

        /* v1 writes "no limit" as 2^63 - 1, rounded down to its page size; v2 as "max", which is no number. */
        return bytes > INT64_MAX / 2 ? AEROSTAT_UNKNOWN : bytes;
}
