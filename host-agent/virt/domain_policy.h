/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The policy element of a domain's metadata; for domain_xml.c only. */

#include <libxml/tree.h>

#include "host-agent/virt/virt.h"

/* Reads the policy among the children of <metadata>; see struct virt_metadata. */
void domain_policy_parse(const xmlNode *metadata, struct virt_metadata *ret);
