/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/state/reservations.h"

#include <errno.h>
#include <string.h>

#include "protocol/base.h"

bool reservation_name_is_valid(const char *name) {
        size_t length = strlen(name);

        if (length == 0 || length >= RESERVATION_NAME_MAX)
                return false;
        for (const char *c = name; *c; c++)
                if ((unsigned char) *c < ' ' || *c == 0x7f)
                        return false;
        return true;
}

int reservations_add(struct reservations *r, uint64_t bytes, uint64_t until_usec, const char *for_vm, struct reservation **ret) {
        struct reservation *one;

        if (*for_vm && !reservation_name_is_valid(for_vm))
                return -EINVAL;
        if (r->n == RESERVATIONS_MAX)
                return -ENOBUFS;
        one = &r->list[r->n++];
        *one = (struct reservation) { .id = ++r->last_id, .bytes = bytes, .until_usec = until_usec };
        strcpy(one->for_vm, for_vm);
        *ret = one;
        return 0;
}

struct reservation *reservations_find(struct reservations *r, uint64_t id) {
        for (size_t i = 0; i < r->n; i++)
                if (r->list[i].id == id)
                        return &r->list[i];
        return NULL;
}

struct reservation *reservations_find_vm(struct reservations *r, const char *name) {
        for (size_t i = 0; i < r->n; i++)
                if (*name && strcmp(r->list[i].for_vm, name) == 0)
                        return &r->list[i];
        return NULL;
}

void reservations_remove(struct reservations *r, struct reservation *one) {
        size_t at = (size_t) (one - r->list);

        memmove(one, one + 1, (r->n - at - 1) * sizeof(*one));
        r->n--;
}

bool reservations_expire(struct reservations *r, uint64_t now_usec, struct reservation *ret) {
        for (size_t i = 0; i < r->n; i++)
                if (r->list[i].until_usec <= now_usec) {
                        *ret = r->list[i];
                        reservations_remove(r, &r->list[i]);
                        return true;
                }
        return false;
}

uint64_t reservations_total(const struct reservations *r) {
        uint64_t sum = 0;

        for (size_t i = 0; i < r->n; i++)
                sum = u64_add(sum, r->list[i].bytes);
        return sum;
}

void reservations_judge(struct reservations *r, uint64_t liable_bytes, uint64_t rule_bytes) {
        uint64_t taken = liable_bytes;

        for (size_t i = 0; i < r->n; i++) {
                taken = u64_add(taken, r->list[i].bytes);
                r->list[i].met = taken <= rule_bytes;
        }
}
