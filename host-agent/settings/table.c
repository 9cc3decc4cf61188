/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/settings/keys.h"

#include <assert.h>
#include <string.h>

#include "protocol/parse.h"
#include "protocol/units.h"

static const char *const modes[] = { "guaranteed", "swap_backed", "opportunistic", NULL };
static const char *const exits[] = { "keep", "release", NULL };
static const char *const ksm_modes[] = { "auto", "on", "off", "leave", NULL };
static const char *const last_resorts[] = { "none", "pause", "save", "command", NULL };
static const char *const hook_errors[] = { "allow", "refuse", NULL };
static const char *const readers[] = { "group", "everyone", NULL };

static const char *uri_complaint(const char *text) {
        return *text && !strpbrk(text, " \t") ? NULL : "is not a libvirt URI, such as qemu:///system";
}

/* Never given to a shell; so a path that a shell would have found, or quoted, would fail only when the alert is due. */
static const char *command_complaint(const char *text) {
        return !*text || *text == '/' ? NULL : "is not a command: it begins with an absolute path, such as /usr/local/bin/notify";
}

static const char *listen_complaint(const char *text) {
        static const char wrong[] = "is not an address: write HOST:PORT, such as 127.0.0.1:19788, or unix:/run/aerostat/metrics.sock";
        const char *colon;
        uint64_t port;

        if (!*text)
                return NULL;
        if (strncmp(text, "unix:", 5) == 0)
                return text[5] == '/' && !strpbrk(text, " \t") ? NULL : wrong;
        colon = strrchr(text, ':');
        if (!colon || colon == text || strpbrk(text, " \t/") || parse_u64(colon + 1, &port) < 0 || port < 1 || port > 65535)
                return wrong;
        return NULL;
}

static const char *names_complaint(const char *text) {
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.- \t";

        return text[strspn(text, allowed)] ? "is not a list of host names, such as kvm1.example.org; blanks go between them" : NULL;
}

static const char *group_complaint(const char *text) {
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

        return *text && *text != '-' && strlen(text) <= 32 && !text[strspn(text, allowed)] ? NULL : "is not the name of a group";
}

#define AT(field) .offset = offsetof(struct settings, field)
#define VM(field, given) .offset = offsetof(struct settings_vm, field), .flag = offsetof(struct settings_vm, given)
#define PERCENT(low, high) .min = (uint64_t) ((low) * 10000), .max = (uint64_t) ((high) * 10000)

/* Printed and documented in this order. man/aerostatd.conf.5.scd and data/aerostatd.conf say what each one means. */
const struct setting settings_table[] = {
        { "host", "uri", SETTING_TEXT, AT(uri), .complaint = uri_complaint, .fallback = "qemu:///system" },
        { "host", "reserve", SETTING_AUTO_SIZE, AT(policy.reserve_bytes), .max = POLICY_SIZE_MAX },
        { "host", "memory", SETTING_AUTO_SIZE, AT(policy.memory_bytes), .min = 64 * MIB, .max = POLICY_SIZE_MAX },
        { "host", "mode", SETTING_CHOICE, AT(policy.mode), .choices = modes },
        { "host", "overcommit-factor", SETTING_FACTOR, AT(policy.overcommit_factor_ppm), .min = PPM_ONE, .max = 10 * PPM_ONE },
        { "host", "dry-run", SETTING_BOOL, AT(dry_run), .fallback = "no" },
        { "host", "on-exit", SETTING_CHOICE, AT(on_exit), .choices = exits, .fallback = "keep" },

        { "policy", "floor", SETTING_FLOOR, AT(defaults), PERCENT(0, 100), .fallback = "25%" },
        { "policy", "weight", SETTING_NUMBER, AT(defaults.weight), .max = POLICY_WEIGHT_MAX, .fallback = "1000" },
        { "policy", "headroom", SETTING_PERCENT, AT(policy.headroom_ppm), PERCENT(0, 500) },
        { "policy", "psi-target", SETTING_PERCENT, AT(policy.psi_target_ppm), PERCENT(0.01, 100) },
        { "policy", "growth-pool", SETTING_PERCENT, AT(policy.growth_pool_ppm), PERCENT(0, 50) },
        { "policy", "max-shrink-rate", SETTING_PERCENT, AT(policy.max_shrink_ppm), PERCENT(0.01, 100) },
        { "policy", "report-interval", SETTING_DURATION, AT(report_interval_usec), .min = 500 * USEC_PER_MSEC, .max = USEC_PER_HOUR,
          .fallback = "2s" },
        /* libvirt takes the period in whole seconds. */
        { "policy", "stats-period", SETTING_SECONDS, AT(stats_period_usec), .min = USEC_PER_SEC, .max = USEC_PER_HOUR, .fallback = "2s" },
        { "policy", "contain", SETTING_BOOL, AT(contain), .fallback = "yes" },

        { "ksm", "mode", SETTING_CHOICE, AT(ksm_mode), .choices = ksm_modes, .fallback = "auto" },
        { "ksm", "cpu-normal", SETTING_PERCENT, AT(ksm_cpu_normal_ppm), PERCENT(0.1, 100), .fallback = "5%" },
        { "ksm", "cpu-critical", SETTING_PERCENT, AT(ksm_cpu_critical_ppm), PERCENT(0.1, 100), .fallback = "60%" },
        { "ksm", "credit", SETTING_PERCENT, AT(policy.ksm_credit_ppm), PERCENT(0, 100) },

        { "swap", "ceiling", SETTING_PERCENT, AT(policy.swap_ceiling_ppm), PERCENT(0, 100) },
        { "swap", "warn", SETTING_PERCENT, AT(policy.swap_warn_ppm), PERCENT(1, 100) },
        { "swap", "enforce", SETTING_BOOL, AT(swap_enforce), .fallback = "yes" },
        { "swap", "per-vm-limits", SETTING_BOOL, AT(swap_per_vm_limits), .fallback = "no" },
        { "swap", "guest-ceiling", SETTING_PERCENT, AT(guest_ceiling_ppm), PERCENT(0, 100), .fallback = "30%" },

        { "last-resort", "action", SETTING_CHOICE, AT(last_resort), .choices = last_resorts, .fallback = "none" },
        { "last-resort", "after", SETTING_DURATION, AT(last_resort_after_usec), .min = USEC_PER_SEC, .max = USEC_PER_DAY, .fallback = "30s" },
        { "last-resort", "max-duration", SETTING_DURATION, AT(last_resort_max_duration_usec), .min = USEC_PER_SEC, .max = USEC_PER_DAY,
          .fallback = "10m" },
        { "last-resort", "command", SETTING_TEXT, AT(last_resort_command), .complaint = command_complaint, .fallback = "" },

        { "hook", "wait", SETTING_DURATION, AT(hook_wait_usec), .max = 10 * USEC_PER_MINUTE, .fallback = "20s" },
        { "hook", "on-error", SETTING_CHOICE, AT(hook_on_error), .choices = hook_errors, .fallback = "allow" },

        { "alerts", "command", SETTING_TEXT, AT(alert_command), .complaint = command_complaint, .fallback = "" },
        { "alerts", "repeat", SETTING_DURATION, AT(alert_repeat_usec), .min = USEC_PER_MINUTE, .max = 30 * USEC_PER_DAY, .fallback = "1h" },

        { "metrics", "listen", SETTING_TEXT, AT(metrics_listen), .complaint = listen_complaint, .fallback = "" },
        { "metrics", "names", SETTING_TEXT, AT(metrics_names), .complaint = names_complaint, .fallback = "" },

        { "control", "group", SETTING_TEXT, AT(control_group), .complaint = group_complaint, .fallback = "aerostat" },
        { "control", "read", SETTING_CHOICE, AT(control_read), .choices = readers, .fallback = "group" },

        { "vm", "managed", SETTING_BOOL, VM(managed, has_managed) },
        { "vm", "floor", SETTING_FLOOR, .offset = 0, .flag = offsetof(struct settings_vm, has_floor), PERCENT(0, 100) },
        { "vm", "weight", SETTING_NUMBER, VM(weight, has_weight), .max = POLICY_WEIGHT_MAX },
        { "vm", "priority", SETTING_NUMBER, VM(priority, has_priority), .max = 1000 },
};
static_assert(ARRAY_SIZE(settings_table) <= SETTINGS_KEYS_MAX, "raise SETTINGS_KEYS_MAX");
const size_t n_settings_table = ARRAY_SIZE(settings_table);

const char *const settings_sections[] = {
        "host", "policy", "ksm", "swap", "last-resort", "hook", "alerts", "metrics", "control", "vm", NULL,
};

const struct setting *setting_find(const char *section, const char *name) {
        for (size_t i = 0; i < n_settings_table; i++)
                if (strcmp(settings_table[i].section, section) == 0 && strcmp(settings_table[i].name, name) == 0)
                        return &settings_table[i];
        return NULL;
}

const char *setting_nearest(const char *section, const char *name) {
        const char *names[ARRAY_SIZE(settings_table) + 1];
        size_t n = 0;

        for (size_t i = 0; i < n_settings_table; i++)
                if (strcmp(settings_table[i].section, section) == 0)
                        names[n++] = settings_table[i].name;
        names[n] = NULL;
        return parse_nearest(name, names);
}

const char *setting_section_of(const char *name) {
        for (size_t i = 0; i < n_settings_table; i++)
                if (strcmp(settings_table[i].name, name) == 0)
                        return settings_table[i].section;
        return NULL;
}
