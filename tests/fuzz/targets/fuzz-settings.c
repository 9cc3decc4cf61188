/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* aerostatd.conf: any text is taken or refused with a sentence, and what was taken prints as a text that reads back the same. */

#include "host-agent/settings/settings.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static struct settings first, second;
        _cleanup_free_ char *text = NULL, *printed = NULL;
        char error[SETTINGS_ERROR_MAX] = "";
        struct settings_vm vm;

        if (size > 64 * 1024)
                return 0;
        text = fuzz_string(data, size);
        settings_init(&first);
        if (settings_parse("fuzz", text, &first, error) < 0) {
                CHECK(strncmp(error, "fuzz:", 5) == 0);
                return 0;
        }
        settings_for_vm(&first, text, &vm);
        CHECK(vm.has_managed && vm.has_floor && vm.has_weight && vm.has_priority);
        CHECK(settings_floor_bytes(&vm, 1 << 30) <= 1 << 30);

        CHECK(settings_format(&first, &printed) == 0);
        settings_init(&second);
        CHECK(settings_parse("again", printed, &second, error) == 0);
        CHECK(memcmp(&first, &second, sizeof(first)) == 0);
        return 0;
}
