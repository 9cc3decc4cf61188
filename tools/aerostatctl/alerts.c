/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* alerts, watch and check: what is the matter, what happens, and one line for a monitoring system. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "protocol/base.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/text.h"

/* Exit codes of monitoring plugins. */
enum { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN };

static enum style style_of(const char *severity) {
        return !severity ? STYLE_PLAIN : strcmp(severity, "critical") == 0 ? STYLE_BAD : strcmp(severity, "warning") == 0 ? STYLE_WARN : STYLE_PLAIN;
}

static void print(const char *text, enum style style) {
        _cleanup_free_ char *safe = text_safe(text ?: "-");

        printf("%s%s%s", text_style(style), safe ?: "-", text_end(style));
}

/* "2026-11-21T10:00:00Z" as the local time of day; as it is where that fails. */
static const char *local_time(const char *text, char buf[static 32]) {
        struct tm tm = { 0 };
        time_t t;

        if (!text || !strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm))
                return text ?: "-";
        t = timegm(&tm);
        return localtime_r(&t, &tm) && strftime(buf, 32, "%Y-%m-%d %H:%M:%S", &tm) > 0 ? buf : text;
}

static void print_alert(const json_t *alert) {
        const char *severity = field_text(alert, "severity"), *until = field_text(alert, "until");
        char since[32], end[32];

        print(severity, style_of(severity));
        printf("  ");
        print(field_text(alert, "name"), STYLE_HEADER);
        printf("  %s %s%s\n    ", until ? "from" : "since", local_time(field_text(alert, "since"), since), until ? "" : ":");
        if (until)
                printf("until %s: ", local_time(until, end));
        print(field_text(alert, "message"), STYLE_PLAIN);
        if (!until) {
                printf("\n    ");
                print(field_text(alert, "advice"), STYLE_FAINT);
        }
        puts("");
}

static int print_event(const struct context *context, const json_t *event) {
        (void) json_dumpf(event, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
        puts("");
        return fflush(stdout) == 0 ? 0 : -1;
}

static int print_alerts(const struct context *context) {
        const json_t *firing, *recent, *alert;
        json_t *reply;
        size_t i;
        int r;

        r = client_call_or_print(context, "Alerts", NULL, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        firing = json_object_get(reply, "firing");
        recent = json_object_get(reply, "recent");
        if (json_array_size(firing) == 0)
                puts("No alert fires.");
        json_array_foreach(firing, i, alert)
                print_alert(alert);
        if (json_array_size(recent) > 0)
                puts("\nOver:");
        json_array_foreach(recent, i, alert)
                print_alert(alert);
        json_decref(reply);
        return CTL_DONE;
}

static void print_alert_event(const json_t *event) {
        const json_t *alert = json_object_get(event, "alert");
        const char *severity = field_text(alert, "severity");
        uint64_t missed = field_count(event, "missed");
        char time[32];

        if (missed != 0 && missed != AEROSTAT_UNKNOWN)
                printf("(%" PRIu64 " events were missed)\n", missed);
        printf("%s  ", local_time(field_text(event, "time"), time));
        print(severity, style_of(severity));
        printf(" ");
        print(field_text(alert, "name"), STYLE_HEADER);
        printf(" %s: ", field_text(event, "phase") ?: "-");
        print(field_text(event, "text"), STYLE_PLAIN);
        puts("");
}

/* The first event says only that it follows. What fired before that is asked for then: asked for earlier, an alert could come between the two. */
static int print_followed(const struct context *context, const json_t *event) {
        const char *type = field_text(event, "type");
        bool is_alert = type && strcmp(type, "alert") == 0;

        if (context->json)
                return is_alert ? print_event(context, event) : 0;
        if (is_alert)
                print_alert_event(event);
        else if (print_alerts(context) == CTL_DONE)
                puts("");
        return fflush(stdout) == 0 ? 0 : -1;
}

static int run_alerts(const struct context *context, const struct args *args) {
        return args->values[0] ? client_follow(context, "Watch", json_pack("{s:b}", "alerts_only", true), print_followed) : print_alerts(context);
}

static int run_watch(const struct context *context, const struct args *args) {
        return client_follow(context, "Watch", NULL, print_event);
}

static void perfdata(const char *label, const json_t *object, const char *key) {
        uint64_t value = field_count(object, key);

        if (value != AEROSTAT_UNKNOWN)
                printf(" %s=%" PRIu64 "B", label, value);
}

/* One line, as monitoring plugins print it: state and summary, then numbers behind a bar. */
static int run_check(const struct context *context, const struct args *args) {
        static const char *const words[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };
        const json_t *alerts, *alert, *worst = NULL, *swap;
        const char *automation, *separator = ": ";
        int code = CHECK_OK;
        json_t *status;
        size_t i, n = 0;

        if (client_call(context, "Status", NULL, &status) != CTL_DONE) {
                puts("AEROSTAT UNKNOWN: aerostatd does not answer");
                return CHECK_UNKNOWN;
        }
        alerts = json_object_get(status, "alerts");
        json_array_foreach(alerts, i, alert) { /* the worst comes first; infos are not worth waking anybody for */
                const char *severity = field_text(alert, "severity");
                int mine = !severity || strcmp(severity, "info") == 0 ? CHECK_OK : strcmp(severity, "critical") == 0 ? CHECK_CRITICAL : CHECK_WARNING;

                n += mine != CHECK_OK;
                if (mine > code) {
                        code = mine;
                        worst = alert;
                }
        }
        automation = field_text(status, "automation");
        if (code == CHECK_OK && json_is_false(json_object_get(status, "connected")))
                code = CHECK_WARNING;
        printf("AEROSTAT %s", words[code]);
        if (worst) {
                printf("%s", separator);
                print(field_text(worst, "message"), STYLE_PLAIN);
                if (n > 1)
                        printf(" (and %zu more)", n - 1);
                separator = "; ";
        }
        if (json_is_false(json_object_get(status, "connected"))) {
                printf("%slibvirt does not answer", separator);
                separator = "; ";
        }
        if (automation && strcmp(automation, "running") != 0) {
                printf("%sautomation is %s", separator, strcmp(automation, "paused") == 0 ? "paused" : "in dry-run");
                separator = "; ";
        }
        if (strcmp(separator, ": ") == 0)
                printf(": host is %s, %" PRIu64 " VMs", field_text(status, "state") ?: "not sampled yet", field_count(status, "vms"));
        swap = json_object_get(status, "swap");
        printf(" |");
        perfdata("committed", status, "committed_bytes");
        perfdata("envelope", status, "rule_bytes");
        perfdata("available", status, "available_bytes");
        perfdata("swap_used", swap, "disk_used_bytes");
        perfdata("swap_ceiling", swap, "ceiling_bytes");
        printf(" alerts=%zu\n", n);
        json_decref(status);
        return code;
}

const struct verb verb_alerts = {
        .name = "alerts", .operands = "", .summary = "What is the matter now and lately, and what to do about it",
        .help = "--follow goes on to print alerts as they fire, repeat and are resolved; with --json only those,\n"
                "one object on each line.",
        .options = { { "--follow", NULL } }, .run = run_alerts,
};

const struct verb verb_watch = {
        .name = "watch", .operands = "", .summary = "Everything that happens, as it happens: one JSON object on each line",
        .help = "Alerts, decisions about targets, VMs that come and go, states of the host. The first line comes at once:\n"
                "what happens from then on is told. Runs until interrupted.", .run = run_watch,
};

const struct verb verb_check = {
        .name = "check", .operands = "", .summary = "One line for monitoring systems; exit status 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN",
        .help = "Follows the conventions of monitoring plugins (Nagios, Icinga, Checkmk): a summary, then performance\n"
                "data behind a bar. The worst alert decides; those that only inform do not count.",
        .run = run_check,
};
