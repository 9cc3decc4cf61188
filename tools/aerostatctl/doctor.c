/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/doctor.h"

#include <inttypes.h>
#include <string.h>

#include "protocol/parse.h"
#include "protocol/procfs.h"
#include "protocol/units.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/text.h"

#define CEILING_DEFAULT 0.3 /* of aerostatd.conf, where the daemon cannot be asked */

static const char *const level_names[] = { [LEVEL_OK] = "ok", [LEVEL_WARN] = "warn", [LEVEL_BAD] = "bad" };

static int print_json(const struct findings *f, const size_t counts[static 3]) {
        json_t *list = json_array(), *all;

        for (size_t i = 0; i < f->n; i++) {
                const struct finding *one = &f->list[i];

                json_array_append_new(list, json_pack("{s:s, s:s, s:s?, s:s, s:s?, s:s?}", "check", one->check, "level", level_names[one->level],
                                                      "vm", *one->vm ? one->vm : NULL, "text", one->text,
                                                      "why", one->why && *one->why ? one->why : NULL,
                                                      "remedy", *one->remedy ? one->remedy : NULL));
        }
        all = json_pack("{s:o, s:I, s:I, s:I}", "findings", list, "ok", (json_int_t) counts[LEVEL_OK], "warn", (json_int_t) counts[LEVEL_WARN], "bad",
                        (json_int_t) counts[LEVEL_BAD]);
        if (!all)
                return complain(CTL_FAILED, "out of memory");
        (void) json_dumpf(all, stdout, JSON_INDENT(2)); /* main() looks whether stdout took it */
        putchar('\n');
        json_decref(all);
        return CTL_DONE;
}

static void print_text(const struct findings *f, const size_t counts[static 3]) {
        static const enum style styles[] = { [LEVEL_OK] = STYLE_GOOD, [LEVEL_WARN] = STYLE_WARN, [LEVEL_BAD] = STYLE_BAD };

        for (size_t i = 0; i < f->n; i++) {
                const struct finding *one = &f->list[i];
                _cleanup_free_ char *vm = text_safe(one->vm), *text = text_safe(one->text), *remedy = text_safe(one->remedy);

                printf("%s%-4s%s  %s%s%s: %s\n", text_style(styles[one->level]), level_names[one->level], text_end(styles[one->level]), vm ?: "",
                       vm && *vm ? " " : "", one->check, text ?: "");
                if (one->why && *one->why)
                        printf("      why   %s\n", one->why);
                if (remedy && *remedy)
                        printf("      mend  %s\n", remedy);
        }
        printf("\n%zu ok, %zu to look at, %zu broken\n", counts[LEVEL_OK], counts[LEVEL_WARN], counts[LEVEL_BAD]);
}

/* What the daemon knows better; NULL where it does not run, or may not be asked. */
static json_t *ask(const struct context *context, const char *method) {
        json_t *reply = NULL;

        if (access(context->socket, W_OK) < 0)
                return NULL;
        return client_call(context, method, NULL, &reply) == CTL_DONE ? reply : NULL;
}

static void check_daemon(struct findings *f, const json_t *status) {
        struct finding *one;

        if (!status) {
                one = findings_add(f, LEVEL_WARN, "daemon", "nothing moves memory, and whether guests' agents speak is not known here",
                                   "aerostatd does not answer");
                finding_remedy(one, "systemctl enable --now aerostatd (as root, or in its group: aerostatctl status)");
        } else if (!field_is_true(status, "connected")) {
                one = findings_add(f, LEVEL_BAD, "daemon", "it moves balloons through libvirt", "aerostatd runs, but has no connection to libvirt");
                finding_remedy(one, "journalctl -u aerostatd says why; [host] uri has to name a libvirt that runs");
        } else
                findings_add(f, LEVEL_OK, "daemon", NULL, "aerostatd %s runs and is connected to libvirt", field_text(status, "version") ?: "-");
}

/* Whether the agent of a VM with a channel speaks, and in which version. */
static void check_agent(struct findings *f, const struct context *context, const struct doctor_vm *vm) {
        json_t *parameters = json_pack("{s:s}", "vm", *vm->uuid ? vm->uuid : vm->name), *show = NULL;
        const char *version, *source;
        struct finding *one;

        if (!parameters || client_call(context, "Show", parameters, &show) != CTL_DONE)
                return; /* it has said why */
        version = field_text(show, "agent_version");
        source = field_text(show, "source");
        if (!version || !source || strcmp(source, "agent") != 0) {
                one = findings_add(f, LEVEL_WARN, "agent", "its need is guessed, and bursts are seen late", "no agent speaks in it");
                finding_remedy(one, "in the guest: systemctl enable --now aerostat-guest");
        } else if (strcmp(version, PACKAGE_VERSION) != 0) {
                one = findings_add(f, LEVEL_WARN, "agent", "what is new in one is not used by the other", "its agent is %s, and this is %s", version,
                                   PACKAGE_VERSION);
                finding_remedy(one, "update aerostat-guest in the guest");
        } else
                findings_add(f, LEVEL_OK, "agent", NULL, "its agent %s speaks", version);
        snprintf(f->list[f->n - 1].vm, sizeof(f->list[f->n - 1].vm), "%s", vm->name);
        json_decref(show);
}

/* Leaves out what is well among the findings from `first` on. */
static void drop_good(struct findings *f, size_t first) {
        size_t kept = first;

        for (size_t i = first; i < f->n; i++)
                if (f->list[i].level != LEVEL_OK)
                        f->list[kept++] = f->list[i];
        f->n = kept;
}

/* Of one VM all that was found; of many, what is wrong with one or the other. */
static int check_vms(struct findings *f, const struct context *context, const char *name, const struct doctor_vm *vms, size_t n, uint64_t host_bytes,
                     bool daemon) {
        size_t examined = 0;

        for (size_t i = 0; i < n; i++) {
                size_t before = f->n;

                if (name && strcmp(name, vms[i].name) != 0 && strcmp(name, vms[i].uuid) != 0)
                        continue;
                examined++;
                doctor_check_vm(f, &vms[i], host_bytes);
                if (daemon && vms[i].has_channel)
                        check_agent(f, context, &vms[i]);
                if (!name)
                        drop_good(f, before);
        }
        if (name && examined == 0)
                return complain(CTL_FAILED, "no QEMU with the name or UUID \"%s\" runs on this host; `virsh list` shows what does", name);
        if (!name)
                findings_add(f, LEVEL_OK, "vms", NULL, "%zu examined", examined);
        return CTL_DONE;
}

static uint64_t ppm_of(const json_t *object, const char *key, double ratio) {
        (void) field_ratio(object, key, &ratio); /* or the default that was given */
        return (uint64_t) (ratio * (double) PPM_ONE + 0.5);
}

static int examine(struct findings *f, const struct context *context, const char *name, int root_fd) {
        _cleanup_free_ struct doctor_vm *vms = NULL;
        json_t *status = ask(context, "Status"), *swap = json_object_get(status, "swap");
        uint64_t host_bytes = AEROSTAT_UNKNOWN;
        struct meminfo meminfo;
        char text[32768];
        size_t n = 0;
        int r;

        r = doctor_vms_read(root_fd, &vms, &n);
        if (r < 0) {
                json_decref(status);
                return complain(CTL_FAILED, "cannot read the list of processes: %s", strerror(-r));
        }
        if (procfs_read(root_fd, "proc/meminfo", text, sizeof(text)) >= 0 && meminfo_parse(text, &meminfo) >= 0)
                host_bytes = meminfo.total_bytes;
        if (!name) {
                doctor_check_cpu(f, root_fd, vms, n);
                doctor_check_kernel(f, root_fd);
                doctor_check_swap(f, root_fd, ppm_of(swap, "ceiling_ratio", CEILING_DEFAULT),
                                  ppm_of(swap, "warn_ratio", FIELD_SWAP_WARN_DEFAULT));
                doctor_check_ksm(f, root_fd);
                check_daemon(f, status);
        }
        r = check_vms(f, context, name, vms, n, host_bytes, status);
        json_decref(status);
        return r;
}

static int run_doctor(const struct context *context, const struct args *args) {
        const char *root = args->values[0] ?: "/";
        _cleanup_close_ int root_fd = procfs_open_root(root);
        struct findings findings = {};
        size_t counts[3] = {};
        int r;

        if (root_fd < 0)
                return complain(CTL_FAILED, "cannot open %s: %s; --root needs a folder with proc and sys in it", root, strerror(-root_fd));
        r = examine(&findings, context, args->n_operands > 0 ? args->operands[0] : NULL, root_fd);
        for (size_t i = 0; i < findings.n; i++)
                counts[findings.list[i].level]++;
        if (r == CTL_DONE && context->json)
                r = print_json(&findings, counts);
        else if (r == CTL_DONE)
                print_text(&findings, counts);
        findings_free(&findings);
        return r == CTL_DONE && counts[LEVEL_BAD] > 0 ? CTL_FAILED : r;
}

const struct verb verb_doctor = {
        .name = "doctor",
        .operands = "[VM]",
        .summary = "What makes overcommit fail on this host, and what mends it",
        .help = "Runs without the daemon too: the host is read from /proc and /sys, and what a VM has from the command line of its QEMU. Nothing is\n"
                "changed. Exit status 1 if anything is broken. --root reads another tree than /, such as one copied from a host.",
        .max_operands = 1,
        .options = { { "--root", "DIR" } },
        .run = run_doctor,
};
