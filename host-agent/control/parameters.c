/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/control/varlink.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define SECONDS_MAX (10.0 * 365 * 86400)
#define PARAMETERS_MAX 16

static int refuse(struct varlink_call *call, const char *parameter, const char *sentence) {
        varlink_error(call, "org.varlink.service.InvalidParameter",
                      json_pack("{s:s, s:s}", "parameter", parameter, "message", sentence));
        return -EINVAL;
}

/* Returns NULL, or what the value has to be. */
static const char *take(const struct varlink_parameter *p, const json_t *value) {
        switch (p->type) {
        case VARLINK_STRING:
                if (!json_is_string(value) || json_string_length(value) == 0)
                        return "text that is not empty";
                *(const char **) p->ret = json_string_value(value);
                return NULL;
        case VARLINK_BYTES:
                if (!json_is_integer(value) || json_integer_value(value) < 0)
                        return "a whole number of bytes, from 0 to 2^63-1";
                *(uint64_t *) p->ret = (uint64_t) json_integer_value(value);
                return NULL;
        case VARLINK_SECONDS:
                if (!json_is_number(value) || !(json_number_value(value) > 0) || json_number_value(value) > SECONDS_MAX)
                        return "a number of seconds, more than 0 and at most ten years";
                *(uint64_t *) p->ret = (uint64_t) (json_number_value(value) * (double) USEC_PER_SEC);
                return NULL;
        case VARLINK_RATIO:
                if (!json_is_number(value) || !(json_number_value(value) >= 0) || json_number_value(value) > 1)
                        return "a share, from 0 to 1";
                *(uint64_t *) p->ret = (uint64_t) (json_number_value(value) * (double) PPM_ONE + 0.5);
                return NULL;
        case VARLINK_BOOL:
                if (!json_is_boolean(value))
                        return "true or false";
                *(bool *) p->ret = json_is_true(value);
                return NULL;
        case VARLINK_COUNT:
                if (!json_is_integer(value) || json_integer_value(value) < 0)
                        return "a whole number that is not negative";
                *(uint64_t *) p->ret = (uint64_t) json_integer_value(value);
                return NULL;
        case VARLINK_LIST:
                if (!json_is_array(value) || json_array_size(value) > VARLINK_LIST_MAX)
                        return "a list of at most 1000 values";
                *(const json_t **) p->ret = value;
                return NULL;
        }
        return "of a type that this daemon knows";
}

static int refuse_unknown(struct varlink_call *call, const char *name, const struct varlink_parameter *list) {
        const char *names[PARAMETERS_MAX + 1] = {};
        const char *nearest;
        char sentence[256];

        for (size_t i = 0; list[i].name && i < PARAMETERS_MAX; i++)
                names[i] = list[i].name;
        nearest = parse_nearest(name, names);
        if (nearest)
                snprintf(sentence, sizeof(sentence), "this method has no parameter of this name: did you mean \"%s\"?", nearest);
        else
                snprintf(sentence, sizeof(sentence),
                         names[0] ? "this method has no parameter of this name" : "this method takes no parameters");
        return refuse(call, name, sentence);
}

int varlink_take_parameters(struct varlink_call *call, json_t *parameters, const struct varlink_parameter *list) {
        const char *name;
        json_t *value;

        json_object_foreach(parameters, name, value) {
                const struct varlink_parameter *p = list;

                while (p->name && strcmp(p->name, name) != 0)
                        p++;
                if (!p->name)
                        return refuse_unknown(call, name, list);
        }
        for (const struct varlink_parameter *p = list; p->name; p++) {
                const char *wanted;
                char sentence[256];

                value = json_object_get(parameters, p->name);
                if (!value || json_is_null(value)) {
                        if (p->required)
                                return refuse(call, p->name, "this parameter is required");
                        continue;
                }
                wanted = take(p, value);
                if (wanted) {
                        snprintf(sentence, sizeof(sentence), "\"%s\" must be %s", p->name, wanted);
                        return refuse(call, p->name, sentence);
                }
        }
        return 0;
}
