/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/manager/whatif.h"

#include <errno.h>
#include <stdlib.h>

int whatif_answer(const struct whatif_live *live, const struct balloon_speed *speed, const struct whatif_question *request,
                  struct whatif_answer *ret) {
        struct whatif_answer what = {
                .request = {
                        .start_bytes = u64_add(request->start_bytes, u64_mul(request->n_starts, POLICY_OVERHEAD_DEFAULT)),
                        .host_use_bytes = request->host_use_bytes, .swap_total_bytes = request->swap_total_bytes,
                        .inflate_bps = speed->inflate_bps ?: WHATIF_INFLATE_BPS, .deflate_bps = speed->deflate_bps ?: WHATIF_DEFLATE_BPS,
                },
                .models = calloc(live->n_vms + 1, sizeof(*what.models)), .vms = calloc(live->n_vms + 1, sizeof(*what.vms)),
                .work = calloc(live->n_vms + 1, sizeof(*what.work)), .n_vms = live->n_vms, .speed_measured = speed->inflate_bps != 0,
        };

        if (!what.models || !what.vms || !what.work) {
                whatif_answer_done(&what);
                return -ENOMEM;
        }
        for (size_t i = 0; i < live->n_vms; i++)
                what.models[i].bursts = request->burst_all;
        for (size_t i = 0; i < request->n_bursts; i++)
                what.models[request->bursts[i]].bursts = true;
        policy_whatif(live, &what.request, what.models, what.vms, what.work, &what.result);
        *ret = what;
        return 0;
}

void whatif_answer_done(struct whatif_answer *what) {
        free(what->models);
        free(what->vms);
        free(what->work);
        *what = (struct whatif_answer) { 0 };
}
