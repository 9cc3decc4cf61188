/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "protocol/base.h"
#include "protocol/units.h"
#include "tools/aerostatctl/args.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/table.h"
#include "tools/aerostatctl/text.h"

enum { RESERVE_TTL, RESERVE_FOR_VM, RESERVE_WAIT, RESERVE_HOOK };
enum { RELEASE_FOR_VM };

static void set_seconds(json_t *parameters, const char *key, uint64_t usec) {
        if (usec != AEROSTAT_UNKNOWN)
                json_object_set_new(parameters, key, json_real((double) usec / (double) USEC_PER_SEC));
}

/* A hook waits as long as the daemon's configuration says; a daemon that hangs is found out here, before that long a wait. */
static int ask_hook_wait(const struct context *context, uint64_t *ret_usec) {
        json_t *reply;
        int r = client_call(context, "Reservations", NULL, &reply);

        if (r != CTL_DONE)
                return r;
        if (field_usec(reply, "hook_wait_seconds") > 0) /* 0: as without --wait */
                *ret_usec = field_usec(reply, "hook_wait_seconds");
        json_decref(reply);
        return CTL_DONE;
}

static void print_reserved(const json_t *reply) {
        const json_t *one = json_object_get(reply, "reservation");
        const char *name = field_text(one, "for_vm");
        _cleanup_free_ char *safe = name ? text_safe(name) : NULL;
        char size[FORMAT_SIZE_MAX], left[FORMAT_DURATION_MAX];

        if (!json_is_object(one)) {
                complain(CTL_DONE, "nothing is reserved, and the VM may start all the same ([hook] on-error = allow): %s",
                         field_text(reply, "message") ?: "-");
                return;
        }
        printf("Reservation %" PRIu64 ": %s%s%s %s for %s.\n", field_count(one, "id"), field_size(one, "reserved_bytes", size), safe ? " for " : "",
               safe ?: "", field_is_true(one, "met") ? "free, held" : "being freed, held", field_duration(one, "seconds_left", left));
}

static int run_reserve(const struct context *context, const struct args *args) {
        uint64_t bytes, ttl = AEROSTAT_UNKNOWN, wait = AEROSTAT_UNKNOWN;
        struct context patient = *context;
        json_t *parameters, *reply;
        int r;

        r = args_size(args->operands[0], &bytes);
        if (r == CTL_DONE && bytes == 0)
                r = complain(CTL_USAGE, "a reservation of no memory is none; say how much, as in: aerostatctl reserve 2G");
        if (r == CTL_DONE && args->values[RESERVE_TTL])
                r = args_duration(args->values[RESERVE_TTL], &ttl);
        if (r == CTL_DONE && args->values[RESERVE_WAIT])
                r = args_duration(args->values[RESERVE_WAIT], &wait);
        if (r == CTL_DONE && args->values[RESERVE_HOOK] && wait == AEROSTAT_UNKNOWN)
                r = ask_hook_wait(context, &wait);
        if (r != CTL_DONE)
                return r;
        parameters = json_pack("{s:I, s:s*, s:b}", "size_bytes", (json_int_t) bytes, "for_vm", args->values[RESERVE_FOR_VM], "hook",
                               args->values[RESERVE_HOOK] ? 1 : 0);
        if (!parameters)
                return complain(CTL_USAGE, "names have to be valid UTF-8");
        set_seconds(parameters, "ttl_seconds", ttl);
        set_seconds(parameters, "wait_seconds", wait);
        patient.wait_usec = wait == AEROSTAT_UNKNOWN ? 0 : wait;
        r = client_call_or_print(&patient, "Reserve", parameters, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        print_reserved(reply);
        json_decref(reply);
        return CTL_DONE;
}

static int run_release(const struct context *context, const struct args *args) {
        const char *for_vm = args->values[RELEASE_FOR_VM];
        json_t *parameters = json_object(), *reply;
        uint64_t id;
        int r;

        if ((args->n_operands == 1) == (for_vm != NULL))
                r = complain(CTL_USAGE, "`release` needs either the ID of a reservation (see `aerostatctl reservations`) or --for-vm");
        else if (!for_vm && (parse_u64(args->operands[0], &id) < 0 || id > INT64_MAX))
                r = complain(CTL_USAGE, "\"%s\" is not the ID of a reservation; `aerostatctl reservations` lists them", args->operands[0]);
        else if (json_object_set_new(parameters, for_vm ? "for_vm" : "id", for_vm ? json_string(for_vm) : json_integer((json_int_t) id)) < 0)
                r = complain(CTL_USAGE, "names have to be valid UTF-8");
        else {
                r = client_call_or_print(context, "Release", parameters, &reply);
                if (r == CTL_DONE && reply) {
                        puts("Released.");
                        json_decref(reply);
                }
                return r;
        }
        json_decref(parameters);
        return r;
}

static int run_reservations(const struct context *context, const struct args *args) {
        static const struct column columns[] = { { "ID", true, 0 }, { "SIZE", true, 0 }, { "STATE", false, 0 }, { "LEFT", true, 0 },
                                                 { "FOR", false, 0 } };
        struct table *table;
        json_t *reply, *one;
        size_t i;
        int r;

        r = client_call_or_print(context, "Reservations", NULL, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        table = table_new(columns, ARRAY_SIZE(columns));
        json_array_foreach(json_object_get(reply, "reservations"), i, one) {
                char id[24], size[FORMAT_SIZE_MAX], left[FORMAT_DURATION_MAX];

                snprintf(id, sizeof(id), "%" PRIu64, field_count(one, "id"));
                table_add(table, id, STYLE_PLAIN);
                table_add(table, field_size(one, "reserved_bytes", size), STYLE_PLAIN);
                table_add(table, field_is_true(one, "met") ? "free" : "being freed", field_is_true(one, "met") ? STYLE_GOOD : STYLE_WARN);
                table_add(table, field_duration(one, "seconds_left", left), STYLE_PLAIN);
                table_add(table, field_text(one, "for_vm") ?: "-", STYLE_PLAIN);
        }
        if (i == 0)
                puts("No reservations.");
        else
                table_print(table, stdout);
        table_free(table);
        json_decref(reply);
        return CTL_DONE;
}

const struct verb verb_reserve = {
        .name = "reserve",
        .operands = "SIZE",
        .summary = "Set memory aside, for a VM to come",
        .help = "The others are squeezed until SIZE is free inside the envelope. It is held for the --ttl DURATION (default 5m), or until the VM\n"
                "NAME appears and takes over; what QEMU needs besides is then added to SIZE. --wait returns once it is free, and fails, with\n"
                "nothing reserved, when it is not within that time. What could only be met by breaking a floor is refused at once. --hook is for\n"
                "libvirt's hook: it waits as [hook] wait says, and fails only where [hook] on-error = refuse.",
        .min_operands = 1,
        .max_operands = 1,
        .options = { [RESERVE_TTL] = { "--ttl", "DURATION" }, [RESERVE_FOR_VM] = { "--for-vm", "NAME" }, [RESERVE_WAIT] = { "--wait", "DURATION" },
                     [RESERVE_HOOK] = { "--hook", NULL } },
        .run = run_reserve,
};

const struct verb verb_release = {
        .name = "release",
        .operands = "ID",
        .summary = "Give a reservation up",
        .help = "By its ID, or by the VM that it is for.",
        .max_operands = 1,
        .options = { [RELEASE_FOR_VM] = { "--for-vm", "NAME" } },
        .run = run_release,
};

const struct verb verb_reservations = {
        .name = "reservations", .operands = "", .summary = "List reservations", .run = run_reservations,
};
