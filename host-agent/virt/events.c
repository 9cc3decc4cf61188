/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <libvirt/virterror.h>

#include "host-agent/virt/internal.h"
#include "protocol/base.h"
#include "protocol/units.h"

/* The connection that events arrive on. */
struct event_link {
        struct hub *hub;               /* with a reference, for on_close */
        virConnectPtr connection;
        int callbacks[16];
        size_t n_callbacks;
};

/* Runs until the process ends: libvirt asks for that ("must be run continuously ... not safe to stop running the event loop immediately
 * after closing the connection", virEventRegisterImpl). */
static void *event_thread(void *userdata) {
        for (;;)
                if (virEventRunDefaultImpl() < 0)
                        usleep(10000); /* it has no documented failure; should there be one, do not spin */
        return NULL;
}

int events_start_thread(void) {
        static bool started; /* main thread only */
        sigset_t all, before;
        pthread_attr_t attr;
        pthread_t thread;
        int r;

        if (started)
                return 0;
        if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
                return -EIO;
        r = pthread_attr_init(&attr);
        if (r != 0)
                return -r;
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attr, 512 * KIB);
        /* Signals are for the main thread. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&thread, &attr, event_thread, NULL);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attr);
        if (r != 0)
                return -r;
        started = true;
        return 0;
}

/* The callbacks: in the event thread; they only leave a note. virDomainGetUUID is local: no call to libvirtd. */

static void leave_note(struct hub *hub, virDomainPtr domain, struct note *note) {
        if (virDomainGetUUID(domain, note->uuid) >= 0)
                hub_push_note(hub, note);
}

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail, void *hub) {
        struct note note = { 0 };

        if (note_from_lifecycle(event, detail, &note))
                leave_note(hub, domain, &note);
        return 0;
}

static void on_reboot(virConnectPtr connection, virDomainPtr domain, void *hub) {
        leave_note(hub, domain, &(struct note) { .kind = NOTE_REBOOT });
}

static void on_balloon(virConnectPtr connection, virDomainPtr domain, unsigned long long actual_kib, void *hub) {
        leave_note(hub, domain, &(struct note) { .kind = NOTE_BALLOON, .bytes = u64_mul(actual_kib, KIB) });
}

static void on_metadata(virConnectPtr connection, virDomainPtr domain, int type, const char *uri, void *hub) {
        leave_note(hub, domain, &(struct note) { .kind = NOTE_CHANGED });
}

static void on_device(virConnectPtr connection, virDomainPtr domain, const char *alias, void *hub) {
        leave_note(hub, domain, &(struct note) { .kind = NOTE_CHANGED });
}

static void on_migration_iteration(virConnectPtr connection, virDomainPtr domain, int iteration, void *hub) {
        leave_note(hub, domain, &(struct note) { .kind = NOTE_MIGRATING });
}

static void on_job_completed(virConnectPtr connection, virDomainPtr domain, virTypedParameterPtr params, int n_params, void *hub) {
        leave_note(hub, domain, &(struct note) { .kind = NOTE_CHANGED });
}

static void on_wakeup(virConnectPtr connection, virDomainPtr domain, int reason, void *hub) {
        leave_note(hub, domain, &(struct note) { .kind = NOTE_CHANGED });
}

#if LIBVIR_CHECK_VERSION(7, 9, 0)
static void on_memory_device(virConnectPtr connection, virDomainPtr domain, const char *alias, unsigned long long size, void *hub) {
        leave_note(hub, domain, &(struct note) { .kind = NOTE_CHANGED });
}
#endif

static void on_close(virConnectPtr connection, int reason, void *hub) {
        hub_push_note(hub, &(struct note) { .kind = NOTE_CLOSED, .reason = reason });
}

static void drop_reference(void *hub) {
        hub_unref(hub);
}

static const struct {
        int id;
        virConnectDomainEventGenericCallback callback;
} subscriptions[] = {
        { VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle) },
        { VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_reboot) },
        { VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_balloon) },
        { VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata) },
        { VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device) },
        { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device) },
        { VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, VIR_DOMAIN_EVENT_CALLBACK(on_migration_iteration) },
        { VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, VIR_DOMAIN_EVENT_CALLBACK(on_job_completed) },
        { VIR_DOMAIN_EVENT_ID_PMWAKEUP, VIR_DOMAIN_EVENT_CALLBACK(on_wakeup) },
#if LIBVIR_CHECK_VERSION(7, 9, 0)
        { VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_memory_device) },
#endif
};

int event_link_open(struct event_link **ret, struct hub *hub, char *text, size_t size) {
        struct event_link *link = calloc(1, sizeof(*link));

        if (!link)
                return -ENOMEM;
        link->hub = hub_ref(hub);
        link->connection = connection_open(hub_uri(hub));
        if (!link->connection) {
                snprintf(text, size, "%s", virGetLastErrorMessage());
                event_link_free(link);
                return -EIO;
        }
        /* No free function: libvirt takes the registration, but never frees, where a driver does not know it (the test driver, measured). */
        (void) virConnectRegisterCloseCallback(link->connection, on_close, hub, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(subscriptions); i++) {
                int id = virConnectDomainEventRegisterAny(link->connection, NULL, subscriptions[i].id, subscriptions[i].callback,
                                                          hub_ref(hub), drop_reference);

                if (id >= 0) {
                        link->callbacks[link->n_callbacks++] = id;
                        continue;
                }
                hub_unref(hub);
                if (subscriptions[i].id == VIR_DOMAIN_EVENT_ID_LIFECYCLE) { /* without the others the resync does */
                        snprintf(text, size, "%s", virGetLastErrorMessage());
                        event_link_free(link);
                        return -EIO;
                }
        }
        *ret = link;
        return 0;
}

struct event_link *event_link_free(struct event_link *link) {
        if (!link)
                return NULL;
        if (link->connection) {
                /* Before the connection is closed, or libvirt keeps it for the sake of its callbacks. */
                for (size_t i = 0; i < link->n_callbacks; i++)
                        (void) virConnectDomainEventDeregisterAny(link->connection, link->callbacks[i]);
                /* It takes the lock that the callback runs under: on_close is over when this returns. */
                (void) virConnectUnregisterCloseCallback(link->connection, on_close);
                (void) virConnectClose(link->connection);
        }
        hub_unref(link->hub);
        free(link);
        return NULL;
}
