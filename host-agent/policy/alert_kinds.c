/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/alerts.h"

#include <string.h>

#include "protocol/units.h"

/*
 * How long is long: what mends itself in the normal course of things (a VM that boots at its maximum, a balloon on its way) must not wake anybody,
 * and what cannot wait must not. `clear` is longer than a restarted daemon needs to find the condition again (a stuck guest: 20 s), and, for what
 * happens in a moment (an OOM kill), how long it is worth showing.
 */

#define HOST_NUMBERS { "available_bytes", "reserve_bytes", "psi_some_ratio", "psi_full_ratio" }
#define SWAP_NUMBERS { "used_bytes", "ceiling_bytes", "total_bytes" }
#define MINUTE USEC_PER_MINUTE
#define SECOND USEC_PER_SEC

const struct alert_kind alert_kinds[_ALERT_NAMES] = {
        [ALERT_HOST_TIGHT] = { "HostTight", ALERT_WARNING, 10 * SECOND, MINUTE, HOST_NUMBERS },
        [ALERT_HOST_HARD] = { "HostHard", ALERT_WARNING, 3 * SECOND, MINUTE, HOST_NUMBERS },
        [ALERT_HOST_CRITICAL] = { "HostCritical", ALERT_CRITICAL, 0, MINUTE, HOST_NUMBERS },
        [ALERT_ENVELOPE_UNSAFE] = { "EnvelopeUnsafe", ALERT_WARNING, 30 * SECOND, MINUTE,
                                    { "deficit_bytes", "rule_bytes", "floors_bytes", "correction_bytes", "node_mask" } },
        [ALERT_GUARANTEE_WEAKENED] = { "GuaranteeWeakened", ALERT_INFO, MINUTE, 2 * MINUTE, { "weaknesses" } },
        [ALERT_SWAP_NEAR_CEILING] = { "SwapNearCeiling", ALERT_WARNING, 5 * SECOND, MINUTE, SWAP_NUMBERS },
        [ALERT_SWAP_AT_CEILING] = { "SwapAtCeiling", ALERT_CRITICAL, 5 * SECOND, MINUTE, SWAP_NUMBERS },
        [ALERT_SWAP_ABOVE_CEILING] = { "SwapAboveCeiling", ALERT_CRITICAL, 0, MINUTE, SWAP_NUMBERS },
        [ALERT_SWAP_THRASHING] = { "SwapThrashing", ALERT_CRITICAL, MINUTE, MINUTE, { "in_bytes_per_second", "out_bytes_per_second" } },
        [ALERT_KSM_UNPROFITABLE] = { "KsmUnprofitable", ALERT_INFO, 30 * MINUTE, 5 * MINUTE, { "profit_bytes", "saved_bytes", "cpu_ratio" } },
        [ALERT_GUEST_BREACHING] = { "GuestBreaching", ALERT_WARNING, 5 * SECOND, MINUTE, { "rss_bytes", "swap_bytes", "target_bytes" } },
        [ALERT_GUEST_SWAP_AT_CEILING] = { "GuestSwapAtCeiling", ALERT_WARNING, 30 * SECOND, MINUTE,
                                          { "swap_used_bytes", "swap_total_bytes", "ceiling_ratio" } },
        [ALERT_GUEST_PRESSURE] = { "GuestPressure", ALERT_WARNING, 30 * SECOND, MINUTE,
                                   { "psi_some_ratio", "available_bytes", "actual_bytes", "max_bytes" } },
        [ALERT_GUEST_OOM_KILL] = { "GuestOomKill", ALERT_WARNING, 0, 10 * MINUTE, { "oom_kills", "actual_bytes", "max_bytes" } },
        [ALERT_GUEST_UNCOOPERATIVE] = { "GuestUncooperative", ALERT_WARNING, 0, MINUTE, { "actual_bytes", "target_bytes", "took_back" } },
        [ALERT_GUEST_STALE] = { "GuestStale", ALERT_WARNING, 30 * SECOND, MINUTE, { "report_age_seconds" } },
        [ALERT_VM_UNRESPONSIVE] = { "VmUnresponsive", ALERT_CRITICAL, 5 * SECOND, MINUTE, { "rss_bytes", "swap_bytes" } },
        [ALERT_PROTOCOL_ERROR] = { "ProtocolError", ALERT_WARNING, 0, 10 * MINUTE, { NULL } },
        [ALERT_LAST_RESORT] = { "LastResort", ALERT_CRITICAL, 0, 10 * MINUTE, { "action", "available_bytes", "reserve_bytes", "committed_bytes" } },
};

const char *alert_severity_to_string(enum alert_severity severity) {
        static const char *const names[] = { [ALERT_INFO] = "info", [ALERT_WARNING] = "warning", [ALERT_CRITICAL] = "critical" };
        return (size_t) severity < ARRAY_SIZE(names) ? names[severity] : NULL;
}

const char *alert_event_type_to_string(enum alert_event_type type) {
        static const char *const names[] = { [ALERT_FIRED] = "fired", [ALERT_REPEATED] = "repeated", [ALERT_RESOLVED] = "resolved" };
        return (size_t) type < ARRAY_SIZE(names) ? names[type] : NULL;
}

int alert_name_from_string(const char *name) {
        for (int i = 0; i < _ALERT_NAMES; i++)
                if (strcmp(alert_kinds[i].name, name) == 0)
                        return i;
        return -1;
}
