/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an alert says to a person: what is the matter, with its numbers, and what to do about it. No state. */

#include "host-agent/policy/alerts.h"

#define ALERT_TEXT_MAX 512

/* A sentence that begins with the VM's name where it is about one ("web1 waits for memory 31 % of the time ..."). Returns buf. */
char *alert_message(const struct alert *alert, char buf[static ALERT_TEXT_MAX]);

/* What to do; names the command where there is one. */
const char *alert_advice(enum alert_name name);
