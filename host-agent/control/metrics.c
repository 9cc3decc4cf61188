/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/control/put.h"
#include "protocol/parse.h"
#include "protocol/units.h"

enum scale { PLAIN, MILLIONTHS /* ppm as a ratio, microseconds as seconds */ };

static void head(FILE *f, const char *name, const char *type, const char *help) {
        fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void number(FILE *f, uint64_t value, enum scale scale) {
        if (scale == PLAIN)
                fprintf(f, "%" PRIu64 "\n", value);
        else /* exact, and much faster than formatting a double */
                fprintf(f, "%" PRIu64 ".%06" PRIu64 "\n", value / 1000000, value % 1000000);
}

static void gauge(FILE *f, const char *name, const char *help, uint64_t value, enum scale scale) {
        if (value == AEROSTAT_UNKNOWN)
                return;
        head(f, name, "gauge", help);
        fprintf(f, "%s ", name);
        number(f, value, scale);
}

/* Names are chosen by others. */
static void label(FILE *f, const char *text) {
        for (const char *s = text; *s;) {
                size_t n = put_utf8_length(s);

                if (*s == '\n')
                        fputs("\\n", f);
                else if (*s == '"' || *s == '\\')
                        fprintf(f, "\\%c", *s);
                else if (n == 0)
                        fputc('?', f);
                else
                        fwrite(s, 1, n, f);
                s += MAX(n, (size_t) 1);
        }
}

static void format_plan(FILE *f, const struct host_view *h) {
        const struct policy_plan *p = h->plan;
        const struct {
                const char *name, *help;
                uint64_t value;
        } amounts[] = {
                { "aerostat_host_memory_bytes", "Memory of the host, or the budget set for all VMs.", p->memory_bytes },
                { "aerostat_host_available_bytes", "Memory available now.", p->available_bytes },
                { "aerostat_host_reserve_bytes", "Memory that is always left free.", p->reserve_bytes },
                { "aerostat_host_other_bytes", "Memory used by other than the VMs.", p->other_bytes },
                { "aerostat_host_capacity_bytes", "Memory that VMs can have: memory less the reserve and other use.", p->capacity_bytes },
                { "aerostat_host_envelope_bytes", "What the host can bear of the VMs: capacity with what swap or KSM may add.", p->envelope_bytes },
                { "aerostat_host_correction_bytes", "What is taken off the envelope because memory turned out shorter.", p->correction_bytes },
                { "aerostat_host_limit_bytes", "What the VMs may be committed to: the envelope less the correction.", p->rule_bytes },
                { "aerostat_host_committed_bytes", "What the VMs can take at most as they are.", p->committed_bytes },
                { "aerostat_host_reserved_bytes", "Memory reserved for VMs that are about to start.", h->host->reserved_bytes },
                { "aerostat_host_deficit_bytes", "What the VMs can take beyond the limit; 0 when the host is safe.", p->deficit_bytes },
                { "aerostat_host_headroom_bytes", "What is left below the limit.", p->free_bytes },
                { "aerostat_host_pool_bytes", "Memory kept unassigned for bursts.", p->pool_bytes },
                { "aerostat_host_floors_bytes", "What the floors, and what cannot be moved, come to.", p->floors_bytes },
                { "aerostat_host_vm_max_bytes", "Sum of the maximum memory of all VMs.", p->max_bytes },
        };

        for (size_t i = 0; i < ARRAY_SIZE(amounts); i++)
                gauge(f, amounts[i].name, amounts[i].help, amounts[i].value, PLAIN);
        gauge(f, "aerostat_host_overcommit_ratio", "Sum of the VMs' maximum by the capacity.", p->capacity_bytes == 0 ? AEROSTAT_UNKNOWN :
              u64_mul_div(p->max_bytes, PPM_ONE, p->capacity_bytes), MILLIONTHS);
        gauge(f, "aerostat_host_unsafe", "1 while the VMs can take more than the host can bear.", p->unsafe, PLAIN);

        head(f, "aerostat_host_state", "gauge", "1 for the state that the host is in.");
        for (enum policy_host_state s = POLICY_NORMAL; s <= POLICY_CRITICAL; s++)
                fprintf(f, "aerostat_host_state{state=\"%s\"} %d\n", policy_host_state_to_string(s), p->host_state == s);
        head(f, "aerostat_host_guarantee", "gauge", "1 for how far it is proven that the host cannot run out.");
        for (enum policy_guarantee g = POLICY_FULL; g <= POLICY_NONE; g++)
                fprintf(f, "aerostat_host_guarantee{guarantee=\"%s\"} %d\n", policy_guarantee_to_string(g), p->guarantee == g);
        head(f, "aerostat_host_weakness", "gauge", "1 for what weakens the guarantee now.");
        for (unsigned bit = 0; bit < POLICY_WEAKNESSES; bit++)
                fprintf(f, "aerostat_host_weakness{reason=\"%s\"} %u\n", policy_weakness_to_string((enum policy_weakness) (1u << bit)),
                        p->weaknesses >> bit & 1);
}

static void format_swap_and_ksm(FILE *f, const struct host_view *h) {
        uint64_t total = h->host->swap_total_bytes, ceiling = h->settings->policy.swap_ceiling_ppm;

        gauge(f, "aerostat_swap_size_bytes", "Swap on disks of the host; zram is memory and does not count.", total, PLAIN);
        gauge(f, "aerostat_swap_used_bytes", "Swap on disks in use, by anyone.", h->host->swap_used_bytes, PLAIN);
        gauge(f, "aerostat_swap_ceiling_bytes", "Swap that may ever be used.",
              total == AEROSTAT_UNKNOWN ? total : u64_mul_div(total, ceiling, PPM_ONE), PLAIN);
        gauge(f, "aerostat_swap_ceiling_ratio", "The same as a share of all swap.", ceiling, MILLIONTHS);
        if (h->decisions > 0)
                gauge(f, "aerostat_swap_allowance_bytes", "Swap that the VMs may fill in the worst case.", h->plan->allowance_bytes, PLAIN);
        gauge(f, "aerostat_swap_in_bytes_per_second", "What comes in from swap, over the last seconds.", h->swap_in_bytes_per_sec, PLAIN);
        gauge(f, "aerostat_swap_out_bytes_per_second", "What goes out to swap, over the last seconds.", h->swap_out_bytes_per_sec, PLAIN);
        gauge(f, "aerostat_ksm_scanning", "1 while KSM scans.", h->ksm_run == AEROSTAT_UNKNOWN ? h->ksm_run : h->ksm_run == 1, PLAIN);
        gauge(f, "aerostat_ksm_saved_bytes", "Memory that merging saves.", h->ksm_saved_bytes, PLAIN);
        gauge(f, "aerostat_ksm_profit_bytes", "The same less what merging itself takes.", h->ksm_profit_bytes, PLAIN);
        gauge(f, "aerostat_ksm_cpu_ratio", "CPU time of the scanner, of one CPU.", h->ksm_cpu_ppm, MILLIONTHS);
        if (h->decisions > 0)
                gauge(f, "aerostat_ksm_credit_bytes", "What of the saving is promised again.", h->plan->ksm_credit_bytes, PLAIN);
}

static void format_histogram(FILE *f, const char *name, const char *help, const struct histogram *histogram) {
        uint64_t below = 0;

        head(f, name, "histogram", help);
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
                below += histogram->counts[i];
                fprintf(f, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, (double) histogram_bounds_usec[i] / (double) USEC_PER_SEC, below);
        }
        fprintf(f, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum ", name, histogram->count, name);
        number(f, histogram->sum_usec, MILLIONTHS);
        fprintf(f, "%s_count %" PRIu64 "\n", name, histogram->count);
}

static void format_daemon(FILE *f, const struct host_view *h) {
        head(f, "aerostat_build_info", "gauge", "1, with the version of aerostatd.");
        fprintf(f, "aerostat_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
        gauge(f, "aerostat_host_uptime_seconds", "Time since aerostatd started.", h->uptime_usec, MILLIONTHS);
        gauge(f, "aerostat_host_libvirt_connected", "1 while libvirt answers.", h->connected, PLAIN);
        gauge(f, "aerostat_host_automation_running", "0 while automation is paused or only pretends (dry-run).",
              h->automation == AUTOMATION_RUNNING, PLAIN);
        head(f, "aerostat_decisions_total", "counter", "Decisions made.");
        fprintf(f, "aerostat_decisions_total %" PRIu64 "\n", h->decisions);
        if (h->psi_some_ppm != AEROSTAT_UNKNOWN && h->psi_full_ppm != AEROSTAT_UNKNOWN) {
                head(f, "aerostat_host_pressure_ratio", "gauge", "Share of the last 10 s that some or all work waited for memory (PSI avg10).");
                fprintf(f, "aerostat_host_pressure_ratio{kind=\"some\"} ");
                number(f, h->psi_some_ppm, MILLIONTHS);
                fprintf(f, "aerostat_host_pressure_ratio{kind=\"full\"} ");
                number(f, h->psi_full_ppm, MILLIONTHS);
        }
        format_histogram(f, "aerostat_decision_seconds", "Time that a decision took, with sampling and requests.", h->decisions_taken);
        format_histogram(f, "aerostat_reaction_seconds", "Time from a pressure event of a guest or the host to the setMemory that answers it.",
                         h->reactions);
}

static void format_alerts(FILE *f, const struct alerts *alerts) {
        unsigned counts[_ALERT_NAMES] = {};

        for (size_t i = 0; i < ALERTS_MAX; i++)
                if (alerts->table[i].used && alerts->table[i].firing)
                        counts[alerts->table[i].name]++;
        head(f, "aerostat_alert", "gauge", "How many subjects an alert fires for.");
        for (int i = 0; i < _ALERT_NAMES; i++)
                fprintf(f, "aerostat_alert{name=\"%s\",severity=\"%s\"} %u\n", alert_kinds[i].name, alert_severity_to_string(alert_kinds[i].severity),
                        counts[i]);
        head(f, "aerostat_alerts_resolved_total", "counter", "Alerts that fired and are over.");
        fprintf(f, "aerostat_alerts_resolved_total %" PRIu64 "\n", alerts->n_resolved);
}

/* What is said of each VM, family by family, as the format wants it. */
enum vm_metric {
        VM_MAX, VM_FLOOR, VM_ACTUAL, VM_TARGET, VM_DEMAND, VM_ENTITLED, VM_COMMITTED, VM_RSS, VM_SWAP, VM_WEIGHT, VM_PRIORITY, VM_REPORT_AGE,
        VM_GUEST_TOTAL, VM_GUEST_AVAILABLE, VM_GUEST_CACHE, VM_GUEST_SWAP, VM_GUEST_PRESSURE, VM_GUEST_OOM_KILLS, VM_REACTION,
        _VM_METRICS,
};

static const struct {
        const char *name, *help;
        enum scale scale;
        bool counter;
} vm_metrics[_VM_METRICS] = {
        [VM_MAX] = { "aerostat_vm_max_bytes", "Maximum memory of the VM." },
        [VM_FLOOR] = { "aerostat_vm_floor_bytes", "What the VM always keeps." },
        [VM_ACTUAL] = { "aerostat_vm_actual_bytes", "What its balloon leaves it, as the guest says." },
        [VM_TARGET] = { "aerostat_vm_target_bytes", "What it is to have." },
        [VM_DEMAND] = { "aerostat_vm_demand_bytes", "What it needs: in use, hot cache and headroom." },
        [VM_ENTITLED] = { "aerostat_vm_entitled_bytes", "What it gets when everybody wants everything." },
        [VM_COMMITTED] = { "aerostat_vm_committed_bytes", "What it can take of the host at most as it is." },
        [VM_RSS] = { "aerostat_vm_rss_bytes", "Resident memory of its QEMU." },
        [VM_SWAP] = { "aerostat_vm_swap_bytes", "Memory of its QEMU in host swap." },
        [VM_WEIGHT] = { "aerostat_vm_weight", "Its share when memory is short, against the others' weights." },
        [VM_PRIORITY] = { "aerostat_vm_priority", "Who goes last in the last resort: the highest." },
        [VM_REPORT_AGE] = { "aerostat_vm_report_age_seconds", "Time since it last reported.", MILLIONTHS },
        [VM_GUEST_TOTAL] = { "aerostat_vm_guest_total_bytes", "MemTotal in the guest." },
        [VM_GUEST_AVAILABLE] = { "aerostat_vm_guest_available_bytes", "MemAvailable in the guest." },
        [VM_GUEST_CACHE] = { "aerostat_vm_guest_cache_bytes", "File cache in the guest." },
        [VM_GUEST_SWAP] = { "aerostat_vm_guest_swap_used_bytes", "The guest's own swap in use." },
        [VM_GUEST_PRESSURE] = { "aerostat_vm_guest_pressure_ratio", "Share of the last 10 s that work in the guest waited for memory (PSI some).",
                                MILLIONTHS },
        [VM_GUEST_OOM_KILLS] = { "aerostat_vm_guest_oom_kills_total", "Processes that the guest killed for lack of memory since it booted.",
                                 PLAIN, true },
        [VM_REACTION] = { "aerostat_vm_reaction_seconds", "Time that its last pressure report waited for setMemory.", MILLIONTHS },
};

struct row {
        struct vm_view view;
        uint64_t values[_VM_METRICS];
};

static void fill_row(struct row *row) {
        const struct vm_view *vm = &row->view;
        const struct policy_vm_input *in = &vm->policy->input;
        const struct policy_vm_plan *p = &vm->policy->plan;
        bool decided = p->committed_bytes > 0, reported = vm->source != SOURCE_NONE && in->report_usec != 0;
        const uint64_t no = AEROSTAT_UNKNOWN;
        const uint64_t values[_VM_METRICS] = {
                [VM_MAX] = in->max_bytes,
                [VM_FLOOR] = in->floor_bytes,
                [VM_ACTUAL] = in->actual_bytes,
                [VM_TARGET] = decided ? p->target_bytes : no,
                [VM_DEMAND] = decided ? p->demand_bytes : no,
                [VM_ENTITLED] = decided ? p->entitled_bytes : no,
                [VM_COMMITTED] = decided ? p->committed_bytes : no,
                [VM_RSS] = in->rss_bytes,
                [VM_SWAP] = in->swap_bytes,
                [VM_WEIGHT] = in->weight,
                [VM_PRIORITY] = vm->priority,
                [VM_REPORT_AGE] = vm->report_age_usec,
                [VM_GUEST_TOTAL] = reported ? in->guest_total_bytes : no,
                [VM_GUEST_AVAILABLE] = reported ? in->guest_available_bytes : no,
                [VM_GUEST_CACHE] = reported ? in->guest_cache_bytes : no,
                [VM_GUEST_SWAP] = reported ? in->guest_swap_used_bytes : no,
                [VM_GUEST_PRESSURE] = reported ? vm->guest_psi_some_ppm : no,
                [VM_GUEST_OOM_KILLS] = reported ? in->guest_oom_kills : no,
                [VM_REACTION] = vm->reaction_usec,
        };

        memcpy(row->values, values, sizeof(row->values));
}

static const char *state_of(const struct vm_view *vm) {
        bool decided = vm->policy->plan.committed_bytes > 0;

        return policy_class_to_string(decided ? vm->policy->plan.class : POLICY_UNKNOWN);
}

static void format_vms(FILE *f, const struct row *rows, size_t n) {
        if (n == 0)
                return;
        head(f, "aerostat_vm_info", "gauge", "1 for each VM, with its UUID.");
        for (size_t i = 0; i < n; i++) {
                char uuid[UUID_STRING_SIZE];

                fprintf(f, "aerostat_vm_info{vm=\"");
                label(f, rows[i].view.name);
                fprintf(f, "\",uuid=\"%s\"} 1\n", format_uuid(rows[i].view.uuid, uuid));
        }
        head(f, "aerostat_vm_state", "gauge", "1 for the state that the VM is in; the others are left out.");
        for (size_t i = 0; i < n; i++) {
                fprintf(f, "aerostat_vm_state{vm=\"");
                label(f, rows[i].view.name);
                fprintf(f, "\",state=\"%s\"} 1\n", state_of(&rows[i].view));
        }
        for (int m = 0; m < _VM_METRICS; m++) {
                bool headed = false;

                for (size_t i = 0; i < n; i++) {
                        if (rows[i].values[m] == AEROSTAT_UNKNOWN)
                                continue;
                        if (!headed)
                                head(f, vm_metrics[m].name, vm_metrics[m].counter ? "counter" : "gauge", vm_metrics[m].help);
                        headed = true;
                        fprintf(f, "%s{vm=\"", vm_metrics[m].name);
                        label(f, rows[i].view.name);
                        fputs("\"} ", f);
                        number(f, rows[i].values[m], vm_metrics[m].scale);
                }
        }
}

int metrics_format(struct manager *manager, char **ret, size_t *ret_size) {
        _cleanup_free_ struct row *rows = NULL;
        struct host_view h;
        char *text = NULL;
        size_t size = 0;
        bool failed;
        FILE *f;

        manager_view_host(manager, &h);
        rows = calloc(MAX(h.n_vms, (size_t) 1), sizeof(*rows));
        f = rows ? open_memstream(&text, &size) : NULL;
        if (!f)
                return -ENOMEM;
        for (size_t i = 0; i < h.n_vms; i++) {
                manager_view_vm(manager, i, &rows[i].view);
                fill_row(&rows[i]);
        }
        format_daemon(f, &h);
        if (h.decisions > 0) {
                format_plan(f, &h);
                metrics_format_nodes(f, &h);
        }
        format_swap_and_ksm(f, &h);
        format_alerts(f, h.alerts);
        format_vms(f, rows, h.n_vms);
        failed = ferror(f) != 0;
        failed |= fclose(f) != 0;
        if (failed) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        *ret_size = size;
        return 0;
}
