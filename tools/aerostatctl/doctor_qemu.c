/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <jansson.h>

#include "protocol/parse.h"
#include "protocol/units.h"

#define CMDLINE_MAX (256 * 1024)
#define ARGS_MAX 4096

/* One "key" or "key=value" of an option "a,b=c,,d": QEMU doubles a comma that is meant. Returns what follows, NULL at the end. */
static const char *next_part(const char *text, char *buf, size_t size) {
        size_t n = 0;

        if (!*text)
                return NULL;
        for (; *text; text++) {
                if (*text == ',' && text[1] != ',') {
                        text++;
                        break;
                }
                if (*text == ',')
                        text++;
                if (n + 1 < size)
                        buf[n++] = *text;
        }
        buf[n] = 0;
        return text;
}

/* What does not fit is cut: it is nothing that we know. */
static void copy(char *buf, size_t size, const char *text) {
        size_t n = strlen(text);

        n = MIN(n, size - 1);
        memcpy(buf, text, n);
        buf[n] = 0;
}

/* The value of a key of an option in either of QEMU's forms, "x,key=value" or JSON; false where it is not there. first: the key that may be left
 * out. */
static bool get(const char *option, const char *first, const char *key, char *buf, size_t size) {
        char part[512];

        if (*option == '{') {
                json_t *object = json_loads(option, 0, NULL), *value = json_object_get(object, key);
                bool found = value;

                if (json_is_string(value))
                        copy(buf, size, json_string_value(value));
                else if (json_is_boolean(value))
                        copy(buf, size, json_is_true(value) ? "on" : "off");
                else if (json_is_integer(value))
                        snprintf(buf, size, "%lld", (long long) json_integer_value(value));
                else
                        found = false;
                json_decref(object);
                return found;
        }
        for (bool at_first = true; (option = next_part(option, part, sizeof(part))); at_first = false) {
                size_t n = strlen(key);
                const char *value = NULL;

                if (strncmp(part, key, n) == 0 && part[n] == '=')
                        value = part + n + 1;
                else if (at_first && !strchr(part, '=') && strcmp(first, key) == 0)
                        value = part;
                if (value) {
                        copy(buf, size, value);
                        return true;
                }
        }
        return false;
}

static bool is_on(const char *option, const char *key) {
        char value[16];

        return get(option, "", key, value, sizeof(value)) && (strcmp(value, "on") == 0 || strcmp(value, "yes") == 0 || strcmp(value, "true") == 0);
}

static void take_device(const char *option, struct doctor_vm *vm) {
        char value[256];

        if (!get(option, "driver", "driver", value, sizeof(value)))
                return;
        if (strncmp(value, "virtio-balloon", 14) == 0) {
                vm->has_balloon = true;
                vm->autodeflate = is_on(option, "deflate-on-oom");
                vm->free_page_reporting = is_on(option, "free-page-reporting");
        } else if (strncmp(value, "vfio-", 5) == 0)
                vm->vfio = true;
        else if (strcmp(value, "virtserialport") == 0 && get(option, "driver", "name", value, sizeof(value)) &&
                 strcmp(value, "org.aerostat.guest.0") == 0)
                vm->has_channel = true;
}

static void take_object(const char *option, struct doctor_vm *vm) {
        char type[64], path[256];

        if (!get(option, "qom-type", "qom-type", type, sizeof(type)) || strncmp(type, "memory-backend-", 15) != 0)
                return;
        vm->hugepages |= is_on(option, "hugetlb") || (get(option, "", "mem-path", path, sizeof(path)) && strstr(path, "hugepages"));
        vm->shared |= is_on(option, "share") || strcmp(type, "memory-backend-memfd") == 0;
        vm->prealloc |= is_on(option, "prealloc");
}

/* -m: MiB where no unit is given; libvirt writes "4096" or "size=4194304k,slots=16,maxmem=..". */
static uint64_t parse_memory(const char *option) {
        char value[32];
        uint64_t number;
        size_t n;

        if (!get(option, "size", "size", value, sizeof(value)))
                return AEROSTAT_UNKNOWN;
        n = strlen(value);
        if (parse_u64(value, &number) >= 0)
                return u64_mul(number, MIB);
        if (n > 0 && value[n - 1] >= 'a' && value[n - 1] <= 'z')
                value[n - 1] = (char) (value[n - 1] - 'a' + 'A');
        return parse_size(value, &number) < 0 ? AEROSTAT_UNKNOWN : number;
}

bool doctor_vm_parse(const char *const *args, size_t n, struct doctor_vm *ret) {
        struct doctor_vm vm = { .max_bytes = AEROSTAT_UNKNOWN, .vcpus = 1 };
        const char *program = n > 0 ? strrchr(args[0], '/') : NULL;
        char value[64];

        program = program ? program + 1 : n > 0 ? args[0] : "";
        if (strncmp(program, "qemu-system-", 12) != 0 && strcmp(program, "qemu-kvm") != 0)
                return false;
        for (size_t i = 1; i + 1 < n; i++) {
                const char *key = args[i][0] == '-' && args[i][1] == '-' ? args[i] + 1 : args[i], *option = args[i + 1];

                if (strcmp(key, "-name") == 0)
                        (void) get(option, "guest", "guest", vm.name, sizeof(vm.name));
                else if (strcmp(key, "-uuid") == 0)
                        snprintf(vm.uuid, sizeof(vm.uuid), "%s", option);
                else if (strcmp(key, "-m") == 0)
                        vm.max_bytes = parse_memory(option);
                else if (strcmp(key, "-smp") == 0 && (!get(option, "cpus", "cpus", value, sizeof(value)) || parse_u64(value, &vm.vcpus) < 0))
                        vm.vcpus = AEROSTAT_UNKNOWN;
                else if (strcmp(key, "-device") == 0)
                        take_device(option, &vm);
                else if (strcmp(key, "-object") == 0)
                        take_object(option, &vm);
                else if (strcmp(key, "-overcommit") == 0)
                        vm.locked |= is_on(option, "mem-lock");
                else if (strcmp(key, "-mem-path") == 0)
                        vm.hugepages |= strstr(option, "hugepages") != NULL;
                else if (strcmp(key, "-machine") == 0 && get(option, "type", "mem-merge", value, sizeof(value)))
                        vm.no_merge = strcmp(value, "off") == 0;
        }
        *ret = vm;
        return true;
}

static bool read_one(int root_fd, const char *pid, char *buf, struct doctor_vm *ret) {
        const char *args[ARGS_MAX];
        char path[64];
        size_t n = 0, size = 0;
        _cleanup_close_ int fd = -1;
        ssize_t got;

        snprintf(path, sizeof(path), "proc/%.16s/cmdline", pid);
        fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        while (size + 1 < CMDLINE_MAX && (got = read(fd, buf + size, CMDLINE_MAX - 1 - size)) > 0)
                size += (size_t) got;
        buf[size] = 0;
        for (size_t at = 0; at < size && n < ARGS_MAX; at += strlen(buf + at) + 1)
                args[n++] = buf + at;
        if (!doctor_vm_parse(args, n, ret))
                return false;
        ret->pid = atoi(pid);
        if (!*ret->name) /* started by hand */
                snprintf(ret->name, sizeof(ret->name), "process %d", ret->pid);
        return true;
}

static int by_name(const void *a, const void *b) {
        return strcmp(((const struct doctor_vm *) a)->name, ((const struct doctor_vm *) b)->name);
}

int doctor_vms_read(int root_fd, struct doctor_vm **ret, size_t *ret_n) {
        _cleanup_free_ struct doctor_vm *vms = NULL;
        _cleanup_free_ char *buf = malloc(CMDLINE_MAX);
        int fd = openat(root_fd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
        size_t n = 0, n_allocated = 0;
        const struct dirent *entry;
        int r = 0;

        if (!folder) {
                r = -errno;
                if (fd >= 0)
                        close(fd);
                return r;
        }
        while (buf && (entry = readdir(folder))) {
                if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name))
                        continue;
                if (n == n_allocated) {
                        struct doctor_vm *more = reallocarray(vms, n_allocated = MAX(2 * n_allocated, (size_t) 32), sizeof(*vms));

                        if (!more) {
                                r = -ENOMEM;
                                break;
                        }
                        vms = more;
                }
                n += read_one(root_fd, entry->d_name, buf, &vms[n]);
        }
        closedir(folder);
        if (r < 0 || !buf)
                return -ENOMEM;
        if (n > 0)
                qsort(vms, n, sizeof(*vms), by_name);
        *ret = TAKE_PTR(vms);
        *ret_n = n;
        return 0;
}
