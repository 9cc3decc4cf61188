/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The line source in front of libinih, and the agent's settings behind it. */

#include <ini.h>
#include <stdio.h>

#include "guest-agent/config.h"
#include "protocol/base.h"
#include "protocol/ini_lines.h"
#include "protocol/units.h"
#include "tests/fuzz/fuzz.h"

struct reader {
        struct ini_lines lines;
        const char *text;
        char line[INI_LINE_MAX + 2]; /* the one in hand */
};

static char *read_line(char *buf, int size, void *stream) {
        struct reader *reader = stream;
        char *line = ini_lines_read(buf, size, &reader->lines);

        if (line) {
                CHECK(strlen(line) < sizeof(reader->line));
                strcpy(reader->line, line);
        }
        return line;
}

/* What libinih makes of a line has to be in that line: nothing leaks from one into the next (inih issue #145), and nothing is cut. */
static int handle(void *userdata, const char *section, const char *name, const char *value) {
        const struct reader *reader = userdata;
        char header[INI_SECTION_MAX + 3];

        CHECK(strstr(reader->line, name) && strstr(reader->line, value));
        CHECK(strlen(section) <= INI_SECTION_MAX);
        snprintf(header, sizeof(header), "[%s]", section);
        CHECK(!*section || strstr(reader->text, header));
        return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_string(data, size), error[CONFIG_ERROR_MAX];
        struct reader reader = { .lines.next = text, .text = text };
        struct config config;

        (void) ini_parse_stream(read_line, &reader, handle, &reader);
        CHECK((reader.lines.error == NULL) == (reader.lines.error_line == 0));
        memset(error, 0, sizeof(error));
        if (config_parse(text, "f", &config, error) < 0)
                CHECK(strncmp(error, "f:", 2) == 0 && strlen(error) < sizeof(error));
        else {
                CHECK(config.port[0] && memchr(config.port, 0, sizeof(config.port)));
                CHECK(config.psi_stall_usec <= config.psi_window_usec && config.psi_window_usec <= 10 * USEC_PER_SEC);
                CHECK(config.oom_score_adj >= -1000 && config.oom_score_adj <= 1000);
        }
        free(text);
        return 0;
}
