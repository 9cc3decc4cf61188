/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Scenarios of aerostat-sim: any text is refused with its place, or runs, and no invariant breaks. */

#include "tests/fuzz/fuzz.h"
#include "tools/sim/run.h"
#include "tools/sim/summary.h"

#define GUESTS 16
#define STEPS 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(scenario_freep) struct scenario *scenario = NULL;
        _cleanup_(run_freep) struct run *run = NULL;
        _cleanup_free_ char *text = NULL;
        char error[READER_ERROR_MAX] = "";
        json_t *summary;

        if (size > 16 * 1024)
                return 0;
        text = fuzz_string(data, size);
        if (strstr(text, "csv") || strstr(text, "\\u")) /* no files */
                return 0;
        if (scenario_parse("fuzz", text, &scenario, error) < 0) {
                CHECK(strncmp(error, "fuzz:", 5) == 0);
                return 0;
        }
        if (scenario->n_guests > GUESTS)
                return 0;
        scenario->duration_usec = MIN(scenario->duration_usec, STEPS * scenario->step_usec);
        CHECK(run_new(&run, scenario, BASELINE_NONE) == 0);
        summary = summary_new(run);
        CHECK(summary);
        if (summary_expect(summary, scenario->expect, "fuzz", error) < 0)
                CHECK(strncmp(error, "fuzz:", 5) == 0);
        json_decref(summary);
        CHECK(run_all(run) == 0);
        CHECK(invariants_total(&run->violations) == 0);
        return 0;
}
