/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The report's figures over a restart, in FOLDER/report: rows of numbers in the order of the structs' fields (report.h), written seldom and replaced
 * as a whole (state_file.h). The reader takes all of it or nothing.
 *
 *      aerostat-report 1
 *      hour 495000 3600000 ...                       rising
 *      vm UUID NAME                                  the last seen name; may hold spaces
 *      day 20625 86400000 ...                        of the VM above; rising
 */

#include "host-agent/state/report.h"

/* The text to *ret, which the caller frees. -ENOMEM. */
int report_format(const struct report *report, char **ret);

/* -EBADMSG with the number of the line that is wrong, -ENOMEM. ret: overwritten on success; report_done() frees it. */
int report_parse(const char *text, struct report *ret, unsigned *ret_line);

/* Reads FOLDER/report. -ENOENT: there is none; -EBADMSG: not taken, with the line (0: too large); other errno. */
int report_load(const char *folder, struct report *ret, unsigned *ret_line);
