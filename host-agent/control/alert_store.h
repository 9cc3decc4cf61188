/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Firing alerts on disk (alerts.json in the state folder), with the texts that were still to be delivered, so that a restart of the daemon neither
 * forgets nor repeats them. */

#include <jansson.h>

#include "host-agent/manager/view.h"

/* Writes all that fire, in place of what is there. untold: the texts, as their owner likes them; borrowed. 0 or -errno. Does not wait for the disk:
 * after a crash of the host alerts begin anew. */
int alert_store_save(const char *path, const struct alerts *alerts, uint64_t now_usec, json_t *untold);

/* Hands the alerts that are there to the manager. ret_untold: what was saved with them, which the caller frees; NULL where there is none, and unchanged
 * unless something was read. The number taken up; 0 where there is no file; -EBADMSG for one that is not ours, or -errno. */
int alert_store_load(const char *path, struct manager *manager, json_t **ret_untold);
