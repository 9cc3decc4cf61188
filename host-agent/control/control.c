/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/control.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host-agent/control/follow.h"
#include "host-agent/control/http.h"
#include "host-agent/control/listen.h"
#include "host-agent/control/methods.h"
#include "host-agent/control/peer.h"
#include "host-agent/control/varlink.h"
#include "host-agent/log.h"

#define NO_GROUP ((gid_t) -1)
#define GROUP_BUFFER_SIZE (64u * 1024u)

struct control {
        struct manager *manager;
        struct follower_list followers;
        struct listener listener;
        struct varlink_server *server;
        struct http *http;      /* NULL: [metrics] listen is empty, or failed */
        char http_listen[SETTINGS_TEXT_MAX]; /* what it was opened with */
        sd_event *event;
        gid_t group;            /* or NO_GROUP. Looked up with the settings, never while a client waits: a directory server may have to answer */
};

/* The group's number, or NO_GROUP and a sentence in error. */
static gid_t find_group(const char *name, char error[static CONTROL_ERROR_MAX]) {
        _cleanup_free_ char *buffer = malloc(GROUP_BUFFER_SIZE);
        struct group entry, *found = NULL;
        int r = buffer ? getgrnam_r(name, &entry, buffer, GROUP_BUFFER_SIZE, &found) : ENOMEM;

        if (found)
                return found->gr_gid;
        snprintf(error, CONTROL_ERROR_MAX, "group \"%s\" ([control] group): %s; only root may use the control socket", name,
                 r != 0 ? strerror(r) : "there is no such group");
        return NO_GROUP;
}

static const struct settings *settings_of(const struct control *control) {
        struct host_view host;

        manager_view_host(control->manager, &host);
        return host.settings;
}

static mode_t socket_mode(const struct control *control) {
        if (settings_of(control)->control_read == SETTINGS_READ_EVERYONE)
                return 0666;
        return control->group == NO_GROUP ? 0600 : 0660;
}

static enum varlink_access access_of(int fd, uid_t uid, void *userdata) {
        struct control *control = userdata;

        if (uid == 0 || uid == geteuid() || (control->group != NO_GROUP && peer_in_group(fd, control->group) > 0))
                return VARLINK_WRITE;
        return settings_of(control)->control_read == SETTINGS_READ_EVERYONE ? VARLINK_READ : VARLINK_NO_ACCESS;
}

/* Who asked for what, for whoever reads the log at three in the morning. Numbers only: a name may be a question to a directory server. */
static void log_write(const struct varlink_call *call, const char *method, const json_t *parameters, void *userdata) {
        _cleanup_free_ char *text = json_dumps(parameters, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));

        log_message(LOG_NOTICE, "user %u asks: %s %.400s", (unsigned) varlink_caller(call), method, text ?: "");
}

static gid_t socket_group(const struct control *control) {
        return control->group == NO_GROUP ? getegid() : control->group;
}

/* Opens, moves or closes the web server as the settings say. 0; 1 and a sentence in error: it cannot be had, which is no reason to manage no
 * memory. */
static int follow_http(struct control *control, char error[static CONTROL_ERROR_MAX]) {
        const char *listen = settings_of(control)->metrics_listen;
        int r;

        if (strcmp(listen, control->http_listen) == 0 && (control->http || *listen == 0)) {
                r = control->http ? http_set_access(control->http, socket_mode(control), socket_group(control)) : 0;
                if (r < 0)
                        (void) snprintf(error, CONTROL_ERROR_MAX, "cannot change who may use %s: %s", listen, strerror(-r));
                return r < 0;
        }
        control->http = http_free(control->http);
        (void) snprintf(control->http_listen, sizeof(control->http_listen), "%s", listen);
        return *listen != 0 && http_new(&control->http, control->event, control->manager, listen, socket_mode(control), socket_group(control), error) < 0;
}

int control_new(struct control **ret, sd_event *event, struct manager *manager, const char *socket_path,
                char error[static CONTROL_ERROR_MAX]) {
        struct control *control = calloc(1, sizeof(*control));
        struct varlink_service service = {
                .vendor = "Aerostat", .product = "aerostatd", .version = PACKAGE_VERSION, .url = PACKAGE_URL,
                .interface = "org.aerostat.Host", .description = control_interface_description,
                .methods = control_methods, .n_methods = control_n_methods,
                .access = access_of, .on_write = log_write, .limits = varlink_limits_default,
        };
        char missing[CONTROL_ERROR_MAX];
        int r;

        if (!control) {
                snprintf(error, CONTROL_ERROR_MAX, "out of memory");
                return -ENOMEM;
        }
        control->manager = manager;
        TAILQ_INIT(&control->followers);
        control->group = find_group(settings_of(control)->control_group, missing);
        r = listener_open(socket_path, socket_mode(control), control->group, &control->listener, error);
        if (r < 0) {
                free(control);
                return r;
        }
        service.userdata = control;
        r = varlink_server_new(&control->server, event, control->listener.fd, &service);
        if (r < 0) {
                snprintf(error, CONTROL_ERROR_MAX, "cannot serve %s: %s", socket_path, strerror(-r));
                control_free(control);
                return r;
        }
        control->listener.fd = -1; /* the server's now */
        control->event = sd_event_ref(event);
        *ret = control;
        if (follow_http(control, error) > 0)
                return 1;
        if (control->group != NO_GROUP)
                return 0;
        strcpy(error, missing);
        return 1;
}

int control_reload(struct control *control, char error[static CONTROL_ERROR_MAX]) {
        int r;

        control->group = find_group(settings_of(control)->control_group, error);
        r = listener_set_access(&control->listener, socket_mode(control), socket_group(control));
        if (r < 0) {
                snprintf(error, CONTROL_ERROR_MAX, "cannot change who may use %s: %s", control->listener.path, strerror(-r));
                return r;
        }
        return follow_http(control, error) > 0 || control->group == NO_GROUP;
}

struct control *control_free(struct control *control) {
        if (!control)
                return NULL;
        http_free(control->http);
        varlink_server_free(control->server);
        listener_close(&control->listener);
        sd_event_unref(control->event);
        free(control);
        return NULL;
}

void control_publish(struct control *control, const struct manager_event *event) {
        follow_publish(&control->followers, event);
}

struct follower_list *control_followers(struct control *control) {
        return &control->followers;
}

struct manager *control_manager(struct control *control) {
        return control->manager;
}
