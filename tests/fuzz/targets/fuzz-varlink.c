/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a client of the control socket may send. A call that is accepted has to be one, and a reply made of its parameters has to parse again. */

#include <errno.h>

#include "host-agent/control/message.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct varlink_message message = {};
        const char *error = NULL;
        size_t reply_size = 0;
        json_t *reply;
        char *text;
        int r;

        r = varlink_message_parse((const char *) data, size, &message, &error);
        if (r < 0) {
                CHECK(r == -EBADMSG && error && !message.root);
                return 0;
        }
        CHECK(strchr(message.method, '.') && strlen(message.method) <= VARLINK_METHOD_NAME_MAX);
        CHECK(json_is_object(message.parameters) && !(message.more && message.oneway));
        text = varlink_reply_format(NULL, message.parameters, message.more, &reply_size);
        CHECK(text && strlen(text) + 1 == reply_size);
        reply = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        CHECK(json_is_object(reply));
        json_decref(reply);
        free(text);
        varlink_message_done(&message);
        return 0;
}
