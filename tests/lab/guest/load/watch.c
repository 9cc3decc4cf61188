/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest's memory: shown on request, and watched for the moment when a burst becomes visible. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

/* The daemon's default headroom: 20 % of what is needed, at least 64 MiB. Half of it is where a burst starts. */
#define HEADROOM_PERCENT 20
#define HEADROOM_MIN_BYTES (UINT64_C(64) << 20)

enum watch_rule { WATCH_OFF, WATCH_BELOW, WATCH_HEADROOM };

static enum watch_rule rule;
static uint64_t below_bytes, reserved_bytes;
static bool crossed;

static void read_file(const char *path, char *buf, size_t size) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, buf, size - 1) : -1;

        buf[n > 0 ? n : 0] = 0;
        if (fd >= 0)
                close(fd);
}

/* The number after `key` (which carries the line break before it and what separates it), or 0. */
static uint64_t field(const char *text, const char *key) {
        const char *s = strstr(text, key);

        return s ? strtoull(s + strlen(key), NULL, 10) : 0;
}

static uint64_t meminfo_bytes(const char *text, const char *key) {
        return field(text, key) * 1024;
}

bool watch_active(void) {
        return rule != WATCH_OFF;
}

void watch_set(const struct request *request) {
        below_bytes = request_get_u64(request, "below", 0);
        reserved_bytes = request_get_u64(request, "reserved", 0);
        crossed = false;
        if (request_get(request, "off"))
                rule = WATCH_OFF;
        else if (request_get(request, "headroom"))
                rule = WATCH_HEADROOM;
        else if (below_bytes > 0 && below_bytes != UINT64_MAX)
                rule = WATCH_BELOW;
        else
                return refuse(request, "one of below=BYTES, headroom=1, off=1 is needed");
        answer(request, "%s", "");
}

/* `reserved` is what the balloon's size counts and MemTotal does not (kernel, firmware): the host's idea of need has it in. */
static uint64_t threshold_bytes(uint64_t total, uint64_t available) {
        uint64_t headroom;

        if (rule == WATCH_BELOW)
                return below_bytes;
        headroom = (total + reserved_bytes - available) * HEADROOM_PERCENT / 100;
        return (headroom > HEADROOM_MIN_BYTES ? headroom : HEADROOM_MIN_BYTES) / 2;
}

void watch_tick(void) {
        static char buf[4096];
        uint64_t total, available, threshold;

        if (crossed)
                return;
        read_file("/proc/meminfo", buf, sizeof buf);
        total = meminfo_bytes(buf, "MemTotal:");
        available = meminfo_bytes(buf, "MemAvailable:");
        threshold = threshold_bytes(total, available);
        if (available >= threshold)
                return;
        crossed = true;
        send_event("crossed", ",\"available_bytes\":%" PRIu64 ",\"threshold_bytes\":%" PRIu64, available, threshold);
}

void guest_show(const struct request *request) {
        static char mem[4096], vm[16384], psi[512];
        const char *full;

        read_file("/proc/meminfo", mem, sizeof mem);
        read_file("/proc/vmstat", vm, sizeof vm);
        read_file("/proc/pressure/memory", psi, sizeof psi);
        full = strstr(psi, "full");
        answer(request,
               ",\"total_bytes\":%" PRIu64 ",\"available_bytes\":%" PRIu64 ",\"free_bytes\":%" PRIu64 ",\"cached_bytes\":%" PRIu64
               ",\"buffers_bytes\":%" PRIu64 ",\"anon_bytes\":%" PRIu64 ",\"swap_total_bytes\":%" PRIu64 ",\"swap_free_bytes\":%" PRIu64
               ",\"oom_kills\":%" PRIu64 ",\"balloon_pages\":%" PRId64 ",\"refault_pages\":%" PRIu64
               ",\"psi_some_usec\":%" PRIu64 ",\"psi_full_usec\":%" PRIu64,
               meminfo_bytes(mem, "MemTotal:"), meminfo_bytes(mem, "MemAvailable:"), meminfo_bytes(mem, "MemFree:"),
               meminfo_bytes(mem, "\nCached:"), meminfo_bytes(mem, "Buffers:"), meminfo_bytes(mem, "AnonPages:"),
               meminfo_bytes(mem, "SwapTotal:"), meminfo_bytes(mem, "SwapFree:"), field(vm, "\noom_kill "),
               (int64_t) (field(vm, "\nballoon_inflate ") - field(vm, "\nballoon_deflate ")),
               field(vm, "\nworkingset_refault_file ") + field(vm, "\nworkingset_refault_anon "),
               field(psi, "total="), full ? field(full, "total=") : 0);
}
