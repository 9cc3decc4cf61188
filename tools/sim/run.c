/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/sim/run.h"

#include <errno.h>

#include "protocol/units.h"
#include "tools/sim/svg.h"
#include "tools/sim/timeline.h"

int run_new(struct run **ret, const struct scenario *scenario, enum baseline baseline) {
        _cleanup_(run_freep) struct run *run = calloc(1, sizeof(*run));
        size_t n = MAX(scenario->n_guests, 1);
        int r;

        if (!run)
                return -ENOMEM;
        run->scenario = scenario;
        run->baseline = baseline;
        host_init(&run->host, scenario);
        run->guests = calloc(n, sizeof(*run->guests));
        run->accounts = calloc(n, sizeof(*run->accounts));
        run->vms = calloc(n, sizeof(*run->vms));
        run->guest_of = calloc(n, sizeof(*run->guest_of));
        run->work = calloc(n, sizeof(*run->work));
        run->scratch = calloc(n, sizeof(*run->scratch));
        run->reservations = calloc(scenario->n_events + 1, sizeof(*run->reservations));
        if (!run->guests || !run->accounts || !run->vms || !run->guest_of || !run->work || !run->scratch || !run->reservations)
                return -ENOMEM;
        for (size_t i = 0; i < scenario->n_guests; i++) {
                const struct guest_spec *spec = &scenario->guests[i];

                guest_init(&run->guests[i], spec, scenario->seed, i);
                run->accounts[i] = (struct guest_account) {
                        .pin_bytes = AEROSTAT_UNKNOWN, .pin_until_usec = AEROSTAT_UNKNOWN, .floor_bytes = spec->floor_bytes,
                        .weight = spec->weight, .pressure_since_usec = AEROSTAT_UNKNOWN,
                };
        }
        r = baseline_new(&run->baseline_state, run);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(run);
        return 0;
}

struct run *run_free(struct run *run) {
        if (!run)
                return NULL;
        free(run->guests);
        free(run->accounts);
        free(run->vms);
        free(run->guest_of);
        free(run->work);
        free(run->scratch);
        free(run->reservations);
        free(run->account.latency_usec);
        baseline_free(run->baseline_state);
        free(run);
        return NULL;
}

static int step(struct run *run, uint64_t elapsed_usec) {
        const struct scenario *s = run->scenario;
        struct guest_world world = {
                .now_usec = run->now_usec, .elapsed_usec = elapsed_usec, .settle_usec = s->settle_usec,
                .report_interval_usec = s->settings.report_interval_usec, .stats_period_usec = s->settings.stats_period_usec,
        };
        uint64_t ceiling;
        int r;

        run_events(run);
        ceiling = u64_mul_div(run->host.swap_total_bytes, s->settings.policy.swap_ceiling_ppm, PPM_ONE);
        for (size_t i = 0; i < s->n_guests; i++)
                guest_step(&run->guests[i], &world);
        host_step(&run->host, run->guests, s->n_guests, ceiling, &world);
        for (size_t k = run->n_vms; k > 0; k--)
                if (!run->guests[run->guest_of[k - 1]].running) /* killed */
                        run_remove_vm(run, run->guest_of[k - 1]);
        for (size_t k = 0; k < run->n_vms; k++)
                run->decide_now |= guest_tell(&run->guests[run->guest_of[k]], &world);
        if (run->decide_now || run->host.psi_event || run->now_usec >= run->decide_usec)
                run_decide(run);
        r = run_account_step(run);
        if (r >= 0 && run->timeline)
                r = timeline_write(run);
        if (r >= 0 && run->svg)
                r = svg_sample(run->svg, run);
        return r;
}

int run_all(struct run *run) {
        const struct scenario *s = run->scenario;
        int r = step(run, 0);

        while (r >= 0 && run->now_usec + s->step_usec <= s->duration_usec) {
                run->now_usec += s->step_usec;
                r = step(run, s->step_usec);
        }
        return r < 0 ? r : run_account_end(run);
}
