/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/policy.h"

const char *policy_class_to_string(enum policy_class class) {
        static const char *const names[] = {
                [POLICY_MANAGED] = "managed", [POLICY_PINNED] = "pinned", [POLICY_FIXED] = "fixed",
                [POLICY_EXCLUDED] = "excluded", [POLICY_HELD] = "held", [POLICY_BOOTING] = "unknown",
                [POLICY_UNKNOWN] = "unknown", [POLICY_UNCOOPERATIVE] = "uncooperative", [POLICY_BREACHING] = "breaching",
        };
        return (size_t) class < ARRAY_SIZE(names) ? names[class] : NULL;
}

const char *policy_reason_to_string(enum policy_reason reason) {
        static const char *const names[_POLICY_REASON_MAX] = {
                [POLICY_REASON_FITS] = "fits",
                [POLICY_REASON_DEMAND] = "demand",
                [POLICY_REASON_SHARE] = "share",
                [POLICY_REASON_FLOOR] = "floor",
                [POLICY_REASON_FLOORS_DO_NOT_FIT] = "floors_do_not_fit",
                [POLICY_REASON_WAITS] = "waits",
                [POLICY_REASON_GRANTED] = "granted",
                [POLICY_REASON_FUNDS] = "funds",
                [POLICY_REASON_EQUALIZES] = "equalizes",
                [POLICY_REASON_DEAD_BAND] = "dead_band",
                [POLICY_REASON_PRACTICAL_FLOOR] = "practical_floor",
                [POLICY_REASON_STUCK] = "stuck",
                [POLICY_REASON_TAKES] = "takes",
                [POLICY_REASON_PINNED] = "pinned",
                [POLICY_REASON_PINNED_WAITS] = "pinned_waits",
                [POLICY_REASON_FIXED] = "fixed",
                [POLICY_REASON_EXCLUDED] = "excluded",
                [POLICY_REASON_HELD] = "held",
                [POLICY_REASON_BOOTING] = "booting",
                [POLICY_REASON_UNKNOWN_HELD] = "unknown_held",
                [POLICY_REASON_UNKNOWN_EVIDENCE] = "unknown_evidence",
                [POLICY_REASON_UNRESPONSIVE] = "unresponsive",
                [POLICY_REASON_BREACHING] = "breaching",
        };
        return (size_t) reason < ARRAY_SIZE(names) ? names[reason] : NULL;
}

const char *policy_host_state_to_string(enum policy_host_state state) {
        static const char *const names[] = {
                [POLICY_NORMAL] = "normal", [POLICY_TIGHT] = "tight", [POLICY_HARD] = "hard", [POLICY_CRITICAL] = "critical",
        };
        return (size_t) state < ARRAY_SIZE(names) ? names[state] : NULL;
}

const char *policy_guarantee_to_string(enum policy_guarantee guarantee) {
        static const char *const names[] = { [POLICY_FULL] = "full", [POLICY_CONDITIONAL] = "conditional", [POLICY_NONE] = "none" };
        return (size_t) guarantee < ARRAY_SIZE(names) ? names[guarantee] : NULL;
}

const char *policy_weakness_to_string(enum policy_weakness one) {
        switch (one) {
        case POLICY_WEAK_MODE:
                return "mode";
        case POLICY_WEAK_AUTODEFLATE:
                return "autodeflate";
        case POLICY_WEAK_KHUGEPAGED:
                return "khugepaged";
        case POLICY_WEAK_BREACHING:
                return "breaching";
        case POLICY_WEAK_UNCOOPERATIVE:
                return "uncooperative";
        case POLICY_WEAK_ONLY_ZRAM:
                return "only_zram";
        case POLICY_WEAK_UNSAFE:
                return "unsafe";
        case POLICY_WEAK_FLOORS:
                return "floors";
        default:
                return NULL;
        }
}
