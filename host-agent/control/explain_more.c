/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What stands behind a VM's target: what it needs, what it is entitled to, and what would give it more. */

#include "host-agent/control/explain.h"

#include <inttypes.h>
#include <stdio.h>

#include "protocol/parse.h"

#define SAY(...) (void) snprintf(buf, EXPLAIN_MAX, __VA_ARGS__)

char *explain_need(const struct vm_view *vm, char buf[static EXPLAIN_MAX]) {
        const struct policy_vm_plan *p = &vm->policy->plan;
        char demand[FORMAT_SIZE_MAX], need[FORMAT_SIZE_MAX], hot[FORMAT_SIZE_MAX], headroom[FORMAT_SIZE_MAX], age[FORMAT_DURATION_MAX];
        const char *whose = vm->source == SOURCE_AGENT ? "its agent" : "its balloon's statistics";

        if (vm->policy->input.report_usec == 0 || p->demand_bytes == AEROSTAT_UNKNOWN) {
                SAY("What it needs is not known: its guest has not reported in this boot. Run aerostat-guest in it.");
                return buf;
        }
        format_duration(vm->report_age_usec, age);
        SAY("It needs %s: %s in use (what it has, less what its guest calls available), %s of cache that hurt when it was taken, and %s of headroom. "
            "That is the word of %s, %s old%s.",
            format_size(p->demand_bytes, demand), format_size(p->need_bytes, need), format_size(p->hot_bytes, hot),
            format_size(p->headroom_bytes, headroom), whose, age, vm->source == SOURCE_NONE ? " and no longer believed" : "");
        return buf;
}

char *explain_entitlement(const struct host_view *host, const struct vm_view *vm, char buf[static EXPLAIN_MAX]) {
        const struct policy_vm_plan *p = &vm->policy->plan;
        char entitled[FORMAT_SIZE_MAX], floor[FORMAT_SIZE_MAX], rule[FORMAT_SIZE_MAX], all[FORMAT_SIZE_MAX], practical[FORMAT_SIZE_MAX + 64] = "";
        const char *stays;

        switch (p->class) {
        case POLICY_FIXED:
        case POLICY_EXCLUDED:
                SAY("It takes no part in the sharing: it counts %s, whatever the others need.",
                    vm->policy->input.hugepages && p->class == POLICY_FIXED ? "with what QEMU takes besides its huge pages" : "in full");
                return buf;
        default:
                break;
        }
        format_size(p->entitled_bytes, entitled);
        format_size(vm->policy->input.floor_bytes, floor);
        format_size(host->plan->rule_bytes, rule);
        format_size(host->plan->max_bytes, all);
        stays = vm->policy->input.cannot_swap ? " It is allowed no swap, so what it has is backed by memory alone." : "";
        if (p->floor_bytes > vm->policy->input.floor_bytes)
                snprintf(practical, sizeof(practical), " (the guest was found unable to go below %s)", format_size(p->floor_bytes, entitled));
        format_size(p->entitled_bytes, entitled);
        if (host->plan->fits)
                SAY("It is entitled to %s: the maximums of all VMs come to %s, and the host can bear %s.%s", entitled, all, rule, stays);
        else
                SAY("It is entitled to %s when everybody wants everything: the maximums come to %s, the host can bear %s, and of that it has its "
                    "floor of %s%s and a share of the rest by its weight of %" PRIu64 ".%s",
                    entitled, all, rule, floor, practical, vm->policy->input.weight, stays);
        return buf;
}

/* What would make room for all: where the host's memory goes, and what could be changed. */
static void say_room(const struct host_view *host, const char *first, char buf[static EXPLAIN_MAX]) {
        const struct policy_plan *p = host->plan;
        char capacity[FORMAT_SIZE_MAX], memory[FORMAT_SIZE_MAX], reserve[FORMAT_SIZE_MAX], other[FORMAT_SIZE_MAX], allowance[FORMAT_SIZE_MAX];
        char swap[FORMAT_SIZE_MAX + 96] = "";

        if (host->settings->policy.mode == POLICY_GUARANTEED && p->allowance_bytes > 0)
                snprintf(swap, sizeof(swap), " [host] mode = swap_backed would add %s of swap.", format_size(p->allowance_bytes, allowance));
        SAY("%s The host has %s for VMs: %s of memory less a reserve of %s and %s that others use.%s", first,
            format_size(p->capacity_bytes, capacity),
            format_size(p->memory_bytes, memory), format_size(p->reserve_bytes, reserve), format_size(p->other_bytes, other), swap);
}

char *explain_more(const struct host_view *host, const struct vm_view *vm, char buf[static EXPLAIN_MAX]) {
        const struct policy_vm_plan *p = &vm->policy->plan;
        uint64_t max = vm->policy->input.max_bytes;
        char text[FORMAT_SIZE_MAX], first[256 + FORMAT_SIZE_MAX];

        switch (p->reason) {
        case POLICY_REASON_FIXED:
        case POLICY_REASON_EXCLUDED:
        case POLICY_REASON_BREACHING:
                SAY("Nothing here would give it more: it may use all of its maximum of %s.", format_size(max, text));
                return buf;
        case POLICY_REASON_PINNED:
        case POLICY_REASON_PINNED_WAITS:
                SAY("`aerostatctl auto` gives it back to the policy; `aerostatctl set` with another size changes it.");
                return buf;
        case POLICY_REASON_HELD:
                SAY("It is moved again when it runs again: `virsh resume` if somebody suspended it, or if it is needed more than the memory.");
                return buf;
        case POLICY_REASON_STUCK:
                SAY("It gets more when it has given back what was asked. Does its guest have the virtio_balloon driver, and is memory free in it?");
                return buf;
        case POLICY_REASON_TAKES:
                SAY("It is moved again when it has kept to its balloon for a while. Was its "
                    "balloon driver unloaded, or is somebody else setting its memory?");
                return buf;
        case POLICY_REASON_UNRESPONSIVE:
                SAY("Nothing can be given to it until its QEMU answers again: `virsh domstate`, and the log of the VM, say more.");
                return buf;
        case POLICY_REASON_UNKNOWN_HELD:
        case POLICY_REASON_UNKNOWN_EVIDENCE:
                SAY("A guest that says what it needs can be given it: see that aerostat-guest "
                    "runs in it, and that it has the channel org.aerostat.guest.0.");
                return buf;
        default:
                break;
        }
        if (p->target_bytes >= max) {
                SAY("It has its maximum of %s. Only a larger one would give it more: `virsh setmaxmem`, at its next start.", format_size(max, text));
                return buf;
        }
        if (p->demand_bytes != AEROSTAT_UNKNOWN && p->target_bytes >= p->demand_bytes) {
                say_room(host, "It has what it needs, and gets more as soon as its guest reports a "
                               "greater need. A higher weight enlarges its part of what is left.",
                         buf);
                return buf;
        }
        snprintf(first, sizeof(first),
                 "A higher floor or weight would give it more at the others' expense: `aerostatctl limits %.64s --floor SIZE` or `--weight N` "
                 "(they are %s and %" PRIu64 ").",
                 vm->name, format_size(vm->policy->input.floor_bytes, text), vm->policy->input.weight);
        say_room(host, first, buf);
        return buf;
}
