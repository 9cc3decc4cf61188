/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/memory/contain_writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "host-agent/system/group_high.h"

struct contain_writer {
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t wakeup;
        int fd;                        /* -1: nothing to do */
        uint64_t bytes;
        bool ends;
};

static void *run(void *userdata) {
        struct contain_writer *w = userdata;

        pthread_mutex_lock(&w->lock);
        for (;;) {
                while (w->fd < 0 && !w->ends)
                        pthread_cond_wait(&w->wakeup, &w->lock);
                if (w->fd < 0)
                        break;
                pthread_mutex_unlock(&w->lock);
                (void) group_high_write(w->fd, w->bytes); /* what became of it is seen at the next tick */
                close(w->fd);
                pthread_mutex_lock(&w->lock);
                w->fd = -1;
        }
        pthread_mutex_unlock(&w->lock);
        return NULL;
}

int contain_writer_new(struct contain_writer **ret) {
        struct contain_writer *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        w->fd = -1;
        (void) pthread_mutex_init(&w->lock, NULL);
        (void) pthread_cond_init(&w->wakeup, NULL);
        r = pthread_create(&w->thread, NULL, run, w);
        if (r != 0) {
                free(w);
                return -r;
        }
        *ret = w;
        return 0;
}

struct contain_writer *contain_writer_free(struct contain_writer *w) {
        if (!w)
                return NULL;
        pthread_mutex_lock(&w->lock);
        w->ends = true;
        pthread_cond_signal(&w->wakeup);
        pthread_mutex_unlock(&w->lock);
        (void) pthread_join(w->thread, NULL);
        pthread_cond_destroy(&w->wakeup);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return NULL;
}

bool contain_writer_is_busy(struct contain_writer *w) {
        bool busy;

        pthread_mutex_lock(&w->lock);
        busy = w->fd >= 0;
        pthread_mutex_unlock(&w->lock);
        return busy;
}

void contain_writer_put(struct contain_writer *w, int fd, uint64_t bytes) {
        pthread_mutex_lock(&w->lock);
        w->fd = fd;
        w->bytes = bytes;
        pthread_cond_signal(&w->wakeup);
        pthread_mutex_unlock(&w->lock);
}
