/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/follow.h"

#include <stdlib.h>

#include "host-agent/control/alert_json.h"

struct follower {
        TAILQ_ENTRY(follower) followers;
        struct follower_list *list;
        struct varlink_call *call;
        bool alerts_only;
        uint64_t missed;               /* events since the last that got through */
};

/* event: borrowed; NULL where there was no memory for it. */
static void tell(struct follower *f, json_t *event) {
        json_t *mine = event ? json_copy(event) : NULL;

        if (mine && json_object_set_new(mine, "missed", json_integer((json_int_t) f->missed)) < 0) {
                json_decref(mine);
                mine = NULL;
        }
        f->missed = varlink_continue(f->call, mine) < 0 ? f->missed + 1 : 0;
}

static void on_closed(struct varlink_call *call, void *userdata) {
        struct follower *f = userdata;

        TAILQ_REMOVE(f->list, f, followers);
        free(f);
}

void follow_answer(struct follower_list *followers, struct varlink_call *call, json_t *parameters) {
        bool alerts_only = false;
        const struct varlink_parameter list[] = { { "alerts_only", VARLINK_BOOL, false, &alerts_only }, {} };
        json_t *beginning;
        struct follower *f;

        if (varlink_take_parameters(call, parameters, list) < 0)
                return;
        if (!varlink_wants_more(call)) {
                varlink_error(call, "org.varlink.service.ExpectedMore", json_object());
                return;
        }
        f = calloc(1, sizeof(*f));
        if (!f) {
                varlink_reply(call, NULL);
                return;
        }
        *f = (struct follower) { .list = followers, .call = call, .alerts_only = alerts_only };
        TAILQ_INSERT_TAIL(followers, f, followers);
        varlink_hold(call, on_closed, f);
        beginning = json_event(&(const struct manager_event) { .type = MANAGER_EVENT_HOST, .text = "everything from now on is told" });
        tell(f, beginning);
        json_decref(beginning);
}

void follow_publish(struct follower_list *followers, const struct manager_event *event) {
        json_t *object = TAILQ_FIRST(followers) ? json_event(event) : NULL;
        struct follower *f;

        TAILQ_FOREACH(f, followers, followers)
                if (!f->alerts_only || event->type == MANAGER_EVENT_ALERT)
                        tell(f, object);
        json_decref(object);
}
