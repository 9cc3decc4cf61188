/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "host-agent/log.h"
#include "host-agent/state/state_file.h"

struct state_writer {
        pthread_t thread;
        pthread_mutex_t lock;          /* of the two below */
        pthread_cond_t changed;
        char *text;                    /* what waits to be written, or NULL */
        bool ends;
        char *folder;
        const char *name;
};

static void *write_states(void *userdata) {
        struct state_writer *w = userdata;
        bool failing = false;

        pthread_mutex_lock(&w->lock);
        while (w->text || !w->ends) {
                char *text = TAKE_PTR(w->text);
                int r;

                if (!text) {
                        pthread_cond_wait(&w->changed, &w->lock);
                        continue;
                }
                pthread_mutex_unlock(&w->lock);
                r = state_save(w->folder, w->name, text);
                free(text);
                if (r < 0 && !failing)
                        log_warning("cannot write %s/%s: %s; what it is to keep will be lost at the next start", w->folder, w->name, strerror(-r));
                failing = r < 0;
                pthread_mutex_lock(&w->lock);
        }
        pthread_mutex_unlock(&w->lock);
        return NULL;
}

int state_writer_new(struct state_writer **ret, const char *folder, const char *name) {
        struct state_writer *w = calloc(1, sizeof(*w));
        int r;

        if (w) {
                w->folder = strdup(folder);
                w->name = name;
        }
        if (!w || !w->folder) {
                free(w);
                return -ENOMEM;
        }
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->changed, NULL);
        r = -pthread_create(&w->thread, NULL, write_states, w);
        if (r < 0) {
                free(w->folder);
                free(w);
                return r;
        }
        *ret = w;
        return 0;
}

void state_writer_put(struct state_writer *w, char *text) {
        pthread_mutex_lock(&w->lock);
        free(w->text);
        w->text = text;
        pthread_cond_signal(&w->changed);
        pthread_mutex_unlock(&w->lock);
}

struct state_writer *state_writer_free(struct state_writer *w) {
        if (!w)
                return NULL;
        pthread_mutex_lock(&w->lock);
        w->ends = true;
        pthread_cond_signal(&w->changed);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->lock);
        free(w->folder);
        free(w);
        return NULL;
}
