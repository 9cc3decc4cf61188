/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/sim/svg.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/units.h"

/*
 * Two pictures over one axis of time. The host: what VMs may take (envelope), what they could take (committed), what is really in use, and swap.
 * The guests: balloon sizes stacked, a band for each entry of "guests" in the scenario, and what all of them want together.
 */

#define COLUMNS 1200
#define BANDS 12                               /* more entries share the last one */
#define WIDTH 1000.0
#define LEFT 80.0
#define RIGHT 190.0
#define PANEL 260.0
#define TOP 40.0
#define GAP 60.0

static const char *const colours[BANDS] = { "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948",
                                            "#b07aa1", "#ff9da7", "#9c755f", "#86bcb6", "#d37295", "#bab0ac" };

struct sample {
        double seconds;
        double envelope, committed, used, swap, wanted;
        double bands[BANDS];
};

struct svg {
        const struct scenario *scenario;
        struct sample samples[COLUMNS + 1];
        size_t n;
        uint64_t next_usec, every_usec;
        size_t n_bands;
        const char *names[BANDS];
};

static size_t band_of(const struct guest_spec *spec) {
        return MIN(spec->group, (size_t) BANDS - 1);
}

int svg_new(struct svg **ret, const struct run *run) {
        struct svg *svg = calloc(1, sizeof(*svg));

        if (!svg)
                return -ENOMEM;
        svg->scenario = run->scenario;
        svg->every_usec = MAX(run->scenario->duration_usec / COLUMNS, run->scenario->step_usec);
        for (size_t i = 0; i < run->scenario->n_guests; i++) {
                const struct guest_spec *spec = &run->scenario->guests[i];

                svg->n_bands = MAX(svg->n_bands, band_of(spec) + 1);
                svg->names[band_of(spec)] = spec->group < BANDS - 1 ? spec->group_name : "others";
        }
        *ret = svg;
        return 0;
}

struct svg *svg_free(struct svg *svg) {
        free(svg);
        return NULL;
}

int svg_sample(struct svg *svg, const struct run *run) {
        struct sample *s = &svg->samples[svg->n];

        if (run->now_usec < svg->next_usec || svg->n > COLUMNS)
                return 0;
        svg->next_usec = run->now_usec + svg->every_usec;
        s->seconds = (double) run->now_usec / 1e6;
        s->envelope = (double) run->plan.envelope_bytes;
        s->committed = (double) run->plan.committed_bytes;
        s->used = (double) u64_sub(run->host.memory_bytes, run->host.available_bytes);
        s->swap = (double) run->host.swap_used_bytes;
        for (size_t i = 0; i < run->scenario->n_guests; i++)
                if (run->guests[i].running) {
                        s->bands[band_of(run->guests[i].spec)] += (double) run->guests[i].actual_bytes;
                        s->wanted += (double) run->guests[i].want_bytes;
                }
        svg->n++;
        return 0;
}

/* A round step that gives about five lines. */
static double grid_step(double max) {
        double step = (double) MIB;

        while (max / step > 6)
                step *= 2;
        return step;
}

struct axis {
        double top, max, seconds;
};

static double at_x(const struct axis *a, double seconds) {
        return LEFT + (WIDTH - LEFT - RIGHT) * (a->seconds > 0 ? seconds / a->seconds : 0);
}

static double at_y(const struct axis *a, double bytes) {
        return a->top + PANEL - PANEL * (a->max > 0 ? bytes / a->max : 0);
}

static void draw_axes(const struct axis *a, const char *title, FILE *out) {
        double step = grid_step(a->max), seconds = 1;

        fprintf(out, "<text x='%.0f' y='%.0f' class='t'>%s</text>\n", LEFT, a->top - 10, title);
        for (double y = 0; y <= a->max; y += step)
                fprintf(out, "<path d='M%.1f %.1fH%.1f' class='g'/><text x='%.0f' y='%.1f' class='y'>%.4g %s</text>\n", LEFT, at_y(a, y),
                        WIDTH - RIGHT,
                        LEFT - 8, at_y(a, y) + 4, step < (double) GIB ? y / (double) MIB : y / (double) GIB, step < (double) GIB ? "MiB" : "GiB");
        while (a->seconds / seconds > 10)
                seconds *= a->seconds / seconds > 25 ? 5 : 2;
        for (double x = 0; x <= a->seconds; x += seconds)
                fprintf(out, "<path d='M%.1f %.1fv4' class='k'/><text x='%.1f' y='%.1f' class='x'>%.4g s</text>\n", at_x(a, x),
                        a->top + PANEL, at_x(a, x), a->top + PANEL + 18, x);
        fprintf(out, "<path d='M%.1f %.1fV%.1fH%.1f' class='k'/>\n", LEFT, a->top, a->top + PANEL, WIDTH - RIGHT);
}

/* offset: of a double within struct sample. */
static void draw_line(const struct svg *svg, const struct axis *a, size_t offset, const char *colour, const char *extra, FILE *out) {
        fprintf(out, "<polyline fill='none' stroke='%s' stroke-width='1.6' %s points='", colour, extra);
        for (size_t i = 0; i < svg->n; i++)
                fprintf(out, "%.1f,%.1f ", at_x(a, svg->samples[i].seconds),
                        at_y(a, *(const double *) (const void *) ((const char *) &svg->samples[i] + offset)));
        fputs("'/>\n", out);
}

static double stacked(const struct sample *s, size_t bands) {
        double sum = 0;

        for (size_t b = 0; b < bands; b++)
                sum += s->bands[b];
        return sum;
}

static void draw_band(const struct svg *svg, const struct axis *a, size_t band, FILE *out) {
        fprintf(out, "<polygon fill='%s' fill-opacity='0.75' points='", colours[band]);
        for (size_t i = 0; i < svg->n; i++)
                fprintf(out, "%.1f,%.1f ", at_x(a, svg->samples[i].seconds), at_y(a, stacked(&svg->samples[i], band + 1)));
        for (size_t i = svg->n; i > 0; i--)
                fprintf(out, "%.1f,%.1f ", at_x(a, svg->samples[i - 1].seconds), at_y(a, stacked(&svg->samples[i - 1], band)));
        fputs("'/>\n", out);
}

static void draw_text(const char *text, FILE *out) {
        for (; *text; text++)
                switch (*text) {
                case '<':
                        fputs("&lt;", out);
                        break;
                case '&':
                        fputs("&amp;", out);
                        break;
                default:
                        fputc((unsigned char) *text < ' ' ? ' ' : *text, out);
                }
}

static void draw_key(double top, size_t row, const char *colour, const char *text, FILE *out) {
        double y = top + 16 * (double) row;

        fprintf(out, "<rect x='%.0f' y='%.0f' width='12' height='12' fill='%s'/><text x='%.0f' y='%.0f'>", WIDTH - RIGHT + 14, y, colour,
                WIDTH - RIGHT + 32, y + 11);
        draw_text(text, out);
        fputs("</text>\n", out);
}

int svg_write(const struct svg *svg, FILE *out) {
        struct axis host = { .top = TOP }, guests = { .top = TOP + PANEL + GAP };

        host.seconds = guests.seconds = (double) svg->scenario->duration_usec / 1e6;
        for (size_t i = 0; i < svg->n; i++) {
                const struct sample *s = &svg->samples[i];

                host.max = MAX(host.max, MAX(MAX(s->envelope, s->committed), MAX(s->used, s->swap)) * 1.05);
                guests.max = MAX(guests.max, MAX(stacked(s, svg->n_bands), s->wanted) * 1.05);
        }
        fprintf(out, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %.0f %.0f' font-family='sans-serif' font-size='12'>\n"
                     "<style>.t{font-weight:bold;font-size:14px}.x{text-anchor:middle}.y{text-anchor:end}"
                     ".g{stroke:#ddd}.k{stroke:#333;fill:none}</style>\n"
                     "<rect width='100%%' height='100%%' fill='#fff'/>\n", WIDTH, guests.top + PANEL + GAP / 2);
        draw_axes(&host, "Host", out);
        draw_line(svg, &host, offsetof(struct sample, envelope), "#333333", "stroke-dasharray='6 3'", out);
        draw_line(svg, &host, offsetof(struct sample, committed), colours[0], "", out);
        draw_line(svg, &host, offsetof(struct sample, used), colours[2], "", out);
        draw_line(svg, &host, offsetof(struct sample, swap), colours[3], "", out);
        draw_key(host.top, 0, "#333333", "envelope", out);
        draw_key(host.top, 1, colours[0], "committed", out);
        draw_key(host.top, 2, colours[2], "memory in use", out);
        draw_key(host.top, 3, colours[3], "swap in use", out);
        draw_axes(&guests, "Guests: balloon sizes, stacked", out);
        for (size_t b = 0; b < svg->n_bands; b++)
                draw_band(svg, &guests, b, out);
        draw_line(svg, &guests, offsetof(struct sample, wanted), "#000000", "stroke-dasharray='4 3'", out);
        draw_key(guests.top, 0, "#000000", "wanted by all (dashed)", out);
        for (size_t b = 0; b < svg->n_bands; b++)
                draw_key(guests.top, svg->n_bands - b, colours[b], svg->names[b] ? svg->names[b] : "", out);
        fputs("</svg>\n", out);
        return ferror(out) ? -EIO : 0;
}
