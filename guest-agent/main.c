/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* aerostat-guest: options, and making the process one that still runs when memory does not. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>

#include "guest-agent/agent.h"
#include "guest-agent/sample.h"
#include "guest-agent/zram.h"
#include "protocol/parse.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif

struct options {
        const char *config_path;        /* NULL: the default, which need not be there */
        const char *port;               /* NULL: as configured */
        const char *root;
        bool foreground, print;
};

static void agent_freep(struct agent **agent) {
        agent_free(*agent);
}

static void help(void) {
        printf("Usage: aerostat-guest [OPTION]...\n"
               "Reports this virtual machine's memory to aerostatd on its host, over a virtio-serial port.\n\n"
               "  -c, --config FILE     settings (default %s)\n"
               "      --port NAME|PATH  the port, by name or as a device (default %s)\n"
               "      --foreground      log for a person: plain lines without priorities\n"
               "      --print           print one sample as JSON and exit\n"
               "      --root DIR        where proc and sys are (default /)\n"
               "  -h, --help            print this and exit\n"
               "      --version         print the version and exit\n",
               CONFIG_PATH_DEFAULT, PORT_NAME_DEFAULT);
}

/* 0: go on; 1: done; -EINVAL: said why on stderr. */
static int parse_options(int argc, char **argv, struct options *ret) {
        enum { OPTION_PORT = 256, OPTION_FOREGROUND, OPTION_PRINT, OPTION_ROOT, OPTION_VERSION };
        static const struct option longs[] = {
                { "config", required_argument, NULL, 'c' },
                { "port", required_argument, NULL, OPTION_PORT },
                { "foreground", no_argument, NULL, OPTION_FOREGROUND },
                { "print", no_argument, NULL, OPTION_PRINT },
                { "root", required_argument, NULL, OPTION_ROOT },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, OPTION_VERSION },
                { NULL, 0, NULL, 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) >= 0)
                switch (c) {
                case 'c':
                        ret->config_path = optarg;
                        break;
                case OPTION_PORT:
                        if (!*optarg || strlen(optarg) >= CONFIG_PORT_MAX) {
                                fprintf(stderr, "aerostat-guest: --port needs a name or a path of less than %d characters\n",
                                        CONFIG_PORT_MAX);
                                return -EINVAL;
                        }
                        ret->port = optarg;
                        break;
                case OPTION_FOREGROUND:
                        ret->foreground = true;
                        break;
                case OPTION_PRINT:
                        ret->print = true;
                        break;
                case OPTION_ROOT:
                        ret->root = optarg;
                        break;
                case 'h':
                        help();
                        return 1;
                case OPTION_VERSION:
                        printf("aerostat-guest %s\n", PACKAGE_VERSION);
                        return 1;
                default:
                        fprintf(stderr, "Try 'aerostat-guest --help'.\n");
                        return -EINVAL;
                }
        if (optind < argc) {
                fprintf(stderr, "aerostat-guest: '%s' is not an option\nTry 'aerostat-guest --help'.\n", argv[optind]);
                return -EINVAL;
        }
        return 0;
}

static int load_config(const struct options *options, struct config *ret) {
        char error[CONFIG_ERROR_MAX];
        int r;

        config_init(ret);
        r = config_load(options->config_path ? options->config_path : CONFIG_PATH_DEFAULT, ret, error);
        if (r == -ENOENT && !options->config_path)
                r = 0; /* the defaults are good */
        if (r < 0) {
                fprintf(stderr, "aerostat-guest: %s\n", error);
                return r;
        }
        if (options->port)
                memcpy(ret->port, options->port, strlen(options->port) + 1);
        return 0;
}

static int print_sample(const char *root) {
        struct sampler *sampler = calloc(1, sizeof(*sampler));
        struct message_hello_ack identity;
        struct message_report report;
        char uuid[UUID_STRING_SIZE];
        uint8_t boot_id[16];
        int r;

        r = sampler ? sampler_open(sampler, root) : -ENOMEM;
        if (r >= 0) {
                r = sampler_report(sampler, &report);
                if (r >= 0)
                        r = sampler_identity(sampler, &identity);
                sampler_boot_id(sampler, boot_id);
                sampler_close(sampler);
        }
        free(sampler);
        if (r < 0) {
                fprintf(stderr, "aerostat-guest: cannot read memory below %s: %s\n", root, strerror(-r));
                return r;
        }
        printf("{\n  \"agent_version\": \"%s\",\n  \"boot_id\": \"%s\",\n  \"page_size_bytes\": %" PRIu64, identity.agent_version,
               format_uuid(boot_id, uuid), identity.page_size_bytes);
        for (size_t i = 0; i < n_report_fields; i++) {
                const struct report_field *field = &report_fields[i];
                uint64_t value = *(const uint64_t *) (const void *) ((const char *) &report + field->offset);

                if (field->offset == offsetof(struct message_report, reason))
                        continue; /* there is none: nobody asked */
                if (value == AEROSTAT_UNKNOWN)
                        printf(",\n  \"%s\": null", field->name);
                else
                        printf(",\n  \"%s\": %" PRIu64, field->name, value);
        }
        printf("\n}\n");
        if (fflush(stdout) != 0) {
                fprintf(stderr, "aerostat-guest: cannot write: %s\n", strerror(errno));
                return -EIO;
        }
        return 0;
}

/* Keeps us alive and answering when memory runs out. What is refused is said and done without. */
static bool protect(const struct config *config) {
        char score[16];
        int fd, n;

        n = snprintf(score, sizeof(score), "%d", config->oom_score_adj);
        fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, score, (size_t) n) < 0)
                log_warning("cannot set oom_score_adj to %d: %s", config->oom_score_adj, strerror(errno));
        closep(&fd);
        if (!config->lock_memory)
                return false;
        /* What a report needs was touched when the first sample was made; ONFAULT keeps that and leaves the rest of the libraries
         * out. */
        if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0) {
                log_warning("cannot lock memory: %s; where the guest swaps, reports may come late (LimitMEMLOCK of the unit, or CAP_IPC_LOCK)",
                            strerror(errno));
                return false;
        }
        return true;
}

/* Before anything is locked into memory: it starts other programs. */
static void provide_zram(const struct config *config, const char *root, struct zram *ret) {
        _cleanup_close_ int root_fd = procfs_open_root(root);
        uint64_t size = config->zram_size_bytes;
        struct meminfo m;
        char buf[8192];

        if (!config->zram_enabled)
                return;
        if (config->zram_size_ppm != AEROSTAT_UNKNOWN) {
                if (root_fd < 0 || procfs_read(root_fd, "proc/meminfo", buf, sizeof(buf)) < 0 || meminfo_parse(buf, &m) < 0)
                        return;
                size = u64_mul_div(m.total_bytes, config->zram_size_ppm, PPM_ONE);
        }
        (void) zram_setup(root, size, ret);
}

static int run(const struct config *config, const char *root) {
        _cleanup_(agent_freep) struct agent *agent = NULL;
        _cleanup_close_ int signal_fd = -1;
        struct zram zram = { 0 };
        struct port *port;
        sigset_t signals;
        int r;

        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
                return -errno;
        signal(SIGPIPE, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
        if (signal_fd < 0)
                return -errno;
        r = port_new(config->port, &port);
        if (r < 0)
                return r;
        r = agent_new(config, root, port, signal_fd, &agent);
        if (r < 0)
                return r;
        provide_zram(config, root, &zram);
        if (protect(config))
                agent_set_locked(agent);
        do
                r = agent_step(agent, -1);
        while (r == 0);
        zram_remove(root, &zram);
        return r < 0 ? r : 0;
}

int main(int argc, char **argv) {
        struct options options = { .root = "/" };
        struct config config;
        int r;

        r = parse_options(argc, argv, &options);
        if (r != 0)
                return r < 0 ? 2 : 0;
        if (options.print)
                return print_sample(options.root) < 0 ? 1 : 0;
        if (load_config(&options, &config) < 0)
                return 1;
        log_setup(config.log_level, options.foreground || isatty(STDERR_FILENO));
        r = run(&config, options.root);
        if (r < 0)
                log_error("stopping: %s", strerror(-r));
        return r < 0 ? 1 : 0;
}
