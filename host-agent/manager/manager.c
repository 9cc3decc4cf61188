/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The manager's life, and its ear for the host's pressure. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "host-agent/manager/internal.h"
#include "protocol/clock.h"
#include "protocol/parse.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

#define RELEASE_USEC (5 * USEC_PER_SEC)
#define PSI_STALL_USEC (100 * USEC_PER_MSEC)           /* 10 % of a second: clearly more than noise */
#define PSI_WINDOW_USEC USEC_PER_SEC

void manager_tell(struct manager *m, int level, const struct vm *vm, const char *format, ...) {
        struct manager_event event = { .type = vm ? MANAGER_EVENT_VM : MANAGER_EVENT_HOST, .vm = vm ? vm->name : NULL };
        char text[256];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        event.text = text;
        manager_emit(m, &event);
        if (vm)
                log_vm(level, vm->name, "%s", text);
        else
                log_message(level, "%s", text);
}

/* A trigger without CAP_SYS_RESOURCE fires once at the first stall, whatever it is (measured on 6.18: its window starts from another counter's
 * value). Believed is what has stalled by the trigger's own measure since the last event, and not in a VM that we hold to its target. */
static bool has_stalled(struct manager *m) {
        struct contain_pressure ours;
        struct pressure pressure;
        char text[256];

        if (procfs_read(m->root_fd, "proc/pressure/memory", text, sizeof(text)) < 0 || pressure_parse(text, &pressure) < 0)
                return true;
        contain_measure(m->contain, &ours);
        if (u64_sub(u64_sub(pressure.some_total_usec, m->psi_stalled_usec), ours.some_total_usec - m->contained_stall_usec) < PSI_STALL_USEC)
                return false;
        m->psi_stalled_usec = pressure.some_total_usec;
        m->contained_stall_usec = ours.some_total_usec;
        return true;
}

static int on_psi(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct manager *m = userdata;

        if (revents & EPOLLERR) { /* no trigger behind it: it would fire for ever */
                log_warning("the kernel's memory pressure trigger failed; pressure is still read with each sample");
                sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return 0;
        }
        if (!has_stalled(m))
                return 0;
        m->psi_event = true;
        if (m->host_pressure_usec == 0)
                m->host_pressure_usec = clock_monotonic_usec();
        manager_decide_soon(m);
        return 0;
}

static void follow_pressure(struct manager *m) {
        m->psi_fd = psi_trigger_open(m->root_fd, PSI_STALL_USEC, PSI_WINDOW_USEC);
        if (m->psi_fd == -EINVAL) /* without CAP_SYS_RESOURCE windows are multiples of 2 s */
                m->psi_fd = psi_trigger_open(m->root_fd, 2 * PSI_STALL_USEC, 2 * PSI_WINDOW_USEC);
        if (m->psi_fd < 0) {
                log_warning("no memory pressure events from this kernel (%s): the host is sampled by time only", strerror(-m->psi_fd));
                return;
        }
        m->psi_stalled_usec = m->sample.pressure.some_total_usec;
        if (sd_event_add_io(m->event, &m->psi_source, m->psi_fd, EPOLLPRI, on_psi, m) >= 0)
                sd_event_source_set_priority(m->psi_source, SD_EVENT_PRIORITY_IMPORTANT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        manager_decide(userdata);
        return 0;
}

static int on_soon(sd_event_source *source, void *userdata) {
        manager_decide(userdata);
        return 0;
}

void manager_decide_soon(struct manager *m) {
        sd_event_source_set_enabled(m->soon, SD_EVENT_ONESHOT);
}

int manager_new(struct manager **ret, sd_event *event, const struct settings *settings, const struct manager_options *options) {
        _cleanup_(manager_freep) struct manager *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        m->psi_fd = m->root_fd = -1;
        m->event = sd_event_ref(event);
        m->settings = *settings;
        m->options = *options;
        m->started_usec = clock_monotonic_usec();
        m->root_fd = procfs_open_root(options->root);
        if (m->root_fd < 0)
                return m->root_fd;
        r = host_sample_read(m->root_fd, &m->sample);
        if (r < 0)
                return r;
        r = manager_make_room(m);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event, &m->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, m);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &m->soon, on_soon, m);
        if (r < 0)
                return r;
        sd_event_source_set_enabled(m->soon, SD_EVENT_OFF);
        /* After all that is ready to be read in this turn of the loop: many reports, one decision. */
        sd_event_source_set_priority(m->soon, SD_EVENT_PRIORITY_NORMAL + 10);
        r = manager_memory_new(m);
        if (r < 0)
                return r;
        follow_pressure(m);
        r = manager_keep_start(m);
        if (r < 0)
                return r;
        r = manager_report_start(m);
        if (r < 0)
                return r;
        r = virt_new(&m->virt, event, m->settings.uri, manager_on_virt, m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

struct manager *manager_free(struct manager *m) {
        if (!m)
                return NULL;
        m->virt = virt_free(m->virt);
        manager_memory_free(m);
        manager_keep_write(m);
        manager_report_free(m);
        manager_keep_history(m);
        for (size_t i = 0; i < m->n_vms; i++)
                vm_free(m->vms[i]);
        free(m->vms);
        free(m->policy_vms);
        free(m->work);
        free(m->last_resort_vms);
        free(m->contain_vms);
        free(m->swap_vms);
        state_writer_free(m->writer);
        state_done(&m->kept);
        history_kept_done(&m->kept_history);
        sd_event_source_disable_unref(m->psi_source);
        sd_event_source_disable_unref(m->timer);
        sd_event_source_disable_unref(m->soon);
        sd_event_source_disable_unref(m->release_timer);
        if (m->psi_fd >= 0)
                close(m->psi_fd);
        if (m->root_fd >= 0)
                close(m->root_fd);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

int manager_reload(struct manager *m, const struct settings *settings) {
        if (strcmp(m->settings.uri, settings->uri) != 0)
                log_warning("[host] uri takes effect at the next start");
        m->settings = *settings;
        manager_memory_configure(m);
        for (size_t i = 0; i < m->n_vms; i++)
                vm_apply_settings(m->vms[i], &m->settings);
        manager_decide_soon(m);
        return 0;
}

static int on_release_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        struct manager *m = userdata;

        m->release_pending = 1;
        manager_release_step(m);
        return 0;
}

void manager_release(struct manager *m, bool give_back, void (*done)(void *userdata), void *userdata) {
        m->release_done = done;
        m->release_userdata = userdata;
        m->release_pending = 1;
        m->ending = true;
        m->giving_back = give_back;
        m->release_pending += manager_last_resort_end(m);
        for (size_t i = 0; i < m->n_vms && give_back; i++) {
                struct vm *vm = m->vms[i];

                if (vm->target_bytes != AEROSTAT_UNKNOWN && vm->target_bytes < vm->info.max_bytes && !vm->unresponsive &&
                    virt_request_target(m->virt, vm->uuid, vm->info.max_bytes) >= 0)
                        m->release_pending++;
        }
        if (sd_event_add_time_relative(m->event, &m->release_timer, CLOCK_MONOTONIC, RELEASE_USEC, 0, on_release_timeout, m) < 0)
                m->release_pending = 1;
        manager_release_step(m);
}

void manager_format_status(struct manager *m, char *buf, size_t size) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX];

        snprintf(buf, size, "%s: %zu VMs, %s committed of %s%s", policy_host_state_to_string(m->plan.host_state), m->n_vms,
                 format_size(m->plan.committed_bytes, a), format_size(m->plan.rule_bytes, b), m->connected ? "" : "; no connection to libvirt");
}
