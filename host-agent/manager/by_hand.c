/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Limits that an operator sets for a VM by hand, for this run of it or for good (view.h). */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/manager/internal.h"
#include "protocol/parse.h"
#include "protocol/units.h"

static uint64_t floor_of(const struct limits *l, uint64_t max_bytes) {
        return l->floor_ppm != AEROSTAT_UNKNOWN ? u64_mul_div(max_bytes, l->floor_ppm, PPM_ONE) : l->floor_bytes;
}

static int check_floor(struct manager *m, size_t index, const struct limits *limits, char error[static VIEW_ERROR_MAX]) {
        const struct vm *vm = m->vms[index];
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_SIZE_MAX];
        uint64_t floor = floor_of(limits, vm->info.max_bytes), least;

        if (floor > vm->info.max_bytes) {
                snprintf(error, VIEW_ERROR_MAX, "a floor of %s is more than the maximum of \"%.128s\": give it %s at most",
                         format_size(floor, a), vm->name,
                         format_size(vm->info.max_bytes, b));
                return -ERANGE;
        }
        least = manager_least_bytes(m, index, floor);
        if (floor > vm->floor_bytes && least > m->plan.rule_bytes) {
                snprintf(error, VIEW_ERROR_MAX,
                         "the floors would not fit: with %s for \"%.128s\" the VMs need %s at least (fixed VMs, reservations and overhead counted), "
                         "and the host can bear %s; lower other floors first",
                         format_size(floor, a), vm->name, format_size(least, b), format_size(m->plan.rule_bytes, c));
                return -ENOSPC;
        }
        return 0;
}

/* Metadata as it is with these limits in it. One that was refused as a whole is replaced as a whole. */
static struct virt_metadata with_limits(const struct virt_metadata *metadata, const struct limits *l) {
        struct virt_metadata merged = *metadata;

        if (merged.error[0])
                merged = (struct virt_metadata) { .floor_ppm = AEROSTAT_UNKNOWN };
        if (l->has_floor) {
                merged.has_floor = true;
                merged.floor_bytes = l->floor_bytes;
                merged.floor_ppm = l->floor_ppm;
        }
        if (l->has_weight) {
                merged.has_weight = true;
                merged.weight = l->weight;
        }
        if (l->has_priority) {
                merged.has_priority = true;
                merged.priority = l->priority;
        }
        if (l->has_managed) {
                merged.has_managed = true;
                merged.managed = l->managed;
        }
        return merged;
}

static int persist(struct manager *m, struct vm *vm, const struct limits *limits, const struct limits_request *request,
                   char error[static VIEW_ERROR_MAX]) {
        struct virt_metadata merged = with_limits(&vm->info.metadata, limits);
        int r;

        if (vm->persist.pending) {
                snprintf(error, VIEW_ERROR_MAX, "limits of \"%.128s\" are being written already; try again", vm->name);
                return -EBUSY;
        }
        r = virt_request_metadata(m->virt, vm->uuid, &merged);
        if (r < 0) {
                snprintf(error, VIEW_ERROR_MAX, "libvirt cannot be asked to write the metadata of \"%.128s\": %s", vm->name, strerror(-r));
                return r;
        }
        vm->persist.pending = true;
        vm->persist.metadata = merged;
        vm->persist.done = request->done;
        vm->persist.userdata = request->userdata;
        return 1;
}

int manager_set_limits(struct manager *m, size_t index, const struct limits_request *request, char error[static VIEW_ERROR_MAX]) {
        struct vm *vm = m->vms[index];
        struct limits limits = request->limits;
        char floor[FORMAT_SIZE_MAX];
        int r = 0;

        if (limits.has_floor)
                r = check_floor(m, index, &limits, error);
        if (r < 0)
                return r;
        if (request->persist) {
                /* What was set by hand before becomes part of it, or it would hide what is written. */
                struct limits all = request->reset ? (struct limits) { 0 } : vm->limits;

                limits_merge(&all, &limits);
                if (!limits_any(&all)) {
                        snprintf(error, VIEW_ERROR_MAX, "there is nothing to write: no limit is given, and none "
                                                        "was set by hand; see `aerostatctl limits --help`");
                        return -EINVAL;
                }
                return persist(m, vm, &all, request, error);
        }
        if (request->reset)
                vm->limits = (struct limits) { 0 };
        limits_merge(&vm->limits, &limits);
        vm_apply_settings(vm, &m->settings);
        log_vm(LOG_NOTICE, vm->name, "limits set by hand: floor %s, weight %" PRIu64 ", priority %" PRIu64 ", managed %s",
               format_size(vm->floor_bytes, floor), vm->weight, vm->priority, vm->managed ? "yes" : "no");
        manager_keep_changed(m);
        return 0;
}

void manager_limits_written(struct manager *m, struct vm *vm, int result, const char *text) {
        void (*done)(int, const char *, void *) = vm->persist.done;

        if (!vm->persist.pending)
                return;
        vm->persist.pending = false;
        vm->persist.done = NULL;
        if (result >= 0) {
                /* Its event is still to come: until then what was written is what holds. */
                vm->info.metadata = vm->persist.metadata;
                vm->limits = (struct limits) { 0 };
                vm_apply_settings(vm, &m->settings);
                log_vm(LOG_NOTICE, vm->name, "limits written to its metadata");
                manager_keep_changed(m);
        }
        if (done)
                done(result, text, vm->persist.userdata);
}

void manager_limits_abandon(struct manager *m, void *userdata) {
        for (size_t i = 0; i < m->n_vms; i++)
                if (m->vms[i]->persist.userdata == userdata)
                        m->vms[i]->persist.done = NULL;
}
