/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "protocol/base.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/text.h"

extern char **environ;

/* The daemon itself checks its files: one reader of the configuration, and one list of keys. It says what is wrong. */
static int check(const char *file) {
        char *argv[] = { (char *) "aerostatd", (char *) "--check-config", file ? (char *) "-c" : NULL, (char *) file, NULL };
        pid_t pid;
        int r, status;

        r = posix_spawnp(&pid, "aerostatd", NULL, NULL, argv, environ);
        if (r == ENOENT) /* users often do not have the folder in their PATH */
                r = posix_spawn(&pid, SBINDIR "/aerostatd", NULL, NULL, argv, environ);
        if (r != 0)
                return complain(CTL_FAILED, "cannot run aerostatd, which checks its configuration: %s\n"
                                            "Is it installed on this host, and in PATH or " SBINDIR "?", strerror(r));
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return complain(CTL_FAILED, "cannot wait for aerostatd: %m");
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? CTL_DONE : CTL_FAILED;
}

static int show(const struct context *context) {
        json_t *reply;
        int r;

        r = client_call_or_print(context, "Config", NULL, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        for (const char *line = field_text(reply, "config"); line && *line;) {
                const char *end = strchrnul(line, '\n');
                _cleanup_free_ char *copy = strndup(line, (size_t) (end - line));
                _cleanup_free_ char *safe = copy ? text_safe(copy) : NULL;

                puts(safe ?: "out of memory");
                line = *end ? end + 1 : end;
        }
        json_decref(reply);
        return CTL_DONE;
}

static int run_config(const struct context *context, const struct args *args) {
        const char *what = args->operands[0], *file = args->n_operands > 1 ? args->operands[1] : NULL;

        if (strcmp(what, "check") == 0)
                return check(file);
        if (strcmp(what, "show") != 0)
                return complain(CTL_USAGE, "`config` takes check or show, not \"%s\"; see `aerostatctl config --help`", what);
        if (file)
                return complain(CTL_USAGE, "`config show` shows what is in force and takes no file; did you mean `config check %s`?", file);
        return show(context);
}

const struct verb verb_config = {
        .name = "config",
        .operands = "check|show [FILE]",
        .summary = "Check a configuration before it is used; show what is in force",
        .help = "check reads FILE (default: /etc/aerostat/aerostatd.conf) and its .d folder as the daemon would, without the daemon.\n"
                "show prints what the running daemon uses, defaults too, as a file that it would take.",
        .min_operands = 1,
        .max_operands = 2,
        .run = run_config,
};
