/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "protocol/parse.h"
#include "protocol/units.h"
#include "tests/property/case.h"

#define U64(type, member) { #member, offsetof(struct type, member), false }
#define BOOL(type, member) { #member, offsetof(struct type, member), true }

const struct field config_fields[] = {
        U64(policy_config, overcommit_factor_ppm), U64(policy_config, reserve_bytes), U64(policy_config, memory_bytes),
        U64(policy_config, headroom_ppm), U64(policy_config, psi_target_ppm), U64(policy_config, growth_pool_ppm),
        U64(policy_config, max_shrink_ppm), U64(policy_config, fresh_usec), U64(policy_config, swap_ceiling_ppm),
        U64(policy_config, swap_warn_ppm), U64(policy_config, ksm_credit_ppm), { 0 },
};

const struct field host_fields[] = {
        U64(policy_host, total_bytes), U64(policy_host, available_bytes), U64(policy_host, limit_bytes), U64(policy_host, swap_total_bytes),
        U64(policy_host, swap_used_bytes), U64(policy_host, swap_limit_bytes), U64(policy_host, zswap_bytes), U64(policy_host, arc_reclaimable_bytes),
        U64(policy_host, ksm_saved_bytes), U64(policy_host, swap_out_bytes_per_sec), U64(policy_host, psi_some_ppm),
        U64(policy_host, psi_full_ppm), U64(policy_host, reserved_bytes), BOOL(policy_host, psi_event), BOOL(policy_host, only_zram),
        BOOL(policy_host, khugepaged_refills), U64(policy_host, n_nodes), U64(policy_host, nodes[0].total_bytes),
        U64(policy_host, nodes[0].available_bytes), U64(policy_host, nodes[1].total_bytes), U64(policy_host, nodes[1].available_bytes),
        U64(policy_host, nodes[2].total_bytes), U64(policy_host, nodes[2].available_bytes), { 0 },
};

const struct field vm_fields[] = {
        U64(policy_vm_input, max_bytes), U64(policy_vm_input, floor_bytes), U64(policy_vm_input, weight), U64(policy_vm_input, pin_bytes),
        U64(policy_vm_input, started_usec), U64(policy_vm_input, actual_bytes), U64(policy_vm_input, target_bytes),
        U64(policy_vm_input, rss_bytes), U64(policy_vm_input, swap_bytes), U64(policy_vm_input, overhead_bytes), U64(policy_vm_input, run_usec),
        U64(policy_vm_input, report_usec), U64(policy_vm_input, report_actual_bytes), U64(policy_vm_input, guest_total_bytes),
        U64(policy_vm_input, guest_available_bytes), U64(policy_vm_input, guest_free_bytes), U64(policy_vm_input, guest_cache_bytes),
        U64(policy_vm_input, guest_swap_total_bytes), U64(policy_vm_input, guest_swap_used_bytes),
        U64(policy_vm_input, guest_psi_some_total_usec), U64(policy_vm_input, guest_refault_bytes), U64(policy_vm_input, guest_swap_in_bytes),
        U64(policy_vm_input, guest_oom_kills), U64(policy_vm_input, guest_swap_excess_bytes), U64(policy_vm_input, node_mask),
        BOOL(policy_vm_input, managed), BOOL(policy_vm_input, fixed), BOOL(policy_vm_input, hugepages),
        BOOL(policy_vm_input, held), BOOL(policy_vm_input, unresponsive), BOOL(policy_vm_input, autodeflate),
        BOOL(policy_vm_input, cannot_swap), BOOL(policy_vm_input, balloon_confirmed), BOOL(policy_vm_input, guest_pressure), { 0 },
};

uint64_t field_get(const struct field *field, const void *base) {
        const char *p = (const char *) base + field->offset;

        return field->is_bool ? *(const bool *) p : *(const uint64_t *) (const void *) p;
}

void field_set(const struct field *field, void *base, uint64_t value) {
        char *p = (char *) base + field->offset;

        if (field->is_bool)
                *(bool *) p = value != 0;
        else
                *(uint64_t *) (void *) p = value;
}

/* A calm host of 16 GiB and idle, obedient guests of 4 GiB. */
void case_defaults(struct test_case *ret, size_t n_vms, size_t n_steps) {
        memset(ret, 0, sizeof(*ret));
        policy_config_init(&ret->config);
        ret->n_vms = n_vms;
        ret->n_steps = n_steps;
        for (size_t s = 0; s < CASE_STEPS; s++) {
                struct snapshot *step = &ret->steps[s];

                step->now_usec = (1000 + s) * USEC_PER_SEC;
                step->host = (struct policy_host) {
                        .total_bytes = 16 * GIB, .available_bytes = 8 * GIB, .limit_bytes = AEROSTAT_UNKNOWN,
                        .swap_limit_bytes = AEROSTAT_UNKNOWN, .arc_reclaimable_bytes = AEROSTAT_UNKNOWN, .psi_some_ppm = 0, .psi_full_ppm = 0,
                };
                for (size_t i = 0; i < CASE_VMS; i++)
                        step->vms[i] = (struct policy_vm_input) {
                                .id = i, .max_bytes = 4 * GIB, .floor_bytes = GIB, .weight = 1000, .pin_bytes = AEROSTAT_UNKNOWN, .managed = true,
                                .started_usec = USEC_PER_SEC, .balloon_confirmed = true, .actual_bytes = 2 * GIB, .target_bytes = 2 * GIB,
                                .rss_bytes = 2 * GIB, .overhead_bytes = 64 * MIB, .run_usec = AEROSTAT_UNKNOWN, .report_usec = step->now_usec,
                                .report_actual_bytes = AEROSTAT_UNKNOWN, .guest_total_bytes = 2 * GIB, .guest_available_bytes = GIB,
                                .guest_free_bytes = GIB, .guest_cache_bytes = 0,
                        };
        }
}

static void print_fields(const char *prefix, const struct field *fields, const void *base, const void *defaults, FILE *out) {
        for (; fields->name; fields++) {
                uint64_t value = field_get(fields, base);

                if (value == field_get(fields, defaults))
                        continue;
                if (value == AEROSTAT_UNKNOWN)
                        fprintf(out, "%s.%s = unknown\n", prefix, fields->name);
                else
                        fprintf(out, "%s.%s = %" PRIu64 "\n", prefix, fields->name, value);
        }
}

void case_print(const struct test_case *test, FILE *out) {
        static struct test_case defaults;
        char prefix[64];

        case_defaults(&defaults, test->n_vms, test->n_steps);
        fprintf(out, "vms = %zu\nsteps = %zu\n", test->n_vms, test->n_steps);
        if (test->config.mode != POLICY_GUARANTEED)
                fprintf(out, "mode = %d\n", (int) test->config.mode);
        print_fields("config", config_fields, &test->config, &defaults.config, out);
        for (size_t s = 0; s < test->n_steps; s++) {
                fprintf(out, "%zu.now_usec = %" PRIu64 "\n", s, test->steps[s].now_usec);
                snprintf(prefix, sizeof(prefix), "%zu.host", s);
                print_fields(prefix, host_fields, &test->steps[s].host, &defaults.steps[s].host, out);
                for (size_t i = 0; i < test->n_vms; i++) {
                        snprintf(prefix, sizeof(prefix), "%zu.vm%zu", s, i);
                        print_fields(prefix, vm_fields, &test->steps[s].vms[i], &defaults.steps[s].vms[i], out);
                }
        }
}

static int set_field(const struct field *fields, void *base, const char *name, uint64_t value) {
        for (; fields->name; fields++)
                if (strcmp(fields->name, name) == 0) {
                        field_set(fields, base, value);
                        return 0;
                }
        return -EINVAL;
}

static int read_line(struct test_case *test, const char *key, uint64_t value) {
        size_t step, vm;
        int at = 0;

        if (strcmp(key, "vms") == 0 || strcmp(key, "steps") == 0) {
                if (value > (key[0] == 'v' ? CASE_VMS : CASE_STEPS))
                        return -ERANGE;
                *(key[0] == 'v' ? &test->n_vms : &test->n_steps) = (size_t) value;
                return 0;
        }
        if (strcmp(key, "mode") == 0 && value <= POLICY_OPPORTUNISTIC) {
                test->config.mode = (enum policy_mode) value;
                return 0;
        }
        if (strncmp(key, "config.", 7) == 0)
                return set_field(config_fields, &test->config, key + 7, value);
        if (sscanf(key, "%zu.%n", &step, &at) != 1 || step >= CASE_STEPS || at == 0)
                return -EINVAL;
        key += at;
        if (strcmp(key, "now_usec") == 0) {
                test->steps[step].now_usec = value;
                return 0;
        }
        if (strncmp(key, "host.", 5) == 0)
                return set_field(host_fields, &test->steps[step].host, key + 5, value);
        at = 0;
        if (sscanf(key, "vm%zu.%n", &vm, &at) != 1 || vm >= CASE_VMS || at == 0)
                return -EINVAL;
        return set_field(vm_fields, &test->steps[step].vms[vm], key + at, value);
}

int case_read(FILE *in, struct test_case *ret) {
        char line[256], key[128], text[64];

        case_defaults(ret, 0, 0);
        while (fgets(line, sizeof(line), in)) {
                uint64_t value = AEROSTAT_UNKNOWN;

                if (line[0] == '#' || line[0] == '\n')
                        continue;
                if (sscanf(line, "%127s = %63s", key, text) != 2 || (strcmp(text, "unknown") != 0 && parse_u64(text, &value) < 0) ||
                    read_line(ret, key, value) < 0) {
                        fprintf(stderr, "not understood: %s", line);
                        return -EINVAL;
                }
        }
        return 0;
}
