/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "protocol/base.h"
#include "protocol/units.h"
#include "tools/aerostatctl/args.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/text.h"

enum { SET_FOR, SET_FORCE };

static void print_set(const json_t *reply) {
        _cleanup_free_ char *name = text_safe(field_text(reply, "name") ?: "-"), *risk = text_safe(field_text(reply, "risk") ?: "");
        char size[FORMAT_SIZE_MAX], left[FORMAT_DURATION_MAX];

        field_size(reply, "pin_bytes", size);
        if (field_usec(reply, "pin_seconds_left") == AEROSTAT_UNKNOWN)
                printf("%s is held at %s until `aerostatctl auto %s`.\n", name, size, name);
        else
                printf("%s is held at %s for %s.\n", name, size, field_duration(reply, "pin_seconds_left", left));
        if (risk && *risk)
                printf("%sRisk:%s %s.\n", text_style(STYLE_WARN), text_end(STYLE_WARN), risk);
}

static int run_set(const struct context *context, const struct args *args) {
        uint64_t bytes, for_usec = AEROSTAT_UNKNOWN;
        json_t *parameters, *reply;
        int r;

        r = args_size(args->operands[1], &bytes);
        if (r == CTL_DONE && args->values[SET_FOR])
                r = args_duration(args->values[SET_FOR], &for_usec);
        if (r != CTL_DONE)
                return r;
        parameters = json_pack("{s:s, s:I, s:b}", "vm", args->operands[0], "target_bytes", (json_int_t) bytes, "force",
                               args->values[SET_FORCE] ? 1 : 0);
        if (!parameters)
                return complain(CTL_USAGE, "names have to be valid UTF-8");
        if (for_usec != AEROSTAT_UNKNOWN)
                json_object_set_new(parameters, "for_seconds", json_real((double) for_usec / (double) USEC_PER_SEC));
        r = client_call_or_print(context, "Set", parameters, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        print_set(reply);
        json_decref(reply);
        return CTL_DONE;
}

static int run_auto(const struct context *context, const struct args *args) {
        _cleanup_free_ char *name = NULL;
        json_t *reply;
        int r;

        r = client_call_vm(context, "Auto", args->operands[0], &reply);
        if (r != CTL_DONE || !reply)
                return r;
        name = text_safe(field_text(reply, "name") ?: "-");
        printf("%s is automatic%s.\n", name, field_is_true(reply, "changed") ? " again" : " already");
        json_decref(reply);
        return CTL_DONE;
}

const struct verb verb_set = {
        .name = "set",
        .operands = "VM SIZE",
        .summary = "Hold a VM at a size",
        .help = "Until `aerostatctl auto VM`, or until the DURATION is over. A size outside the VM's floor and maximum is refused. So\n"
                "is one that the host could not bear if all guests used what they may at once, unless --force is given: then the\n"
                "guarantee is void, and the host may have to swap or kill.",
        .min_operands = 2,
        .max_operands = 2,
        .options = { [SET_FOR] = { "--for", "DURATION" }, [SET_FORCE] = { "--force", NULL } },
        .run = run_set,
};

const struct verb verb_auto = {
        .name = "auto",
        .operands = "VM",
        .summary = "Give a VM back to the policy",
        .min_operands = 1,
        .max_operands = 1,
        .run = run_auto,
};
