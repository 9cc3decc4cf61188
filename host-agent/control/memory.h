/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods about KSM and host swap: Ksm, SetKsm, Swap, SetSwapCeiling, SwapPlan. Rows of the table in methods.c. */

#include "host-agent/control/methods.h"

void method_ksm(struct varlink_call *call, json_t *parameters, void *userdata);
void method_set_ksm(struct varlink_call *call, json_t *parameters, void *userdata);
void method_swap(struct varlink_call *call, json_t *parameters, void *userdata);
void method_set_swap_ceiling(struct varlink_call *call, json_t *parameters, void *userdata);
void method_swap_plan(struct varlink_call *call, json_t *parameters, void *userdata);
