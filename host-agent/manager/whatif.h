/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an operator asks with `whatif`, over policy/whatif.h: memory for the copies, sizes with what QEMU takes, the speed of balloons. Knows no
 * manager. */

#include "host-agent/manager/balloon_speed.h"
#include "host-agent/policy/whatif.h"

struct whatif_question {
        uint64_t start_bytes;                  /* memory of VMs to come, together; what QEMU takes besides is added */
        uint64_t n_starts;                     /* how many they are */
        uint64_t host_use_bytes;               /* 0: no more than now */
        uint64_t swap_total_bytes;             /* unknown: as it is */
        const size_t *bursts;                  /* indices of VMs that use all they can get */
        size_t n_bursts;
        bool burst_all;
};

struct whatif_answer {
        struct whatif_request request;         /* as it was put to the policy */
        struct whatif_result result;
        struct whatif_vm *models;              /* owned; in the order of the VMs, as all below */
        struct policy_vm *vms;                 /* owned: as they end */
        struct policy_work *work;              /* owned: scratch */
        size_t n_vms;
        bool speed_measured;                   /* by this daemon; else as on common hardware */
};

/* -ENOMEM. What it is given it only reads. */
int whatif_answer(const struct whatif_live *live, const struct balloon_speed *speed, const struct whatif_question *request,
                  struct whatif_answer *ret);
void whatif_answer_done(struct whatif_answer *what);        /* frees what it owns */
