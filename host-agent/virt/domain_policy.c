/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/virt/domain_policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/virt/domain_xml.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define WEIGHT_MAX 1000000u
#define PRIORITY_MAX 1000u

static const char *const attribute_names[] = { "floor", "weight", "priority", "managed", NULL };

/* Sets nothing but the sentence: half a policy is worse than none, because an operator would believe in the other half. */
__attribute__((format(printf, 2, 3))) static void refuse(struct virt_metadata *ret, const char *format, ...) {
        va_list ap;

        *ret = (struct virt_metadata) { .floor_ppm = AEROSTAT_UNKNOWN };
        va_start(ap, format);
        vsnprintf(ret->error, sizeof(ret->error), format, ap);
        va_end(ap);
        /* Values are an operator's free text and end up in logs and on terminals. */
        for (char *p = ret->error; *p; p++)
                if (*p < ' ' || *p > '~')
                        *p = '?';
}

static int parse_number(const char *value, uint64_t max, uint64_t *ret) {
        uint64_t number;
        int r = parse_u64(value, &number);

        if (r < 0)
                return r;
        if (number > max)
                return -ERANGE;
        *ret = number;
        return 0;
}

static int parse_attribute(struct virt_metadata *policy, const char *name, const char *value) {
        const char *nearest;
        int r;

        switch (parse_choice(name, attribute_names)) {
        case 0:
                policy->has_floor = true;
                r = parse_percent(value, &policy->floor_ppm);
                if (r >= 0 && policy->floor_ppm > PPM_ONE)
                        r = -ERANGE;
                else if (r == -EINVAL) {
                        policy->floor_ppm = AEROSTAT_UNKNOWN;
                        r = parse_size(value, &policy->floor_bytes);
                }
                if (r < 0)
                        refuse(policy, "floor='%.40s' is not a size such as 512MiB or a share such as 25%%", value);
                return r;
        case 1:
                policy->has_weight = true;
                r = parse_number(value, WEIGHT_MAX, &policy->weight);
                if (r < 0)
                        refuse(policy, "weight='%.40s' is not a number from 0 to %u", value, WEIGHT_MAX);
                return r;
        case 2:
                policy->has_priority = true;
                r = parse_number(value, PRIORITY_MAX, &policy->priority);
                if (r < 0)
                        refuse(policy, "priority='%.40s' is not a number from 0 to %u", value, PRIORITY_MAX);
                return r;
        case 3:
                policy->has_managed = true;
                r = parse_bool(value, &policy->managed);
                if (r < 0)
                        refuse(policy, "managed='%.40s' is neither yes nor no", value);
                return r;
        default:
                nearest = parse_nearest(name, attribute_names);
                refuse(policy, "there is no attribute '%.40s'%s%s%s", name, nearest ? "; did you mean '" : "", nearest ?: "",
                       nearest ? "'?" : " (known: floor, weight, priority, managed)");
                return -EINVAL;
        }
}

static bool is_policy(const xmlNode *node) {
        return node->type == XML_ELEMENT_NODE && node->ns && node->ns->href && strcmp((const char *) node->name, "policy") == 0 &&
               strcmp((const char *) node->ns->href, DOMAIN_XML_POLICY_NAMESPACE) == 0;
}

void domain_policy_parse(const xmlNode *metadata, struct virt_metadata *ret) {
        struct virt_metadata policy = { .floor_ppm = AEROSTAT_UNKNOWN };
        const xmlNode *node = NULL;

        *ret = policy;
        for (const xmlNode *child = metadata->children; child; child = child->next) {
                if (!is_policy(child))
                        continue;
                if (node) {
                        refuse(ret, "there are two policy elements");
                        return;
                }
                node = child;
        }
        if (!node)
                return;
        for (const xmlNode *child = node->children; child; child = child->next)
                if (child->type == XML_ELEMENT_NODE) {
                        refuse(ret, "there is no element '%.40s' inside policy", (const char *) child->name);
                        return;
                }
        for (const xmlAttr *attr = node->properties; attr; attr = attr->next) {
                xmlChar *value;
                int r;

                if (attr->ns) /* of another namespace: somebody else's */
                        continue;
                value = xmlNodeListGetString(node->doc, attr->children, 1);
                r = parse_attribute(&policy, (const char *) attr->name, value ? (const char *) value : "");
                xmlFree(value);
                if (r < 0)
                        break;
        }
        *ret = policy;
}

/* The largest unit that leaves nothing over, so that what was written is what was meant. */
static int format_floor(const struct virt_metadata *policy, char *buf, size_t size) {
        static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
        uint64_t n = policy->floor_bytes;
        size_t unit = 0;

        if (policy->floor_ppm != AEROSTAT_UNKNOWN) {
                unsigned decimals = (unsigned) (policy->floor_ppm % 10000);

                if (policy->floor_ppm > PPM_ONE)
                        return -EINVAL;
                if (decimals == 0)
                        return snprintf(buf, size, " floor='%" PRIu64 "%%'", policy->floor_ppm / 10000);
                return snprintf(buf, size, " floor='%" PRIu64 ".%04u%%'", policy->floor_ppm / 10000, decimals);
        }
        if (n > INT64_MAX)
                return -EINVAL;
        while (n > 0 && n % 1024 == 0 && unit + 1 < ARRAY_SIZE(units)) {
                n /= 1024;
                unit++;
        }
        return snprintf(buf, size, " floor='%" PRIu64 "%s'", n, units[unit]);
}

int domain_xml_format_policy(const struct virt_metadata *metadata, char *buf, size_t size) {
        char floor[40] = "", weight[40] = "", priority[40] = "", managed[20] = "";
        int r;

        if (metadata->has_floor) {
                r = format_floor(metadata, floor, sizeof(floor));
                if (r < 0)
                        return r;
        }
        if (metadata->has_weight) {
                if (metadata->weight > WEIGHT_MAX)
                        return -EINVAL;
                snprintf(weight, sizeof(weight), " weight='%" PRIu64 "'", metadata->weight);
        }
        if (metadata->has_priority) {
                if (metadata->priority > PRIORITY_MAX)
                        return -EINVAL;
                snprintf(priority, sizeof(priority), " priority='%" PRIu64 "'", metadata->priority);
        }
        if (metadata->has_managed)
                snprintf(managed, sizeof(managed), " managed='%s'", metadata->managed ? "yes" : "no");
        if (!floor[0] && !weight[0] && !priority[0] && !managed[0]) {
                if (size < 1)
                        return -ENOBUFS;
                buf[0] = '\0';
                return 0;
        }
        r = snprintf(buf, size, "<policy%s%s%s%s/>", floor, weight, priority, managed);
        return r < 0 || (size_t) r >= size ? -ENOBUFS : 0;
}
