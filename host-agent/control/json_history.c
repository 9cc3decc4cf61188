/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/json.h"

#include "host-agent/control/put.h"
#include "protocol/units.h"

struct columns {
        uint64_t now_usec;
        json_t *ages, *series[HISTORY_SERIES];
        bool failed;
};

static void give(const struct history_point *point, void *userdata) {
        struct columns *c = userdata;

        c->failed |= json_array_append_new(c->ages, json_integer((json_int_t) (c->now_usec / USEC_PER_SEC) - point->at_sec)) < 0;
        for (size_t i = 0; i < HISTORY_SERIES; i++)
                c->failed |= json_array_append_new(c->series[i],
                                                   point->mib[i] == UINT32_MAX ? json_null() : json_integer((json_int_t) (point->mib[i] * MIB))) < 0;
}

json_t *json_history(struct manager *manager, size_t index, uint64_t since_usec) {
        static const char *const host_names[HISTORY_SERIES] = { "envelope", "committed", "used", "swap" };
        static const char *const vm_names[HISTORY_SERIES] = { "actual", "demand", "rss", "swap" };
        const char *const *names = index == SIZE_MAX ? host_names : vm_names;
        struct put put = put_new(), series = put_new();
        struct columns c = { .ages = json_array() };
        const struct history *history;
        struct host_view host;
        struct vm_view vm = {};

        manager_view_host(manager, &host);
        if (index != SIZE_MAX)
                manager_view_vm(manager, index, &vm);
        history = index == SIZE_MAX ? host.history : vm.history;
        c.now_usec = host.now_usec;
        for (size_t i = 0; i < HISTORY_SERIES; i++)
                c.series[i] = json_array();
        history_walk(history, host.now_usec, since_usec, give, &c);
        put_text(&put, "name", vm.name);
        put_count(&put, "step_seconds", history_step_sec(since_usec));
        put_value(&put, "age_seconds", c.ages);
        for (size_t i = 0; i < HISTORY_SERIES; i++)
                put_value(&series, names[i], c.series[i]);
        put_value(&put, "series_bytes", put_end(&series));
        put.failed |= c.failed;
        return put_end(&put);
}
