/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The state file: any text is taken or refused with a line, and what was taken is written as a text that reads back the same. */

#include <errno.h>

#include "host-agent/state/state_file.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = NULL, *first = NULL, *second = NULL;
        struct state state;
        unsigned line = 0;
        int r;

        if (size > 64 * 1024)
                return 0;
        text = fuzz_string(data, size);
        r = state_parse(text, &state, &line);
        if (r < 0) {
                CHECK(r == -EBADMSG && line > 0);
                return 0;
        }
        CHECK(state_format(&state, &first) == 0);
        state_done(&state);
        CHECK(state_parse(first, &state, &line) == 0);
        CHECK(state_format(&state, &second) == 0);
        CHECK(strcmp(first, second) == 0);
        state_done(&state);
        return 0;
}
