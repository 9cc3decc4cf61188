/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base.h"
#include "tools/aerostatctl/args.h"
#include "tools/aerostatctl/ctl.h"
#include "tools/aerostatctl/text.h"

#define DEFAULT_SOCKET "/run/aerostat/control.varlink"

static const struct verb *const verbs[] = {
        &verb_status,
        &verb_list,
        &verb_top,
        &verb_show,
        &verb_explain,
        &verb_doctor,
        &verb_history,
        &verb_report,
        &verb_set,
        &verb_auto,
        &verb_limits,
        &verb_whatif,
        &verb_reserve,
        &verb_release,
        &verb_reservations,
        &verb_pause,
        &verb_resume,
        &verb_ksm,
        &verb_swap,
        &verb_alerts,
        &verb_watch,
        &verb_check,
        &verb_config,
        &verb_version,
        NULL,
};

int complain(int code, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        char *line, *rest;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        if (r < 0) {
                text = NULL;
                return code;
        }
        fputs("aerostatctl: ", stderr);
        for (rest = text; (line = strsep(&rest, "\n"));) {
                _cleanup_free_ char *safe = text_safe(line);

                fprintf(stderr, "%s\n", safe ?: "out of memory");
        }
        return code;
}

static void print_options(void) {
        printf("\nOptions for all verbs:\n"
               "  -s, --socket PATH   the daemon's socket (default: $AEROSTAT_SOCKET, or " DEFAULT_SOCKET ")\n"
               "      --json          print the daemon's reply as JSON\n"
               "  -h, --help          this text; after a verb: about the verb\n"
               "      --version       of this program; `aerostatctl version` asks the daemon too\n");
}

static void print_help(void) {
        printf("Usage: aerostatctl [OPTION]... VERB [ARGUMENT]...\n"
               "Watch and steer the memory of this host's virtual machines.\n\n"
               "Verbs:\n");
        for (size_t i = 0; verbs[i]; i++) {
                char left[64];

                snprintf(left, sizeof(left), "%s %s", verbs[i]->name, verbs[i]->operands);
                printf("  %-18s  %s\n", left, verbs[i]->summary);
        }
        print_options();
        printf("\nSizes are written 512M, 4G or 1.5GiB, durations 30s, 10m, 2h or 1d. VM is a name or a UUID.\n"
               "Exit status: 0 done, 1 failed, 2 wrong usage, 3 the daemon cannot be reached; `check` has its own.\n");
}

static void print_verb_help(const struct verb *verb) {
        printf("Usage: aerostatctl %s%s%s", verb->name, *verb->operands ? " " : "", verb->operands);
        for (const struct verb_option *o = verb->options; o->name; o++)
                printf(o->value ? " [%s %s]" : " [%s]", o->name, o->value);
        printf("\n%s\n", verb->summary);
        if (verb->help)
                printf("\n%s\n", verb->help);
        print_options();
}

static int run(int argc, char **argv) {
        struct context context = { .socket = getenv("AEROSTAT_SOCKET") };
        struct command command;
        int r;

        r = args_parse(argc, argv, verbs, &context, &command);
        if (r != CTL_DONE)
                return r;
        if (!context.socket || !*context.socket)
                context.socket = DEFAULT_SOCKET;
        if (command.version)
                printf("aerostatctl %s\n", PACKAGE_VERSION);
        else if (command.help && command.verb)
                print_verb_help(command.verb);
        else if (command.help)
                print_help();
        else if (command.verb)
                return command.verb->run(&context, &command.args);
        else
                return complain(CTL_USAGE,
                                "what is to be done? `aerostatctl status` is a good start; `aerostatctl --help` lists all verbs");
        return CTL_DONE;
}

int main(int argc, char **argv) {
        int r;

        text_init();
        r = run(argc, argv);
        if (fflush(stdout) != 0 || ferror(stdout))
                return complain(CTL_FAILED, "cannot write the output: %m");
        return r;
}
