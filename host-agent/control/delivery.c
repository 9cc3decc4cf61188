/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/delivery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "host-agent/control/alert_json.h"
#include "host-agent/control/alert_store.h"
#include "host-agent/control/alert_text.h"
#include "host-agent/control/json.h"
#include "host-agent/log.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define STATE_FILE "alerts.json"
#define PATH_SIZE 4096
#define ALERT_COMMAND "alert command"
#define LAST_RESORT_COMMAND_NAME "last resort's command"

/* Part of the public interface: `journalctl MESSAGE_ID=...`. */
static const char *const message_ids[] = {
        [ALERT_FIRED] = "4ee3d8c751e5492b8ce0a1c988d6c2e8",
        [ALERT_REPEATED] = "be3db70060154da60c3fb28a1e833c51",
        [ALERT_RESOLVED] = "f5462028a38b468340aa6bb72568f814",
};

struct delivery {
        struct manager *manager;
        struct runner *alerts, *last_resort; /* apart: what is to save the host does not wait behind mails that cannot be delivered */
        uint64_t retry_usec;           /* until what could not be saved is tried again */
        bool failing;                  /* the last save did; that was told */
        sd_event_source *save;         /* a timer: once for all alerts of a round, and for all that is delivered in a second */
        char path[PATH_SIZE];
        char hostname[256];
};

static int journal_level(const struct alert_event *e) {
        static const int levels[] = { [ALERT_INFO] = LOG_NOTICE, [ALERT_WARNING] = LOG_WARNING, [ALERT_CRITICAL] = LOG_CRIT };

        return e->type == ALERT_RESOLVED ? LOG_NOTICE : levels[alert_kinds[e->alert->name].severity];
}

static void to_journal(const struct alert_event *e) {
        const struct alert *a = e->alert;
        const struct alert_kind *kind = &alert_kinds[a->name];
        char message[ALERT_TEXT_MAX], text[2 * ALERT_TEXT_MAX], since[JSON_TIME_MAX], uuid[UUID_STRING_SIZE];
        bool is_vm = a->name >= _ALERT_HOST_NAMES;
        const struct log_field fields[] = {
                { "MESSAGE_ID", message_ids[e->type] },
                { "AEROSTAT_ALERT", kind->name },
                { "AEROSTAT_ALERT_PHASE", alert_event_type_to_string(e->type) },
                { "AEROSTAT_ALERT_SEVERITY", alert_severity_to_string(kind->severity) },
                { "AEROSTAT_ALERT_SINCE", json_time(a->since_realtime_usec, since) },
                { "AEROSTAT_ALERT_ADVICE", alert_advice(a->name) },
                { "AEROSTAT_VM", is_vm ? a->subject : NULL },
                { "AEROSTAT_VM_UUID", is_vm ? format_uuid(a->uuid, uuid) : NULL },
        };

        alert_message(a, message);
        if (e->type == ALERT_RESOLVED)
                (void) snprintf(text, sizeof(text), "alert %s%s%s is over", kind->name, is_vm ? " of " : "", is_vm ? a->subject : "");
        else
                (void) snprintf(text, sizeof(text), "alert %s%s: %s. %s", kind->name, e->type == ALERT_REPEATED ? " goes on" : "", message,
                                alert_advice(a->name));
        log_fields(journal_level(e), text, fields, ARRAY_SIZE(fields));
}

static void to_command(struct delivery *d, const struct alert_event *e, const char *command) {
        json_t *alert = json_alert(e->alert);
        json_t *object = json_pack("{s:i, s:s, s:s, s:o}", "version", 1, "event", alert_event_type_to_string(e->type), "host", d->hostname,
                                   "alert", alert);
        _cleanup_free_ char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
        char key[64], uuid[UUID_STRING_SIZE];
        int r;

        json_decref(object);
        (void) snprintf(key, sizeof(key), "%d/%s", e->alert->name, format_uuid(e->alert->uuid, uuid));
        r = text ? runner_run(d->alerts, command, key, text) : -ENOMEM;
        if (r < 0)
                log_error(ALERT_COMMAND " %s: %s", command, strerror(-r));
}

/* The last resort's command: what the VM and the host are like now. */
static void run_last_resort(struct delivery *d, const struct manager_event *e, const char *command) {
        char error[VIEW_ERROR_MAX], key[sizeof("last-resort/") + ALERT_SUBJECT_MAX];
        _cleanup_free_ char *text = NULL;
        json_t *object;
        size_t index;
        int r;

        r = manager_find_vm(d->manager, e->vm, &index, error);
        if (r < 0)
                return;
        object = json_pack("{s:i, s:s, s:s, s:s, s:o, s:o}", "version", 1, "event", "last_resort", "host", d->hostname, "text", e->text, "vm",
                           json_show(d->manager, index), "status", json_status(d->manager));
        text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
        json_decref(object);
        (void) snprintf(key, sizeof(key), "last-resort/%s", e->vm);
        r = text ? runner_run(d->last_resort, command, key, text) : -ENOMEM;
        if (r < 0)
                log_error(LAST_RESORT_COMMAND_NAME " %s: %s", command, strerror(-r));
}

static void save_in(struct delivery *d, uint64_t usec) {
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(d->save, &enabled);
        if (enabled != SD_EVENT_OFF && usec > 0)
                return; /* it comes anyway */
        (void) sd_event_source_set_time_relative(d->save, usec);
        (void) sd_event_source_set_enabled(d->save, SD_EVENT_ONESHOT);
}

void delivery_handle(struct delivery *d, const struct manager_event *event) {
        struct host_view host;

        if (event->type != MANAGER_EVENT_ALERT && event->type != MANAGER_EVENT_LAST_RESORT)
                return;
        manager_view_host(d->manager, &host);
        if (event->type == MANAGER_EVENT_LAST_RESORT) {
                if (event->action == LAST_RESORT_COMMAND && !event->would)
                        run_last_resort(d, event, host.settings->last_resort_command);
                return;
        }
        to_journal(event->alert);
        if (host.settings->alert_command[0] != 0)
                to_command(d, event->alert, host.settings->alert_command);
        save_in(d, 0);
}

static void add_untold(const char *key, const char *text, void *userdata) {
        (void) json_array_append_new(userdata, json_pack("{s:s, s:s}", "key", key, "text", text));
}

static void save(struct delivery *d) {
        struct host_view host;
        json_t *untold = json_array();
        int r;

        manager_view_host(d->manager, &host);
        runner_undelivered(d->alerts, add_untold, untold);
        r = alert_store_save(d->path, host.alerts, host.now_usec, untold);
        json_decref(untold);
        if (r < 0 && !d->failing)
                log_warning("cannot save the alerts to %s: %s; it is tried again, and until it succeeds a restart has them fire again", d->path,
                            strerror(-r));
        else if (r >= 0 && d->failing)
                log_message(LOG_NOTICE, "the alerts are saved to %s again", d->path);
        d->failing = r < 0;
        if (r < 0)
                save_in(d, d->retry_usec);
}

static int on_save(sd_event_source *source, uint64_t usec, void *userdata) {
        save(userdata);
        return 0;
}

static void on_done(void *userdata) {
        save_in(userdata, USEC_PER_SEC);
}

/* Texts that were still to be delivered when the daemon ended. */
static void tell_untold(struct delivery *d, const json_t *untold) {
        const json_t *one;
        struct host_view host;
        size_t i;

        manager_view_host(d->manager, &host);
        json_array_foreach(untold, i, one) {
                const char *key = json_string_value(json_object_get(one, "key")), *text = json_string_value(json_object_get(one, "text"));

                if (key && text && host.settings->alert_command[0] != 0)
                        (void) runner_run(d->alerts, host.settings->alert_command, key, text);
        }
}

int delivery_new(struct delivery **ret, sd_event *event, struct manager *manager, const char *state_dir, const struct runner_limits *limits) {
        _cleanup_(delivery_freep) struct delivery *d = calloc(1, sizeof(*d));
        json_t *untold = NULL;
        int r;

        if (!d)
                return -ENOMEM;
        if (snprintf(d->path, sizeof(d->path), "%s/" STATE_FILE, state_dir) >= (int) sizeof(d->path))
                return -ENAMETOOLONG;
        d->retry_usec = (limits ?: &runner_limits_default)->retry_usec;
        (void) gethostname(d->hostname, sizeof(d->hostname) - 1);
        r = runner_new(&d->alerts, event, ALERT_COMMAND, limits ?: &runner_limits_default, on_done, d);
        if (r >= 0)
                r = runner_new(&d->last_resort, event, LAST_RESORT_COMMAND_NAME, limits ?: &runner_limits_default, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_time(event, &d->save, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_save, d);
        if (r >= 0)
                r = sd_event_source_set_enabled(d->save, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(d->save, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        d->manager = manager;
        r = alert_store_load(d->path, manager, &untold);
        if (r < 0)
                log_warning("cannot use %s: %s; alerts begin anew", d->path, strerror(-r));
        tell_untold(d, untold);
        json_decref(untold);
        *ret = TAKE_PTR(d);
        return 0;
}

struct delivery *delivery_free(struct delivery *d) {
        if (!d)
                return NULL;
        if (d->manager)
                save(d);
        sd_event_source_disable_unref(d->save);
        runner_free(d->alerts);
        runner_free(d->last_resort);
        free(d);
        return NULL;
}
