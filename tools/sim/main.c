/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "protocol/parse.h"
#include "protocol/units.h"
#include "tools/sim/run.h"
#include "tools/sim/summary.h"
#include "tools/sim/svg.h"

/* aerostat-sim: 0 all expectations and invariants held, 1 they did not (or a file could not be written), 2 a bad scenario or usage. */

enum { EXIT_HELD = 0, EXIT_FAILED = 1, EXIT_BAD = 2 };

struct options {
        const char *timeline, *svg;
        bool json, compare;
        enum baseline baseline;
};

static const char usage[] =
        "Usage: aerostat-sim [OPTION]... SCENARIO.json\n"
        "Runs aerostatd's policy over modelled guests in simulated time.\n\n"
        "  --json            print the summary as JSON\n"
        "  --timeline FILE   write what happens, a line of JSON each second\n"
        "  --svg FILE        draw it\n"
        "  --baseline RULE   static, mom or proxmox instead of Aerostat's policy\n"
        "  --compare         a table of Aerostat and the baselines; several scenarios are possible\n"
        "  --version, --help\n\n"
        "Exit: 0 every expectation and invariant held, 1 not, 2 the scenario or the usage is wrong. See aerostat-sim(1).\n";

static FILE *open_output(const char *path) {
        FILE *f = fopen(path, "we");

        if (!f)
                fprintf(stderr, "aerostat-sim: %s: %s\n", path, strerror(errno));
        return f;
}

static int draw(const struct svg *svg, const char *path) {
        FILE *f = open_output(path);
        int r;

        if (!f)
                return -EIO;
        r = svg_write(svg, f);
        return fclose(f) != 0 && r >= 0 ? -EIO : r;
}

/* Whether an expectation makes sense can be told from a summary of nothing, before the time is spent. */
static int check_expectations(const struct run *run, const char *path) {
        char error[READER_ERROR_MAX];
        json_t *summary = summary_new(run);
        int r = summary ? summary_expect(summary, run->scenario->expect, path, error) : -ENOMEM;

        json_decref(summary);
        if (r == -EINVAL)
                fprintf(stderr, "aerostat-sim: %s\n", error);
        return r < 0 ? r : 0;
}

/* Runs with the outputs asked for. */
static int run_with_outputs(struct run *run, const struct options *o) {
        _cleanup_(svg_freep) struct svg *svg = NULL;
        int r = 0;

        if (o->timeline && !(run->timeline = open_output(o->timeline)))
                return -EIO;
        if (o->svg) {
                r = svg_new(&svg, run);
                run->svg = svg;
        }
        if (r >= 0)
                r = run_all(run);
        if (run->timeline && fclose(run->timeline) != 0 && r >= 0)
                r = -EIO;
        run->timeline = NULL;
        if (r >= 0 && svg)
                r = draw(svg, o->svg);
        run->svg = NULL;
        return r;
}

static int simulate(const char *path, const struct options *o) {
        _cleanup_(scenario_freep) struct scenario *scenario = NULL;
        _cleanup_(run_freep) struct run *run = NULL;
        char error[READER_ERROR_MAX];
        json_t *summary;
        int held;

        if (scenario_load(path, &scenario, error) < 0) {
                fprintf(stderr, "aerostat-sim: %s\n", error);
                return EXIT_BAD;
        }
        if (run_new(&run, scenario, o->baseline) < 0 || check_expectations(run, path) < 0)
                return EXIT_BAD;
        if (run_with_outputs(run, o) < 0)
                return EXIT_FAILED;
        summary = summary_new(run);
        if (!summary)
                return EXIT_FAILED;
        held = summary_expect(summary, scenario->expect, path, error);
        if (o->json) {
                json_dumpf(summary, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
                putchar('\n');
        } else
                summary_print(summary, run, stdout);
        json_decref(summary);
        return held > 0 && invariants_total(&run->violations) == 0 ? EXIT_HELD : EXIT_FAILED;
}

/* Within what policies that keep nothing in reserve between two readings gain over ours where nobody can do better: who wants all gets an equal
 * share. */
#define TIE 1.005

/* A row of the table: unmet demand of each policy, and what else went wrong. Fails where a rule served better that kept swap under the ceiling and
 * killed nobody. */
static int compare(const char *path) {
        const char *slash = strrchr(path, '/');
        double ours = 0;
        bool beaten = false;

        printf("%-28.28s", slash ? slash + 1 : path);
        for (unsigned b = 0; baseline_names[b]; b++) {
                _cleanup_(scenario_freep) struct scenario *scenario = NULL;
                _cleanup_(run_freep) struct run *run = NULL;
                char error[READER_ERROR_MAX];
                double unmet = 0;

                if (scenario_load(path, &scenario, error) < 0) {
                        fprintf(stderr, "\naerostat-sim: %s\n", error);
                        return EXIT_BAD;
                }
                if (run_new(&run, scenario, (enum baseline) b) < 0 || run_all(run) < 0)
                        return EXIT_FAILED;
                for (size_t i = 0; i < scenario->n_guests; i++)
                        unmet += (double) run->accounts[i].unmet_byte_usec / 1e6 / (double) GIB;
                if (b == BASELINE_NONE)
                        ours = unmet;
                else if (run->host.oom_kills == 0 && run->account.swap_ppm <= scenario->settings.policy.swap_ceiling_ppm && unmet * TIE < ours)
                        beaten = true;
                printf(" %10.1f %5.1f %3llu", unmet, (double) run->account.swap_ppm / 1e4, (unsigned long long) run->host.oom_kills);
        }
        puts(beaten ? "  beaten" : "");
        return beaten ? EXIT_FAILED : EXIT_HELD;
}

static int compare_all(char **paths) {
        int worst = EXIT_HELD;

        printf("%-28s", "");
        for (unsigned b = 0; baseline_names[b]; b++)
                printf(" %20s", baseline_names[b]);
        printf("\n%-28s", "scenario");
        for (unsigned b = 0; baseline_names[b]; b++)
                printf(" %10s %5s %3s", "unmet GiBs", "swap%", "oom");
        putchar('\n');
        for (; *paths; paths++) {
                int r = compare(*paths);
                worst = MAX(worst, r);
        }
        return worst;
}

int main(int argc, char **argv) {
        enum { OPT_JSON = 256, OPT_TIMELINE, OPT_SVG, OPT_BASELINE, OPT_COMPARE, OPT_VERSION, OPT_HELP };
        static const struct option options[] = {
                { "json", no_argument, NULL, OPT_JSON }, { "timeline", required_argument, NULL, OPT_TIMELINE },
                { "svg", required_argument, NULL, OPT_SVG }, { "baseline", required_argument, NULL, OPT_BASELINE },
                { "compare", no_argument, NULL, OPT_COMPARE }, { "version", no_argument, NULL, OPT_VERSION },
                { "help", no_argument, NULL, OPT_HELP }, { 0 },
        };
        struct options o = { 0 };
        int c, choice;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case OPT_JSON:
                        o.json = true;
                        break;
                case OPT_TIMELINE:
                        o.timeline = optarg;
                        break;
                case OPT_SVG:
                        o.svg = optarg;
                        break;
                case OPT_BASELINE:
                        choice = parse_choice(optarg, baseline_names);
                        if (choice < 0) {
                                fprintf(stderr, "aerostat-sim: no rule is called \"%s\": static, mom, proxmox\n", optarg);
                                return EXIT_BAD;
                        }
                        o.baseline = (enum baseline) choice;
                        break;
                case OPT_COMPARE:
                        o.compare = true;
                        break;
                case OPT_VERSION:
                        puts("aerostat-sim " PACKAGE_VERSION);
                        return EXIT_HELD;
                case OPT_HELP:
                case 'h':
                        fputs(usage, stdout);
                        return EXIT_HELD;
                default:
                        fputs(usage, stderr);
                        return EXIT_BAD;
                }
        if (optind == argc || (!o.compare && optind + 1 != argc)) {
                fputs(usage, stderr);
                return EXIT_BAD;
        }
        return o.compare ? compare_all(argv + optind) : simulate(argv[optind], &o);
}
