/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/units.h"
#include "tools/aerostatctl/args.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/text.h"

enum { LIMITS_FLOOR, LIMITS_WEIGHT, LIMITS_PRIORITY, LIMITS_MANAGED, LIMITS_PERSIST, LIMITS_RESET };

static int add_floor(json_t *parameters, const char *text) {
        uint64_t bytes, ppm;
        int r;

        if (strchr(text, '%')) {
                if (parse_percent(text, &ppm) < 0 || ppm > PPM_ONE)
                        return complain(CTL_USAGE, "\"%s\" is not a share of the VM's maximum, from 0%% to 100%%", text);
                json_object_set_new(parameters, "floor_ratio", json_real((double) ppm / (double) PPM_ONE));
                return CTL_DONE;
        }
        r = args_size(text, &bytes);
        if (r == CTL_DONE)
                json_object_set_new(parameters, "floor_bytes", json_integer((json_int_t) bytes));
        else
                complain(r, "a floor may also be a share of the VM's maximum, such as 25%%");
        return r;
}

static int add_number(json_t *parameters, const char *key, const char *text, uint64_t max) {
        uint64_t value;

        if (parse_u64(text, &value) < 0 || value > max)
                return complain(CTL_USAGE, "a %s is a number from 0 to %" PRIu64 ", not \"%s\"", key, max, text);
        json_object_set_new(parameters, key, json_integer((json_int_t) value));
        return CTL_DONE;
}

static int add_parameters(json_t *parameters, const struct args *args) {
        const char *managed = args->values[LIMITS_MANAGED];
        bool yes;
        int r = CTL_DONE;

        if (args->values[LIMITS_FLOOR])
                r = add_floor(parameters, args->values[LIMITS_FLOOR]);
        if (r == CTL_DONE && args->values[LIMITS_WEIGHT])
                r = add_number(parameters, "weight", args->values[LIMITS_WEIGHT], 1000000);
        if (r == CTL_DONE && args->values[LIMITS_PRIORITY])
                r = add_number(parameters, "priority", args->values[LIMITS_PRIORITY], 1000);
        if (r != CTL_DONE)
                return r;
        if (managed) {
                if (parse_bool(managed, &yes) < 0)
                        return complain(CTL_USAGE, "--managed is yes or no, not \"%s\"", managed);
                json_object_set_new(parameters, "managed", json_boolean(yes));
        }
        if (args->values[LIMITS_PERSIST])
                json_object_set_new(parameters, "persist", json_true());
        if (args->values[LIMITS_RESET])
                json_object_set_new(parameters, "reset", json_true());
        return CTL_DONE;
}

static void print_limits(const json_t *reply) {
        _cleanup_free_ char *name = text_safe(field_text(reply, "name") ?: "-");
        static const char *const keys[] = { "floor_bytes", "weight", "priority", "managed" };
        const json_t *by_hand = json_object_get(reply, "by_hand");
        char floor[FORMAT_SIZE_MAX];
        const char *comma = "";
        bool any = false;

        printf("%s: floor %s, weight %" PRIu64 ", priority %" PRIu64 ", managed %s\n", name, field_size(reply, "floor_bytes", floor),
               field_count(reply, "weight"), field_count(reply, "priority"), field_is_true(reply, "managed") ? "yes" : "no");
        if (field_is_true(reply, "persisted"))
                puts("Written to the domain's metadata: it holds for good, and migrates with the VM.");
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                any |= json_object_get(by_hand, keys[i]) && !json_is_null(json_object_get(by_hand, keys[i]));
        if (!any)
                return;
        fputs("Set by hand, until the VM stops or `--reset`:", stdout);
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (!json_is_null(json_object_get(by_hand, keys[i]))) {
                        printf("%s %.*s", comma, (int) strcspn(keys[i], "_"), keys[i]);
                        comma = ",";
                }
        puts(".");
}

static int run_limits(const struct context *context, const struct args *args) {
        json_t *parameters = json_pack("{s:s}", "vm", args->operands[0]), *reply;
        int r;

        if (!parameters)
                return complain(CTL_USAGE, "names have to be valid UTF-8");
        r = add_parameters(parameters, args);
        if (r != CTL_DONE) {
                json_decref(parameters);
                return r;
        }
        r = client_call_or_print(context, "Limits", parameters, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        print_limits(reply);
        json_decref(reply);
        return CTL_DONE;
}

const struct verb verb_limits = {
        .name = "limits",
        .operands = "VM",
        .summary = "Show or set a VM's limits",
        .help = "FLOOR is a size or a share of the VM's maximum (512M, 25%). What is set by hand goes before the domain's metadata, which goes\n"
                "before aerostatd.conf; it survives a restart of aerostatd, and ends with --reset or when the VM stops. --persist writes it to\n"
                "the domain's metadata instead, for good. Floors that do not fit into the envelope are refused.",
        .min_operands = 1,
        .max_operands = 1,
        .options = { [LIMITS_FLOOR] = { "--floor", "FLOOR" }, [LIMITS_WEIGHT] = { "--weight", "N" }, [LIMITS_PRIORITY] = { "--priority", "N" },
                     [LIMITS_MANAGED] = { "--managed", "yes|no" }, [LIMITS_PERSIST] = { "--persist", NULL }, [LIMITS_RESET] = { "--reset", NULL } },
        .run = run_limits,
};
