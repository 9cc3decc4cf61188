/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file of histories: any bytes are taken or refused, and what was taken is written as the very same bytes. */

#include <errno.h>

#include "host-agent/state/history_file.h"
#include "tests/fuzz/fuzz.h"

#define ENTRIES_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint8_t boot_id[16] = "0123456789abcdef";
        struct history_kept kept = { .bytes = malloc(size + 1), .size = size };
        struct history_entry entries[ENTRIES_MAX];
        struct history *histories = calloc(ENTRIES_MAX, sizeof(*histories));
        char *written = NULL;
        size_t n = 0, n_written = 0;
        FILE *f;
        int r;

        CHECK(kept.bytes && histories);
        memcpy(kept.bytes, data, size);
        r = history_file_check(kept.bytes, size, boot_id, 1000000);
        CHECK(r == 0 || r == -EBADMSG || r == -ESTALE);
        if (r == 0) {
                /* The header is 35 bytes, an entry 20 and 20 for each point. */
                for (const uint8_t *p = kept.bytes + 35; p < kept.bytes + size && n < ENTRIES_MAX; n++) {
                        entries[n] = (struct history_entry) { .uuid = p, .history = &histories[n] };
                        CHECK(history_kept_find(&kept, p, &histories[n]));
                        p += 20 + 20 * (histories[n].n_fine + histories[n].n_coarse);
                }
                f = open_memstream(&written, &n_written);
                CHECK(f && history_file_write(f, boot_id, entries, n) == 0);
                fclose(f);
                CHECK(n_written <= size && memcmp(written, data, n_written) == 0 && (n == ENTRIES_MAX || n_written == size));
                free(written);
        }
        free(histories);
        history_kept_done(&kept);
        return 0;
}
