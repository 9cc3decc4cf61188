/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"

static int run_version(const struct context *context, const struct args *args) {
        char uptime[FORMAT_DURATION_MAX];
        json_t *reply;
        int r;

        if (!context->json)
                printf("aerostatctl %s\n", PACKAGE_VERSION);
        r = client_call_or_print(context, "Version", NULL, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        printf("aerostatd %s, up %s\n", field_text(reply, "version") ?: "-", field_duration(reply, "uptime_seconds", uptime));
        json_decref(reply);
        return CTL_DONE;
}

const struct verb verb_version = {
        .name = "version", .operands = "", .summary = "Versions of this program and of the daemon", .run = run_version,
};
