/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/last_resort.h"

#include "protocol/units.h"

#define WINDOW_USEC (2 * USEC_PER_SEC)
/* Of the reserve, in a window: at this rate the third of it that is left in critical is gone in less than three minutes. */
#define RISING_PART 256

/* QEMU stops a VM in milliseconds. So long because a libvirtd that hangs as a whole must not have one VM after the other paused once it goes on:
 * by then the watchdog of calls (3 s) has seen that no balloon answers (each is asked every 10 s, or more often), and there is no next one. */
#define STOP_USEC (15 * USEC_PER_SEC)
/* A slow disk that others write to, as a host that swaps does. Too short a time costs one VM more than was needed, too long a one the host. */
#define SAVE_BYTES_PER_SEC (32 * MIB)
#define SAVE_EXTRA_USEC USEC_PER_MINUTE

static void measure(struct last_resort_state *s, const struct last_resort_input *in) {
        if (s->room_usec != 0 && in->now_usec - s->room_usec < WINDOW_USEC)
                return;
        s->rising = s->room_usec != 0 && u64_sub(u64_add(s->room_bytes, in->over_bytes), u64_add(in->room_bytes, s->over_bytes)) >
                                                 MAX(in->reserve_bytes / RISING_PART, MIB);
        s->room_usec = MAX(in->now_usec, 1);
        s->room_bytes = in->room_bytes;
        s->over_bytes = in->over_bytes;
}

static bool goes_before(const struct last_resort_vm *a, const struct last_resort_vm *b) {
        return a->priority != b->priority ? a->priority < b->priority : a->committed_bytes > b->committed_bytes;
}

static bool any_busy(const struct last_resort_vm *vms, size_t n_vms) {
        for (size_t i = 0; i < n_vms; i++)
                if (vms[i].busy)
                        return true;
        return false;
}

static bool find_victim(const struct last_resort_vm *vms, size_t n_vms, size_t *ret_index) {
        size_t best = n_vms;

        for (size_t i = 0; i < n_vms; i++)
                if (vms[i].can && !vms[i].tried && (best == n_vms || goes_before(&vms[i], &vms[best])))
                        best = i;
        *ret_index = best;
        return best < n_vms;
}

bool last_resort_take(const struct last_resort_config *config, struct last_resort_state *s, const struct last_resort_input *in,
                      const struct last_resort_vm *vms, size_t n_vms, size_t *ret_index) {
        measure(s, in);
        if (config->action == LAST_RESORT_NONE || in->host_state != POLICY_CRITICAL) {
                s->critical_usec = 0;
                return false;
        }
        /* What is under way gets its time to help once it is done. */
        if (s->critical_usec == 0 || any_busy(vms, n_vms))
                s->critical_usec = MAX(in->now_usec, 1);
        if (in->now_usec - s->critical_usec < config->after_usec)
                return false;
        /* A pause gives nothing back: on a host that is full and stays so it would only cost. */
        if (config->action == LAST_RESORT_PAUSE && !s->rising)
                return false;
        if (!find_victim(vms, n_vms, ret_index))
                return false;
        s->critical_usec = MAX(in->now_usec, 1);
        return true;
}

void last_resort_failed(const struct last_resort_config *config, struct last_resort_state *s) {
        if (s->critical_usec != 0)
                s->critical_usec = MAX(u64_sub(s->critical_usec, config->after_usec), 1);
}

bool last_resort_is_late(const struct last_resort_input *in, const struct last_resort_vm *vm) {
        uint64_t may_usec = vm->stopped ? u64_add(SAVE_EXTRA_USEC, u64_mul(vm->committed_bytes / SAVE_BYTES_PER_SEC, USEC_PER_SEC)) : STOP_USEC;

        return vm->busy && u64_sub(in->now_usec, vm->taken_usec) >= may_usec;
}

bool last_resort_crisis_is_over(const struct last_resort_config *config, const struct last_resort_input *in) {
        return config->action == LAST_RESORT_NONE || in->host_state == POLICY_NORMAL;
}

bool last_resort_lets_go(const struct last_resort_config *config, const struct last_resort_input *in, const struct last_resort_vm *vm) {
        return vm->paused && (config->action != LAST_RESORT_PAUSE || in->host_state == POLICY_NORMAL ||
                              u64_sub(in->now_usec, vm->taken_usec) >= config->max_duration_usec);
}
