/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/args.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/parse.h"

#define VERBS_MAX 64

/* An option as it stands in argv: its name, and what follows "=" or NULL. */
struct option {
        char name[32];
        const char *value;
};

static const char *const global_options[] = { "--socket", "--json", "--help", "--version", NULL };

static int find_verb(const char *name, const struct verb *const *verbs, const struct verb **ret) {
        const char *names[VERBS_MAX + 1] = {};
        const char *nearest;

        for (size_t i = 0; verbs[i] && i < VERBS_MAX; i++) {
                names[i] = verbs[i]->name;
                if (strcmp(name, names[i]) == 0) {
                        *ret = verbs[i];
                        return CTL_DONE;
                }
        }
        nearest = parse_nearest(name, names);
        if (nearest)
                return complain(CTL_USAGE, "there is no verb \"%s\": did you mean \"%s\"?", name, nearest);
        return complain(CTL_USAGE, "there is no verb \"%s\"; `aerostatctl --help` lists them", name);
}

static int refuse_option(const char *name, const struct verb *verb) {
        const char *names[VERB_OPTIONS_MAX + ARRAY_SIZE(global_options)] = {};
        const char *nearest;
        size_t n = 0;

        for (size_t i = 0; verb && verb->options[i].name; i++)
                names[n++] = verb->options[i].name;
        for (size_t i = 0; global_options[i]; i++)
                names[n++] = global_options[i];
        nearest = parse_nearest(name, names);
        if (nearest)
                return complain(CTL_USAGE, "there is no option %s: did you mean %s?", name, nearest);
        if (verb)
                return complain(CTL_USAGE, "`%s` has no option %s; see `aerostatctl %s --help`", verb->name, name, verb->name);
        return complain(CTL_USAGE, "there is no option %s; see `aerostatctl --help`", name);
}

static int take_operand(const char *text, const struct verb *const *verbs, struct command *command) {
        const struct verb *verb = command->verb;
        struct args *args = &command->args;

        if (!verb)
                return find_verb(text, verbs, &command->verb);
        if (!*text) /* as of a variable that was not set, in a script */
                return complain(CTL_USAGE, "an operand of `%s` is empty; see `aerostatctl %s --help`", verb->name, verb->name);
        if (args->n_operands < verb->max_operands) {
                args->operands[args->n_operands++] = text;
                return CTL_DONE;
        }
        if (verb->extra_hint)
                return complain(CTL_USAGE, "%s %s", verb->extra_hint, text);
        return complain(CTL_USAGE, "`%s` takes %s, so \"%s\" is too much; see `aerostatctl %s --help`", verb->name,
                        verb->max_operands == 0 ? "no operands" : verb->operands, text, verb->name);
}

/* The value of an option: after "=", or the next of argv. */
static int take_value(const struct option *option, int argc, char **argv, int *i, const char **ret) {
        if (option->value)
                *ret = option->value;
        else if (*i + 1 < argc)
                *ret = argv[++*i];
        else
                *ret = "";
        return **ret ? CTL_DONE : complain(CTL_USAGE, "option %s needs a value; see `aerostatctl --help`", option->name);
}

static int take_option(const struct option *option, int argc, char **argv, int *i, struct context *context,
                       struct command *command) {
        const struct verb *verb = command->verb;
        bool takes_value = false;
        const char *given = "";
        const char **value = NULL;
        bool *flag = NULL;

        if (strcmp(option->name, "--socket") == 0 || strcmp(option->name, "-s") == 0) {
                value = &context->socket;
                takes_value = true;
        } else if (strcmp(option->name, "--json") == 0)
                flag = &context->json;
        else if (strcmp(option->name, "--help") == 0 || strcmp(option->name, "-h") == 0)
                flag = &command->help;
        else if (strcmp(option->name, "--version") == 0)
                flag = &command->version;
        for (size_t o = 0; verb && verb->options[o].name; o++)
                if (strcmp(option->name, verb->options[o].name) == 0) {
                        value = &command->args.values[o];
                        takes_value = verb->options[o].value;
                        if (*value)
                                return complain(CTL_USAGE, "option %s is given twice; `%s` takes it once", option->name, verb->name);
                }
        if (!value && !flag)
                return refuse_option(option->name, verb);
        if (takes_value && take_value(option, argc, argv, i, &given) != CTL_DONE)
                return CTL_USAGE;
        if (!takes_value && option->value)
                return complain(CTL_USAGE, "option %s takes no value", option->name);
        if (flag)
                *flag = true;
        else
                *value = given;
        return CTL_DONE;
}

static void split_option(const char *text, struct option *ret) {
        const char *equals = strncmp(text, "--", 2) == 0 ? strchr(text, '=') : NULL;
        size_t length = equals ? (size_t) (equals - text) : strlen(text);

        length = MIN(length, sizeof(ret->name) - 1);
        memcpy(ret->name, text, length);
        ret->name[length] = 0;
        ret->value = equals ? equals + 1 : NULL;
}

int args_parse(int argc, char **argv, const struct verb *const *verbs, struct context *context, struct command *ret) {
        struct command command = {};
        bool only_operands = false;

        for (int i = 1; i < argc; i++) {
                const char *text = argv[i];
                /* "-1G" is a size that somebody got wrong, not an option; "-" alone is an operand everywhere. */
                bool is_option = !only_operands && text[0] == '-' && text[1] && !isdigit((unsigned char) text[1]);
                struct option option;
                int r;

                if (is_option && strcmp(text, "--") == 0) {
                        only_operands = true;
                        continue;
                }
                if (is_option) {
                        split_option(text, &option);
                        r = take_option(&option, argc, argv, &i, context, &command);
                } else
                        r = take_operand(text, verbs, &command);
                if (r != CTL_DONE)
                        return r;
        }
        if (command.verb && !command.help && command.args.n_operands < command.verb->min_operands)
                return complain(CTL_USAGE, "`%s` needs %s; see `aerostatctl %s --help`", command.verb->name, command.verb->operands,
                                command.verb->name);
        *ret = command;
        return CTL_DONE;
}

static bool is_all_digits(const char *text) {
        return *text && strspn(text, "0123456789") == strlen(text);
}

/* "4g", "4 G", "512mb": what was meant is plain. Returns the size as it should be written, or NULL. */
static const char *size_meant(const char *text, char buf[static 32]) {
        size_t n = 0;
        uint64_t bytes;

        for (; *text && n < 31; text++)
                if (*text != ' ')
                        buf[n++] = (char) (*text == 'i' ? 'i' : toupper((unsigned char) *text));
        buf[n] = 0;
        return *text == 0 && parse_size(buf, &bytes) >= 0 ? buf : NULL;
}

int args_size(const char *text, uint64_t *ret_bytes) {
        int r = parse_size(text, ret_bytes);
        char meant[32];

        if (r >= 0)
                return CTL_DONE;
        if (r == -ERANGE)
                return complain(CTL_USAGE, "the size %s is too large: 8388607T is the most that can be written", text);
        if (*text && strspn(text, "0123456789.") == strlen(text))
                return complain(CTL_USAGE, "the size %s has no unit: did you mean %s%c?", text, text, strchr(text, '.') ? 'G' : 'M');
        if (text[0] == '-')
                return complain(CTL_USAGE, "the size %s is negative; sizes are written 512M, 4G or 1.5GiB", text);
        if (size_meant(text, meant))
                return complain(CTL_USAGE, "\"%s\" is not a size: did you mean %s?", text, meant);
        return complain(CTL_USAGE, "\"%s\" is not a size; sizes are written 512M, 4G or 1.5GiB (K M G T are powers of 1024)", text);
}

int args_duration(const char *text, uint64_t *ret_usec) {
        uint64_t usec;
        int r = parse_duration(text, &usec);

        if (r == -ERANGE)
                return complain(CTL_USAGE, "the duration %s is too long; durations are written 30s, 10m, 2h or 1d", text);
        if (r < 0 && is_all_digits(text))
                return complain(CTL_USAGE, "the duration %s has no unit: did you mean %sm (minutes)?", text, text);
        if (r < 0)
                return complain(CTL_USAGE, "\"%s\" is not a duration; durations are written 30s, 10m, 2h or 1d", text);
        if (usec == 0)
                return complain(CTL_USAGE, "the duration %s is no time at all; durations are written 30s, 10m, 2h or 1d", text);
        *ret_usec = usec;
        return CTL_DONE;
}
