/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* aerostatd: options, signals, one instance; then the event loop. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "host-agent/control/control.h"
#include "host-agent/control/delivery.h"
#include "host-agent/log.h"
#include "host-agent/manager/manager.h"
#include "host-agent/manager/paused.h"
#include "host-agent/manager/view.h"
#include "host-agent/memory/contain.h"
#include "host-agent/memory/swap_keeper.h"
#include "host-agent/settings/settings.h"
#include "host-agent/system/undo.h"
#include "protocol/parse.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

#define DEFAULT_CONFIG "/etc/aerostat/aerostatd.conf"
#define DEFAULT_SOCKET "/run/aerostat/control.varlink"
#define DEFAULT_STATE_DIR "/var/lib/aerostat"
#define LIBVIRT_RUN_DIR "/run/libvirt"
#define STATUS_USEC (10 * USEC_PER_SEC)

struct options {
        const char *config, *uri, *socket, *state_dir, *root, *host_proc;
        bool undo, config_given, dry_run, once, check_config, print_config, verbose;
};

struct daemon {
        struct options options;
        sd_event *event;
        struct manager *manager;
        struct control *control;
        struct delivery *delivery;
        sd_event_source *status_timer;
        bool stopping;
};

static void usage(FILE *f) {
        fprintf(f, "Usage: aerostatd [OPTION]...\n"
                   "Move memory between the virtual machines of this host as they need it.\n\n"
                   "  -c, --config=FILE      configuration (default " DEFAULT_CONFIG ")\n"
                   "      --connect=URI      libvirt to manage (default: [host] uri, qemu:///system)\n"
                   "      --socket=PATH      control socket (default " DEFAULT_SOCKET ")\n"
                   "      --state-dir=DIR    state (default " DEFAULT_STATE_DIR ")\n"
                   "      --root=DIR         where /proc, /sys and /run/libvirt are read (default /)\n"
                   "      --host-proc=DIR    the host's own /proc, where a container's hides kernel threads (for ksmd's CPU time)\n"
                   "      --undo             put back what a daemon that was killed had set on this host (KSM, limits of VMs, paused VMs), and end\n"
                   "      --dry-run          decide and log, but change nothing\n"
                   "      --once             look for a few seconds, decide once, print what would be done, and end\n"
                   "      --check-config     check the configuration and end\n"
                   "      --print-config     print the configuration with all defaults, and end\n"
                   "      --foreground       accepted for habit's sake: aerostatd never forks\n"
                   "  -v, --verbose          log more\n"
                   "      --version          print the version\n"
                   "  -h, --help             print this\n\n"
                   "SIGHUP reads the configuration again; SIGTERM ends. See aerostatd(8).\n");
}

enum {
        OPT_CONNECT = 256, OPT_SOCKET, OPT_STATE_DIR, OPT_ROOT, OPT_HOST_PROC, OPT_UNDO, OPT_DRY_RUN, OPT_ONCE, OPT_CHECK_CONFIG, OPT_PRINT_CONFIG,
        OPT_FOREGROUND, OPT_VERSION
};

/* 0 to go on, positive: done, negative: usage error. */
static int take_option(int opt, struct options *o) {
        switch (opt) {
        case 'c':
                o->config = optarg;
                o->config_given = true;
                break;
        case OPT_CONNECT:
                o->uri = optarg;
                break;
        case OPT_SOCKET:
                o->socket = optarg;
                break;
        case OPT_STATE_DIR:
                o->state_dir = optarg;
                break;
        case OPT_ROOT:
                o->root = optarg;
                break;
        case OPT_HOST_PROC:
                o->host_proc = optarg;
                break;
        case OPT_UNDO:
                o->undo = true;
                break;
        case OPT_DRY_RUN:
                o->dry_run = true;
                break;
        case OPT_ONCE:
                o->once = true;
                break;
        case OPT_CHECK_CONFIG:
                o->check_config = true;
                break;
        case OPT_PRINT_CONFIG:
                o->print_config = true;
                break;
        case OPT_FOREGROUND:
                break;
        case 'v':
                o->verbose = true;
                break;
        case OPT_VERSION:
                printf("aerostatd " PACKAGE_VERSION "\n");
                return 1;
        case 'h':
                usage(stdout);
                return 1;
        default:
                fprintf(stderr, "Try 'aerostatd --help'.\n");
                return -EINVAL;
        }
        return 0;
}

/* The same for all of them. */
static int parse_options(int argc, char *argv[], struct options *o) {
        static const struct option longs[] = {
                { "config", required_argument, NULL, 'c' }, { "connect", required_argument, NULL, OPT_CONNECT },
                { "socket", required_argument, NULL, OPT_SOCKET }, { "state-dir", required_argument, NULL, OPT_STATE_DIR },
                { "root", required_argument, NULL, OPT_ROOT }, { "dry-run", no_argument, NULL, OPT_DRY_RUN },
                { "host-proc", required_argument, NULL, OPT_HOST_PROC }, { "undo", no_argument, NULL, OPT_UNDO },
                { "once", no_argument, NULL, OPT_ONCE }, { "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
                { "print-config", no_argument, NULL, OPT_PRINT_CONFIG },
                { "foreground", no_argument, NULL, OPT_FOREGROUND }, { "verbose", no_argument, NULL, 'v' },
                { "version", no_argument, NULL, OPT_VERSION }, { "help", no_argument, NULL, 'h' }, { 0 },
        };
        int opt, r;

        *o = (struct options) { .config = DEFAULT_CONFIG, .socket = DEFAULT_SOCKET, .state_dir = DEFAULT_STATE_DIR, .root = "/" };
        while ((opt = getopt_long(argc, argv, "c:vh", longs, NULL)) >= 0) {
                r = take_option(opt, o);
                if (r != 0)
                        return r;
        }
        if (optind < argc) {
                fprintf(stderr, "aerostatd: \"%s\" is not an option; aerostatd takes options only. Try 'aerostatd --help'.\n", argv[optind]);
                return -EINVAL;
        }
        return 0;
}

static int load_settings(const struct options *o, struct settings *ret) {
        char error[SETTINGS_ERROR_MAX];
        int r;

        r = settings_load(o->config, o->config_given, ret, error);
        if (r < 0) {
                log_error("%s", error);
                return r;
        }
        if (o->uri)
                snprintf(ret->uri, sizeof(ret->uri), "%s", o->uri);
        return 0;
}

/* The lock goes with the process: nobody closes the descriptor. */
static int lock_file(const char *folder, const char *name) {
        char path[4096];
        int fd;

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) {
                log_error("cannot open %s: %s", path, strerror(errno));
                return -errno;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                log_error("another aerostatd is running (it holds %s)", path);
                close(fd);
                return -EBUSY;
        }
        return 0;
}

/* Two daemons would take turns undoing each other: neither may share our state, nor our QEMUs, whatever folders it was given. */
static int take_locks(const struct options *o, const struct settings *settings) {
        int r;

        if (mkdir(o->state_dir, 0750) < 0 && errno != EEXIST) {
                log_error("cannot make the state folder %s: %s", o->state_dir, strerror(errno));
                return -errno;
        }
        r = lock_file(o->state_dir, "lock");
        if (r < 0)
                return r;
        return strncmp(settings->uri, "qemu", 4) == 0 && access(LIBVIRT_RUN_DIR, W_OK) == 0 ? lock_file(LIBVIRT_RUN_DIR, "aerostatd.lock") : 0;
}

static int print_settings(const struct settings *settings) {
        _cleanup_free_ char *text = NULL;
        int r = settings_format(settings, &text);

        if (r >= 0 && (fputs(text, stdout) == EOF || fflush(stdout) != 0))
                r = -EIO;
        if (r < 0)
                log_error("the configuration cannot be printed: %s", strerror(-r));
        return r;
}

static void print_once(struct manager *manager) {
        struct host_view host;

        manager_view_host(manager, &host);
        printf("%s, %s; %zu VMs\n", policy_host_state_to_string(host.plan->host_state), host.plan->unsafe ? "unsafe" : "safe", host.n_vms);
        for (size_t i = 0; i < host.n_vms; i++) {
                char actual[FORMAT_SIZE_MAX], target[FORMAT_SIZE_MAX];
                struct vm_view vm;

                manager_view_vm(manager, i, &vm);
                printf("%s: %s -> %s (%s)\n", vm.name, format_size(vm.policy->input.actual_bytes, actual),
                       format_size(vm.policy->plan.ideal_bytes, target), policy_reason_to_string(vm.policy->plan.reason));
        }
}

static void on_ready(int result, void *userdata) {
        struct daemon *d = userdata;

        if (result < 0) {
                log_error("libvirt cannot be reached; is libvirtd running, and is the URI right ([host] uri, --connect)?");
                sd_event_exit(d->event, result);
                return;
        }
        if (d->options.once) {
                print_once(d->manager);
                sd_event_exit(d->event, 0);
        }
}

static void on_event(const struct manager_event *event, void *userdata) {
        struct daemon *d = userdata;

        delivery_handle(d->delivery, event);
        control_publish(d->control, event);
}

static void on_released(void *userdata) {
        sd_event_exit(((struct daemon *) userdata)->event, 0);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        struct daemon *d = userdata;
        struct host_view host;
        bool release;

        if (d->stopping)
                return sd_event_exit(d->event, 0);
        d->stopping = true;
        sd_notify(0, "STOPPING=1");
        manager_view_host(d->manager, &host);
        release = host.settings->on_exit == SETTINGS_EXIT_RELEASE && host.automation != AUTOMATION_DRY_RUN;
        log_info(release ? "ending: giving every VM its maximum back" : "ending: VMs stay as they are");
        manager_release(d->manager, release, on_released, d);
        return 0;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        struct daemon *d = userdata;
        _cleanup_free_ struct settings *settings = malloc(sizeof(*settings));
        char error[VIEW_ERROR_MAX];

        sd_notify(0, "RELOADING=1");
        if (settings && load_settings(&d->options, settings) >= 0) {
                manager_reload(d->manager, settings);
                if (d->control && control_reload(d->control, error) != 0)
                        log_warning("%s", error);
                log_info("configuration read again");
        } else
                log_error("the new configuration is refused as a whole; the old one stays in force");
        sd_notify(0, "READY=1");
        return 0;
}

static int on_status(sd_event_source *source, uint64_t usec, void *userdata) {
        struct daemon *d = userdata;
        char text[256];

        manager_format_status(d->manager, text, sizeof(text));
        sd_notifyf(0, "STATUS=%s", text);
        sd_event_source_set_time_relative(source, STATUS_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int run(struct daemon *d, const struct settings *settings) {
        struct manager_options options = {
                .root = d->options.root, .state_dir = d->options.once ? NULL : d->options.state_dir, .host_proc = d->options.host_proc,
                .dry_run = d->options.dry_run || d->options.once, .ready = on_ready, .userdata = d,
        };
        char error[VIEW_ERROR_MAX];
        sigset_t signals;
        int r;

        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGHUP);
        sigaddset(&signals, SIGCHLD); /* sd-event waits for children */
        sigprocmask(SIG_BLOCK, &signals, NULL);
        signal(SIGPIPE, SIG_IGN);

        r = sd_event_default(&d->event);
        if (r < 0)
                return r;
        sd_event_set_watchdog(d->event, true);
        if ((r = sd_event_add_signal(d->event, NULL, SIGTERM, on_stop, d)) < 0 || (r = sd_event_add_signal(d->event, NULL, SIGINT, on_stop, d)) < 0 ||
            (r = sd_event_add_signal(d->event, NULL, SIGHUP, on_hangup, d)) < 0)
                return r;
        r = manager_new(&d->manager, d->event, settings, &options);
        if (r < 0) {
                log_error("cannot start: %s", strerror(-r));
                return r;
        }
        if (!d->options.once) {
                r = control_new(&d->control, d->event, d->manager, d->options.socket, error);
                if (r < 0) {
                        log_error("%s", error);
                        return r;
                }
                if (r > 0)
                        log_warning("%s", error);
                r = delivery_new(&d->delivery, d->event, d->manager, d->options.state_dir, NULL);
                if (r < 0) {
                        log_error("cannot deliver alerts: %s", strerror(-r));
                        return r;
                }
                manager_watch(d->manager, on_event, d);
        }
        r = sd_event_add_time_relative(d->event, &d->status_timer, CLOCK_MONOTONIC, USEC_PER_SEC, USEC_PER_SEC, on_status, d);
        if (r < 0)
                return r;
        /* We act when memory is short: then our own pages must not have to be read back. On fault, for stacks and arenas are mostly air. */
        if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
                log_debug("cannot lock memory: %s", strerror(errno));
        sd_notify(0, "READY=1");
        return sd_event_loop(d->event);
}

/* After a daemon that was killed: the unit's ExecStopPost. A no-op after one that ended by itself. */
static int undo_what_was_left(const struct options *o) {
        _cleanup_close_ int root_fd = procfs_open_root(o->root);
        _cleanup_(undo_freep) struct undo *undo = NULL;
        int r, knobs, limits, resumed, error, contain_error, swap_error, pause_error;

        if (root_fd < 0)
                return root_fd;
        if (access(o->state_dir, F_OK) < 0)
                return 0;
        r = lock_file(o->state_dir, "lock"); /* not under a daemon that runs */
        if (r < 0)
                return r;
        r = undo_new(&undo, root_fd, o->state_dir);
        if (r < 0) {
                log_error("%s/undo cannot be read: %s", o->state_dir, strerror(-r));
                return r;
        }
        if (r > 0)
                log_error("%s/undo is not what aerostatd writes: set aside as undo.bad; nothing is put back", o->state_dir);
        limits = contain_lift(root_fd, undo, &contain_error);
        limits += swap_keeping_lift_all(root_fd, undo, &swap_error);
        knobs = undo_restore_files(undo, "sys/", &error);
        resumed = paused_resume_all(undo, &pause_error); /* last: it waits for libvirt */
        if (limits > 0 || knobs > 0 || resumed > 0)
                log_info("put back what aerostatd had set: %d limits of VMs, %d settings of KSM, %d paused VMs", limits, knobs, resumed);
        error = error ?: contain_error ?: swap_error ?: pause_error;
        if (error != 0) {
                log_error("not everything could be put back: %s; what is left is in %s/undo, and `aerostatd --undo` tries again",
                          strerror(error), o->state_dir);
                return -EIO;
        }
        return 0;
}

/* libvirt's calls come from many threads, and by default each keeps a heap of its own that hardly shrinks: eight heaps of 4.4 MiB were seen for
 * 1.4 MiB in use. One is enough for so few calls. A threshold that is set stays: by default it grows to what was ever freed, and that much is then
 * kept. See mallopt(3). */
static void keep_heap_small(void) {
        mallopt(M_ARENA_MAX, 1);
        mallopt(M_MMAP_THRESHOLD, 128 * KIB);
}

int main(int argc, char *argv[]) {
        _cleanup_free_ struct settings *settings = calloc(1, sizeof(*settings));
        struct daemon d = { 0 };
        int r;

        keep_heap_small();
        r = parse_options(argc, argv, &d.options);
        if (r != 0)
                return r < 0 ? 2 : 0;
        if (!settings)
                return EXIT_FAILURE;
        if (d.options.verbose)
                log_set_max_level(LOG_DEBUG);
        if (d.options.undo) /* whatever has become of the configuration */
                return undo_what_was_left(&d.options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        r = load_settings(&d.options, settings);
        if (r < 0)
                return EXIT_FAILURE;
        if (d.options.check_config) {
                printf("%s: the configuration is good\n", d.options.config);
                return EXIT_SUCCESS;
        }
        if (d.options.print_config)
                return print_settings(settings) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        if (!d.options.once) {
                r = take_locks(&d.options, settings);
                if (r < 0)
                        return EXIT_FAILURE;
        }
        r = run(&d, settings);
        if (d.manager)
                manager_watch(d.manager, NULL, NULL);
        delivery_free(d.delivery);
        control_free(d.control);
        manager_free(d.manager);
        sd_event_source_disable_unref(d.status_timer);
        sd_event_unref(d.event);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
