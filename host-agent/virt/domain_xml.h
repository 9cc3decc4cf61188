/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a domain's live XML (virDomainGetXMLDesc) says about its memory, and the policy in its metadata.
 * The document comes from libvirtd, but names, descriptions and metadata in it come from whoever may define domains: it is parsed without
 * network, DTD or entities and with a cap on its size. No libvirt here. Any thread, after domain_xml_init().
 */

#include <stddef.h>

#include "host-agent/virt/virt.h"

/* libvirt itself refuses strings above 4 MiB on its wire (VIR_NET_MESSAGE_STRING_MAX). */
#define DOMAIN_XML_SIZE_MAX (4u * 1024 * 1024)

#define DOMAIN_XML_CHANNEL_NAME "org.aerostat.guest.0"
#define DOMAIN_XML_POLICY_NAMESPACE "urn:aerostat:policy:1"
#define DOMAIN_XML_POLICY_PREFIX "aerostat" /* what libvirt calls the key; any prefix is understood when read */

/* Prepares libxml2 for use by several threads. Main thread, once, before any of them parses. */
void domain_xml_init(void);

/* Fills *ret from the XML. Elements that are missing leave false, 0 or "". Bad metadata is no failure: it is refused as a whole, and
 * ret->metadata.error says why. -EBADMSG: not a domain, not well-formed, a DTD, or a memory size that cannot be understood; -E2BIG; -ENOMEM. */
int domain_xml_parse(const char *xml, size_t size, struct virt_domain_info *ret);

/* Writes the metadata element as virDomainSetMetadata wants it (libvirt adds the namespace): "<policy floor='512MiB' weight='2000'/>", or ""
 * when nothing is set. -ENOBUFS, or -EINVAL when a value is out of its range. DOMAIN_XML_POLICY_MAX always suffices. */
#define DOMAIN_XML_POLICY_MAX 160
int domain_xml_format_policy(const struct virt_metadata *metadata, char *buf, size_t size);
