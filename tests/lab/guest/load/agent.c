/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starts, stops and kills the guest agent. It is not restarted on its own: a test decides. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"

#define AGENT_PATH "/usr/sbin/aerostat-guest"

static pid_t agent_pid;
static int agent_starts;

int agent_start(void) {
        pid_t pid;

        if (access(AGENT_PATH, X_OK) < 0)
                return -1;
        pid = fork();
        if (pid == 0) {
                sigset_t none;

                sigemptyset(&none);
                sigprocmask(SIG_SETMASK, &none, NULL);
                setsid();
                execl(AGENT_PATH, AGENT_PATH, "--foreground", (char *) NULL);
                _exit(127);
        }
        if (pid < 0)
                return -1;
        agent_pid = pid;
        agent_starts++;
        return 0;
}

bool agent_reaped(pid_t pid, int status) {
        if (pid != agent_pid)
                return false;
        agent_pid = 0;
        send_event("ended", ",\"name\":\"agent\",\"exit\":%d,\"signal\":%d", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                   WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        return true;
}

void agent_request(const struct request *request) {
        static const struct {
                const char *action;
                int signal;
        } signals[] = { { "stop", SIGSTOP }, { "cont", SIGCONT }, { "term", SIGTERM }, { "kill", SIGKILL }, { "status", 0 } };
        const char *action = request_get(request, "action");
        int sig = -1;

        if (!action)
                return refuse(request, "action= is missing");
        if (strcmp(action, "start") == 0) {
                if (agent_pid > 0)
                        return refuse(request, "the agent is running");
                if (agent_start() < 0)
                        return refuse(request, "the guest has no agent, or fork failed");
        } else {
                for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
                        if (strcmp(action, signals[i].action) == 0)
                                sig = signals[i].signal;
                if (sig < 0)
                        return refuse(request, "action= is start, stop, cont, term, kill or status");
                if (sig > 0 && (agent_pid <= 0 || kill(agent_pid, sig) < 0))
                        return refuse(request, "the agent is not running");
        }
        answer(request, ",\"pid\":%d,\"starts\":%d", (int) agent_pid, agent_starts);
}
