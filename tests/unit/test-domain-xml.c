/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/virt/domain_xml.h"
#include "protocol/units.h"

static struct virt_domain_info parse(const char *xml) {
        struct virt_domain_info info;

        assert_int_equal(domain_xml_parse(xml, strlen(xml), &info), 0);
        return info;
}

/* A domain around what a test is about. */
static struct virt_domain_info parse_with(const char *elements) {
        char xml[4096];

        assert_true((size_t) snprintf(xml, sizeof(xml), "<domain type='qemu'><memory>1048576</memory>%s</domain>", elements) < sizeof(xml));
        return parse(xml);
}

static struct virt_metadata parse_policy(const char *attributes) {
        char xml[1024];

        assert_true((size_t) snprintf(xml, sizeof(xml), "<metadata><policy xmlns='urn:aerostat:policy:1' %s/></metadata>", attributes) <
                    sizeof(xml));
        return parse_with(xml).metadata;
}

static void test_full(void **state) {
        struct virt_domain_info info = parse(
                "<domain type='kvm' id='3'><name>web</name><metadata>"
                "<x:other xmlns:x='urn:x'><x:policy floor='nonsense'/></x:other>"
                "<aerostat:policy xmlns:aerostat='urn:aerostat:policy:1' floor='512MiB' weight='2000' priority='10' managed='no'/>"
                "</metadata><maxMemory slots='16' unit='KiB'>16777216</maxMemory><memory unit='KiB'>2097152</memory>"
                "<currentMemory unit='KiB'>1048576</currentMemory>"
                "<memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages><nosharepages/><locked/><source type='memfd'/>"
                "</memoryBacking><vcpu placement='static' current='2'>4</vcpu>"
                "<numatune><memory mode='strict' nodeset='0-2,^1'/><memnode cellid='0' mode='strict' nodeset='5'/></numatune>"
                "<devices><channel type='unix'><source mode='bind' path='/run/a.sock'/><target type='virtio' "
                "name='org.qemu.guest_agent.0'/></channel>"
                "<channel type='unix'><source mode='bind' path='/run/b.sock'/><target type='virtio' name='org.aerostat.guest.0' "
                "state='connected'/></channel>"
                "<hostdev mode='subsystem' type='usb'/>"
                "<memballoon model='virtio' autodeflate='on' freePageReporting='on'><stats period='5'/></memballoon></devices>"
                "</domain>");

        assert_int_equal(info.max_bytes, 2 * GIB);
        assert_int_equal(info.current_bytes, GIB);
        assert_true(info.has_balloon && info.autodeflate);
        assert_int_equal(info.stats_period_sec, 5);
        assert_true(info.hugepages && info.locked && info.nosharepages && info.shared_memory);
        assert_false(info.hostdev || info.secure);
        assert_true(info.numa_strict);
        assert_int_equal(info.node_mask, 1 << 0 | 1 << 2 | 1 << 5);
        assert_string_equal(info.channel_path, "/run/b.sock");
        assert_string_equal(info.metadata.error, "");
        assert_true(info.metadata.has_floor && info.metadata.has_weight && info.metadata.has_priority && info.metadata.has_managed);
        assert_int_equal(info.metadata.floor_bytes, 512 * MIB);
        assert_int_equal(info.metadata.floor_ppm, AEROSTAT_UNKNOWN);
        assert_int_equal(info.metadata.weight, 2000);
        assert_int_equal(info.metadata.priority, 10);
        assert_false(info.metadata.managed);
}

static void test_bare(void **state) {
        struct virt_domain_info info = parse("<domain><memory unit='MiB'>256</memory></domain>");

        assert_int_equal(info.max_bytes, 256 * MIB);
        assert_int_equal(info.current_bytes, 256 * MIB);
        assert_false(info.has_balloon || info.hostdev || info.locked || info.numa_strict || info.metadata.has_floor);
        assert_string_equal(info.channel_path, "");
        assert_false(parse_with("<devices><memballoon model='none'/></devices>").has_balloon);
        assert_true(parse_with("<devices><memballoon model='virtio-non-transitional'/></devices>").has_balloon);
}

static void test_units(void **state) {
        static const struct {
                const char *memory;
                uint64_t bytes; /* 0: refused */
        } cases[] = {
                { "<memory>7</memory>", 7 * KIB }, { "<memory unit='b'>7</memory>", 7 }, { "<memory unit='bytes'>7</memory>", 7 },
                { "<memory unit='KB'>7</memory>", 7000 }, { "<memory unit='k'>7</memory>", 7 * KIB },
                { "<memory unit='KiB'>7</memory>", 7 * KIB }, { "<memory unit='MB'>7</memory>", 7000000 },
                { "<memory unit='M'>7</memory>", 7 * MIB }, { "<memory unit='GiB'>7</memory>", 7 * GIB },
                { "<memory unit='GB'>7</memory>", 7000000000 }, { "<memory unit='T'>7</memory>", 7 * TIB },
                { "<memory unit='TB'>7</memory>", 7000000000000 }, { "<memory unit='PiB'>1</memory>", 1024 * TIB },
                { "<memory unit='EB'>1</memory>", 1000000000000000000 }, { "<memory dumpCore='off' unit='g'>1</memory>", GIB },
                { "<memory unit='EiB'>8</memory>", 0 }, { "<memory unit='MiBi'>7</memory>", 0 }, { "<memory unit='x'>7</memory>", 0 },
                { "<memory unit='Kx'>7</memory>", 0 }, { "<memory>-7</memory>", 0 }, { "<memory>7x</memory>", 0 },
                { "<memory></memory>", 0 }, { "<memory>99999999999999999999</memory>", 0 }, { "", 0 },
                { "<memory>18446744073709551615</memory>", 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct virt_domain_info info = { .max_bytes = 42 };
                char xml[256];
                int r;

                snprintf(xml, sizeof(xml), "<domain>%s</domain>", cases[i].memory);
                r = domain_xml_parse(xml, strlen(xml), &info);
                if (r != (cases[i].bytes ? 0 : -EBADMSG) || info.max_bytes != (cases[i].bytes ?: 42))
                        fail_msg("%s: %d, %llu", cases[i].memory, r, (unsigned long long) info.max_bytes);
        }
}

static void test_pinned_and_secure(void **state) {
        assert_true(parse_with("<devices><hostdev type='pci' managed='yes'/></devices>").hostdev);
        assert_true(parse_with("<devices><hostdev type='usb'/><hostdev type='mdev' managed='no'/></devices>").hostdev);
        assert_true(parse_with("<devices><interface type='hostdev'/></devices>").hostdev);
        assert_true(parse_with("<devices><interface type='vdpa'/></devices>").hostdev);
        assert_true(parse_with("<devices><disk type='nvme'/></devices>").hostdev);
        assert_false(parse_with("<devices><hostdev type='scsi'/><interface type='bridge'/><disk type='file'/></devices>").hostdev);
        assert_true(parse_with("<launchSecurity type='sev'/>").secure);
        assert_true(parse_with("<launchSecurity type='tdx'/>").secure);
        assert_true(parse_with("<memoryBacking><source type='file'/></memoryBacking>").shared_memory);
        assert_true(parse_with("<memoryBacking><access mode='shared'/></memoryBacking>").shared_memory);
        assert_true(parse_with("<cpu><numa><cell id='0'/><cell id='1' memAccess='shared'/></numa></cpu>").shared_memory);
        assert_false(parse_with("<memoryBacking><source type='anonymous'/><access mode='private'/></memoryBacking>").shared_memory);
}

static void test_numa(void **state) {
        assert_false(parse_with("<numatune><memory mode='preferred' nodeset='1'/></numatune>").numa_strict);
        assert_false(parse_with("<numatune><memory mode='interleave' nodeset='0-1'/></numatune>").numa_strict);
        assert_false(parse_with("<numatune><memory mode='strict' placement='auto'/></numatune>").numa_strict);
        assert_true(parse_with("<numatune><memory mode='restrictive' nodeset='63'/></numatune>").node_mask == UINT64_C(1) << 63);
        assert_false(parse_with("<numatune><memory mode='strict' nodeset='64'/></numatune>").numa_strict);
        assert_false(parse_with("<numatune><memory mode='strict' nodeset='3-1'/></numatune>").numa_strict);
        assert_false(parse_with("<numatune><memory mode='strict' nodeset='1;2'/></numatune>").numa_strict);
        assert_false(parse_with("<numatune><memory mode='strict' nodeset='^'/></numatune>").numa_strict);
        assert_int_equal(parse_with("<numatune><memory nodeset='1'/></numatune>").node_mask, 2); /* strict is the default */

        /* Cells: bound is only who is bound whole. */
        assert_int_equal(parse_with("<cpu><numa><cell/><cell/></numa></cpu><numatune><memory mode='strict' nodeset='0'/>"
                                    "<memnode cellid='1' mode='strict' nodeset='2'/></numatune>").node_mask, 5);
        assert_false(parse_with("<cpu><numa><cell/><cell/></numa></cpu><numatune><memory mode='preferred' nodeset='0'/>"
                                "<memnode cellid='1' mode='strict' nodeset='2'/></numatune>").numa_strict);
        assert_false(parse_with("<cpu><numa><cell/><cell/></numa></cpu><numatune><memory mode='strict' nodeset='0'/>"
                                "<memnode cellid='1' mode='preferred' nodeset='2'/></numatune>").numa_strict);
        assert_false(parse_with("<cpu><numa><cell/><cell/></numa></cpu>"
                                "<numatune><memnode cellid='1' mode='strict' nodeset='2'/></numatune>").numa_strict);
        assert_int_equal(parse_with("<cpu><numa><cell/><cell/></numa></cpu><numatune><memnode cellid='0' mode='strict' nodeset='1'/>"
                                    "<memnode cellid='1' mode='strict' nodeset='2'/></numatune>").node_mask, 6);
        assert_false(parse_with("<cpu><numa><cell/></numa></cpu><numatune><memory mode='strict' nodeset='0'/>"
                                "<memnode cellid='0' mode='strict' nodeset='64'/></numatune>").numa_strict);
}

static void test_channel_path(void **state) {
        char xml[512], path[VIRT_PATH_MAX + 1];

        memset(path, 'p', sizeof(path));
        path[VIRT_PATH_MAX - 1] = '\0';
        snprintf(xml, sizeof(xml), "<devices><channel type='unix'><source path='%s'/><target name='org.aerostat.guest.0'/></channel></devices>",
                 path);
        assert_string_equal(parse_with(xml).channel_path, path);
        path[VIRT_PATH_MAX - 1] = 'p';
        path[VIRT_PATH_MAX] = '\0';
        snprintf(xml, sizeof(xml), "<devices><channel type='unix'><source path='%s'/><target name='org.aerostat.guest.0'/></channel></devices>",
                 path);
        assert_string_equal(parse_with(xml).channel_path, "");
        assert_string_equal(parse_with("<devices><channel type='spicevmc'><source path='/x'/><target name='org.aerostat.guest.0'/></channel>"
                                       "</devices>").channel_path, "");
}

static void test_policy(void **state) {
        static const struct {
                const char *attributes, *error; /* part of the sentence */
        } bad[] = {
                { "floor='512'", "floor='512' is not a size" }, { "floor='-1G'", "not a size" }, { "floor='101%'", "not a size" },
                { "floor='2000%'", "not a size" }, { "floor=''", "not a size" }, { "weight='x'", "weight='x'" },
                { "weight='1000001'", "0 to 1000000" }, { "priority='1001'", "0 to 1000" }, { "priority='1.5'", "0 to 1000" },
                { "managed='maybe'", "yes nor no" }, { "flor='1G'", "did you mean 'floor'?" }, { "colour='1'", "no attribute 'colour'" },
                { "weight='10' priority='x'", "priority" }, { "weight='10\xc3\xa4\x27 x='1'", "" },
        };
        struct virt_metadata policy = parse_policy("floor='30%'");

        assert_true(policy.has_floor);
        assert_int_equal(policy.floor_ppm, 300000);
        assert_false(policy.has_weight || policy.has_priority || policy.has_managed);
        policy = parse_policy("managed='yes' x:floor='9' xmlns:x='urn:x'");
        assert_string_equal(policy.error, "");
        assert_true(policy.has_managed && policy.managed && !policy.has_floor);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                policy = parse_policy(bad[i].attributes);
                if (!policy.error[0] || !strstr(policy.error, bad[i].error))
                        fail_msg("%s: \"%s\"", bad[i].attributes, policy.error);
                assert_false(policy.has_floor || policy.has_weight || policy.has_priority || policy.has_managed);
                for (const char *p = policy.error; *p; p++)
                        assert_in_range(*p, ' ', '~');
        }
        assert_string_equal(parse_with("<metadata><policy floor='nonsense'/></metadata>").metadata.error, ""); /* not our namespace */
        policy = parse_with("<metadata><policy xmlns='urn:aerostat:policy:1'/><policy xmlns='urn:aerostat:policy:1'/></metadata>").metadata;
        assert_string_equal(policy.error, "there are two policy elements");
        policy = parse_with("<metadata><policy xmlns='urn:aerostat:policy:1'><floor/></policy></metadata>").metadata;
        assert_string_equal(policy.error, "there is no element 'floor' inside policy");
}

static void test_format(void **state) {
        static const struct {
                struct virt_metadata policy;
                const char *xml;
        } cases[] = {
                { { 0 }, "" },
                { { .has_floor = true, .floor_bytes = 512 * MIB, .floor_ppm = AEROSTAT_UNKNOWN }, "<policy floor='512MiB'/>" },
                { { .has_floor = true, .floor_bytes = 0, .floor_ppm = AEROSTAT_UNKNOWN }, "<policy floor='0B'/>" },
                { { .has_floor = true, .floor_bytes = 1025, .floor_ppm = AEROSTAT_UNKNOWN }, "<policy floor='1025B'/>" },
                { { .has_floor = true, .floor_ppm = 250000 }, "<policy floor='25%'/>" },
                { { .has_floor = true, .floor_ppm = 250500 }, "<policy floor='25.0500%'/>" },
                { { .has_weight = true, .weight = 1000000, .has_priority = true, .priority = 1000, .has_managed = true, .managed = true },
                  "<policy weight='1000000' priority='1000' managed='yes'/>" },
                { { .has_managed = true }, "<policy managed='no'/>" },
        };
        struct virt_metadata huge = { .has_floor = true, .floor_bytes = INT64_MAX, .floor_ppm = AEROSTAT_UNKNOWN, .has_weight = true,
                                      .weight = 1000000, .has_priority = true, .priority = 1000, .has_managed = true };
        char buf[DOMAIN_XML_POLICY_MAX], small[8];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                assert_int_equal(domain_xml_format_policy(&cases[i].policy, buf, sizeof(buf)), 0);
                assert_string_equal(buf, cases[i].xml);
        }
        assert_int_equal(domain_xml_format_policy(&huge, buf, sizeof(buf)), 0);
        assert_int_equal(domain_xml_format_policy(&huge, small, sizeof(small)), -ENOBUFS);
        huge.weight++;
        assert_int_equal(domain_xml_format_policy(&huge, buf, sizeof(buf)), -EINVAL);
        huge = (struct virt_metadata) { .has_floor = true, .floor_ppm = PPM_ONE + 1 };
        assert_int_equal(domain_xml_format_policy(&huge, buf, sizeof(buf)), -EINVAL);
}

/* What was written is read back as it was meant. */
static void test_round_trip(void **state) {
        static const uint64_t floors[] = { 0, 1, 1023, 1024, 5 * MIB, 3 * GIB + 512 * MIB, 7 * TIB, 12345678901 };
        struct virt_metadata policy = { .has_floor = true, .floor_ppm = AEROSTAT_UNKNOWN, .has_priority = true, .priority = 7 };
        char element[DOMAIN_XML_POLICY_MAX];

        for (size_t i = 0; i < 2 * ARRAY_SIZE(floors); i++) {
                struct virt_metadata back;

                if (i < ARRAY_SIZE(floors))
                        policy.floor_bytes = floors[i];
                else {
                        policy.floor_bytes = 0;
                        policy.floor_ppm = floors[i % ARRAY_SIZE(floors)] % (PPM_ONE + 1);
                }
                assert_int_equal(domain_xml_format_policy(&policy, element, sizeof(element)), 0);
                element[strlen(element) - 2] = '\0'; /* without "/>", and without "<policy " */
                back = parse_policy(element + strlen("<policy "));
                assert_string_equal(back.error, "");
                assert_int_equal(back.floor_bytes, policy.floor_bytes);
                assert_int_equal(back.floor_ppm, policy.floor_ppm);
                assert_int_equal(back.priority, 7);
                assert_false(back.has_weight || back.has_managed);
        }
}

static void test_hostile(void **state) {
        static const char *const bad[] = {
                "", "<", "<domain>", "<network/>", "<domain/>", "not xml",
                "<!DOCTYPE domain [<!ENTITY a 'b'>]><domain><memory>1</memory></domain>",
                "<!DOCTYPE domain SYSTEM 'file:///etc/passwd'><domain><memory>1</memory></domain>",
                "<domain><memory>&undefined;</memory></domain>",
                "<domain><memory>1</memory><currentMemory>x</currentMemory></domain>",
        };
        struct virt_domain_info info;
        char *big;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (domain_xml_parse(bad[i], strlen(bad[i]), &info) != -EBADMSG)
                        fail_msg("accepted: %s", bad[i]);
        assert_int_equal(domain_xml_parse("", DOMAIN_XML_SIZE_MAX + 1, &info), -E2BIG);

        /* libxml2 stops at a depth of 256; a worker's stack must do for that. */
        big = malloc(64 * KIB);
        assert_non_null(big);
        for (size_t i = 0; i < 64 * KIB; i += 4)
                memcpy(big + i, "<aa>", 4);
        assert_int_equal(domain_xml_parse(big, 64 * KIB, &info), -EBADMSG);
        free(big);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_full), cmocka_unit_test(test_bare), cmocka_unit_test(test_units),
                cmocka_unit_test(test_pinned_and_secure), cmocka_unit_test(test_numa), cmocka_unit_test(test_channel_path),
                cmocka_unit_test(test_policy), cmocka_unit_test(test_format), cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_hostile),
        };

        domain_xml_init();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
