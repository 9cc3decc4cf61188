/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the kernel says about KSM, what /proc/swaps says to the guest agent, and the file of changes that a killed daemon left. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-agent/zram.h"
#include "host-agent/system/ksm_parsers.h"
#include "host-agent/system/undo.h"
#include "tests/fuzz/fuzz.h"

static char folder[] = "/tmp/aerostat-fuzz-XXXXXX";

static void remove_folder(void) {
        (void) rmdir(folder);
}

static void fuzz_undo(const uint8_t *data, size_t size) {
        static char path[64];
        struct undo *undo = NULL;
        int fd, error;

        if (!path[0]) {
                if (!mkdtemp(folder))
                        abort();
                snprintf(path, sizeof(path), "%s/undo", folder);
                (void) atexit(remove_folder);
        }
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, data, size) != (ssize_t) size)
                abort();
        close(fd);
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* nothing of the host lies below it, so nothing is written */
        if (undo_new(&undo, fd, folder) == 0) {
                const char *entry, *value;

                for (size_t i = 0; undo_entry(undo, i, &entry, &value); i++)
                        CHECK(*entry && undo_value(undo, entry));
                (void) undo_restore_files(undo, "sys/kernel/mm/ksm/", &error);
                undo_forget(undo, "");
        }
        undo_free(undo);
        close(fd);
        (void) unlink(path);
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
        free(text);
        fuzz_undo(data, size);
        return 0;
}
