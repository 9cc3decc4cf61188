/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/manager/alert_conditions.h"

#include <string.h>
#include <unistd.h>

#include "host-agent/manager/nodes.h"
#include "protocol/units.h"

#define GUEST_PRESSURE_PPM UINT64_C(100000)    /* a tenth of the time somebody waits for memory */
#define AT_CEILING_PPM UINT64_C(980000)        /* the kernel's own limit stops a little below it */
#define ABOVE_CEILING_PPM UINT64_C(1010000)    /* and counts in batches: a little above is no breach */
#define LATE_USEC (10 * USEC_PER_SEC)          /* with what is fresh less than the 30 s for which alerts about a guest have to hold */
#define KSM_PROFIT_PPM UINT64_C(1000)          /* of memory: less is not worth ksmd's time */

/* What an observation is about; the fields that all of them share. */
struct context {
        alert_observer_t observe;
        void *userdata;
        const char *subject;
        const uint8_t *uuid;
};

enum level { GONE, KEEPS, HOLDS };

/* A reading against the level at which an alert begins and the one below which it ends. Unknown: gone. */
static enum level level_of(uint64_t value, uint64_t begins, uint64_t ends) {
        if (value == AEROSTAT_UNKNOWN || begins == AEROSTAT_UNKNOWN)
                return GONE;
        return value >= begins ? HOLDS : value >= ends ? KEEPS : GONE;
}

static void say(const struct context *c, enum alert_name name, enum level level, uint64_t n0, uint64_t n1, uint64_t n2, uint64_t n3) {
        struct alert_condition condition = {
                .name = name, .keeps = level == KEEPS, .subject = c->subject, .numbers = { n0, n1, n2, n3 },
        };

        if (level == GONE)
                return;
        if (c->uuid)
                memcpy(condition.uuid, c->uuid, sizeof(condition.uuid));
        c->observe(&condition, c->userdata);
}

static uint64_t share(uint64_t bytes, uint64_t ppm) {
        return bytes == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN : u64_mul_div(bytes, ppm, PPM_ONE);
}

/* Of the host; or of the second bound alone, where swap backs the rest but not these; or of a part of its NUMA nodes, where the host could bear
 * more. */
static void observe_envelope(const struct context *c, const struct host_view *h) {
        const struct policy_plan *p = h->plan;
        const struct policy_nodeset *s = nodes_unsafe(p);
        bool resident = p->deficit_bytes == 0 && p->resident_deficit_bytes > 0;
        const struct alert_condition condition = {
                .name = ALERT_ENVELOPE_UNSAFE, .subject = c->subject,
                .numbers = {
                        s ? s->deficit_bytes : resident ? p->resident_deficit_bytes : p->deficit_bytes,
                        s ? s->rule_bytes : resident ? p->resident_rule_bytes : p->rule_bytes,
                        s ? s->floors_bytes : resident ? p->resident_least_bytes : p->floors_bytes,
                        p->correction_bytes, s ? s->mask : AEROSTAT_UNKNOWN,
                },
        };

        if (p->unsafe)
                c->observe(&condition, c->userdata);
}

/* The policy's states have their own hysteresis; a worse state is also every better one. */
static void observe_state(const struct context *c, const struct host_view *h) {
        static const struct {
                enum policy_host_state state;
                enum alert_name name;
        } states[] = { { POLICY_TIGHT, ALERT_HOST_TIGHT }, { POLICY_HARD, ALERT_HOST_HARD }, { POLICY_CRITICAL, ALERT_HOST_CRITICAL } };

        for (size_t i = 0; i < ARRAY_SIZE(states); i++)
                say(c, states[i].name, h->plan->host_state >= states[i].state ? HOLDS : GONE, h->plan->available_bytes, h->plan->reserve_bytes,
                    h->psi_some_ppm, h->psi_full_ppm);
}

/* Disk-backed swap only: zram is memory. */
static void observe_swap(const struct context *c, const struct host_view *h) {
        const struct policy_config *config = &h->settings->policy;
        uint64_t used = h->host->swap_used_bytes, total = h->host->swap_total_bytes, ceiling = share(total, config->swap_ceiling_ppm);
        uint64_t near = share(ceiling, config->swap_warn_ppm), above = MAX(ceiling, 1);
        uint64_t thrashing = u64_mul(ALERT_THRASHING_PAGES, (uint64_t) sysconf(_SC_PAGESIZE));
        uint64_t rate = MIN(h->swap_in_bytes_per_sec, h->swap_out_bytes_per_sec);

        if (total != AEROSTAT_UNKNOWN && ceiling > 0) { /* nothing is near a ceiling of zero: it is kept or exceeded */
                say(c, ALERT_SWAP_NEAR_CEILING, level_of(used, near, near - near / 8), used, ceiling, total, AEROSTAT_UNKNOWN);
                say(c, ALERT_SWAP_AT_CEILING, level_of(used, share(ceiling, AT_CEILING_PPM), ceiling - ceiling / 16), used, ceiling, total,
                    AEROSTAT_UNKNOWN);
        }
        if (total != AEROSTAT_UNKNOWN)
                say(c, ALERT_SWAP_ABOVE_CEILING, level_of(used, MAX(share(ceiling, ABOVE_CEILING_PPM), above), above), used, ceiling, total,
                    AEROSTAT_UNKNOWN);
        if (h->swap_in_bytes_per_sec != AEROSTAT_UNKNOWN && h->swap_out_bytes_per_sec != AEROSTAT_UNKNOWN)
                say(c, ALERT_SWAP_THRASHING, level_of(rate, thrashing + 1, thrashing / 2), h->swap_in_bytes_per_sec, h->swap_out_bytes_per_sec,
                    AEROSTAT_UNKNOWN, AEROSTAT_UNKNOWN);
}

/* It scans, or rests because of that, and what it brings is not worth it. */
static void observe_ksm(const struct context *c, const struct host_view *h) {
        uint64_t worth = share(h->plan->memory_bytes, KSM_PROFIT_PPM);
        bool rests = h->ksm && h->ksm->plan.unprofitable;

        if ((h->ksm_run != 1 && !rests) || h->ksm_profit_bytes == AEROSTAT_UNKNOWN || (h->ksm && h->ksm->config.mode == KSM_MODE_LEAVE))
                return;
        say(c, ALERT_KSM_UNPROFITABLE, h->ksm_profit_bytes < worth ? HOLDS : h->ksm_profit_bytes < 2 * worth ? KEEPS : GONE, h->ksm_profit_bytes,
            h->ksm_saved_bytes, h->ksm_cpu_ppm, AEROSTAT_UNKNOWN);
}

void alert_conditions_host(const struct host_view *h, alert_observer_t observe, void *userdata) {
        const struct context c = { .observe = observe, .userdata = userdata, .subject = "host" };
        const struct policy_plan *p = h->plan;
        unsigned lasting = p->weaknesses & ~(unsigned) POLICY_WEAK_UNSAFE; /* that one has an alert of its own */

        if (h->decisions == 0)
                return;
        observe_state(&c, h);
        observe_envelope(&c, h);
        say(&c, ALERT_GUARANTEE_WEAKENED, lasting ? HOLDS : GONE, lasting, AEROSTAT_UNKNOWN, AEROSTAT_UNKNOWN, AEROSTAT_UNKNOWN);
        observe_swap(&c, h);
        observe_ksm(&c, h);
}

/* It was heard of, and no longer is. A VM that never spoke in this boot has nothing to fall silent with; but that says nothing against an alert from
 * before the daemon was restarted. */
static enum level stale(const struct vm_view *vm, uint64_t fresh_usec) {
        bool lost_agent = vm->agent_spoke && vm->source != SOURCE_AGENT;
        bool silent = vm->managed && vm->source != SOURCE_NONE && vm->report_age_usec > fresh_usec;

        if (vm->paused || vm->policy->input.unresponsive)
                return KEEPS;
        if (vm->policy->plan.class == POLICY_UNKNOWN || lost_agent || silent) /* a silent one may be of another class first: stuck, pinned */
                return HOLDS;
        return vm->source == SOURCE_NONE ? KEEPS : GONE;
}

uint64_t alert_believed_usec(uint64_t fresh_usec) {
        return u64_add(fresh_usec, LATE_USEC);
}

/* Debian's kernel has PSI switched off unless its command line says psi=1. Without it: less available than the agent is to speak up at, for as
 * long. */
static enum level pressure(const struct vm_view *vm) {
        uint64_t available = vm->policy->input.guest_available_bytes, below = vm->policy->plan.pressure_below_bytes;

        if (vm->guest_psi_some_ppm != AEROSTAT_UNKNOWN)
                return level_of(vm->guest_psi_some_ppm, GUEST_PRESSURE_PPM, GUEST_PRESSURE_PPM / 2);
        if (available == AEROSTAT_UNKNOWN || below == AEROSTAT_UNKNOWN)
                return GONE;
        return available < below ? HOLDS : available < u64_mul(below, 2) ? KEEPS : GONE;
}

static enum level moment(uint64_t usec_ago) {
        return usec_ago < ALERT_MOMENT_USEC ? HOLDS : GONE;
}

void alert_conditions_vm(const struct host_view *h, const struct vm_view *vm, alert_observer_t observe, void *userdata) {
        const struct context c = { .observe = observe, .userdata = userdata, .subject = vm->name, .uuid = vm->uuid };
        const struct policy_vm_input *in = &vm->policy->input;
        const struct policy_vm_plan *p = &vm->policy->plan;
        const uint64_t no = AEROSTAT_UNKNOWN;
        uint64_t ceiling = h->settings->guest_ceiling_ppm;
        uint64_t swap = vm->guest_swap_total_bytes == no || vm->guest_swap_total_bytes == 0 || vm->guest_swap_used_bytes == no
                                ? no : u64_mul_div(vm->guest_swap_used_bytes, PPM_ONE, vm->guest_swap_total_bytes);
        uint64_t fresh_usec = h->settings->policy.fresh_usec;
        bool reports = vm->source != SOURCE_NONE && vm->report_age_usec <= alert_believed_usec(fresh_usec) && !vm->paused;

        if (h->decisions == 0 || p->committed_bytes == 0) /* the policy has not seen it yet */
                return;
        say(&c, ALERT_GUEST_BREACHING, p->class == POLICY_BREACHING ? HOLDS : GONE, in->rss_bytes, in->swap_bytes, p->target_bytes, no);
        say(&c, ALERT_GUEST_UNCOOPERATIVE, p->class == POLICY_UNCOOPERATIVE || vm->policy->state.uncooperative ? HOLDS : GONE, in->actual_bytes,
            p->target_bytes, p->reason == POLICY_REASON_TAKES, no);
        /* Where only the agent is lost, the age is that of the balloon's statistics. */
        say(&c, ALERT_GUEST_STALE, stale(vm, fresh_usec), vm->agent_spoke && vm->source == SOURCE_BALLOON_STATS ? no : vm->report_age_usec, no, no,
            no);
        say(&c, ALERT_VM_UNRESPONSIVE, in->unresponsive ? HOLDS : GONE, in->rss_bytes, in->swap_bytes, no, no);
        if (reports) {
                say(&c, ALERT_GUEST_SWAP_AT_CEILING, level_of(swap, MAX(ceiling, 1), MAX(ceiling - ceiling / 8, 1)), vm->guest_swap_used_bytes,
                    vm->guest_swap_total_bytes, ceiling, no);
                say(&c, ALERT_GUEST_PRESSURE, pressure(vm), vm->guest_psi_some_ppm,
                    in->guest_available_bytes, in->actual_bytes, in->max_bytes);
        }
        say(&c, ALERT_GUEST_OOM_KILL, moment(vm->oom_kill_usec_ago), in->guest_oom_kills, in->actual_bytes, in->max_bytes, no);
        say(&c, ALERT_PROTOCOL_ERROR, moment(vm->violation_usec_ago), no, no, no, no);
        say(&c, ALERT_LAST_RESORT, moment(vm->last_resort_usec_ago), vm->last_resort, h->plan->available_bytes, h->plan->reserve_bytes,
            p->committed_bytes);
}
