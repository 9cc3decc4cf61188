/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/message.h"

#include <errno.h>
#include <string.h>

#include "protocol/base.h"

/* Shares are computed in parts per million; more digits than this would only show the noise of binary fractions
 * (0.29999999999999999). */
#define REPLY_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(9))

/* How deep brackets nest outside strings; stops counting above the limit. Malformed text may give any number: jansson refuses it
 * afterwards. */
static unsigned nesting(const char *text, size_t size) {
        unsigned depth = 0, deepest = 0;
        bool in_string = false;

        for (size_t i = 0; i < size && deepest <= VARLINK_DEPTH_MAX; i++) {
                char c = text[i];

                if (in_string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                in_string = false;
                } else if (c == '"')
                        in_string = true;
                else if (c == '{' || c == '[')
                        deepest = MAX(deepest, ++depth);
                else if ((c == '}' || c == ']') && depth > 0)
                        depth--;
        }
        return deepest;
}

static bool method_name_is_valid(const char *name) {
        size_t length = strlen(name);

        return length <= VARLINK_METHOD_NAME_MAX && strchr(name, '.') &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == length;
}

/* Takes the members of the call. Returns NULL, or what is wrong with them. */
static const char *take_members(struct varlink_message *message) {
        const char *key;
        json_t *value;

        json_object_foreach(message->root, key, value) {
                if (strcmp(key, "method") == 0) {
                        if (!json_is_string(value) || !method_name_is_valid(json_string_value(value)))
                                return "\"method\" must be the full name of a method, for instance \"org.aerostat.Host.Status\"";
                        message->method = json_string_value(value);
                } else if (strcmp(key, "parameters") == 0) {
                        if (!json_is_object(value))
                                return "\"parameters\" must be an object";
                        message->parameters = value;
                } else if (strcmp(key, "more") == 0 || strcmp(key, "oneway") == 0) {
                        if (!json_is_boolean(value))
                                return "\"more\" and \"oneway\" must be true or false";
                        *(key[0] == 'm' ? &message->more : &message->oneway) = json_is_true(value);
                } else if (strcmp(key, "upgrade") != 0 || !json_is_false(value))
                        return "a call has the members method, parameters, more and oneway, and no others";
        }
        if (!message->method)
                return "the call names no \"method\"";
        if (message->more && message->oneway)
                return "\"more\" and \"oneway\" exclude each other";
        return NULL;
}

int varlink_message_parse(const char *text, size_t size, struct varlink_message *ret, const char **ret_error) {
        struct varlink_message message = {};
        json_error_t e;

        if (nesting(text, size) > VARLINK_DEPTH_MAX) {
                *ret_error = "the message nests too deeply";
                return -EBADMSG;
        }
        message.root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &e);
        if (!message.root) {
                if (json_error_code(&e) == json_error_out_of_memory)
                        return -ENOMEM;
                *ret_error = json_error_code(&e) == json_error_duplicate_key ? "a key appears twice in one object"
                                                                             : "the message is not valid JSON";
                return -EBADMSG;
        }
        *ret_error = json_is_object(message.root) ? take_members(&message) : "a call is a JSON object";
        if (*ret_error) {
                varlink_message_done(&message);
                return -EBADMSG;
        }
        if (!message.parameters) {
                message.parameters = json_object();
                if (!message.parameters || json_object_set_new_nocheck(message.root, "parameters", message.parameters) < 0) {
                        varlink_message_done(&message);
                        return -ENOMEM;
                }
        }
        *ret = message;
        return 0;
}

void varlink_message_done(struct varlink_message *message) {
        json_decref(message->root);
        *message = (struct varlink_message) {};
}

char *varlink_reply_format(const char *error, json_t *parameters, bool continues, size_t *ret_size) {
        json_t *reply = json_object();
        char *text = NULL;
        int r = 0;

        if (error)
                r |= json_object_set_new(reply, "error", json_string(error));
        r |= json_object_set(reply, "parameters", parameters);
        if (continues)
                r |= json_object_set_new(reply, "continues", json_true());
        if (r == 0)
                text = json_dumps(reply, REPLY_FLAGS);
        json_decref(reply);
        if (text)
                *ret_size = strlen(text) + 1; /* jansson escapes NUL: the only one is the last, and that is the one that the wire wants */
        return text;
}
