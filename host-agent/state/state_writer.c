/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "host-agent/log.h"
#include "host-agent/state/state_file.h"
#include "protocol/clock.h"
#include "protocol/units.h"

struct state_writer {
        pthread_t thread;
        pthread_mutex_t lock;          /* of the two below */
        pthread_cond_t changed;
        char *text;                    /* what waits to be written, or NULL */
        bool ends;
        char *folder;
        const char *name;
        uint64_t retry_usec;
};

static void wait_before_retry(struct state_writer *w) {
        uint64_t until_usec = clock_monotonic_usec() + w->retry_usec;
        const struct timespec until = { .tv_sec = (time_t) (until_usec / USEC_PER_SEC), .tv_nsec = (long) (until_usec % USEC_PER_SEC * 1000) };

        if (!w->ends)
                (void) pthread_cond_timedwait(&w->changed, &w->lock, &until);
}

static void *write_states(void *userdata) {
        struct state_writer *w = userdata;
        bool failing = false;

        pthread_mutex_lock(&w->lock);
        while (w->text || !w->ends) {
                char *text = TAKE_PTR(w->text);
                bool last = w->ends;
                int r;

                if (!text) {
                        pthread_cond_wait(&w->changed, &w->lock);
                        continue;
                }
                pthread_mutex_unlock(&w->lock);
                r = state_save(w->folder, w->name, text);
                if (r < 0 && !failing)
                        log_warning("cannot write %s/%s: %s; it is tried again, and until it succeeds a restart loses what it is to keep",
                                    w->folder, w->name, strerror(-r));
                else if (r >= 0 && failing)
                        log_message(LOG_NOTICE, "%s/%s is written again", w->folder, w->name);
                failing = r < 0;
                pthread_mutex_lock(&w->lock);
                /* Nobody comes with it again: its owner tells of changes only. */
                if (failing && !w->text && !last) {
                        w->text = TAKE_PTR(text);
                        wait_before_retry(w);
                }
                free(text);
        }
        pthread_mutex_unlock(&w->lock);
        return NULL;
}

int state_writer_new(struct state_writer **ret, const char *folder, const char *name, uint64_t retry_usec) {
        struct state_writer *w = calloc(1, sizeof(*w));
        pthread_condattr_t attr;
        int r;

        if (w) {
                w->folder = strdup(folder);
                w->name = name;
                w->retry_usec = retry_usec;
        }
        if (!w || !w->folder) {
                free(w);
                return -ENOMEM;
        }
        pthread_mutex_init(&w->lock, NULL);
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&w->changed, &attr);
        pthread_condattr_destroy(&attr);
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
