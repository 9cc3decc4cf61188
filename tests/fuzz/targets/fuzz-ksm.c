/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the kernel says about KSM, what /proc/swaps says to the guest agent, and the file of changes that a killed daemon left. */

#include <stdbool.h>
#include <stdlib.h>

#include "guest-agent/zram.h"
#include "host-agent/system/ksm_parsers.h"
#include "host-agent/system/undo.h"
#include "protocol/units.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/tree.h"

static struct tree tree;               /* nothing of the host lies below it, so nothing is written */

static void remove_tree(void) {
        tree_remove(&tree);
}

static void fuzz_undo(const uint8_t *data, size_t size) {
        static const struct tree_file none[] = { { NULL, NULL } };
        struct undo *undo = NULL;
        int error;

        if (!tree.path[0]) {
                tree = tree_make(none);
                (void) atexit(remove_tree);
        }
        if (!tree_put(&tree, "undo", (const char *) data, size))
                abort();
        if (undo_new(&undo, tree.fd, tree.path) == 0) {
                const char *entry, *value;

                for (size_t i = 0; undo_entry(undo, i, &entry, &value); i++)
                        CHECK(*entry && undo_value(undo, entry));
                (void) undo_restore_files(undo, "sys/kernel/mm/ksm/", &error);
                undo_forget(undo, "");
        }
        undo_free(undo);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_string(data, size);
        struct ksm_process process = { 0 };
        uint64_t number, advisor;
        unsigned index = 0;
        int64_t value;
        int r;

        (void) ksm_parse_signed(text, &value);
        advisor = ksm_parse_advisor(text);
        CHECK(advisor == 0 || advisor == 1 || advisor == AEROSTAT_UNKNOWN);
        ksm_parse_process(text, 4096, &process);
        (void) ksm_parse_thread(text, &number);
        (void) ksm_parse_schedstat(text);
        r = zram_parse_swaps(text, &index);
        CHECK(r >= 0 && r <= 2 && (r == 2 || index == 0));
        CHECK(zram_fits(text, index, GIB, &number, &advisor) == (number <= advisor));
        free(text);
        fuzz_undo(data, size);
        return 0;
}
