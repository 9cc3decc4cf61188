/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/doctor.h"

#include <stdarg.h>
#include <string.h>

#include "protocol/parse.h"
#include "protocol/procfs.h"

struct finding *findings_add(struct findings *findings, enum level level, const char *check, const char *why, const char *format, ...) {
        struct finding *finding;
        va_list ap;

        if (findings->n == findings->n_allocated) {
                findings->n_allocated = MAX(2 * findings->n_allocated, (size_t) 32);
                finding = reallocarray(findings->list, findings->n_allocated, sizeof(*finding));
                if (!finding) {
                        fprintf(stderr, "aerostatctl: out of memory\n");
                        exit(EXIT_FAILURE);
                }
                findings->list = finding;
        }
        finding = &findings->list[findings->n++];
        *finding = (struct finding) { .level = level, .check = check, .why = why };
        va_start(ap, format);
        (void) vsnprintf(finding->text, sizeof(finding->text), format, ap);
        va_end(ap);
        return finding;
}

void finding_remedy(struct finding *finding, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(finding->remedy, sizeof(finding->remedy), format, ap);
        va_end(ap);
}

void findings_free(struct findings *findings) {
        free(findings->list);
        *findings = (struct findings) {};
}

uint64_t doctor_number(int root_fd, const char *path) {
        char text[64];
        uint64_t value;

        if (procfs_read(root_fd, path, text, sizeof(text)) < 0)
                return AEROSTAT_UNKNOWN;
        text[strcspn(text, "\n")] = 0;
        if (strcmp(text, "Y") == 0 || strcmp(text, "N") == 0)
                return *text == 'Y';
        return parse_u64(text, &value) < 0 ? AEROSTAT_UNKNOWN : value;
}
