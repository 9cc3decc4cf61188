/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What `top` shows, without a terminal: the virtual machines of the daemon's last reply, their order, which of them pass the filter, which one is
 * selected and how far the list is scrolled. Texts are safe to show (text.h); text_init() comes first.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "protocol/parse.h"

/* The parts of a VM's maximum, in the order in which its bar shows them. Their sum is the maximum. */
enum top_part {
        TOP_USED,               /* what it has, less what its guest calls available */
        TOP_CACHE,              /* available, but not free: page cache that it could do without */
        TOP_FREE,               /* free in the guest */
        TOP_UNTOLD,             /* what it has, where its guest does not tell for what */
        TOP_BALLOON,            /* taken by the balloon */
        _TOP_PARTS,
};

struct top_vm {
        char *name;
        char uuid[UUID_STRING_SIZE];
        char state[16];         /* "managed", ... */
        char *reason;           /* why it has its target; "-" */
        /* Each may be unknown. */
        uint64_t max_bytes, target_bytes, actual_bytes, demand_bytes, committed_bytes, rss_bytes, swap_bytes;
        uint64_t psi_ppm;       /* share of the last 10 s in which something in the guest waited for memory; UNKNOWN */
        uint64_t parts_bytes[_TOP_PARTS];
};

enum top_sort {
        TOP_SORT_PRESSURE,      /* those that misbehave, then by what their guests wait for memory, then by what they lack */
        TOP_SORT_NAME,
        TOP_SORT_STATE,
        TOP_SORT_ACTUAL,
        TOP_SORT_MAX,
        TOP_SORT_DEMAND,
        TOP_SORT_TARGET,
        TOP_SORT_COMMITTED,
        TOP_SORT_RSS,
        TOP_SORT_SWAP,
        _TOP_SORTS,
};

#define TOP_FILTER_MAX 64

struct top_model {
        struct top_vm *vms;
        size_t n_vms;
        struct top_vm **shown;  /* those that pass the filter, in order */
        size_t n_shown;
        enum top_sort sort;
        bool reverse;
        char filter[TOP_FILTER_MAX];
        size_t selected;        /* index into shown */
        size_t first;           /* of shown: the one in the first row of the screen */
        char followed[UUID_STRING_SIZE]; /* stays selected wherever it goes; "": whatever is on top is selected */
};

void top_model_done(struct top_model *model);

/* Takes over what a reply to List says. false: out of memory, the model is as before. */
bool top_model_update(struct top_model *model, const json_t *list);

void top_model_sort(struct top_model *model, enum top_sort sort);       /* the same again reverses */

/* Appends UTF-8 text to the filter, or takes its last character off. Names that contain it pass, whatever the case; so do UUIDs that begin
 * with it. */
void top_model_filter_add(struct top_model *model, const char *text);
void top_model_filter_back(struct top_model *model);
void top_model_filter_clear(struct top_model *model);

/* Selects the one that many rows further; saturates. Moving to the top ends the following of one. */
void top_model_move(struct top_model *model, long rows);

/* Scrolls so that the selected one is among the rows of the screen, and no row is wasted. */
void top_model_scroll(struct top_model *model, size_t rows);

/* NULL: none is shown. */
const struct top_vm *top_model_selected(const struct top_model *model);

/* Where it is in the list that a user should look at it: 2 misbehaves or lacks much, 1 waits for memory or lacks some, 0 all is well. */
int top_vm_severity(const struct top_vm *vm);
