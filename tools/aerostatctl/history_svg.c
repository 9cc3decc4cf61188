/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/history.h"

#include <inttypes.h>
#include <time.h>

#include "protocol/base.h"
#include "protocol/units.h"

/* Colours that are told apart on white and on black, and by most who do not see all colours. */
static const char *const colours[] = { "#0072b2", "#d55e00", "#009e73", "#cc79a7" };

#define WIDTH 960.0
#define HEIGHT 400.0
#define LEFT 80.0
#define RIGHT 140.0
#define TOP 40.0
#define BOTTOM 40.0

static void put_text(const char *text, FILE *out) {
        for (; *text; text++)
                if (*text == '<' || *text == '&')
                        fputs(*text == '<' ? "&lt;" : "&amp;", out);
                else
                        fputc((unsigned char) *text < ' ' ? '?' : *text, out);
}

static double at_x(double age, double oldest) {
        return LEFT + (WIDTH - LEFT - RIGHT) * (oldest > 0 ? 1 - age / oldest : 1);
}

static double at_y(double bytes, double most) {
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - bytes / most);
}

static void draw_axes(double oldest, double most, FILE *out) {
        static const double steps[] = { 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200 };
        double step = (double) MIB, unit = most >= (double) GIB ? (double) GIB : (double) MIB, tick = steps[ARRAY_SIZE(steps) - 1], seconds;

        while (most / step > 6)
                step *= 2;
        for (double y = 0; y <= most; y += step)
                fprintf(out, "<path class='g' d='M%.0f %.1fH%.0f'/><text class='y' x='%.0f' y='%.1f'>%.4g %s</text>\n", LEFT, at_y(y, most),
                        WIDTH - RIGHT, LEFT - 8, at_y(y, most) + 4, y / unit, unit >= (double) GIB ? "GiB" : "MiB");
        for (size_t i = ARRAY_SIZE(steps); i-- > 0;)
                if (oldest / steps[i] <= 7)
                        tick = steps[i];
        seconds = tick >= 3600 ? 3600 : tick >= 60 ? 60 : 1;
        for (double age = 0; age <= oldest; age += tick)
                fprintf(out, "<path class='k' d='M%.1f %.0fv5'/><text class='x' x='%.1f' y='%.0f'>%s%.4g %s</text>\n", at_x(age, oldest),
                        HEIGHT - BOTTOM, at_x(age, oldest), HEIGHT - BOTTOM + 20, age > 0 ? "-" : "", age / seconds,
                        seconds >= 3600 ? "h" : seconds >= 60 ? "min" : "s");
        fprintf(out, "<path class='k' d='M%.0f %.0fV%.0fH%.0f'/>\n", LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT);
}

/* Where a value is not known, or no daemon was there to take it, the line is interrupted. */
static void draw_line(const json_t *ages, const json_t *values, double gap, double oldest, double most, const char *colour, FILE *out) {
        const json_t *value;
        bool drawing = false;
        double last = oldest;
        size_t i;

        fprintf(out, "<path fill='none' stroke='%s' stroke-width='1.8' d='", colour);
        json_array_foreach(values, i, value) {
                double age = json_number_value(json_array_get(ages, i));

                if (json_is_integer(value))
                        fprintf(out, "%c%.1f %.1f", drawing && last - age <= gap ? 'L' : 'M', at_x(age, oldest),
                                at_y(json_number_value(value), most));
                last = age;
                drawing = json_is_integer(value);
        }
        fputs("'/>\n", out);
}

void history_draw(json_t *reply, FILE *out) {
        json_t *series = json_object_get(reply, "series_bytes"), *values, *value;
        const json_t *ages = json_object_get(reply, "age_seconds");
        double oldest = json_number_value(json_array_get(ages, 0)), most = (double) MIB;
        double gap = 3 * json_number_value(json_object_get(reply, "step_seconds"));
        const char *name = json_string_value(json_object_get(reply, "name")), *key;
        char when[64] = "";
        time_t now = time(NULL);
        struct tm tm;
        size_t i, row = 0;

        json_object_foreach(series, key, values)
                json_array_foreach(values, i, value)
                        most = MAX(most, json_number_value(value) * 1.05);
        fprintf(out, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %.0f %.0f' font-family='sans-serif' font-size='12'>\n"
                     "<style>svg{background:#fff}text{fill:#222}.t{font-weight:bold;font-size:14px}"
                     ".x{text-anchor:middle}.y{text-anchor:end}.g{stroke:#ddd}.k{stroke:#444;fill:none}"
                     "@media(prefers-color-scheme:dark){svg{background:#161616}text{fill:#ddd}.g{stroke:#333}.k{stroke:#aaa}}</style>\n"
                     "<text class='t' x='%.0f' y='24'>Memory of ", WIDTH, HEIGHT, LEFT);
        put_text(name ?: "the host", out);
        if (localtime_r(&now, &tm) && strftime(when, sizeof(when), "%Y-%m-%d %H:%M %Z", &tm) == 0)
                *when = 0;
        fprintf(out, "</text>\n<text class='y' x='%.0f' y='24'>%s</text>\n", WIDTH - RIGHT, when);
        draw_axes(oldest, most, out);
        json_object_foreach(series, key, values) {
                const char *colour = colours[row % ARRAY_SIZE(colours)];
                double y = TOP + 18 * (double) row++;

                draw_line(ages, values, gap, oldest, most, colour, out);
                fprintf(out, "<rect x='%.0f' y='%.0f' width='12' height='12' fill='%s'/><text x='%.0f' y='%.0f'>", WIDTH - RIGHT + 16, y, colour,
                        WIDTH - RIGHT + 34, y + 11);
                put_text(key, out);
                fputs("</text>\n", out);
        }
        fputs("</svg>\n", out);
}
