/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/virt/machines.h"

#include <stdlib.h>
#include <string.h>

static size_t bucket_of(const uint8_t uuid[static 16]) {
        return (uuid[0] | (size_t) uuid[1] << 8 | (size_t) uuid[15] << 4) % MACHINE_BUCKETS;
}

struct machine *machines_find(const struct machines *machines, const uint8_t uuid[static 16]) {
        struct machine *machine = machines->buckets[bucket_of(uuid)];

        while (machine && memcmp(machine->uuid, uuid, sizeof(machine->uuid)) != 0)
                machine = machine->next;
        return machine;
}

struct machine *machines_add(struct machines *machines, const uint8_t uuid[static 16]) {
        struct machine *machine = machines_find(machines, uuid), **bucket = &machines->buckets[bucket_of(uuid)];

        if (machine) {
                machine->ended = false;
                return machine;
        }
        machine = calloc(1, sizeof(*machine));
        if (!machine)
                return NULL;
        machine->call = call_new();
        if (!machine->call) {
                free(machine);
                return NULL;
        }
        memcpy(machine->uuid, uuid, sizeof(machine->uuid));
        machine->id = -1;
        machine->next = *bucket;
        *bucket = machine;
        return machine;
}

static struct machine *first_from(const struct machines *machines, size_t bucket) {
        for (; bucket < MACHINE_BUCKETS; bucket++)
                if (machines->buckets[bucket])
                        return machines->buckets[bucket];
        return NULL;
}

struct machine *machines_first(const struct machines *machines) {
        return first_from(machines, 0);
}

struct machine *machines_next(const struct machines *machines, const struct machine *machine) {
        return machine->next ?: first_from(machines, bucket_of(machine->uuid) + 1);
}

static void machine_free(struct machine *machine) {
        if (!machine->busy)
                call_free(machine->call);
        free(machine);
}

void machines_remove(struct machines *machines, struct machine *machine) {
        struct machine **p = &machines->buckets[bucket_of(machine->uuid)];

        while (*p != machine)
                p = &(*p)->next;
        *p = machine->next;
        machine_synced(machines, machine);
        machine_free(machine);
}

void machines_clear(struct machines *machines) {
        struct machine *machine;

        while ((machine = machines_first(machines)))
                machines_remove(machines, machine);
}

void machine_forget_wants(struct machine *machine) {
        machine->run++;
        machine->wanted = 0;
        machine->slow = false;
}

void machine_end(struct machines *machines, struct machine *machine) {
        if (!machine->busy) {
                machines_remove(machines, machine);
                return;
        }
        machine_forget_wants(machine);
        machine_synced(machines, machine);
        machine->ended = true;
        machine->known = false;
        machine->id = -1;
        machine->base = machine->state = VIRT_RUNNING;
        machine->moving = false;
}

bool machine_is_over(const struct machine *machine) {
        return machine->ended && !machine->busy;
}

enum virt_state machine_state(const struct machine *machine) {
        return machine->moving && machine->base == VIRT_RUNNING ? VIRT_MIGRATING : machine->base;
}

bool machine_next_call(struct machine *machine) {
        struct call *call = machine->call;

        if (machine->wanted == 0)
                return false;
        call->kind = (enum call_kind) __builtin_ctz(machine->wanted); /* the order of enum call_kind is that of urgency */
        machine->wanted &= ~(1u << call->kind);
        memcpy(call->uuid, machine->uuid, sizeof(call->uuid));
        call->run = machine->run;
        call->serial = machine->serial;
        call->bytes = call->kind == CALL_TARGET ? machine->target_bytes : 0;
        call->seconds = machine->period_sec;
        call->flag = machine->pause;
        if (call->kind == CALL_METADATA)
                call->metadata = machine->metadata;
        machine->busy = true;
        return true;
}

void machine_take_back(struct machine *machine) {
        machine->busy = false;
        machine->wanted |= 1u << machine->call->kind;
}

void machine_await_sync(struct machines *machines, struct machine *machine) {
        if (machine->unsynced || machine->slow)
                return;
        machine->unsynced = true;
        machines->n_unsynced++;
}

void machine_synced(struct machines *machines, struct machine *machine) {
        if (!machine->unsynced)
                return;
        machine->unsynced = false;
        machines->n_unsynced--;
}
