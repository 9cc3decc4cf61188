/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A domain's XML, with the policy in its metadata. */

#include "host-agent/virt/domain_xml.h"
#include "protocol/units.h"
#include "tests/fuzz/fuzz.h"

/* What we would write for a policy that was read is read back as the same. */
static void check_round_trip(const struct virt_metadata *policy) {
        static const char head[] = "<domain><memory>1</memory><metadata><p:policy xmlns:p='urn:aerostat:policy:1'";
        static const char tail[] = "</metadata></domain>";
        char element[DOMAIN_XML_POLICY_MAX], xml[sizeof(head) + sizeof(element) + sizeof(tail)];
        struct virt_domain_info again;

        CHECK(domain_xml_format_policy(policy, element, sizeof(element)) == 0);
        if (!element[0])
                return;
        strcpy(xml, head);
        strcat(xml, element + strlen("<policy"));
        strcat(xml, tail);
        CHECK(domain_xml_parse(xml, strlen(xml), &again) == 0);
        CHECK(!again.metadata.error[0]);
        CHECK(again.metadata.has_floor == policy->has_floor && again.metadata.has_weight == policy->has_weight);
        CHECK(again.metadata.has_priority == policy->has_priority && again.metadata.has_managed == policy->has_managed);
        CHECK(again.metadata.floor_bytes == policy->floor_bytes && again.metadata.floor_ppm == policy->floor_ppm);
        CHECK(again.metadata.weight == policy->weight && again.metadata.priority == policy->priority);
        CHECK(again.metadata.managed == policy->managed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *xml = fuzz_string(data, size);
        struct virt_domain_info info;

        domain_xml_init();
        if (domain_xml_parse(xml, size, &info) >= 0) {
                const struct virt_metadata *policy = &info.metadata;

                CHECK(info.max_bytes <= INT64_MAX && info.current_bytes <= INT64_MAX);
                CHECK(memchr(info.channel_path, 0, sizeof(info.channel_path)) && memchr(policy->error, 0, sizeof(policy->error)));
                CHECK(!info.numa_strict == (info.node_mask == 0));
                if (policy->error[0])
                        CHECK(!policy->has_floor && !policy->has_weight && !policy->has_priority && !policy->has_managed);
                CHECK(!policy->has_floor || policy->floor_ppm == AEROSTAT_UNKNOWN || policy->floor_ppm <= PPM_ONE);
                check_round_trip(policy);
        }
        free(xml);
        return 0;
}
