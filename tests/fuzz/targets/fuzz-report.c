/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The report file: any text is taken or refused with a line; what was taken is written as a text that reads back the same, and can be summed up. */

#include <errno.h>

#include "host-agent/state/report_file.h"
#include "tests/fuzz/fuzz.h"

static void sum_up(const struct report *report) {
        const uint64_t now[] = { 0, 1, UINT32_MAX, UINT64_C(3600) * UINT32_MAX, UINT64_MAX };
        struct report_vm_sum vm;
        struct report_sum host;

        for (size_t k = 0; k < ARRAY_SIZE(now); k++) {
                report_sum_host(report, now[k], UINT64_MAX, &host);
                CHECK(host.dry_run_msec <= host.watched_msec || host.watched_msec > 0 || host.dry_run_msec == 0);
                for (size_t i = 0; i < report->n_vms; i++)
                        report_sum_vm(report->vms[i], now[k], 86400, &vm);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = NULL, *first = NULL, *second = NULL;
        struct report report;
        unsigned line = 0;
        int r;

        if (size > 64 * 1024)
                return 0;
        text = fuzz_string(data, size);
        r = report_parse(text, &report, &line);
        if (r < 0) {
                CHECK(r == -EBADMSG && line > 0);
                return 0;
        }
        sum_up(&report);
        CHECK(report_format(&report, &first) == 0);
        report_done(&report);
        CHECK(report_parse(first, &report, &line) == 0);
        CHECK(report_format(&report, &second) == 0);
        CHECK(strcmp(first, second) == 0);
        report_done(&report);
        return 0;
}
