/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"

static int set_automation(const struct context *context, const char *method, const char *changed, const char *unchanged) {
        json_t *reply;
        int r;

        r = client_call_or_print(context, method, NULL, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        puts(field_is_true(reply, "changed") ? changed : unchanged);
        json_decref(reply);
        return CTL_DONE;
}

static int run_pause(const struct context *context, const struct args *args) {
        return set_automation(context, "Pause", "Paused: no VM is moved until `aerostatctl resume`. VMs keep what they have.",
                              "Paused already; `aerostatctl resume` starts it again.");
}

static int run_resume(const struct context *context, const struct args *args) {
        return set_automation(context, "Resume", "Running again.", "Running already.");
}

const struct verb verb_pause = {
        .name = "pause", .operands = "", .summary = "Stop every automatic action, for all VMs",
        .help = "No VM is moved until `aerostatctl resume`; VMs keep what they have, and go on running. Meanwhile\n"
                "the kernel does not keep the swap ceiling either, and nothing steers KSM. It says nothing about one VM:\n"
                "`virsh suspend VM` stops a VM.",
        .extra_hint = "pause stops all automatic action and takes no VM; to stop one VM: virsh suspend", .run = run_pause,
};

const struct verb verb_resume = {
        .name = "resume", .operands = "", .summary = "Start automatic action again",
        .extra_hint = "resume starts all automatic action and takes no VM; to start one VM again: virsh resume", .run = run_resume,
};
