/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The report (report.h): fed after each decision, from the real world or, in a dry run, from the shadow's; written now and then. */

#include <errno.h>
#include <string.h>

#include "host-agent/manager/internal.h"
#include "host-agent/state/report_file.h"
#include "protocol/clock.h"
#include "protocol/units.h"

#define ADD_USEC (100 * USEC_PER_MSEC)                 /* times are kept in ms: not in smaller steps */
#define WRITE_USEC (10 * USEC_PER_MINUTE)

static uint64_t realtime_sec(void) {
        return clock_realtime_usec() / USEC_PER_SEC;
}

int manager_report_start(struct manager *m) {
        unsigned line = 0;
        int r;

        if (!m->options.state_dir)
                return 0;
        r = report_load(m->options.state_dir, &m->report, &line);
        if (r == -EBADMSG)
                log_warning("%s/report is not taken: line %u is not what aerostatd writes; the report begins anew", m->options.state_dir, line);
        else if (r < 0 && r != -ENOENT)
                log_warning("cannot read %s/report: %s; the report begins anew", m->options.state_dir, strerror(-r));
        m->report_written_usec = clock_monotonic_usec();
        return state_writer_new(&m->report_writer, m->options.state_dir, "report", STATE_WRITER_RETRY_USEC);
}

static void write_report(struct manager *m) {
        char *text;

        if (m->report_writer && report_format(&m->report, &text) >= 0)
                state_writer_put(m->report_writer, text);
}

void manager_report_free(struct manager *m) {
        write_report(m);
        m->report_writer = state_writer_free(m->report_writer);
        report_done(&m->report);
        free(m->shadow_vms);
        free(m->shadow_memories);
}

void manager_report_vm(struct manager *m, struct vm *vm) {
        vm->record = report_vm_of(&m->report, vm->uuid, vm->name, realtime_sec());
        if (vm->record)
                vm->record->runs = true;
}

const struct report *manager_report(struct manager *m) {
        return &m->report;
}

/* What would be, where nothing is set. */
static bool step_shadow(struct manager *m, uint64_t now_usec) {
        if (!m->settings.dry_run && !m->options.dry_run) {
                m->shadow = (struct shadow) { 0 };
                return false;
        }
        for (size_t i = 0; i < m->n_vms; i++)
                m->shadow_memories[i] = &m->vms[i]->shadow;
        shadow_step(&m->shadow, &m->settings.policy, &m->host, m->policy_vms, m->shadow_memories, m->n_vms, now_usec,
                    m->balloon_speed.inflate_bps ?: WHATIF_INFLATE_BPS, m->balloon_speed.deflate_bps ?: WHATIF_DEFLATE_BPS, m->shadow_vms, m->work);
        m->report_moves.would += m->shadow.moves;
        m->report_moves.would_bytes = u64_add(m->report_moves.would_bytes, m->shadow.moved_bytes);
        m->plan.next_usec = MIN(m->plan.next_usec, m->shadow.plan.next_usec);
        return true;
}

static void add_up(struct manager *m, uint64_t now_usec, uint64_t now_sec, bool dry_run) {
        struct report_sample sample = {
                .now_sec = now_sec, .elapsed_usec = now_usec - m->report_usec, .plan = &m->plan, .would = dry_run ? &m->shadow.plan : NULL,
                .swap_used_bytes = m->host.swap_used_bytes, .moves = m->report_moves.done, .moved_bytes = m->report_moves.done_bytes,
                .would_moves = m->report_moves.would, .would_moved_bytes = m->report_moves.would_bytes,
        };

        for (size_t i = 0; i < m->n_vms; i++) {
                const struct policy_vm *vm = &m->policy_vms[i];
                uint64_t overhead = vm->input.overhead_bytes == AEROSTAT_UNKNOWN ? POLICY_OVERHEAD_DEFAULT : vm->input.overhead_bytes;

                sample.demand_bytes = u64_add(sample.demand_bytes, vm->plan.class == POLICY_MANAGED ? u64_add(vm->plan.demand_bytes, overhead)
                                                                                                   : vm->plan.committed_bytes);
                if (m->vms[i]->record)
                        report_add_vm(m->vms[i]->record, now_sec, sample.elapsed_usec, vm, &m->vms[i]->burst);
        }
        report_add_host(&m->report, &sample);
        m->report_moves = (struct report_moves) { 0 };
        m->report_usec = now_usec;
}

void manager_report_tick(struct manager *m, uint64_t now_usec) {
        uint64_t now_sec = realtime_sec();
        bool dry_run;

        if (!m->ready) { /* before all VMs are known, nothing is as it seems */
                m->report_usec = now_usec;
                return;
        }
        dry_run = step_shadow(m, now_usec);
        for (size_t i = 0; i < m->n_vms && !m->paused; i++) {
                struct vm *vm = m->vms[i];
                uint64_t late_usec = 0;
                enum burst_outcome outcome = report_watch_burst(&vm->burst, dry_run ? &m->shadow_vms[i] : &m->policy_vms[i], now_usec, &late_usec);

                report_add_burst(&m->report, vm->record, now_sec, outcome, late_usec);
        }
        if (now_usec - m->report_usec >= ADD_USEC)
                add_up(m, now_usec, now_sec, dry_run);
        if (now_usec - m->report_written_usec >= WRITE_USEC) {
                m->report_written_usec = now_usec;
                write_report(m);
        }
}
