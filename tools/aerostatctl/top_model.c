/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/top_model.h"

#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/units.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/text.h"

/* Rows are to stay where they are while little changes: waiting counts in steps of 1 % and what is lacking in steps of 1/16 of the maximum. */
#define PSI_STEP_PPM (PPM_ONE / 100)
#define LACK_STEPS 16u
#define PSI_WARN_PPM (PPM_ONE / 100)
#define PSI_BAD_PPM (PPM_ONE / 10)

static void free_vms(struct top_vm *vms, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(vms[i].name);
                free(vms[i].reason);
        }
        free(vms);
}

void top_model_done(struct top_model *model) {
        free_vms(model->vms, model->n_vms);
        free(model->shown);
        *model = (struct top_model) {};
}

static uint64_t known(uint64_t value, uint64_t otherwise) {
        return value == AEROSTAT_UNKNOWN ? otherwise : value;
}

/* Where its memory is. Some of what is free is not available (the kernel keeps it), and what the guest says may be of another moment than
 * what it has: each part is cut to what is left for it. */
static void split(struct top_vm *vm, const json_t *guest) {
        uint64_t available = field_count(guest, "available_bytes"), free_bytes = field_count(guest, "free_bytes");
        uint64_t actual = MIN(known(vm->actual_bytes, vm->max_bytes), vm->max_bytes);

        if (vm->max_bytes == AEROSTAT_UNKNOWN)
                return;
        vm->parts_bytes[TOP_BALLOON] = vm->max_bytes - actual;
        if (available == AEROSTAT_UNKNOWN || vm->actual_bytes == AEROSTAT_UNKNOWN) {
                vm->parts_bytes[TOP_UNTOLD] = actual;
                return;
        }
        available = MIN(available, actual);
        vm->parts_bytes[TOP_FREE] = MIN(known(free_bytes, 0), available);
        vm->parts_bytes[TOP_CACHE] = available - vm->parts_bytes[TOP_FREE];
        vm->parts_bytes[TOP_USED] = actual - available;
}

static bool take_vm(struct top_vm *vm, const json_t *object) {
        const json_t *guest = json_object_get(object, "guest");
        double psi;

        vm->name = text_safe(field_text(object, "name") ?: "-");
        vm->reason = text_safe(field_text(object, "reason") ?: "-");
        snprintf(vm->uuid, sizeof(vm->uuid), "%s", field_text(object, "uuid") ?: "");
        snprintf(vm->state, sizeof(vm->state), "%s", field_text(object, "state") ?: "-");
        vm->max_bytes = field_count(object, "max_bytes");
        vm->target_bytes = field_count(object, "target_bytes");
        vm->actual_bytes = field_count(object, "actual_bytes");
        vm->demand_bytes = field_count(object, "demand_bytes");
        vm->committed_bytes = field_count(object, "committed_bytes");
        vm->rss_bytes = field_count(object, "rss_bytes");
        vm->swap_bytes = field_count(object, "swap_bytes");
        vm->psi_ppm = AEROSTAT_UNKNOWN;
        if (field_ratio(guest, "psi_some_ratio", &psi) && psi >= 0 && psi <= 1)
                vm->psi_ppm = (uint64_t) (psi * (double) PPM_ONE + 0.5);
        split(vm, guest);
        return vm->name && vm->reason;
}

static uint64_t lacking(const struct top_vm *vm) {
        return vm->demand_bytes == AEROSTAT_UNKNOWN || vm->actual_bytes == AEROSTAT_UNKNOWN ? 0 : u64_sub(vm->demand_bytes, vm->actual_bytes);
}

static bool misbehaves(const struct top_vm *vm) {
        return strcmp(vm->state, "breaching") == 0 || strcmp(vm->state, "uncooperative") == 0;
}

int top_vm_severity(const struct top_vm *vm) {
        uint64_t psi = known(vm->psi_ppm, 0), lack = lacking(vm);

        if (misbehaves(vm) || psi >= PSI_BAD_PPM || (lack > 0 && lack >= vm->max_bytes / 4))
                return 2;
        return psi >= PSI_WARN_PPM || (lack > 0 && lack >= vm->max_bytes / LACK_STEPS);
}

/* The more of this, the further up by default. */
static uint64_t pressure(const struct top_vm *vm) {
        uint64_t lack = u64_mul_div(lacking(vm), LACK_STEPS, known(vm->max_bytes, 0));

        return (misbehaves(vm) ? 1000000 : 0) + known(vm->psi_ppm, 0) / PSI_STEP_PPM * 1000 + MIN(lack, UINT64_C(999));
}

static uint64_t sort_value(const struct top_vm *vm, enum top_sort sort) {
        switch (sort) {
        case TOP_SORT_PRESSURE:
                return pressure(vm);
        case TOP_SORT_ACTUAL:
                return known(vm->actual_bytes, 0);
        case TOP_SORT_MAX:
                return known(vm->max_bytes, 0);
        case TOP_SORT_DEMAND:
                return known(vm->demand_bytes, 0);
        case TOP_SORT_TARGET:
                return known(vm->target_bytes, 0);
        case TOP_SORT_COMMITTED:
                return known(vm->committed_bytes, 0);
        case TOP_SORT_RSS:
                return known(vm->rss_bytes, 0);
        case TOP_SORT_SWAP:
                return known(vm->swap_bytes, 0);
        default:
                return 0;
        }
}

/* Sizes from the largest, texts from A; equal ones by name, and those of one name by UUID, so that every order is total and rows do not hop. */
static int compare(const void *left, const void *right, void *userdata) {
        const struct top_vm *a = *(const struct top_vm *const *) left, *b = *(const struct top_vm *const *) right;
        const struct top_model *model = userdata;
        uint64_t x = sort_value(a, model->sort), y = sort_value(b, model->sort);
        int r = x > y ? -1 : x < y;

        if (model->sort == TOP_SORT_STATE)
                r = strcmp(a->state, b->state);
        else if (model->sort == TOP_SORT_NAME)
                r = strcmp(a->name, b->name);
        if (r != 0)
                return model->reverse ? -r : r;
        r = strcmp(a->name, b->name);
        return r != 0 ? r : strcmp(a->uuid, b->uuid);
}

static bool passes(const struct top_vm *vm, const char *filter) {
        return strcasestr(vm->name, filter) || strncasecmp(vm->uuid, filter, strlen(filter)) == 0;
}

/* Who is shown, in which order, and where the selected one is now. One that is gone or filtered out leaves its place to its neighbour. */
static void arrange(struct top_model *model) {
        model->n_shown = 0;
        for (size_t i = 0; i < model->n_vms; i++)
                if (passes(&model->vms[i], model->filter))
                        model->shown[model->n_shown++] = &model->vms[i];
        if (model->n_shown > 0)
                qsort_r(model->shown, model->n_shown, sizeof(*model->shown), compare, model);
        if (!*model->followed)
                model->selected = 0;
        for (size_t i = 0; i < model->n_shown && *model->followed; i++)
                if (strcmp(model->shown[i]->uuid, model->followed) == 0) {
                        model->selected = i;
                        return;
                }
        model->selected = model->n_shown == 0 ? 0 : MIN(model->selected, model->n_shown - 1);
}

bool top_model_update(struct top_model *model, const json_t *list) {
        const json_t *array = json_object_get(list, "vms"), *object;
        size_t n = json_array_size(array), i;
        struct top_vm *vms = calloc(MAX(n, (size_t) 1), sizeof(*vms)), **shown = calloc(MAX(n, (size_t) 1), sizeof(struct top_vm *));
        bool whole = vms && shown;

        if (whole)
                json_array_foreach(array, i, object)
                        whole = take_vm(&vms[i], object) && whole;
        if (!whole) {
                if (vms)
                        free_vms(vms, n);
                free(shown);
                return false;
        }
        free_vms(model->vms, model->n_vms);
        free(model->shown);
        model->vms = vms;
        model->n_vms = n;
        model->shown = shown;
        arrange(model);
        return true;
}

void top_model_sort(struct top_model *model, enum top_sort sort) {
        model->reverse = sort == model->sort && !model->reverse;
        model->sort = sort;
        arrange(model);
}

void top_model_filter_add(struct top_model *model, const char *text) {
        size_t length = strlen(model->filter);

        if (length + strlen(text) < sizeof(model->filter))
                strcpy(model->filter + length, text);
        arrange(model);
}

void top_model_filter_back(struct top_model *model) {
        size_t length = strlen(model->filter);

        while (length > 0 && ((unsigned char) model->filter[--length] & 0xc0) == 0x80)
                ;
        model->filter[length] = 0;
        arrange(model);
}

void top_model_filter_clear(struct top_model *model) {
        model->filter[0] = 0;
        arrange(model);
}

void top_model_move(struct top_model *model, long rows) {
        size_t last = model->n_shown == 0 ? 0 : model->n_shown - 1, distance = rows < 0 ? (size_t) -(rows + 1) + 1 : (size_t) rows;

        if (rows < 0)
                model->selected -= MIN(distance, model->selected);
        else
                model->selected += MIN(distance, last - model->selected);
        if (model->selected == 0 || model->n_shown == 0)
                model->followed[0] = 0;
        else
                strcpy(model->followed, model->shown[model->selected]->uuid);
}

void top_model_scroll(struct top_model *model, size_t rows) {
        if (rows == 0)
                return;
        if (model->first + rows > model->n_shown)
                model->first = model->n_shown > rows ? model->n_shown - rows : 0;
        if (model->selected < model->first)
                model->first = model->selected;
        else if (model->selected >= model->first + rows)
                model->first = model->selected - rows + 1;
}

const struct top_vm *top_model_selected(const struct top_model *model) {
        return model->n_shown > 0 ? model->shown[model->selected] : NULL;
}
