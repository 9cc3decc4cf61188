/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/alert_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/manager/nodes.h"
#include "host-agent/policy/last_resort.h"
#include "host-agent/policy/policy.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define PERCENT_MAX 16

static const char *percent(uint64_t ppm, char buf[static PERCENT_MAX]) {
        if (ppm == AEROSTAT_UNKNOWN)
                return "-";
        (void) snprintf(buf, PERCENT_MAX, "%.*f %%", ppm < 100000 ? 1 : 0, (double) ppm * 100 / (double) PPM_ONE);
        return buf;
}

/* "autodeflate, khugepaged" */
static void name_weaknesses(uint64_t mask, char *buf, size_t size) {
        size_t n = 0;

        buf[0] = 0;
        for (unsigned bit = 0; bit < POLICY_WEAKNESSES && n < size; bit++)
                if (mask & (UINT64_C(1) << bit))
                        n += (size_t) snprintf(buf + n, size - n, "%s%s", n > 0 ? ", " : "",
                                               policy_weakness_to_string((enum policy_weakness) (1u << bit)));
}

#define SAY(...) (void) snprintf(buf, ALERT_TEXT_MAX, __VA_ARGS__)

static void say_host(const struct alert *a, char buf[static ALERT_TEXT_MAX]) {
        const uint64_t *n = a->numbers;
        char s0[FORMAT_SIZE_MAX], s1[FORMAT_SIZE_MAX], s2[FORMAT_SIZE_MAX], p0[PERCENT_MAX], p1[PERCENT_MAX], names[MAX(128, NODES_TEXT_MAX)];

        format_size(n[0], s0);
        format_size(n[1], s1);
        format_size(n[2], s2);
        switch (a->name) {
        case ALERT_HOST_TIGHT:
        case ALERT_HOST_HARD:
        case ALERT_HOST_CRITICAL:
                SAY("the host is %sshort of memory: %s available, %s is kept in reserve; pressure %s some, %s full",
                    a->name == ALERT_HOST_CRITICAL ? "critically " : a->name == ALERT_HOST_HARD ? "badly " : "", s0, s1, percent(n[2], p0),
                    percent(n[3], p1));
                break;
        case ALERT_ENVELOPE_UNSAFE:
                if (n[4] != AEROSTAT_UNKNOWN)
                        SAY("the VMs bound to NUMA node %s can take %s more than the %s that it can bear%s", nodes_to_string(n[4], names), s0, s1,
                            n[2] > n[1] ? ", and their floors alone are more: shrinking cannot mend it" : "; they can be shrunk below it");
                else if (n[2] > n[1])
                        SAY("the VMs can take %s more than the %s that the host can bear, and their floors alone come to %s: shrinking cannot mend "
                            "it", s0, s1, s2);
                else
                        SAY("the VMs can take %s more than the %s that the host can bear, and can be shrunk below it", s0, s1);
                break;
        case ALERT_GUARANTEE_WEAKENED:
                name_weaknesses(n[0], names, sizeof(names));
                SAY("that the host cannot run out is no longer proven: %s", names);
                break;
        case ALERT_SWAP_NEAR_CEILING:
        case ALERT_SWAP_AT_CEILING:
        case ALERT_SWAP_ABOVE_CEILING:
                SAY("host swap is %s its ceiling: %s used, ceiling %s of %s",
                    a->name == ALERT_SWAP_NEAR_CEILING ? "near" : a->name == ALERT_SWAP_AT_CEILING ? "at" : "above", s0, s1, s2);
                break;
        case ALERT_SWAP_THRASHING:
                SAY("the host thrashes: %s/s come in from swap while %s/s go out", s0, s1);
                break;
        case ALERT_KSM_UNPROFITABLE:
                SAY("KSM does not pay: it saves %s, %s after its own cost, for %s of a CPU", s1, s0, percent(n[2], p0));
                break;
        default:
                SAY("%s", alert_kinds[a->name].name);
        }
}

static const char *last_resort_done(uint64_t action) {
        static const char *const words[] = {
                [LAST_RESORT_PAUSE] = "paused", [LAST_RESORT_SAVE] = "saved to disk", [LAST_RESORT_COMMAND] = "left to the command of [last-resort]",
        };

        return action < ARRAY_SIZE(words) && words[action] ? words[action] : "taken";
}

static void say_vm(const struct alert *a, char buf[static ALERT_TEXT_MAX]) {
        const uint64_t *n = a->numbers;
        char s0[FORMAT_SIZE_MAX], s1[FORMAT_SIZE_MAX], s2[FORMAT_SIZE_MAX], s3[FORMAT_SIZE_MAX], p0[PERCENT_MAX], d0[FORMAT_DURATION_MAX];

        format_size(n[0], s0);
        format_size(n[1], s1);
        format_size(n[2], s2);
        format_size(n[3], s3);
        switch (a->name) {
        case ALERT_GUEST_BREACHING:
                SAY("%s uses more than its balloon leaves it: %s resident and %s swapped, target %s", a->subject, s0, s1, s2);
                break;
        case ALERT_GUEST_SWAP_AT_CEILING:
                SAY("%s has filled its own swap to the ceiling: %s of %s (ceiling %s)", a->subject, s0, s1, percent(n[2], p0));
                break;
        case ALERT_GUEST_PRESSURE:
                if (n[0] == AEROSTAT_UNKNOWN)
                        SAY("%s is short of memory: %s available in it, it has %s of %s", a->subject, s1, s2, s3);
                else
                        SAY("%s waits for memory %s of the time: %s available in it, it has %s of %s", a->subject, percent(n[0], p0), s1, s2, s3);
                break;
        case ALERT_GUEST_OOM_KILL:
                SAY("%s ran out of memory and killed a process (%" PRIu64 " since it booted): it has %s of %s", a->subject, n[0], s1, s2);
                break;
        case ALERT_GUEST_UNCOOPERATIVE:
                if (n[2] == 1)
                        SAY("%s has lately taken back memory that it had given, so it is not trusted with its target of %s for a while",
                            a->subject, s1);
                else
                        SAY("%s was asked to shrink to %s and stays at %s", a->subject, s1, s0);
                break;
        case ALERT_GUEST_STALE:
                if (n[0] == AEROSTAT_UNKNOWN)
                        SAY("the agent of %s no longer reports", a->subject);
                else
                        SAY("%s has not reported for %s", a->subject, format_duration(n[0], d0));
                break;
        case ALERT_VM_UNRESPONSIVE:
                SAY("the QEMU of %s does not answer: it holds %s resident and %s swapped, and cannot be moved", a->subject, s0, s1);
                break;
        case ALERT_PROTOCOL_ERROR:
                SAY("the agent of %s breaks the protocol; what it says is dropped", a->subject);
                break;
        case ALERT_LAST_RESORT:
                SAY("the last resort was taken on %s, which was %s: the host was critically short for "
                    "too long, with %s available of a reserve of %s; the VM holds %s",
                    a->subject, last_resort_done(n[0]), s1, s2, s3);
                break;
        default:
                SAY("%s: %s", a->subject, alert_kinds[a->name].name);
        }
}

char *alert_message(const struct alert *a, char buf[static ALERT_TEXT_MAX]) {
        if (a->name < _ALERT_HOST_NAMES)
                say_host(a, buf);
        else
                say_vm(a, buf);
        return buf;
}

const char *alert_advice(enum alert_name name) {
        static const char *const advice[_ALERT_NAMES] = {
                [ALERT_HOST_TIGHT] =
                        "VMs are shrunk, unless aerostatd is paused. If it stays: find what else uses memory (`aerostatctl status`), start "
                        "no more VMs, or move one away.",
                [ALERT_HOST_HARD] = "Move or stop a VM, or end what else uses memory on the host; `aerostatctl list` shows who has what.",
                [ALERT_HOST_CRITICAL] =
                        "Act now: stop or save the least important VM (`virsh managedsave VM`), or end what else uses "
                        "memory.",
                [ALERT_ENVELOPE_UNSAFE] =
                        "If it does not end by itself: lower some floors (`aerostatctl limits VM --floor SIZE`), stop a VM, or end "
                        "what else uses memory.",
                [ALERT_GUARANTEE_WEAKENED] = "`aerostatctl status` names each reason and, where it can be mended, how.",
                [ALERT_SWAP_NEAR_CEILING] =
                        "See who is swapped out (`aerostatctl list`); move a VM away, or add swap (`aerostatctl swap "
                        "plan`).",
                [ALERT_SWAP_AT_CEILING] =
                        "VMs swap no more, or (cgroup v1) less: they shrink, or slow down. Move or stop a VM, or add swap (`aerostatctl swap add "
                        "SIZE`).",
                [ALERT_SWAP_ABOVE_CEILING] =
                        "The ceiling was lifted so that nothing is killed, or cannot be enforced (cgroup v1), or something else swaps: "
                        "`aerostatctl swap`. Move or stop a VM now.",
                [ALERT_SWAP_THRASHING] = "More is in use than fits: work on this host crawls. Move or stop a VM.",
                [ALERT_KSM_UNPROFITABLE] = "These VMs have little in common: `aerostatctl ksm off`, or leave it to mode = auto.",
                [ALERT_GUEST_BREACHING] =
                        "Its balloon driver does not keep what it reports, or khugepaged on this host fills the holes that its balloon "
                        "makes (see `aerostatctl doctor`). Look into the guest; until it obeys it counts in full, and where cgroup v2 "
                        "allows it is contained ([policy] contain).",
                [ALERT_GUEST_SWAP_AT_CEILING] =
                        "It needs more than it has: raise its floor or weight (`aerostatctl limits`), its maximum, or its own "
                        "swap.",
                [ALERT_GUEST_PRESSURE] =
                        "`aerostatctl show VM` tells what keeps it from growing: its maximum, its share (weight, floor), or a host "
                        "that is full.",
                [ALERT_GUEST_OOM_KILL] = "Look in the guest's log for what was killed. Raise its floor, or its maximum where it had that.",
                [ALERT_GUEST_UNCOOPERATIVE] =
                        "Look whether the guest has the virtio_balloon driver and memory to give back; `aerostatctl explain VM` tells more. "
                        "Others cover its share meanwhile.",
                [ALERT_GUEST_STALE] = "In the guest: `systemctl status aerostat-guest`. It is held, and later judged from outside.",
                [ALERT_VM_UNRESPONSIVE] =
                        "Its storage may hang, or QEMU is stopped: `virsh domcontrol VM`, and its log under "
                        "/var/log/libvirt/qemu.",
                [ALERT_PROTOCOL_ERROR] = "Update aerostat-guest in the VM; if it is up to date, treat the guest as hostile.",
                [ALERT_LAST_RESORT] =
                        "Make room on the host. A VM that was paused runs again by itself when the host is normal or its time is over (`virsh resume "
                        "VM`: now); one that was saved goes on with `virsh start VM`. See [last-resort] in aerostatd.conf(5).",
        };

        return advice[name];
}
