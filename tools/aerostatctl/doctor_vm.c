/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/doctor.h"

#include <inttypes.h>

#include "protocol/parse.h"

#define NEXT_START "virsh edit VM, and at its next start: "
#define STATS "<stats period='2'/></memballoon>"
#define BALLOON_XML "<memballoon model='virtio' freePageReporting='on'>" STATS
#define AUTODEFLATE_XML "<memballoon model='virtio' autodeflate='on' freePageReporting='on'>" STATS

static void check_balloon(struct findings *f, const struct doctor_vm *vm) {
        struct finding *one;

        if (!vm->has_balloon) {
                one = findings_add(f, LEVEL_BAD, "balloon", "no memory can be taken back: the VM counts in full", "it has no balloon device");
                finding_remedy(one, NEXT_START BALLOON_XML);
                return;
        }
        findings_add(f, LEVEL_OK, "balloon", NULL, "it has a balloon device");
        if (vm->autodeflate)
                findings_add(f, LEVEL_OK, "autodeflate", NULL, "on: rather than kill, its guest takes memory "
                                                               "back unasked, and the guarantee is conditional");
        else {
                one = findings_add(f, LEVEL_WARN, "autodeflate",
                                   "a burst faster than the host's answer ends in the guest's OOM killer, while its own "
                                   "balloon holds memory; with it on, the guarantee is conditional, since the guest takes "
                                   "memory back unasked",
                                   "deflate-on-OOM is off");
                finding_remedy(one, "if the guest's processes matter more than a full guarantee: " NEXT_START AUTODEFLATE_XML);
        }
        if (vm->free_page_reporting)
                findings_add(f, LEVEL_OK, "free_page_reporting", NULL, "on");
        else {
                one = findings_add(f, LEVEL_WARN, "free_page_reporting", "memory that the guest frees stays taken on "
                                                                         "the host until the balloon asks for it",
                                   "free page reporting is off");
                finding_remedy(one, NEXT_START BALLOON_XML);
        }
}

/* Memory that a balloon cannot give back. */
static void check_memory(struct findings *f, const struct doctor_vm *vm, uint64_t host_total_bytes) {
        static const char why[] = "its balloon moves and frees nothing, so the VM counts in full and is never moved";
        char max[FORMAT_SIZE_MAX], host[FORMAT_SIZE_MAX];
        size_t before = f->n;

        if (vm->hugepages)
                finding_remedy(findings_add(f, LEVEL_WARN, "memory", "a balloon cannot give them back, so the VM is never moved",
                                            "it is backed by huge pages"),
                               "remove <memoryBacking><hugepages/> (virsh edit VM)");
        if (vm->locked)
                finding_remedy(findings_add(f, LEVEL_WARN, "memory", why, "its memory is locked"), "remove <memoryBacking><locked/> (virsh edit VM)");
        if (vm->vfio)
                finding_remedy(findings_add(f, LEVEL_WARN, "memory", why, "a passed-through device pins its memory"),
                               "a virtio device in place of <hostdev> (virsh edit VM)");
        if (vm->prealloc)
                finding_remedy(findings_add(f, LEVEL_WARN, "memory", "all its memory is taken when it starts, used or not",
                                            "its memory is allocated in advance"),
                               "remove <allocation mode='immediate'/> from <memoryBacking> (virsh edit VM)");
        if (vm->max_bytes != AEROSTAT_UNKNOWN && vm->max_bytes > host_total_bytes)
                finding_remedy(findings_add(f, LEVEL_BAD, "memory", "it boots at its maximum, whatever its current memory says",
                                            "its maximum of %s is more than the %s that the host has", format_size(vm->max_bytes, max),
                                            format_size(host_total_bytes, host)),
                               "virsh setmaxmem VM SIZE --config, and at its next start");
        if (f->n == before)
                findings_add(f, LEVEL_OK, "memory", NULL, "its memory can be given back%s",
                             vm->shared     ? "; KSM does not merge it, since it is shared"
                             : vm->no_merge ? "; KSM does not merge it, since its XML says so"
                                            : "");
}

void doctor_check_vm(struct findings *f, const struct doctor_vm *vm, uint64_t host_total_bytes) {
        size_t before = f->n;
        struct finding *one;

        check_balloon(f, vm);
        check_memory(f, vm, host_total_bytes);
        if (vm->has_channel)
                findings_add(f, LEVEL_OK, "channel", NULL, "it has the channel org.aerostat.guest.0");
        else {
                one = findings_add(f, LEVEL_WARN, "channel", "its agent cannot speak: bursts are seen late, "
                                                             "and its need is guessed from balloon statistics",
                                   "it has no channel org.aerostat.guest.0");
                finding_remedy(one, "virsh attach-device VM FILE --persistent, with FILE: <channel type='unix'><target type='virtio' "
                                    "name='org.aerostat.guest.0'/></channel>");
        }
        for (size_t i = before; i < f->n; i++)
                snprintf(f->list[i].vm, sizeof(f->list[i].vm), "%s", vm->name);
}
