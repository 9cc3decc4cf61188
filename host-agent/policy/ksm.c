/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/ksm.h"

#include "protocol/units.h"

#define GAIN_MIN_PPM 1000                      /* of memory: a full scan that adds less was not worth it */
#define SCANS_MIN 3                            /* the first scan only takes checksums, the second merges */
#define SCANS_MIN_SETTLING 2                   /* where the next look comes within a minute */
#define POOR_SCANS 2                           /* one poor scan may have missed what was being written */
#define REST_FIRST_USEC (10 * USEC_PER_MINUTE)
#define REST_SETTLING_USEC (20 * USEC_PER_SEC)
#define SETTLING 2                             /* rests of 20 and 40 s: a VM that starts has not booted yet */
#define REST_LAST_USEC (2 * USEC_PER_HOUR)
#define REST_LEAST_USEC USEC_PER_MINUTE        /* also when what was merged comes apart */
#define WANTED_HOLD_USEC (30 * USEC_PER_SEC)   /* memory that is short now and then is short */

#define WINDOW_USEC (2 * USEC_PER_SEC)         /* cost is measured over this long, at least */
#define BASE_SLEEP_MSEC 20                     /* the kernel's default; the timer's tick adds 4 ms at HZ=250 */
#define BATCH_MIN 64                           /* fewer pages for each wake-up: sleep longer instead */
#define SLEEP_MAX_MSEC 1000
/* Measured on two processes with 300 MiB of equal pages: 1 us for a page in the first scan, 4-7 us where pages are compared and merged, 0.2 us for
 * one that smart_scan skips. Effort starts at the second. A cheap scan that turns into merging overshoots for a second or two; that is a debt, paid
 * back over the next 10 s. */
#define PAGE_COST_NSEC 4000
#define PAGE_COST_MIN_NSEC 150
#define HASTE_USEC (900 * USEC_PER_MSEC)       /* with half as much again as the budget, the window ends early */
#define DEBT_USEC (10 * USEC_PER_SEC)

#define COW_STORM_PER_SEC 2000                 /* copies of written pages: 8 MiB/s, about 1 % of a CPU in the guests that wait for them */
#define STORMS_MIN 3                           /* windows, 6 s */
#define BACKOFF_STEP_USEC (10 * USEC_PER_SEC)
#define BACKOFF_CALM_USEC (60 * USEC_PER_SEC)

const char *ksm_mode_to_string(enum ksm_mode mode) {
        static const char *const names[] = { [KSM_MODE_AUTO] = "auto", [KSM_MODE_ON] = "on", [KSM_MODE_OFF] = "off", [KSM_MODE_LEAVE] = "leave" };
        return names[mode];
}

const char *ksm_phase_to_string(enum ksm_phase phase) {
        static const char *const names[] = {
                [KSM_LEFT] = "left", [KSM_OFF] = "off", [KSM_IDLE] = "idle", [KSM_SCANNING] = "scanning", [KSM_RESTING] = "resting",
        };
        return names[phase];
}

uint64_t ksm_budget_ppm(const struct ksm_config *config, enum policy_host_state host_state) {
        static const uint64_t share[] = { [POLICY_NORMAL] = 0, [POLICY_TIGHT] = 10, [POLICY_HARD] = 25, [POLICY_CRITICAL] = 55 };
        uint64_t normal = MIN(config->cpu_normal_ppm, PPM_ONE), critical = CLAMP(config->cpu_critical_ppm, normal, PPM_ONE);

        return normal + u64_mul_div(critical - normal, share[host_state], 55);
}

bool ksm_unmerge_fits(uint64_t saved_bytes, uint64_t available_bytes, uint64_t reserve_bytes, uint64_t *ret_need_bytes) {
        uint64_t need = u64_add(saved_bytes, reserve_bytes);

        *ret_need_bytes = need;
        return saved_bytes != AEROSTAT_UNKNOWN && reserve_bytes != AEROSTAT_UNKNOWN && available_bytes != AEROSTAT_UNKNOWN && available_bytes >= need;
}

static uint64_t known(uint64_t value) {
        return value == AEROSTAT_UNKNOWN ? 0 : value;
}

uint64_t ksm_live_bytes(uint64_t saved_bytes, uint64_t shared_bytes, uint64_t merged_bytes) {
        if (saved_bytes == AEROSTAT_UNKNOWN || shared_bytes == AEROSTAT_UNKNOWN || merged_bytes == AEROSTAT_UNKNOWN)
                return saved_bytes;
        return MIN(saved_bytes, u64_sub(merged_bytes, shared_bytes));
}

static uint64_t profit(const struct ksm_input *in) {
        return u64_sub(known(in->saved_bytes), known(in->metadata_bytes));
}

static uint64_t gain_min(const struct ksm_input *in) {
        return MAX(u64_mul_div(known(in->memory_bytes), GAIN_MIN_PPM, PPM_ONE), 1);
}

/* Pages x 1000 for each 20 ms of sleep that use the budget at this cost of a page: n x cost / (n x cost + sleep) = budget. */
static uint64_t batch_for(uint64_t budget_ppm, uint64_t page_cost_nsec) {
        uint64_t work_nsec = u64_mul_div(BASE_SLEEP_MSEC * 1000000, budget_ppm, MAX(PPM_ONE - MIN(budget_ppm, PPM_ONE), 1));

        return CLAMP(u64_mul_div(work_nsec, 1000, page_cost_nsec), 1000, KSM_PAGES_MAX * UINT64_C(1000));
}

static void open_window(struct ksm_state *s, const struct ksm_input *in) {
        s->window_usec = in->now_usec;
        s->window_cpu_usec = in->cpu_usec;
        s->window_cow_pages = in->cow_pages;
        s->window_saved_bytes = known(in->saved_bytes);
}

static void wake(struct ksm_state *s, const struct ksm_config *config, const struct ksm_input *in) {
        s->phase = KSM_SCANNING;
        s->probe_usec = 0;
        s->scan = in->full_scans;
        s->scans = 0;
        s->poor_scans = 0;
        s->gain_bytes = AEROSTAT_UNKNOWN;
        s->scan_profit_bytes = s->wake_profit_bytes = profit(in);
        s->batch_milli = batch_for(ksm_budget_ppm(config, in->host_state), PAGE_COST_NSEC);
        s->cpu_ppm = AEROSTAT_UNKNOWN;
        open_window(s, in);
}

/* What a full scan brought. After POOR_SCANS that brought nothing: rest, for longer each time that waking brought nothing either. */
static void judge(struct ksm_state *s, const struct ksm_input *in) {
        uint64_t now_profit = profit(in), fresh = u64_sub(in->full_scans, s->scan);

        if (in->full_scans == AEROSTAT_UNKNOWN || in->full_scans < s->scan) {
                s->scan = in->full_scans;
                return;
        }
        if (fresh == 0)
                return;
        s->scan = in->full_scans;
        s->scans = u64_add(s->scans, fresh);
        s->gain_bytes = u64_sub(now_profit, s->scan_profit_bytes);
        s->scan_profit_bytes = now_profit;
        if (s->scans < (s->settling > 0 ? SCANS_MIN_SETTLING : SCANS_MIN))
                return;
        s->poor_scans = s->gain_bytes < gain_min(in) ? s->poor_scans + 1 : 0;
        if (s->poor_scans < POOR_SCANS)
                return;
        if (s->settling > 0)
                s->rest_usec = 0;
        else if (s->rest_usec == 0 || u64_sub(now_profit, s->wake_profit_bytes) >= gain_min(in))
                s->rest_usec = REST_FIRST_USEC;
        else
                s->rest_usec = MIN(2 * s->rest_usec, REST_LAST_USEC);
        s->phase = KSM_RESTING;
        s->window_usec = in->now_usec;
        s->probe_usec = u64_add(in->now_usec, s->settling > 0 ? REST_SETTLING_USEC << (SETTLING - s->settling) : s->rest_usec);
        s->settling -= s->settling > 0;
        s->rest_saved_bytes = known(in->saved_bytes);
}

/* Whether what was merged comes apart while ksmd rests: then it was scanning that kept it together. */
static bool comes_apart(const struct ksm_state *s, const struct ksm_input *in) {
        uint64_t lost = u64_sub(s->rest_saved_bytes, known(in->saved_bytes));

        return lost >= gain_min(in) && lost >= s->rest_saved_bytes / 10 && u64_sub(in->now_usec, s->window_usec) >= REST_LEAST_USEC;
}

/* Merged pages that are written are copied: the guest waits for a fault, and the work was in vain. */
static void back_off(struct ksm_state *s, const struct ksm_input *in, uint64_t elapsed_usec) {
        uint64_t copies, added = u64_sub(known(in->saved_bytes), s->window_saved_bytes) / 4096;
        bool storm;

        if (in->cow_pages == AEROSTAT_UNKNOWN || s->window_cow_pages == AEROSTAT_UNKNOWN)
                return;
        copies = u64_sub(in->cow_pages, s->window_cow_pages);
        storm = u64_mul_div(copies, USEC_PER_SEC, elapsed_usec) > COW_STORM_PER_SEC && copies > added;
        s->storms = storm ? MIN(s->storms + 1, STORMS_MIN) : 0;
        if (storm)
                s->storm_usec = in->now_usec;
        /* A guest that fills fresh memory writes merged zero pages once: that is no storm yet. */
        if (s->storms == STORMS_MIN && s->backoff < KSM_BACKOFF_MAX && (s->backoff == 0 || in->now_usec - s->backoff_usec >= BACKOFF_STEP_USEC))
                s->backoff++;
        else if (!storm && s->backoff > 0 && in->now_usec - MAX(s->backoff_usec, s->storm_usec) >= BACKOFF_CALM_USEC)
                s->backoff--;
        else
                return;
        s->backoff_usec = in->now_usec;
}

/* Corrects the effort by what it cost: with u used of a budget b, a page costs in proportion to u/(1-u). Up at most fourfold at once. */
static void steer(struct ksm_state *s, const struct ksm_input *in, uint64_t budget_ppm, uint64_t elapsed_usec) {
        uint64_t used, wanted, most = batch_for(budget_ppm, PAGE_COST_MIN_NSEC);

        if (in->cpu_usec == AEROSTAT_UNKNOWN || s->window_cpu_usec == AEROSTAT_UNKNOWN) {
                s->cpu_ppm = AEROSTAT_UNKNOWN;
                s->batch_milli = batch_for(budget_ppm, PAGE_COST_NSEC);
                return;
        }
        used = MIN(u64_mul_div(u64_sub(in->cpu_usec, s->window_cpu_usec), PPM_ONE, elapsed_usec), PPM_ONE);
        s->cpu_ppm = used;
        s->debt_usec = u64_add(s->debt_usec, u64_mul_div(elapsed_usec, used, PPM_ONE));
        s->debt_usec = MIN(u64_sub(s->debt_usec, u64_mul_div(elapsed_usec, budget_ppm, PPM_ONE)), DEBT_USEC);
        budget_ppm -= MIN(budget_ppm * 9 / 10, u64_mul_div(s->debt_usec, PPM_ONE, DEBT_USEC));
        used = CLAMP(used, 100, PPM_ONE - 1000);
        wanted = u64_mul_div(u64_mul_div(s->batch_milli, budget_ppm, used), PPM_ONE - used, MAX(PPM_ONE - budget_ppm, 1000));
        s->batch_milli = MIN(MIN(wanted, 4 * s->batch_milli), most);
        s->batch_milli = MAX(s->batch_milli, 1000);
}

static bool is_costly(const struct ksm_state *s, const struct ksm_input *in, uint64_t budget_ppm, uint64_t elapsed_usec) {
        return in->cpu_usec != AEROSTAT_UNKNOWN && s->window_cpu_usec != AEROSTAT_UNKNOWN &&
               u64_mul_div(u64_sub(in->cpu_usec, s->window_cpu_usec), PPM_ONE, elapsed_usec) > (budget_ppm >> s->backoff) * 3 / 2;
}

static bool wanted(struct ksm_state *s, const struct ksm_input *in) {
        if (in->n_mergeable < 2)
                return false;
        if (in->short_of_memory || in->host_state > POLICY_NORMAL)
                s->wanted_usec = MAX(in->now_usec, 1);
        return s->wanted_usec != 0 && in->now_usec - s->wanted_usec < WANTED_HOLD_USEC;
}

static enum ksm_phase follow(const struct ksm_config *config, const struct ksm_input *in, struct ksm_state *s) {
        bool starts = !s->started || in->n_starts != s->seen_starts, ends = in->n_mergeable < s->seen_mergeable;

        s->started = true;
        s->seen_starts = in->n_starts;
        s->seen_mergeable = in->n_mergeable;
        switch (config->mode) {
        case KSM_MODE_LEAVE:
                return KSM_LEFT;
        case KSM_MODE_OFF:
                return KSM_OFF;
        case KSM_MODE_ON:
                if (s->phase != KSM_SCANNING)
                        wake(s, config, in);
                return KSM_SCANNING;
        case KSM_MODE_AUTO:
                break;
        }
        if (starts) {
                s->rest_usec = s->probe_usec = 0;
                s->settling = SETTLING;
        }
        if (ends)
                s->probe_usec = 0;
        if (!wanted(s, in)) /* a rest goes on meanwhile */
                return KSM_IDLE;
        if (s->phase == KSM_SCANNING && !starts)
                judge(s, in);
        else if (in->now_usec < s->probe_usec && !comes_apart(s, in))
                return KSM_RESTING;
        else
                wake(s, config, in);
        return s->phase;
}

void ksm_decide(const struct ksm_config *config, const struct ksm_input *in, struct ksm_state *s, struct ksm_plan *ret) {
        uint64_t budget = ksm_budget_ppm(config, in->host_state), elapsed, pages;

        s->phase = follow(config, in, s);
        if (s->phase == KSM_SCANNING) {
                elapsed = u64_sub(in->now_usec, s->window_usec);
                if (elapsed >= WINDOW_USEC || (elapsed >= HASTE_USEC && is_costly(s, in, budget, elapsed))) {
                        back_off(s, in, elapsed);
                        steer(s, in, MAX(budget >> s->backoff, 1), elapsed);
                        open_window(s, in);
                }
        }
        budget >>= s->backoff;
        pages = s->batch_milli / 1000;
        *ret = (struct ksm_plan) {
                .phase = s->phase,
                .run = s->phase == KSM_SCANNING,
                .pages_to_scan = CLAMP(pages, BATCH_MIN, KSM_PAGES_MAX),
                .sleep_msec = pages >= BATCH_MIN || s->batch_milli == 0
                                      ? BASE_SLEEP_MSEC : MIN(u64_mul_div(BASE_SLEEP_MSEC, BATCH_MIN * 1000, s->batch_milli), SLEEP_MAX_MSEC),
                .budget_ppm = budget,
                .cpu_ppm = s->phase == KSM_SCANNING ? s->cpu_ppm : AEROSTAT_UNKNOWN,
                .gain_bytes = s->phase == KSM_SCANNING || s->phase == KSM_RESTING ? s->gain_bytes : AEROSTAT_UNKNOWN,
                .probe_usec = s->phase == KSM_RESTING ? s->probe_usec : AEROSTAT_UNKNOWN,
                .unprofitable = s->phase == KSM_RESTING && profit(in) < gain_min(in),
                .backoff = s->backoff,
        };
}
