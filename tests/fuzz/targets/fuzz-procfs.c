/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The parsers of /proc. What they hand out is either unknown or a number that was there. */

#include "protocol/procfs.h"
#include "protocol/units.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_string(data, size);
        struct pressure pressure;
        struct meminfo meminfo;
        struct vmstat vmstat;

        if (meminfo_parse(text, &meminfo) == 0)
                CHECK(meminfo.total_bytes != AEROSTAT_UNKNOWN && meminfo.free_bytes != AEROSTAT_UNKNOWN);
        (void) vmstat_parse(text, &vmstat);
        if (pressure_parse(text, &pressure) == 0) {
                CHECK(pressure.some_avg10_ppm <= PPM_ONE || pressure.some_avg10_ppm == AEROSTAT_UNKNOWN);
                CHECK(pressure.full_avg10_ppm <= PPM_ONE || pressure.full_avg10_ppm == AEROSTAT_UNKNOWN);
        }
        free(text);
        return 0;
}
