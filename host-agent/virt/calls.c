/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The calls to libvirt. Everything here runs on workers and may block. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "host-agent/virt/domain_xml.h"
#include "host-agent/virt/internal.h"
#include "protocol/base.h"
#include "protocol/units.h"

/* A libvirtd that hangs is noticed within 5 s x (3 + 1). */
#define KEEPALIVE_INTERVAL_SEC 5
#define KEEPALIVE_COUNT 3

static void free_domain(virDomainPtr *domain) {
        if (*domain)
                (void) virDomainFree(*domain);
}

#define _cleanup_domain_ _cleanup_(free_domain) virDomainPtr

/* Cuts between characters. */
static void copy_utf8(char *dst, size_t size, const char *src) {
        size_t n = strlen(src);

        if (n >= size) {
                n = size - 1;
                while (n > 0 && ((unsigned char) src[n] & 0xc0) == 0x80)
                        n--;
        }
        memcpy(dst, src, n);
        dst[n] = '\0';
}

static int last_error(void) {
        switch (virGetLastErrorCode()) {
        case VIR_ERR_NO_DOMAIN:
                return -ENOENT;
        case VIR_ERR_OPERATION_TIMEOUT:
                return -ETIMEDOUT;
        case VIR_ERR_NO_MEMORY:
                return -ENOMEM;
        default:
                return -EIO;
        }
}

virConnectPtr connection_open(const char *uri) {
        virConnectPtr connection = virConnectOpen(uri);

        /* Without it a call would wait for ever for a libvirtd that hangs. The test driver knows no keepalive. */
        if (connection)
                (void) virConnectSetKeepAlive(connection, KEEPALIVE_INTERVAL_SEC, KEEPALIVE_COUNT);
        return connection;
}

void worker_link_close(struct worker_link *link) {
        if (link->connection)
                (void) virConnectClose(link->connection);
        link->connection = NULL;
}

static bool is_lost(const struct worker_link *link) {
        return link->connection && virConnectIsAlive(link->connection) == 0; /* asks nobody */
}

static int link_open(struct worker_link *link) {
        if (is_lost(link))
                worker_link_close(link);
        if (link->connection)
                return 0;
        link->connection = connection_open(hub_uri(link->hub));
        return link->connection ? 0 : -ENOTCONN;
}

/* A call on a VM that is not running is refused as invalid: say that it is gone, unless there is another reason. */
static int domain_error(virDomainPtr domain, struct call *call) {
        int r = last_error();

        copy_utf8(call->event.text, sizeof(call->event.text), virGetLastErrorMessage());
        return virGetLastErrorCode() == VIR_ERR_OPERATION_INVALID && virDomainIsActive(domain) == 0 ? -ENOENT : r;
}

static int run_target(virDomainPtr domain, struct call *call) {
        call->event.target_bytes = call->bytes;
        call->event.issued_usec = now_usec();
        return virDomainSetMemoryFlags(domain, (unsigned long) (call->bytes / KIB), VIR_DOMAIN_AFFECT_LIVE) < 0 ? domain_error(domain, call) : 0;
}

static int run_stats(virDomainPtr domain, struct call *call) {
        static const struct {
                int tag;
                size_t offset;
                uint64_t unit;
        } fields[] = {
                { VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON, offsetof(struct virt_stats, actual_bytes), KIB },
                { VIR_DOMAIN_MEMORY_STAT_AVAILABLE, offsetof(struct virt_stats, total_bytes), KIB },
                { VIR_DOMAIN_MEMORY_STAT_UNUSED, offsetof(struct virt_stats, free_bytes), KIB },
                { VIR_DOMAIN_MEMORY_STAT_USABLE, offsetof(struct virt_stats, available_bytes), KIB },
                { VIR_DOMAIN_MEMORY_STAT_DISK_CACHES, offsetof(struct virt_stats, cache_bytes), KIB },
                { VIR_DOMAIN_MEMORY_STAT_SWAP_IN, offsetof(struct virt_stats, swap_in_bytes), KIB },
                { VIR_DOMAIN_MEMORY_STAT_SWAP_OUT, offsetof(struct virt_stats, swap_out_bytes), KIB },
                { VIR_DOMAIN_MEMORY_STAT_MAJOR_FAULT, offsetof(struct virt_stats, major_faults), 1 },
                { VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE, offsetof(struct virt_stats, updated_sec), 1 },
        };
        virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
        int n = virDomainMemoryStats(domain, stats, ARRAY_SIZE(stats), 0);

        if (n < 0)
                return domain_error(domain, call);
        for (size_t f = 0; f < ARRAY_SIZE(fields); f++) {
                uint64_t value = AEROSTAT_UNKNOWN;

                for (int i = 0; i < n; i++)
                        if (stats[i].tag == fields[f].tag)
                                value = u64_mul(stats[i].val, fields[f].unit);
                memcpy((char *) &call->event.stats + fields[f].offset, &value, sizeof(value));
        }
        return 0;
}

/* Apart from the description because it waits, 30 s at worst, for whoever holds the VM (a QUERY job). */
static int run_job(virDomainPtr domain, struct call *call) {
        virTypedParameterPtr params = NULL;
        int type, n = 0, operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;

        if (virDomainGetJobStats(domain, &type, &params, &n, 0) < 0)
                return domain_error(domain, call);
        call->flag = type != VIR_DOMAIN_JOB_NONE && virTypedParamsGetInt(params, n, VIR_DOMAIN_JOB_OPERATION, &operation) == 1 &&
                     job_moves_memory(operation);
        virTypedParamsFree(params, n);
        return 0;
}

static int run_describe(virDomainPtr domain, struct call *call) {
        struct virt_event *event = &call->event;
        unsigned id = virDomainGetID(domain); /* local: as of the look-up */
        _cleanup_free_ char *xml = NULL;
        int state, reason, r;

        if (id == (unsigned) -1)
                return -ENOENT;
        if (virDomainGetState(domain, &state, &reason, 0) < 0)
                return domain_error(domain, call);
        if (state == VIR_DOMAIN_SHUTOFF)
                return -ENOENT;
        xml = virDomainGetXMLDesc(domain, 0);
        if (!xml)
                return domain_error(domain, call);
        r = domain_xml_parse(xml, strlen(xml), &event->info);
        if (r < 0) {
                snprintf(event->text, sizeof(event->text), "its XML cannot be understood");
                return r == -ENOMEM ? r : -EIO;
        }
        copy_utf8(event->name, sizeof(event->name), virDomainGetName(domain));
        event->id = (int) id;
        event->state = state_from_libvirt(state, reason);
        return 0;
}

static int run_pause(virDomainPtr domain, struct call *call) {
        return (call->flag ? virDomainSuspend(domain) : virDomainResume(domain)) < 0 ? domain_error(domain, call) : 0;
}

/* Past the page cache: what is short is memory. */
static int run_save(virDomainPtr domain, struct call *call) {
        return virDomainManagedSave(domain, VIR_DOMAIN_SAVE_BYPASS_CACHE) < 0 ? domain_error(domain, call) : 0;
}

static int run_period(virDomainPtr domain, struct call *call) {
        return virDomainSetMemoryStatsPeriod(domain, (int) call->seconds, VIR_DOMAIN_AFFECT_LIVE) < 0 ? domain_error(domain, call) : 0;
}

static int run_metadata(virDomainPtr domain, struct call *call) {
        unsigned flags = VIR_DOMAIN_AFFECT_LIVE;
        char element[DOMAIN_XML_POLICY_MAX];
        int r;

        r = domain_xml_format_policy(&call->metadata, element, sizeof(element));
        if (r < 0) {
                snprintf(call->event.text, sizeof(call->event.text), "a value of the policy is out of its range");
                return r;
        }
        if (virDomainIsPersistent(domain) == 1) /* a transient domain has no other definition to keep it in */
                flags |= VIR_DOMAIN_AFFECT_CONFIG;
        return virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, element[0] ? element : NULL, DOMAIN_XML_POLICY_PREFIX,
                                    DOMAIN_XML_POLICY_NAMESPACE, flags) < 0 ? domain_error(domain, call) : 0;
}

static int run_list(struct call *call, struct worker_link *link) {
        virDomainPtr *domains = NULL;
        int n;

        free(TAKE_PTR(call->uuids));
        call->n_uuids = 0;
        n = virConnectListAllDomains(link->connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
        if (n < 0)
                return last_error();
        call->uuids = calloc((size_t) n + 1, sizeof(*call->uuids));
        for (int i = 0; i < n; i++) {
                if (call->uuids && virDomainGetUUID(domains[i], call->uuids[call->n_uuids]) >= 0)
                        call->n_uuids++;
                (void) virDomainFree(domains[i]);
        }
        free(domains);
        return call->uuids ? 0 : -ENOMEM;
}

static int run_connect(struct call *call, struct worker_link *link) {
        call->link = event_link_free(call->link);
        if (call->flag)
                return 0;
        return event_link_open(&call->link, link->hub, call->event.text, sizeof(call->event.text));
}

static int run_domain(struct call *call, struct worker_link *link) {
        static int (*const runners[])(virDomainPtr, struct call *) = {
                [CALL_PAUSE] = run_pause, [CALL_SAVE] = run_save, [CALL_TARGET] = run_target, [CALL_DESCRIBE] = run_describe,
                [CALL_JOB] = run_job, [CALL_PERIOD] = run_period, [CALL_METADATA] = run_metadata, [CALL_STATS] = run_stats,
        };
        _cleanup_domain_ domain = virDomainLookupByUUID(link->connection, call->uuid);

        if (!domain)
                return last_error();
        return runners[call->kind](domain, call);
}

static int run_once(struct call *call, struct worker_link *link) {
        int r;

        virResetLastError();
        if (call->kind == CALL_CONNECT)
                return run_connect(call, link);
        r = link_open(link);
        if (r < 0)
                return r;
        return call->kind == CALL_LIST ? run_list(call, link) : run_domain(call, link);
}

void call_run(struct call *call, struct worker_link *link) {
        static const enum virt_event_type types[] = {
                [CALL_PAUSE] = VIRT_EVENT_PAUSE, [CALL_SAVE] = VIRT_EVENT_SAVE, [CALL_TARGET] = VIRT_EVENT_TARGET,
                [CALL_DESCRIBE] = VIRT_EVENT_DOMAIN, [CALL_METADATA] = VIRT_EVENT_METADATA, [CALL_STATS] = VIRT_EVENT_STATS, [CALL_LIST] = 0,
        };
        uint64_t begun_usec = now_usec();
        int r;

        call->event = (struct virt_event) { .type = types[call->kind], .id = -1, .target_bytes = call->bytes };
        memcpy(call->event.uuid, call->uuid, sizeof(call->uuid));
        r = run_once(call, link);
        /* libvirtd may have been restarted since the connection was last used. Each call may be made twice. */
        if (r < 0 && is_lost(link))
                r = run_once(call, link);
        if (r < 0 && is_lost(link))
                r = -ENOTCONN;
        call->event.result = r;
        call->event.duration_usec = u64_sub(now_usec(), begun_usec);
        if (r < 0 && !call->event.text[0])
                copy_utf8(call->event.text, sizeof(call->event.text), virGetLastErrorMessage());
}

static int resume_if_paused(virConnectPtr connection, const uint8_t uuid[static 16], int id) {
        _cleanup_domain_ domain = virDomainLookupByUUID(connection, uuid);
        int state;

        if (!domain)
                return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN ? 0 : last_error();
        if (virDomainGetID(domain) != (unsigned) id)
                return 0;
        if (virDomainGetState(domain, &state, NULL, 0) < 0)
                return last_error();
        if (state != VIR_DOMAIN_PAUSED)
                return 0;
        return virDomainResume(domain) < 0 ? last_error() : 1;
}

int virt_resume_wait(const char *uri, const uint8_t uuid[static 16], int id) {
        virConnectPtr connection = virConnectOpen(uri);
        int r;

        if (!connection)
                return -ENOTCONN;
        r = resume_if_paused(connection, uuid, id);
        (void) virConnectClose(connection);
        return r;
}
