/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Everything that Aerostat asks of libvirt, without blocking: requests go to worker threads, events and answers come back to
 * the main thread's sd-event loop through one handler.
 *
 * Why so: a hung QEMU blocks any call on its VM without limit (measured: virConnectGetAllDomainStats for ever, plain calls
 * 30 s), and libvirt allows each connection few calls at once (max_client_requests = 5). So every worker has its own connection, each VM has at most
 * one call under way, each call is watched, and workers that are stuck are replaced by others (bounded). libvirt's own event loop runs in a thread of
 * its own (virEventRunDefaultImpl), as its documentation advises.
 *
 * All functions are for the main thread. The handler is called from the event loop only, never from inside a request.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "protocol/base.h"

#define VIRT_NAME_MAX 256      /* longer names are cut (UTF-8 safe); the UUID is the key */
#define VIRT_PATH_MAX 108      /* sun_path */
#define VIRT_NODES_MAX 64

/* The policy that an operator wrote into the domain's metadata (urn:aerostat:policy:1). Unset: has_ is false. */
struct virt_metadata {
        bool has_floor, has_weight, has_priority, has_managed;
        uint64_t floor_bytes;          /* if floor_ppm is unknown */
        uint64_t floor_ppm;            /* floor given as a share of max, or AEROSTAT_UNKNOWN */
        uint64_t weight;               /* 0 .. 1000000 */
        uint64_t priority;             /* 0 .. 1000; higher is more important */
        bool managed;
        char error[160];               /* "" or why the metadata was refused as a whole (then nothing is set) */
};

/* What the domain's live XML says about its memory. */
struct virt_domain_info {
        uint64_t max_bytes;            /* <memory>; with hot-plugged DIMMs included */
        uint64_t current_bytes;        /* <currentMemory> of the live XML: libvirt's last known balloon size */
        bool has_balloon;              /* memballoon model other than none */
        bool autodeflate;              /* deflate-on-OOM: the guest takes memory back on its own */
        uint32_t stats_period_sec;     /* <stats period=>; 0: none */
        bool hugepages, locked, shared_memory /* memfd, file, or access shared */, hostdev /* VFIO */, secure /* SEV, TDX */, nosharepages;
        bool numa_strict;              /* bound strictly to the nodes of node_mask */
        uint64_t node_mask;            /* bit n: node n; 0: not bound */
        char channel_path[VIRT_PATH_MAX]; /* unix socket of org.aerostat.guest.0 on the host, or "" */
        struct virt_metadata metadata;
};

enum virt_state {
        VIRT_RUNNING,
        VIRT_PAUSED,                   /* by an operator, an I/O error, or the guest */
        VIRT_MIGRATING,                /* outgoing or incoming, or memory being saved or restored */
        VIRT_SHUTOFF,                  /* reported as GONE, too */
};

/* Answer to a statistics request (virDomainMemoryStats). Unknown: AEROSTAT_UNKNOWN. */
struct virt_stats {
        uint64_t actual_bytes;         /* balloon size as QEMU has it */
        uint64_t total_bytes;          /* "available" of libvirt: the guest's MemTotal */
        uint64_t free_bytes;           /* "unused": MemFree */
        uint64_t available_bytes;      /* "usable": MemAvailable */
        uint64_t cache_bytes;          /* "disk_caches" */
        uint64_t swap_in_bytes, swap_out_bytes; /* counters */
        uint64_t major_faults;         /* counter */
        /* the host's wall clock at the guest's last update of its statistics; 0: never. Without a period they are stale for ever */
        uint64_t updated_sec;
};

enum virt_event_type {
        VIRT_EVENT_CONNECTED,          /* libvirtd answers; a full set of DOMAIN events follows */
        VIRT_EVENT_DISCONNECTED,       /* text says why; reconnects by itself with back-off (0.2 s .. 5 s). VMs go on running: keep them */
        VIRT_EVENT_DOMAIN,             /* a VM was found, started, or its definition changed: name, id, state, info are set */
        VIRT_EVENT_GONE,               /* it stopped, migrated away, or a resync no longer finds it */
        VIRT_EVENT_STATE,              /* state changed */
        VIRT_EVENT_REBOOT,             /* the guest was reset or rebooted: all memory is its again until the balloon confirms */
        VIRT_EVENT_BALLOON,            /* actual_bytes: pushed by QEMU, at most once a second */
        VIRT_EVENT_STATS,              /* answer to virt_request_stats, result and stats */
        VIRT_EVENT_TARGET,             /* answer to virt_request_target: result, target_bytes, duration_usec */
        VIRT_EVENT_METADATA,           /* answer to virt_request_metadata: result, text */
        VIRT_EVENT_PAUSE,              /* answer to virt_request_pause: result, text */
        VIRT_EVENT_SAVE,               /* virt_request_save failed: result, text. Where it succeeds the VM is GONE */
        VIRT_EVENT_SLOW,               /* a call on this VM, but a save, has been under way for longer than the watchdog's 3 s: it does not answer */
        VIRT_EVENT_ANSWERS,            /* ... and has now come back */
        VIRT_EVENT_SYNCED,             /* a full listing has been delivered (after CONNECTED and after each slow resync): complete */
};

struct virt_event {
        enum virt_event_type type;
        uint8_t uuid[16];              /* the VM; zero for CONNECTED, DISCONNECTED, SYNCED */
        char name[VIRT_NAME_MAX];      /* DOMAIN */
        int id;                        /* DOMAIN: libvirt's id of this run of the VM (a restart gives a new one); -1 unknown */
        enum virt_state state;         /* DOMAIN, STATE */
        /* answers: 0 or negative errno: -ETIMEDOUT, -ENOENT (gone), -ENOTCONN (libvirtd is), -EIO (others; text says what) */
        int result;
        uint64_t actual_bytes;         /* BALLOON */
        uint64_t target_bytes;         /* TARGET: what was asked */
        uint64_t duration_usec;        /* TARGET, STATS: how long the call took */
        uint64_t issued_usec;          /* TARGET: CLOCK_MONOTONIC when libvirt was called */
        bool complete;                 /* SYNCED: all VMs that run were announced; false: some are still to come (their QEMU hangs, or an error) */
        struct virt_stats stats;       /* STATS */
        struct virt_domain_info info;  /* DOMAIN */
        char text[160];                /* DISCONNECTED, failed answers: why, without a full stop */
};

struct virt; /* opaque */

typedef void (*virt_handler_t)(const struct virt_event *event, void *userdata);

/* Starts the threads; connecting goes on in the background. uri: "qemu:///system", "test:///default"; copied. -ENOMEM, -EAGAIN (threads). */
int virt_new(struct virt **ret, sd_event *event, const char *uri, virt_handler_t handler, void *userdata);

/* Stops threads that can be stopped (one that hangs in libvirt is left behind) and frees everything. NULL is fine. Returns NULL. */
struct virt *virt_free(struct virt *virt);
DEFINE_CLEANUP(struct virt *, virt_free)

/* Requests. At most one call for each VM is under way; of requests that wait, the newest target replaces an older one, and a statistics request
 * that already waits is not doubled. 0, -ENOTCONN, or -ENOENT for a VM that no DOMAIN event has announced or that is GONE.
 * The period has no answer of its own: the next DOMAIN shows it. */
int virt_request_stats(struct virt *virt, const uint8_t uuid[static 16]);
int virt_request_target(struct virt *virt, const uint8_t uuid[static 16], uint64_t bytes);        /* setMemory, LIVE; ahead of statistics */
int virt_request_stats_period(struct virt *virt, const uint8_t uuid[static 16], uint32_t seconds); /* LIVE only */
int virt_request_pause(struct virt *virt, const uint8_t uuid[static 16], bool pause);             /* suspend or resume (last resort) */
int virt_request_save(struct virt *virt, const uint8_t uuid[static 16]);  /* managed save, past the page cache; takes as long as the disk does */
/* write urn:aerostat:policy:1, live and persistent */
int virt_request_metadata(struct virt *virt, const uint8_t uuid[static 16], const struct virt_metadata *metadata);

/* While held, nothing enumerates domains: a libvirt hook that waits for us holds a domain's lock, and listing would wait for the hook. Counts. */
void virt_hold_enumeration(struct virt *virt, bool hold);

/* Without all that: resumes this run of a VM if it is paused, and waits for that on the caller's own thread. For `aerostatd --undo`. 1: it was
 * paused; 0: it was not, or that run of it is over; -ENOTCONN, -EIO and others. */
int virt_resume_wait(const char *uri, const uint8_t uuid[static 16], int id);
