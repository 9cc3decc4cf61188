/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the manager keeps over a restart (state_file.h): takes it up at the start, VM by VM as they are found, and has it written after changes. */

#include <errno.h>
#include <string.h>

#include "host-agent/manager/internal.h"
#include "host-agent/state/state_file.h"
#include "protocol/clock.h"
#include "protocol/parse.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

static const uint8_t host_uuid[16]; /* in the file of histories */

static void read_boot_id(struct manager *m) {
        char text[64];
        ssize_t n = procfs_read(m->root_fd, "proc/sys/kernel/random/boot_id", text, sizeof(text));

        /* Not known (a fixture tree): zero, the same at each start. */
        if (n > 0) {
                text[strcspn(text, "\n")] = 0;
                parse_uuid(text, m->boot_id);
        }
}

int manager_keep_start(struct manager *m) {
        const char *folder = m->options.state_dir;
        unsigned line = 0;
        int r;

        if (!folder)
                return 0;
        read_boot_id(m);
        r = state_load(folder, m->boot_id, &m->kept, &line);
        if (r == -EBADMSG)
                log_warning("%s/state is not taken: line %u is not what aerostatd writes; going on without what was set by hand", folder, line);
        else if (r < 0 && r != -ENOENT)
                log_warning("cannot read %s/state: %s; going on without what was set by hand", folder, strerror(-r));
        m->paused = m->kept.paused;
        m->reservations = m->kept.reservations;
        r = history_file_load(folder, m->boot_id, (uint32_t) (clock_monotonic_usec() / USEC_PER_SEC), &m->kept_history);
        if (r == -EBADMSG)
                log_warning("%s/history is not taken: it is not what aerostatd writes", folder);
        history_kept_find(&m->kept_history, host_uuid, &m->history);
        if (m->paused)
                log_message(LOG_NOTICE, "automation is paused, as it was before the restart");
        return state_writer_new(&m->writer, folder, "state", STATE_WRITER_RETRY_USEC);
}

void manager_keep_restore(struct manager *m, struct vm *vm) {
        if (vm->history.n_coarse == 0)
                history_kept_find(&m->kept_history, vm->uuid, &vm->history);
        for (size_t i = 0; i < m->kept.n_vms; i++) {
                struct state_vm *kept = &m->kept.vms[i];

                if (memcmp(kept->uuid, vm->uuid, sizeof(kept->uuid)) != 0)
                        continue;
                if (vm->id >= 0 && kept->run == (uint64_t) vm->id) {
                        vm->pin_bytes = kept->pin_bytes;
                        vm->pin_until_usec = kept->pin_until_usec;
                        vm->limits = kept->limits;
                        vm->agent_spoke = kept->agent_spoke;
                        if (kept->pin_bytes != AEROSTAT_UNKNOWN || limits_any(&kept->limits))
                                log_vm(LOG_INFO, vm->name, "what was set by hand before the restart holds on");
                }
                *kept = m->kept.vms[--m->kept.n_vms];
                return;
        }
}

void manager_keep_forget(struct manager *m) {
        if (m->kept.n_vms > 0)
                m->changed = true;
        m->kept.n_vms = 0;
        history_kept_done(&m->kept_history);
}

void manager_keep_history(struct manager *m) {
        _cleanup_free_ struct history_entry *entries = NULL;
        int r;

        if (!m->writer || m->synced_usec == 0) /* before the first listing it would forget those that are still to be found */
                return;
        entries = calloc(m->n_vms + 1, sizeof(*entries));
        if (!entries)
                return; /* a picture with a gap, no more */
        entries[0] = (struct history_entry) { .uuid = host_uuid, .history = &m->history };
        for (size_t i = 0; i < m->n_vms; i++)
                entries[i + 1] = (struct history_entry) { .uuid = m->vms[i]->uuid, .history = &m->vms[i]->history };
        r = history_file_save(m->options.state_dir, m->boot_id, entries, m->n_vms + 1);
        if (r < 0)
                log_warning("cannot write %s/history: %s", m->options.state_dir, strerror(-r));
}

void manager_keep_changed(struct manager *m) {
        m->changed = true;
        manager_decide_soon(m);
}

void manager_keep_write(struct manager *m) {
        struct state state = { .paused = m->paused, .reservations = m->reservations };
        char *text;

        if (!m->changed || !m->writer)
                return;
        memcpy(state.boot_id, m->boot_id, sizeof(state.boot_id));
        state.vms = calloc(m->n_vms + m->kept.n_vms + 1, sizeof(*state.vms));
        if (!state.vms)
                return; /* at the next decision */
        for (size_t i = 0; i < m->n_vms; i++) {
                const struct vm *vm = m->vms[i];

                if (vm->id < 0 || (vm->pin_bytes == AEROSTAT_UNKNOWN && !limits_any(&vm->limits) && !vm->agent_spoke))
                        continue;
                state.vms[state.n_vms] = (struct state_vm) {
                        .run = (uint64_t) vm->id, .pin_bytes = vm->pin_bytes, .pin_until_usec = vm->pin_until_usec, .limits = vm->limits,
                        .agent_spoke = vm->agent_spoke,
                };
                memcpy(state.vms[state.n_vms++].uuid, vm->uuid, sizeof(vm->uuid));
        }
        for (size_t i = 0; i < m->kept.n_vms; i++) /* not found yet */
                state.vms[state.n_vms++] = m->kept.vms[i];
        if (state_format(&state, &text) >= 0) {
                state_writer_put(m->writer, text);
                m->changed = false;
        }
        state_done(&state);
}
