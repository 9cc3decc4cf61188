/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * An invented manager behind host-agent/manager/view.h, for tests of what looks at the daemon: a host of 16 GiB that is short of memory,
 * and VMs in every state. It obeys Set, Auto, Pause and Resume, and refuses as the real one does.
 */

#include "host-agent/manager/view.h"

enum { STUB_WEB, STUB_DB, STUB_SILENT, STUB_FIXED, STUB_ODD, STUB_NEW, STUB_VMS };

#define STUB_WEB_NAME "web1"           /* managed, with an agent, under pressure */
#define STUB_DB_NAME "db-1"            /* managed, balloon statistics only; named also as UUID */
#define STUB_DB_UUID "11111111-2222-3333-4444-555555555501"
#define STUB_SILENT_NAME "silent"      /* knows nothing: no report, no process */
#define STUB_FIXED_NAME "fixed"        /* cannot be moved */
#define STUB_ODD_NAME "\xd0\xb1\xd0\xb4-\x1b[31m-\xc3\xbc" /* UTF-8 and a terminal escape */
#define STUB_NEW_NAME "new"            /* not seen by the policy yet */

struct manager;

/* n_vms: at least STUB_VMS; those above are copies of the first, named vm-0006 and so on, that differ in pressure, swap and what is committed. */
struct manager *stub_manager_new(size_t n_vms);
void stub_manager_free(struct manager *manager);

/* What a test may change. */
struct settings *stub_manager_settings(struct manager *manager);
struct policy_host *stub_manager_host(struct manager *manager);
struct policy_plan *stub_manager_plan(struct manager *manager);
struct policy_vm *stub_manager_vm(struct manager *manager, size_t index);
void stub_manager_rename(struct manager *manager, size_t index, const char *name); /* borrowed */
struct alerts *stub_manager_alerts(struct manager *manager);
void stub_manager_emit(struct manager *manager, const struct manager_event *event); /* to its watcher */
void stub_manager_forget(struct manager *manager); /* as before the first decision, on a host without swap, KSM and PSI */
