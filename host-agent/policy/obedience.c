/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/internal.h"

/*
 * Does a guest do what its balloon was asked to? Judged in windows of 5 s in which it could run. A score of microseconds rises with each window
 * without progress and falls while it obeys, so that one page now and then is no progress, and obeying 1 s in 20 is no obedience.
 */

#define WINDOW_USEC (5 * USEC_PER_SEC)
#define WINDOW_PROGRESS_PPM 50000                      /* of the gap at the window's start ... */
#define WINDOW_PROGRESS_BYTES (5 * 2 * MIB)            /* ... or 2 MiB/s: a fiftieth of what TCG guests manage (measured 0.15 GiB/s) */
/* With less CPU time than this it may not have been able to run (an idle TCG guest: 30 ms in 5 s). */
#define WINDOW_RUN_USEC (20 * USEC_PER_MSEC)
#define WINDOW_LONGEST_USEC (2 * WINDOW_USEC)          /* what a window counts for at most, however long it took to run so much */
#define UNCOOPERATIVE_USEC (20 * USEC_PER_SEC)
#define SCORE_MAX_USEC (30 * USEC_PER_SEC)             /* so that forgiveness takes 30 s of obedience at most */
#define PRACTICAL_FLOOR_USEC (10 * USEC_PER_MINUTE)
#define TAKEN_BYTES (256 * MIB)
#define DISTRUST_FIRST_USEC USEC_PER_MINUTE            /* longer than anybody flaps; doubled each time ... */
#define DISTRUST_LAST_USEC (32 * USEC_PER_MINUTE)      /* ... up to this */
#define SPEED_USEC USEC_PER_SEC                        /* in a shorter time a balloon's speed says little */
#define BREACH_USEC (10 * USEC_PER_SEC)

static bool is_exhausted(const struct policy_context *c, const struct policy_vm *vm) {
        return policy_is_fresh(c, vm) && policy_size(vm->input.guest_available_bytes, POLICY_SIZE_MAX) < policy_exhaustion(vm);
}

/* False: it has hardly run so far, and the window goes on. (A guest without a balloon driver idles: it must not get away with that.) */
static bool judge_window(const struct policy_context *c, struct policy_vm *vm, uint64_t actual) {
        struct policy_vm_state *s = &vm->state;
        uint64_t length = MIN(c->now_usec - s->window_since_usec, WINDOW_LONGEST_USEC);
        uint64_t progress = u64_sub(s->window_actual_bytes, actual);

        if (vm->input.run_usec != AEROSTAT_UNKNOWN && s->window_run_usec != AEROSTAT_UNKNOWN &&
            u64_sub(vm->input.run_usec, s->window_run_usec) < WINDOW_RUN_USEC)
                return false;
        if (progress >= policy_share(s->window_gap_bytes, WINDOW_PROGRESS_PPM) || progress >= WINDOW_PROGRESS_BYTES) {
                s->stuck_usec = u64_sub(s->stuck_usec, length);
                return true;
        }
        if (is_exhausted(c, vm) && !s->taking) { /* willing, but not able */
                s->practical_floor_bytes = actual;
                s->practical_floor_until_usec = u64_add(c->now_usec, PRACTICAL_FLOOR_USEC);
                s->stuck_usec = 0;
                return true;
        }
        s->stuck_usec = MIN(u64_add(s->stuck_usec, length), SCORE_MAX_USEC);
        return true;
}

/* It had done what it was asked, and now holds clearly more than was asked since. (With autodeflate a guest does so by design: that is said by the
 * guarantee, and not held against it.) */
static bool has_taken(const struct policy_vm *vm, uint64_t actual) {
        const struct policy_vm_state *s = &vm->state;

        return s->settled && !vm->input.autodeflate && u64_sub(actual, s->allowed_bytes) >= MAX(policy_max(vm) / 8, TAKEN_BYTES);
}

/*
 * Who takes memory back without being asked can do so again at any time, and for nothing if it is forgiven as soon as it gives it back. So it counts
 * at what it could take: others are sized around it once, and the host stays safe whatever it does next.
 */
static void watch_taking(const struct policy_context *c, struct policy_vm *vm, uint64_t actual, uint64_t target, bool there) {
        struct policy_vm_state *s = &vm->state;
        bool before = s->taking;

        if (there)
                s->settled = true;
        s->allowed_bytes = there ? target : MAX(s->allowed_bytes, target);
        s->taking = has_taken(vm, actual);
        if (!s->taking)
                return;
        if (!before)
                s->distrust_usec = CLAMP(2 * s->distrust_usec, DISTRUST_FIRST_USEC, DISTRUST_LAST_USEC);
        s->distrust_until_usec = u64_add(c->now_usec, s->distrust_usec);
}

static void watch_breach(const struct policy_context *c, struct policy_vm *vm, uint64_t actual) {
        struct policy_vm_state *s = &vm->state;
        uint64_t max = policy_max(vm);
        uint64_t margin = MAX(64 * MIB, max / 16);
        uint64_t allowed = u64_add(MAX(actual, MIN(policy_size(vm->input.target_bytes, 0), max)), policy_overhead(vm));
        uint64_t evidence = policy_evidence(vm);

        if (evidence <= u64_add(allowed, s->breaching ? margin / 2 : margin)) {
                s->breach_since_usec = 0;
                s->breaching = false;
        } else if (s->breach_since_usec == 0)
                s->breach_since_usec = MAX(c->now_usec, 1);
        else if (c->now_usec - s->breach_since_usec >= BREACH_USEC)
                s->breaching = true;
}

void policy_obedience(const struct policy_context *c, struct policy_vm *vm) {
        const struct policy_vm_input *in = &vm->input;
        struct policy_vm_state *s = &vm->state;
        uint64_t actual = policy_actual(vm), target = policy_size(in->target_bytes, POLICY_SIZE_MAX), gap;
        bool there;

        if (s->practical_floor_until_usec <= c->now_usec)
                s->practical_floor_bytes = 0;
        if (!in->balloon_confirmed || in->fixed || in->hugepages || !in->managed) {
                s->window_since_usec = s->breach_since_usec = 0;
                s->settled = s->taking = s->breaching = false; /* counted at max anyway */
                return;
        }
        watch_breach(c, vm, actual); /* evidence speaks also for who cannot be asked now */
        if (in->held || in->unresponsive) {
                s->window_since_usec = 0;
                s->settled = s->taking = false;
                return;
        }

        gap = u64_sub(actual, target);
        there = gap <= MAX(2 * MIB, policy_max(vm) / 1024); /* balloons stop a few pages short */
        watch_taking(c, vm, actual, target, there);
        if (there) {
                s->window_since_usec = 0;
                s->speed_bps = AEROSTAT_UNKNOWN;
                s->stuck_usec = u64_sub(s->stuck_usec, c->elapsed_usec);
        } else if (s->window_since_usec == 0 || (c->now_usec - s->window_since_usec >= WINDOW_USEC && judge_window(c, vm, actual))) {
                s->window_since_usec = MAX(c->now_usec, 1);
                s->window_actual_bytes = actual;
                s->window_gap_bytes = gap;
                s->window_run_usec = in->run_usec;
        } else if (c->now_usec - s->window_since_usec >= SPEED_USEC)
                s->speed_bps = u64_mul_div(u64_sub(s->window_actual_bytes, actual), USEC_PER_SEC, c->now_usec - s->window_since_usec);
        if (s->stuck_usec >= UNCOOPERATIVE_USEC || s->distrust_until_usec > c->now_usec)
                s->uncooperative = true;
        else if (s->stuck_usec == 0)
                s->uncooperative = false;
}
