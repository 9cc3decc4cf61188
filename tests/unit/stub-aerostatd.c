/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The real control socket in front of an invented manager, for tests of aerostatctl: stub-aerostatd SOCKET [VMS [everyone [LISTEN]]]. Ends
 * on SIGTERM. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/control/control.h"
#include "protocol/parse.h"
#include "tests/unit/stub-manager.h"

int main(int argc, char **argv) {
        char error[CONTROL_ERROR_MAX];
        struct control *control = NULL;
        struct manager *manager;
        sd_event *event = NULL;
        uint64_t n_vms = 0;
        sigset_t signals;
        int r;

        if (argc < 2 || (argc > 2 && parse_u64(argv[2], &n_vms) < 0)) {
                fprintf(stderr, "usage: stub-aerostatd SOCKET [VMS [everyone [LISTEN]]]\n");
                return 2;
        }
        manager = stub_manager_new(n_vms);
        if (argc > 3 && strcmp(argv[3], "everyone") == 0)
                stub_manager_settings(manager)->control_read = SETTINGS_READ_EVERYONE;
        if (argc > 4)
                snprintf(stub_manager_settings(manager)->metrics_listen, SETTINGS_TEXT_MAX, "%s", argv[4]);
        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        r = sd_event_new(&event);
        if (r >= 0)
                r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = control_new(&control, event, manager, argv[1], error);
        if (r < 0)
                fprintf(stderr, "stub-aerostatd: %s\n", error);
        else
                r = sd_event_loop(event);
        control_free(control);
        sd_event_unref(event);
        stub_manager_free(manager);
        return r < 0;
}
