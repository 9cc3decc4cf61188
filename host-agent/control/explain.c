/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/explain.h"

#include <inttypes.h>
#include <stdio.h>

#include "host-agent/manager/nodes.h"
#include "protocol/parse.h"

const char *explain_briefly(enum policy_reason reason) {
        static const char *const words[_POLICY_REASON_MAX] = {
                [POLICY_REASON_FITS] = "everything fits",
                [POLICY_REASON_DEMAND] = "demand is met",
                [POLICY_REASON_SHARE] = "its share of a short host",
                [POLICY_REASON_FLOOR] = "held up by its floor",
                [POLICY_REASON_FLOORS_DO_NOT_FIT] = "the floors do not fit",
                [POLICY_REASON_WAITS] = "waits for memory",
                [POLICY_REASON_GRANTED] = "grew",
                [POLICY_REASON_FUNDS] = "gives to others",
                [POLICY_REASON_EQUALIZES] = "moves slowly to its share",
                [POLICY_REASON_DEAD_BAND] = "close enough",
                [POLICY_REASON_PRACTICAL_FLOOR] = "the guest cannot go lower",
                [POLICY_REASON_STUCK] = "does not obey",
                [POLICY_REASON_TAKES] = "took memory back",
                [POLICY_REASON_PINNED] = "set by hand",
                [POLICY_REASON_PINNED_WAITS] = "set by hand, waits for memory",
                [POLICY_REASON_FIXED] = "cannot be moved",
                [POLICY_REASON_EXCLUDED] = "not managed",
                [POLICY_REASON_HELD] = "paused or migrating",
                [POLICY_REASON_BOOTING] = "boots: not heard of yet",
                [POLICY_REASON_UNKNOWN_HELD] = "silent: held",
                [POLICY_REASON_UNKNOWN_EVIDENCE] = "silent: judged from outside",
                [POLICY_REASON_UNRESPONSIVE] = "QEMU does not answer",
                [POLICY_REASON_BREACHING] = "uses more than it may",
                [POLICY_REASON_NODE] = "its NUMA node holds no more",
        };

        return (size_t) reason < ARRAY_SIZE(words) ? words[reason] : "unknown";
}

/* Everything that a sentence may need, in words. */
struct words {
        char max[FORMAT_SIZE_MAX], floor[FORMAT_SIZE_MAX], target[FORMAT_SIZE_MAX], actual[FORMAT_SIZE_MAX], ideal[FORMAT_SIZE_MAX];
        char demand[FORMAT_SIZE_MAX], entitled[FORMAT_SIZE_MAX], rss[FORMAT_SIZE_MAX], swap[FORMAT_SIZE_MAX];
        char rule[FORMAT_SIZE_MAX], all[FORMAT_SIZE_MAX], deficit[FORMAT_SIZE_MAX], floors[FORMAT_SIZE_MAX];
        char terms[4 * FORMAT_SIZE_MAX + 64]; /* "1.20 GiB (1 GiB in use, ...)" or "an unknown amount" */
        char age[FORMAT_DURATION_MAX + 16], left[FORMAT_DURATION_MAX + 32];
        const struct policy_nodeset *set;      /* the part of the host's nodes that it is bound to; NULL: none */
        char nodes[NODES_TEXT_MAX + 16], node_rule[FORMAT_SIZE_MAX], node_deficit[FORMAT_SIZE_MAX]; /* "NUMA node 0" */
};

static void find_nodes(const struct host_view *host, const struct vm_view *vm, struct words *w) {
        size_t place = vm->policy->plan.nodeset;
        char nodes[NODES_TEXT_MAX];

        w->set = place > 0 && place <= host->plan->n_nodesets ? &host->plan->nodesets[place - 1] : NULL;
        snprintf(w->nodes, sizeof(w->nodes), "NUMA node%s %s", w->set && nodes_count(w->set->mask) > 1 ? "s" : "",
                 w->set ? nodes_to_string(w->set->mask, nodes) : "(unknown)");
        format_size(w->set ? w->set->rule_bytes : AEROSTAT_UNKNOWN, w->node_rule);
        format_size(w->set ? w->set->deficit_bytes : AEROSTAT_UNKNOWN, w->node_deficit);
}

static void find_words(const struct host_view *host, const struct vm_view *vm, struct words *w) {
        const struct policy_vm_input *in = &vm->policy->input;
        const struct policy_vm_plan *p = &vm->policy->plan;
        char need[FORMAT_SIZE_MAX], hot[FORMAT_SIZE_MAX], headroom[FORMAT_SIZE_MAX], duration[FORMAT_DURATION_MAX];

        format_size(in->max_bytes, w->max);
        format_size(p->floor_bytes, w->floor);
        format_size(p->target_bytes, w->target);
        format_size(in->actual_bytes, w->actual);
        format_size(p->ideal_bytes, w->ideal);
        format_size(p->demand_bytes, w->demand);
        format_size(p->entitled_bytes, w->entitled);
        format_size(in->rss_bytes, w->rss);
        format_size(in->swap_bytes, w->swap);
        format_size(host->plan->rule_bytes, w->rule);
        format_size(host->plan->max_bytes, w->all);
        format_size(host->plan->deficit_bytes, w->deficit);
        format_size(host->plan->floors_bytes, w->floors);
        find_nodes(host, vm, w);
        if (p->demand_bytes == AEROSTAT_UNKNOWN)
                snprintf(w->terms, sizeof(w->terms), "an unknown amount");
        else
                snprintf(w->terms, sizeof(w->terms), "%s (%s in use, %s of hot cache, %s of headroom)", w->demand,
                         format_size(p->need_bytes, need), format_size(p->hot_bytes, hot),
                         format_size(p->headroom_bytes, headroom));
        if (vm->report_age_usec == AEROSTAT_UNKNOWN)
                snprintf(w->age, sizeof(w->age), "since it started");
        else
                snprintf(w->age, sizeof(w->age), "for %s", format_duration(vm->report_age_usec, duration));
        if (vm->pin_until_usec_left == AEROSTAT_UNKNOWN)
                snprintf(w->left, sizeof(w->left), "until `aerostatctl auto`");
        else
                snprintf(w->left, sizeof(w->left), "for another %s", format_duration(vm->pin_until_usec_left, duration));
}

#define SAY(...) (void) snprintf(buf, EXPLAIN_MAX, __VA_ARGS__)

/* What gets it less or more than its demand, when nothing is wrong with it. */
static void explain_share(const struct vm_view *vm, const struct words *w, char buf[static EXPLAIN_MAX]) {
        const struct policy_vm *policy = vm->policy;

        switch (policy->plan.reason) {
        case POLICY_REASON_FITS:
                SAY("All VMs together could take %s and the host can bear %s, so everyone has its maximum: %s here.", w->all,
                    w->rule, w->max);
                break;
        case POLICY_REASON_DEMAND:
                SAY("It needs %s. The host can give that, and shares what is left by weight (%" PRIu64 " here), which makes %s.",
                    w->terms, policy->input.weight, w->ideal);
                break;
        case POLICY_REASON_SHARE:
                SAY("It needs %s, more than its share: all VMs together may have %s, and of that its floor (%s) and weight (%" PRIu64
                    ") entitle it to %s. It gets %s; a higher weight or floor would give it more.",
                    w->terms, w->rule, w->floor, policy->input.weight, w->entitled, w->ideal);
                break;
        case POLICY_REASON_NODE:
                SAY("It needs %s. It is bound to %s, where the VMs that are so may have %s together; of that its floor (%s) and weight (%" PRIu64
                    ") make %s. Memory on other nodes does not help it: a wider <numatune> would.",
                    w->terms, w->nodes, w->node_rule, w->floor, policy->input.weight, w->ideal);
                break;
        case POLICY_REASON_FLOOR:
                SAY("It needs only %s, but is never taken below its floor of %s.", w->terms, w->floor);
                break;
        case POLICY_REASON_PRACTICAL_FLOOR:
                SAY("It needs only %s, but when asked for less the guest could not go below %s, which counts as its floor for a while.",
                    w->terms, w->floor);
                break;
        case POLICY_REASON_FLOORS_DO_NOT_FIT:
                SAY("The floors, and what cannot be moved, come to %s, but the host can bear %s: it is held near its floor of %s. Lower "
                    "some floors, stop a VM, or add memory.",
                    w->floors, w->rule, w->floor);
                break;
        case POLICY_REASON_DEAD_BAND:
                SAY("It needs %s; %s would be right, which is too close to the %s that it has to move for.", w->terms, w->ideal,
                    w->target);
                break;
        default:
                SAY("%s.", explain_briefly(policy->plan.reason));
        }
}

/* Why it cannot simply have its share. */
static void explain_obstacle(const struct vm_view *vm, const struct words *w, char buf[static EXPLAIN_MAX]) {
        char duration[MAX(FORMAT_DURATION_MAX, FORMAT_SIZE_MAX)], held[128] = "";

        switch (vm->policy->plan.reason) {
        case POLICY_REASON_STUCK:
                SAY("It was asked to shrink to %s and stays at %s, so it may not grow until it obeys; others cover its share meanwhile. Look "
                    "whether the guest has the balloon driver, and free memory.",
                    w->target, w->actual);
                break;
        case POLICY_REASON_TAKES:
                SAY("It had given back what was asked, and then took memory back on its own, so it counts at its maximum, where others make room for "
                    "it, and is not moved until it has kept to its target of %s for a while. It holds %s.",
                    w->target, w->actual);
                break;
        case POLICY_REASON_FIXED:
                if (vm->policy->input.hugepages)
                        SAY("It is on huge pages, which a balloon cannot give back, so it is never moved. They are gone from the host's memory "
                            "already: it counts with what QEMU takes besides. Maximum: %s.",
                            w->max);
                else
                        SAY("Its memory cannot be taken back (no balloon device, locked memory, a passed-through device, or encrypted memory), "
                            "so it counts in full and is never moved. Maximum: %s.",
                            w->max);
                break;
        case POLICY_REASON_EXCLUDED:
                SAY("It is not managed (managed = no), so it counts at its maximum of %s and is never moved.", w->max);
                break;
        case POLICY_REASON_HELD:
                if (vm->last_resort_paused) {
                        SAY("It was paused as the last resort, because the host was critically short for too "
                            "long. It runs again when the host is normal, in %s at the latest.",
                            format_duration(vm->last_resort_left_usec, duration));
                        break;
                }
                SAY("It is paused, migrating or being saved, and stays at %s until that is over.", w->target);
                break;
        case POLICY_REASON_BOOTING:
                SAY("Its balloon has not been heard of since it started, so it counts at its maximum of %s.", w->max);
                break;
        case POLICY_REASON_UNKNOWN_HELD:
                SAY("It has not reported %s. It stays at %s for now; later it is judged by what the host sees of it.", w->age,
                    w->target);
                break;
        case POLICY_REASON_UNKNOWN_EVIDENCE:
                SAY("It has not reported %s, so it is judged by what the host sees (%s resident, %s swapped) and moves towards what it is "
                    "entitled to: %s. Is aerostat-guest running in it?",
                    w->age, w->rss, w->swap, w->entitled);
                break;
        case POLICY_REASON_UNRESPONSIVE:
                SAY("QEMU does not answer, so it cannot be moved. It holds %s resident and %s swapped.", w->rss, w->swap);
                break;
        case POLICY_REASON_BREACHING:
                if (vm->why_not_contained)
                        snprintf(held, sizeof(held), ", and cannot be contained: %s", vm->why_not_contained);
                else if (vm->contained_bytes != AEROSTAT_UNKNOWN)
                        snprintf(held, sizeof(held), ", and is held to %s in memory until it obeys", format_size(vm->contained_bytes, duration));
                SAY("It holds %s resident and %s swapped, more than the %s that its balloon leaves it: it counts at its maximum of %s%s.",
                    w->rss, w->swap, w->target, w->max, held);
                break;
        default:
                explain_share(vm, w, buf);
        }
}

char *explain_vm(const struct host_view *host, const struct vm_view *vm, char buf[static EXPLAIN_MAX]) {
        struct words w;

        find_words(host, vm, &w);
        switch (vm->policy->plan.reason) {
        case POLICY_REASON_WAITS:
                SAY("It needs %s and is to grow from %s to %s as soon as others have given that back.", w.terms, w.actual, w.ideal);
                break;
        case POLICY_REASON_GRANTED:
                SAY("It needs %s and was just given memory: %s now, of %s that it is to have.", w.terms, w.target, w.ideal);
                break;
        case POLICY_REASON_FUNDS:
                if (w.set && w.set->deficit_bytes > 0)
                        SAY("%s, which it is bound to, has promised %s more than it can bear, so it gives memory back at once: %s now, "
                            "%s in the end.", w.nodes, w.node_deficit, w.target, w.ideal);
                else if (host->plan->deficit_bytes > 0)
                        SAY("The host has promised %s more than it can bear, so it gives memory back at once: %s now, %s in the end.",
                            w.deficit, w.target, w.ideal);
                else
                        SAY("Others, or the pool for bursts, wait for memory, so it gives some at once: %s now, %s in the end.",
                            w.target, w.ideal);
                break;
        case POLICY_REASON_EQUALIZES:
                SAY("It moves slowly from %s to its share of %s; nobody waits for the memory.", w.target, w.ideal);
                break;
        case POLICY_REASON_PINNED:
                SAY("An operator set it to %s, which holds %s.", w.target, w.left);
                break;
        case POLICY_REASON_PINNED_WAITS:
                SAY("An operator set it (which holds %s), and it has %s until others have given the rest back.", w.left, w.target);
                break;
        default:
                explain_obstacle(vm, &w, buf);
        }
        return buf;
}

static const char *what_is_done(const struct host_view *host) {
        return host->automation == AUTOMATION_RUNNING && host->connected ? ": memory is being taken back" : "";
}

/* The same weaknesses where it is not the host but a part of its nodes. */
static bool explain_node_weakness(const struct host_view *host, enum policy_weakness weakness, char buf[static EXPLAIN_MAX]) {
        const struct policy_nodeset *s = nodes_worst(host->plan);
        char nodes[NODES_TEXT_MAX], size[FORMAT_SIZE_MAX], rule[FORMAT_SIZE_MAX];

        if (!s)
                return false;
        nodes_to_string(s->mask, nodes);
        format_size(MIN(s->rule_bytes, s->capacity_bytes), rule);
        if (weakness == POLICY_WEAK_UNSAFE && s == nodes_unsafe(host->plan)) {
                SAY("the VMs bound to NUMA node %s can take %s more than it can bear now%s", nodes, format_size(s->deficit_bytes, size),
                    what_is_done(host));
                return true;
        }
        if (weakness == POLICY_WEAK_FLOORS && !s->floors_fit && host->plan->floors_fit) {
                SAY("the floors of the VMs bound to NUMA node %s, and what cannot be moved there, come to %s, "
                    "but it can bear %s: lower some floors, or bind a VM to other nodes", nodes, format_size(s->floors_bytes, size), rule);
                return true;
        }
        return false;
}

char *explain_weakness(const struct host_view *host, enum policy_weakness weakness, char buf[static EXPLAIN_MAX]) {
        char deficit[FORMAT_SIZE_MAX], floors[FORMAT_SIZE_MAX], rule[FORMAT_SIZE_MAX];
        bool resident;

        if (explain_node_weakness(host, weakness, buf))
                return buf;
        /* Of the two bounds the one that is broken. */
        resident = host->plan->resident_least_bytes > host->plan->resident_rule_bytes;
        format_size(resident ? host->plan->resident_least_bytes : host->plan->floors_bytes, floors);
        format_size(resident ? host->plan->resident_rule_bytes : host->plan->rule_bytes, rule);
        switch (weakness) {
        case POLICY_WEAK_MODE:
                SAY("mode = opportunistic promises more than memory and swap can hold if all guests burst at once");
                break;
        case POLICY_WEAK_AUTODEFLATE:
                SAY("a guest with autodeflate='on' takes memory back when it runs out, without asking (with it off, it kills a process "
                    "instead)");
                break;
        case POLICY_WEAK_KHUGEPAGED:
                SAY("khugepaged may refill what balloons gave back: echo 0 > /sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none");
                break;
        case POLICY_WEAK_BREACHING:
                SAY("a guest uses more than its balloon leaves it: `aerostatctl list` shows which");
                break;
        case POLICY_WEAK_UNCOOPERATIVE:
                SAY("a guest does not give memory back when asked, or has lately taken back what it had given: `aerostatctl list` shows "
                    "which");
                break;
        case POLICY_WEAK_ONLY_ZRAM:
                SAY("all swap is zram, which takes memory itself: swap on a disk would back the promise");
                break;
        case POLICY_WEAK_UNSAFE:
                if (host->plan->deficit_bytes == 0 && host->plan->resident_deficit_bytes > 0)
                        SAY("what cannot be swapped can take %s more than memory itself can bear now%s",
                            format_size(host->plan->resident_deficit_bytes, deficit), what_is_done(host));
                else
                        SAY("the VMs can take %s more than the host can bear now%s", format_size(host->plan->deficit_bytes, deficit), what_is_done(host));
                break;
        case POLICY_WEAK_FLOORS:
                SAY("the floors, and what cannot be moved, come to %s, but the host can bear %s: lower some floors, stop a VM, or add memory",
                    floors, rule);
                break;
        default:
                SAY("%s", policy_weakness_to_string(weakness) ?: "unknown");
        }
        return buf;
}
