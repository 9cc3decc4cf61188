/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What would happen if (view.h): the policy on a changed copy of what the manager knows. */

#include <errno.h>
#include <stdio.h>

#include "host-agent/manager_internal.h"
#include "protocol/clock.h"

int manager_what_if(struct manager *m, const struct what_if_request *request, struct what_if *ret, char error[static VIEW_ERROR_MAX]) {
        const struct whatif_live live = {
                .config = &m->settings.policy, .host = &m->host, .state = &m->state, .vms = m->policy_vms, .n_vms = m->n_vms,
                .now_usec = clock_monotonic_usec(),
        };
        int r;

        if (m->decisions == 0 || !m->ready) {
                snprintf(error, VIEW_ERROR_MAX, "this host's VMs are not all known yet; try again in a few seconds");
                return -EAGAIN;
        }
        r = what_if(&live, &m->balloon_speed, request, ret);
        if (r < 0)
                snprintf(error, VIEW_ERROR_MAX, "there is no memory for a copy of what is known");
        return r;
}
