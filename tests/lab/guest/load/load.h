/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The guest load generator of the lab: PID 1 of a lab guest. It does what it is told over the virtio-serial port
 * org.aerostat.lab.0 and measures what that cost the guest.
 *
 *   request   ID VERB [KEY=VALUE ...]\n            ID is a number that the answer repeats
 *   answer    {"id":ID,"ok":true,...}\n            or {"id":ID,"ok":false,"error":"a sentence"}
 *   event     {"event":"ready"|"crossed"|"ended",...}\n    at any time between answers
 *
 * Sizes are bytes, times microseconds; "time_usec" is CLOCK_MONOTONIC of the guest when the line was written.
 *
 *   ping                                          its time is what the host aligns clocks by
 *   hold name= bytes= [ramp= rate_hz= data=equal|random access=write|read for_sec=]
 *                     anonymous memory, filled at `ramp` bytes a second (0: at once), then every page touched rate_hz times a second
 *   cache name= bytes= [ramp= rate_hz= for_sec=]
 *                     the same for page cache: reads the disk, and keeps it open, because its cache goes with the last close
 *   free name=        ends a workload; answered when its memory is back in the guest
 *   work name= [reset=1]    what a workload did, and how late; reset=1 starts a new window
 *   guest             memory, swap, pressure and OOM kills of the guest
 *   watch below=BYTES | headroom=1 [reserved=BYTES] | off=1
 *                     an event when MemAvailable first falls below, looked at every 5 ms (watch.c)
 *   agent action=start|stop|cont|term|kill|status     the guest agent; stop is SIGSTOP
 *   balloon action=unbind|bind    takes the balloon's driver from it, and gives it back (faults.c)
 *   junk                          writes what is no frame to the agent's port; the agent must not run
 *   reboot
 *
 * Each workload is a process of its own, so that an OOM kill in the guest takes the work and not the generator, and so that
 * ending one gives back everything. The generator itself is locked in memory and runs at real-time priority: what it measures
 * must not depend on what it causes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LINE_SIZE 4096
#define ARGS_MAX 12
#define NAME_SIZE 32

/* A request, cut into words in place. */
struct request {
        uint64_t id;
        char *verb;
        char *args[ARGS_MAX];
        size_t n_args;
};

/* The value of key= in the request, or NULL. */
const char *request_get(const struct request *request, const char *key);

/* The same as a number; `otherwise` where it is missing; UINT64_MAX where it is no number. */
uint64_t request_get_u64(const struct request *request, const char *key, uint64_t otherwise);

/* Writes one line to the host: an answer to `request`, its refusal, or an event. `format` gives further members (",\"a\":1") or "". */
void answer(const struct request *request, const char *format, ...) __attribute__((format(printf, 2, 3)));
void refuse(const struct request *request, const char *sentence);
void send_event(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

uint64_t now_usec(void);

/* Opens the virtio-serial port of this name; -1 where there is none, or somebody has it. */
#define AGENT_PORT_NAME "org.aerostat.guest.0"
int open_port(const char *name);

/* work.c: workloads. */
void work_init(const char *disk);
void work_start(const struct request *request, bool cache);
void work_free(const struct request *request);
void work_show(const struct request *request);
bool work_reaped(pid_t pid, int status); /* a child has ended: true if it was a workload */

/* watch.c: the guest's memory. */
#define WATCH_PERIOD_USEC 5000
void watch_set(const struct request *request);
void watch_tick(void); /* every WATCH_PERIOD_USEC while watch_active() */
bool watch_active(void);
void guest_show(const struct request *request);

/* agent.c: the guest agent under test. */
void agent_request(const struct request *request);
int agent_start(void);
bool agent_reaped(pid_t pid, int status);

/* faults.c */
void balloon_request(const struct request *request);
void junk_request(const struct request *request);
