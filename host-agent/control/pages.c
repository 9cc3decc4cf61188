/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/pages.h"

#include <errno.h>
#include <string.h>

#include "host-agent/control/alert_json.h"
#include "host-agent/control/dashboard.h"
#include "host-agent/control/json.h"
#include "host-agent/control/metrics.h"
#include "protocol/clock.h"

#define KEEP_USEC (200 * USEC_PER_MSEC)
#define HISTORY_USEC (4 * USEC_PER_MINUTE)     /* what the page's lines show */

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"

/* Nothing from elsewhere, nothing inline; nobody may frame it, and it posts nothing. */
#define CONTENT_POLICY "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " \
                       "form-action 'none'; frame-ancestors 'none'"

struct route {
        const char *path, *type;
        json_t *(*json)(struct manager *manager);      /* NULL: metrics */
};

static const struct route routes[] = {
        { "/metrics", "text/plain; version=0.0.4; charset=utf-8", NULL },
        { "/api/status", JSON, json_status },
        { "/api/vms", JSON, json_list },
        { "/api/alerts", JSON, json_alerts },
};

struct pages {
        struct manager *manager;
        struct MHD_Response **files;                   /* n_dashboard_files of them */
        struct {
                struct MHD_Response *response;
                uint64_t made_usec;
        } kept[ARRAY_SIZE(routes)];
};

static struct MHD_Response *respond(const char *body, size_t size, enum MHD_ResponseMemoryMode mode, const char *type) {
        static const char *const headers[][2] = {
                { "Content-Security-Policy", CONTENT_POLICY }, { "X-Content-Type-Options", "nosniff" }, { "Referrer-Policy", "no-referrer" },
                { "Cross-Origin-Resource-Policy", "same-origin" }, { "Cache-Control", "no-store" },
        };
        struct MHD_Response *response = MHD_create_response_from_buffer(size, (void *) body, mode);
        bool ok = response && MHD_add_response_header(response, "Content-Type", type) == MHD_YES;

        for (size_t i = 0; ok && i < ARRAY_SIZE(headers); i++)
                ok = MHD_add_response_header(response, headers[i][0], headers[i][1]) == MHD_YES;
        if (!response && mode == MHD_RESPMEM_MUST_FREE)
                free((void *) body);
        if (response && !ok) {
                MHD_destroy_response(response);
                return NULL;
        }
        return response;
}

struct MHD_Response *pages_text(const char *text) {
        return respond(text, strlen(text), MHD_RESPMEM_MUST_COPY, TEXT);
}

static struct MHD_Response *respond_json(json_t *object) {
        char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;

        json_decref(object);
        return text ? respond(text, strlen(text), MHD_RESPMEM_MUST_FREE, JSON) : NULL;
}

static struct MHD_Response *make(struct pages *pages, const struct route *route) {
        size_t size;
        char *text;

        if (route->json)
                return respond_json(route->json(pages->manager));
        return metrics_format(pages->manager, &text, &size) < 0 ? NULL : respond(text, size, MHD_RESPMEM_MUST_FREE, route->type);
}

/* /api/vm?vm=NAME, /api/history (of the host) and /api/history?vm=NAME: asked for one at a time, and not kept. */
static int get_one(struct pages *pages, bool history, const char *name, struct MHD_Response **ret) {
        char error[VIEW_ERROR_MAX];
        size_t index = SIZE_MAX;

        if (name ? manager_find_vm(pages->manager, name, &index, error) < 0 : !history)
                return -ESRCH;
        *ret = respond_json(history ? json_history(pages->manager, index, HISTORY_USEC) : json_show(pages->manager, index));
        return *ret ? 0 : -ENOMEM;
}

int pages_get(struct pages *pages, const char *path, const char *vm, struct MHD_Response **ret, bool *ret_kept) {
        uint64_t now_usec = clock_monotonic_usec();

        *ret_kept = true;
        for (size_t i = 0; i < n_dashboard_files; i++)
                if (strcmp(path, dashboard_files[i].path) == 0) {
                        *ret = pages->files[i];
                        return 0;
                }
        for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
                struct MHD_Response *response;

                if (strcmp(path, routes[i].path) != 0)
                        continue;
                if (!pages->kept[i].response || now_usec - pages->kept[i].made_usec > KEEP_USEC) {
                        response = make(pages, &routes[i]);
                        if (!response)
                                return -ENOMEM;
                        if (pages->kept[i].response)
                                MHD_destroy_response(pages->kept[i].response);
                        pages->kept[i].response = response;
                        pages->kept[i].made_usec = now_usec;
                }
                *ret = pages->kept[i].response;
                return 0;
        }
        *ret_kept = false;
        if (strcmp(path, "/api/vm") == 0)
                return get_one(pages, false, vm, ret);
        return strcmp(path, "/api/history") == 0 ? get_one(pages, true, vm, ret) : -ENOENT;
}

int pages_new(struct pages **ret, struct manager *manager) {
        struct pages *pages = calloc(1, sizeof(*pages));

        if (!pages)
                return -ENOMEM;
        pages->manager = manager;
        pages->files = calloc(n_dashboard_files, sizeof(*pages->files));
        for (size_t i = 0; i < n_dashboard_files; i++) {
                const struct dashboard_file *file = &dashboard_files[i];

                if (pages->files)
                        pages->files[i] = respond(file->text, strlen(file->text), MHD_RESPMEM_PERSISTENT, file->type);
                if (!pages->files || !pages->files[i]) {
                        pages_free(pages);
                        return -ENOMEM;
                }
        }
        *ret = pages;
        return 0;
}

struct pages *pages_free(struct pages *pages) {
        if (!pages)
                return NULL;
        for (size_t i = 0; pages->files && i < n_dashboard_files; i++)
                if (pages->files[i])
                        MHD_destroy_response(pages->files[i]);
        for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
                if (pages->kept[i].response)
                        MHD_destroy_response(pages->kept[i].response);
        free(pages->files);
        free(pages);
        return NULL;
}
