/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/virt/domain_xml.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <libxml/parser.h>
#include <libxml/tree.h>

#include "host-agent/virt/domain_policy.h"
#include "protocol/parse.h"

static void free_doc(xmlDocPtr *doc) {
        if (*doc)
                xmlFreeDoc(*doc);
}

static void free_parser(xmlParserCtxtPtr *parser) {
        if (*parser)
                xmlFreeParserCtxt(*parser);
}

static void free_string(xmlChar **s) {
        if (*s)
                xmlFree(*s);
}

#define _cleanup_string_ _cleanup_(free_string)

static bool is_element(const xmlNode *node, const char *name) {
        return node->type == XML_ELEMENT_NODE && strcmp((const char *) node->name, name) == 0;
}

static const xmlNode *next_element(const xmlNode *node, const char *name) {
        while (node && !is_element(node, name))
                node = node->next;
        return node;
}

static const xmlNode *child(const xmlNode *node, const char *name) {
        return node ? next_element(node->children, name) : NULL;
}

#define FOR_EACH_CHILD(c, node, name) \
        for (const xmlNode *c = child(node, name); c; c = next_element(c->next, name))

static xmlChar *attribute(const xmlNode *node, const char *name) {
        return node ? xmlGetNoNsProp(node, (const xmlChar *) name) : NULL;
}

static bool attribute_is(const xmlNode *node, const char *name, const char *value) {
        _cleanup_string_ xmlChar *s = attribute(node, name);

        return s && strcmp((const char *) s, value) == 0;
}

static bool attribute_present(const xmlNode *node, const char *name) {
        _cleanup_string_ xmlChar *s = attribute(node, name);

        return s;
}

/* The suffixes of libvirt's virScaleInteger: "b", "byte", "bytes"; k, m, g, t, p, e in either case, alone or with "iB" powers of 1024,
 * with "B" powers of 1000. No unit: KiB. */
static int unit_scale(const char *unit, uint64_t *ret) {
        static const char letters[] = "kmgtpe";
        const char *letter;
        uint64_t base, scale = 1;

        if (!unit || !unit[0]) {
                *ret = 1024;
                return 0;
        }
        if (strcasecmp(unit, "b") == 0 || strcasecmp(unit, "byte") == 0 || strcasecmp(unit, "bytes") == 0) {
                *ret = 1;
                return 0;
        }
        letter = strchr(letters, unit[0] | 0x20);
        if (!letter || !letter[0])
                return -EINVAL;
        if (!unit[1] || strcasecmp(unit + 1, "iB") == 0)
                base = 1024;
        else if (strcasecmp(unit + 1, "b") == 0)
                base = 1000;
        else
                return -EINVAL;
        for (const char *p = letters; p <= letter; p++)
                scale *= base;
        *ret = scale;
        return 0;
}

/* <memory unit='KiB'>1048576</memory> */
static int parse_memory(const xmlNode *node, uint64_t *ret_bytes) {
        _cleanup_string_ xmlChar *unit = attribute(node, "unit"), *content = xmlNodeGetContent(node);
        uint64_t number, scale;

        if (!content || parse_u64((const char *) content, &number) < 0 || unit_scale((const char *) unit, &scale) < 0)
                return -EBADMSG;
        number = u64_mul(number, scale);
        /* Beyond what JSON and the policy's arithmetic hold: no machine, a mistake. */
        if (number > INT64_MAX)
                return -EBADMSG;
        *ret_bytes = number;
        return 0;
}

static uint32_t parse_u32(const xmlChar *s) {
        uint64_t n;

        return s && parse_u64((const char *) s, &n) >= 0 && n <= UINT32_MAX ? (uint32_t) n : 0;
}

/* "0-3,^2,5": libvirt's form of a node set. Nodes from 64 on do not fit the mask; -ERANGE. */
static int parse_nodeset(const char *s, uint64_t *ret) {
        uint64_t mask = 0;

        while (*s) {
                bool exclude = *s == '^';
                unsigned first, last;
                int n = 0;

                s += exclude;
                if (*s < '0' || *s > '9' || sscanf(s, "%4u%n", &first, &n) != 1)
                        return -EINVAL;
                s += n;
                last = first;
                if (*s == '-') {
                        s++;
                        if (*s < '0' || *s > '9' || sscanf(s, "%4u%n", &last, &n) != 1)
                                return -EINVAL;
                        s += n;
                }
                if (last < first)
                        return -EINVAL;
                if (last >= VIRT_NODES_MAX)
                        return -ERANGE;
                for (unsigned node = first; node <= last; node++)
                        mask = exclude ? mask & ~(UINT64_C(1) << node) : mask | UINT64_C(1) << node;
                if (*s == ',')
                        s++;
                else if (*s)
                        return -EINVAL;
        }
        *ret = mask;
        return 0;
}

/* "restrictive" binds through the cpuset cgroup alone, but as strictly as "strict", which is the default; "preferred" and "interleave" may go
 * elsewhere. Which nodes placement='auto' means only numad knows. False: this part of memory is not bound to known nodes. */
static bool parse_numa_binding(const xmlNode *node, uint64_t *mask) {
        _cleanup_string_ xmlChar *nodeset = attribute(node, "nodeset");
        uint64_t nodes;

        if (attribute_present(node, "mode") && !attribute_is(node, "mode", "strict") && !attribute_is(node, "mode", "restrictive"))
                return false;
        if (!nodeset || parse_nodeset((const char *) nodeset, &nodes) < 0 || nodes == 0)
                return false;
        *mask |= nodes;
        return true;
}

/* <memory> is for all cells of the guest that have no <memnode> of their own. Bound is who has no memory that is not. */
static void parse_numa(const xmlNode *domain, struct virt_domain_info *info) {
        const xmlNode *numatune = child(domain, "numatune"), *memory = child(numatune, "memory");
        size_t cells = 0, bound = 0;
        uint64_t mask = 0;

        FOR_EACH_CHILD(cell, child(child(domain, "cpu"), "numa"), "cell")
                cells++;
        FOR_EACH_CHILD(node, numatune, "memnode") {
                if (!parse_numa_binding(node, &mask))
                        return;
                bound++;
        }
        if (memory ? !parse_numa_binding(memory, &mask) : bound == 0 || bound < cells)
                return;
        info->numa_strict = true;
        info->node_mask = mask;
}

static void parse_backing(const xmlNode *domain, struct virt_domain_info *info) {
        const xmlNode *backing = child(domain, "memoryBacking"), *source = child(backing, "source");

        info->hugepages = child(backing, "hugepages");
        info->locked = child(backing, "locked");
        info->nosharepages = child(backing, "nosharepages");
        info->shared_memory = attribute_is(source, "type", "memfd") || attribute_is(source, "type", "file") ||
                              attribute_is(child(backing, "access"), "mode", "shared");
        FOR_EACH_CHILD(cell, child(child(domain, "cpu"), "numa"), "cell")
                if (attribute_is(cell, "memAccess", "shared"))
                        info->shared_memory = true;
}

/* Whatever lets a device write the guest's memory by itself pins all of it: VFIO (PCI, mediated, NVMe disks, network interfaces handed
 * over) and vhost-vDPA. QEMU then ignores the balloon (ram_block_discard_disable). */
static bool pins_memory(const xmlNode *devices) {
        FOR_EACH_CHILD(node, devices, "hostdev")
                if (attribute_is(node, "type", "pci") || attribute_is(node, "type", "mdev"))
                        return true;
        FOR_EACH_CHILD(node, devices, "interface")
                if (attribute_is(node, "type", "hostdev") || attribute_is(node, "type", "vdpa"))
                        return true;
        FOR_EACH_CHILD(node, devices, "disk")
                if (attribute_is(node, "type", "nvme") || attribute_is(node, "type", "vhostvdpa"))
                        return true;
        return false;
}

static void parse_channel(const xmlNode *devices, struct virt_domain_info *info) {
        FOR_EACH_CHILD(node, devices, "channel") {
                _cleanup_string_ xmlChar *path = NULL;

                if (!attribute_is(node, "type", "unix") || !attribute_is(child(node, "target"), "name", DOMAIN_XML_CHANNEL_NAME))
                        continue;
                path = attribute(child(node, "source"), "path");
                if (path && strlen((const char *) path) < sizeof(info->channel_path))
                        strcpy(info->channel_path, (const char *) path);
                return;
        }
}

static void parse_devices(const xmlNode *devices, struct virt_domain_info *info) {
        const xmlNode *balloon = child(devices, "memballoon");
        _cleanup_string_ xmlChar *period = attribute(child(balloon, "stats"), "period");

        info->has_balloon = attribute_present(balloon, "model") && !attribute_is(balloon, "model", "none");
        info->autodeflate = attribute_is(balloon, "autodeflate", "on");
        info->stats_period_sec = parse_u32(period);
        info->hostdev = pins_memory(devices);
        parse_channel(devices, info);
}

/* libvirt never writes a DTD; without one there are no entities, so none can grow and none can name a file. */
static void refuse_dtd(void *parser, const xmlChar *name, const xmlChar *external, const xmlChar *system) {
        xmlStopParser(parser);
}

void domain_xml_init(void) {
        xmlInitParser();
}

int domain_xml_parse(const char *xml, size_t size, struct virt_domain_info *ret) {
        struct virt_domain_info info = { .metadata = { .floor_ppm = AEROSTAT_UNKNOWN } };
        _cleanup_(free_parser) xmlParserCtxtPtr parser = NULL;
        _cleanup_(free_doc) xmlDocPtr doc = NULL;
        const xmlNode *domain, *memory, *current, *metadata;

        if (size > DOMAIN_XML_SIZE_MAX)
                return -E2BIG;
        parser = xmlNewParserCtxt();
        if (!parser)
                return -ENOMEM;
        parser->sax->internalSubset = refuse_dtd;
        doc = xmlCtxtReadMemory(parser, xml, (int) size, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
        if (!doc)
                return parser->lastError.code == XML_ERR_NO_MEMORY ? -ENOMEM : -EBADMSG;
        domain = xmlDocGetRootElement(doc);
        if (!domain || !is_element(domain, "domain"))
                return -EBADMSG;
        memory = child(domain, "memory");
        if (!memory || parse_memory(memory, &info.max_bytes) < 0)
                return -EBADMSG;
        current = child(domain, "currentMemory");
        if (!current)
                info.current_bytes = info.max_bytes;
        else if (parse_memory(current, &info.current_bytes) < 0)
                return -EBADMSG;
        info.secure = child(domain, "launchSecurity");
        parse_backing(domain, &info);
        parse_numa(domain, &info);
        parse_devices(child(domain, "devices"), &info);
        metadata = child(domain, "metadata");
        if (metadata)
                domain_policy_parse(metadata, &info.metadata);
        *ret = info;
        return 0;
}
