/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * top: a loop that waits for keys, signals and the daemon at once, and never for one of them alone. The daemon is asked again an interval
 * after the last question, but not before it has answered and the terminal has taken what came of it: a slow one of either makes the view
 * slower, and nothing pile up.
 */

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/clock.h"
#include "tools/aerostatctl/args.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/top.h"
#include "tools/aerostatctl/top_fetch.h"
#include "tools/aerostatctl/top_screen.h"

#define INTERVAL_DEFAULT_USEC (2 * USEC_PER_SEC)
#define INTERVAL_MIN_USEC (100 * USEC_PER_MSEC)
#define INTERVAL_MAX_USEC USEC_PER_HOUR
#define RETRY_USEC USEC_PER_SEC         /* how often a daemon that is gone is looked for */
#define KEYS_AT_ONCE 64                 /* of a paste, before the screen is drawn again */

#define CONTROL(c) ((c) & 0x1f)
#define ESCAPE 27

struct top {
        struct top_view view;
        struct top_fetch fetch;
        uint64_t due_usec;              /* when the daemon is asked next */
        bool changed;                   /* the screen is to be drawn */
        bool over;
        int killed_by;                  /* the signal that ends us; 0: none */
};

static bool is_explaining(const struct top *top) {
        return top->view.page == TOP_PAGE_EXPLAIN;
}

static void ask(struct top *top) {
        uint64_t now = clock_monotonic_usec();

        top->due_usec = now + top->view.interval_usec;
        if (top_fetch_begin(&top->fetch, is_explaining(top) ? top->view.explained : NULL) < 0) {
                top->due_usec = now + RETRY_USEC;
                top->changed = true;
        }
}

/* Takes over what the daemon said, if that is all there. */
static void listen_to(struct top *top) {
        struct top_view *view = &top->view;
        int r = top_fetch_read(&top->fetch);

        if (r == 0)
                return;
        top->changed = true;
        if (r < 0) { /* it may be back already: a restart is quick */
                top->due_usec = MIN(top->due_usec, clock_monotonic_usec() + RETRY_USEC);
                if (!*top->fetch.error)
                        top->due_usec = 0;
                return;
        }
        if (!top_model_update(&view->model, top->fetch.replies[TOP_REPLY_LIST]))
                return;
        json_decref(view->status);
        view->status = TAKE_PTR(top->fetch.replies[TOP_REPLY_STATUS]);
        view->heard = time(NULL);
        if (top->fetch.replies[TOP_REPLY_EXPLAIN]) {
                json_decref(view->explain);
                view->explain = TAKE_PTR(top->fetch.replies[TOP_REPLY_EXPLAIN]);
        }
}

static void show_page(struct top *top, enum top_page page) {
        top->view.page = page;
        top->view.text_first = 0;
}

static void explain_selected(struct top *top) {
        const struct top_vm *vm = top_model_selected(&top->view.model);

        if (!vm)
                return;
        strcpy(top->view.explained, vm->uuid);
        json_decref(top->view.explain);
        top->view.explain = NULL;
        show_page(top, TOP_PAGE_EXPLAIN);
        top->due_usec = 0;
}

static void on_filter_key(struct top *top, int key) {
        struct top_model *model = &top->view.model;
        char text[2] = { (char) key, 0 };

        if (key == ESCAPE)
                top_model_filter_clear(model);
        if (key == ESCAPE || key == '\r' || key == '\n' || key == KEY_ENTER)
                top->view.filtering = false;
        else if (key == KEY_BACKSPACE || key == 0x7f || key == CONTROL('h'))
                top_model_filter_back(model);
        else if (key == CONTROL('u'))
                top_model_filter_clear(model);
        else if (key >= ' ' && key < 256 && key != 0x7f && (key < 0x80 || text_is_utf8())) /* the bytes of one character come one by one */
                top_model_filter_add(model, text);
}

/* Rows that a key moves by; 0: it is no such key. */
static long rows_of(int key) {
        long page = MAX(LINES - 10, 1);

        switch (key) {
        case KEY_UP:
        case 'k':
                return -1;
        case KEY_DOWN:
        case 'j':
                return 1;
        case KEY_PPAGE:
                return -page;
        case KEY_NPAGE:
        case ' ':
                return page;
        case KEY_HOME:
                return -INT32_MAX;
        case KEY_END:
                return INT32_MAX;
        default:
                return 0;
        }
}

static void on_text_key(struct top *top, int key) {
        long rows = rows_of(key);
        size_t *first = &top->view.text_first;

        if (rows < 0)
                *first -= MIN((size_t) -rows, *first);
        else if (rows > 0)
                *first += (size_t) rows; /* drawing knows where the end is */
        else if (key == ESCAPE || key == 'q' || key == '\r' || key == KEY_ENTER || key == KEY_LEFT || key == '?')
                show_page(top, TOP_PAGE_LIST);
}

static void on_list_key(struct top *top, int key) {
        struct top_model *model = &top->view.model;

        if (rows_of(key) != 0)
                top_model_move(model, rows_of(key));
        else if (key == 'q' || key == ESCAPE)
                top->over = true;
        else if (key == '?' || key == 'h' || key == KEY_F(1))
                show_page(top, TOP_PAGE_HELP);
        else if (key == '/')
                top->view.filtering = true;
        else if (key == '\r' || key == '\n' || key == KEY_ENTER || key == KEY_RIGHT)
                explain_selected(top);
        else if (key == '<' || key == '>')
                top_model_sort(model, (model->sort + (key == '>' ? 1u : _TOP_SORTS - 1u)) % _TOP_SORTS);
        for (enum top_sort sort = 0; sort < _TOP_SORTS; sort++)
                if (key == top_orders[sort].key)
                        top_model_sort(model, sort);
}

static void on_keys(struct top *top) {
        int n = 0, key;

        while (n < KEYS_AT_ONCE && !top->over && (key = getch()) != ERR) {
                n++;
                top->changed = true;
                if (key == CONTROL('l'))
                        (void) clearok(curscr, TRUE);
                else if (top->view.filtering)
                        on_filter_key(top, key);
                else if (top->view.page != TOP_PAGE_LIST)
                        on_text_key(top, key);
                else
                        on_list_key(top, key);
        }
        /* Readable, and nothing to read: the terminal is gone. */
        if (n == 0)
                top->over = true;
}

static void on_signal(struct top *top) {
        int number = top_screen_signal();

        top->changed = true;
        if (number == 0 || number == SIGWINCH)
                return;
        top->over = true;
        top->killed_by = number == SIGINT ? 0 : number;
}

/* How long there is nothing to do but wait, in ms. */
static int patience(const struct top *top) {
        uint64_t until = top_fetch_is_under_way(&top->fetch) ? top->fetch.deadline_usec : top->due_usec;

        return (int) (u64_sub(u64_add(until, 999), clock_monotonic_usec()) / 1000);
}

static void run(struct top *top, int signal_fd) {
        while (!top->over) {
                bool waits_to_draw = top->changed && !top_screen_is_ready();
                struct pollfd fds[] = {
                        { .fd = STDIN_FILENO, .events = POLLIN },
                        { .fd = signal_fd, .events = POLLIN },
                        { .fd = top->fetch.fd, .events = POLLIN },
                        { .fd = waits_to_draw ? STDOUT_FILENO : -1, .events = POLLOUT },
                };

                if (top->changed && !waits_to_draw) {
                        top_draw(&top->view);
                        (void) refresh();
                        top->changed = false;
                }
                if (!waits_to_draw && !top_fetch_is_under_way(&top->fetch) && clock_monotonic_usec() >= top->due_usec) {
                        ask(top);
                        continue;
                }
                if (poll(fds, ARRAY_SIZE(fds), waits_to_draw ? -1 : patience(top)) < 0 && errno != EINTR)
                        break;
                if (fds[1].revents)
                        on_signal(top);
                if (fds[0].revents & POLLIN)
                        on_keys(top);
                else if (fds[0].revents)
                        top->over = true;
                if (fds[2].revents || (top_fetch_is_under_way(&top->fetch) && clock_monotonic_usec() >= top->fetch.deadline_usec))
                        listen_to(top);
        }
}

static int take_interval(const struct args *args, uint64_t *ret) {
        *ret = INTERVAL_DEFAULT_USEC;
        if (!args->values[0])
                return CTL_DONE;
        if (args_duration(args->values[0], ret) != CTL_DONE)
                return CTL_USAGE;
        if (*ret < INTERVAL_MIN_USEC || *ret > INTERVAL_MAX_USEC)
                return complain(CTL_USAGE, "the interval %s is not within 100ms and 1h", args->values[0]);
        return CTL_DONE;
}

static int run_top(const struct context *context, const struct args *args) {
        struct top top = { .changed = true, .view.error = top.fetch.error };
        int r, signal_fd = -1;

        if (context->json)
                return complain(CTL_USAGE, "`top` is for people; for programs there are `aerostatctl --json list` and `aerostatctl watch`");
        if (take_interval(args, &top.view.interval_usec) != CTL_DONE)
                return CTL_USAGE;
        r = top_screen_check();
        if (r != CTL_DONE)
                return r;
        /* Who may not ask at all is told so in the terminal's own colours, with what to do about it. */
        r = client_call(context, "Status", NULL, &top.view.status);
        if (r != CTL_DONE)
                return r;
        r = top_screen_open(&signal_fd);
        if (r == CTL_DONE) {
                top.view.heard = time(NULL);
                top_fetch_init(&top.fetch, context->socket);
                run(&top, signal_fd);
                top_screen_close();
                top_fetch_done(&top.fetch);
        }
        json_decref(top.view.status);
        json_decref(top.view.explain);
        top_model_done(&top.view.model);
        if (top.killed_by != 0)
                top_screen_die(top.killed_by);
        return r;
}

const struct verb verb_top = {
        .name = "top",
        .operands = "",
        .summary = "The host and all VMs, live on the whole screen",
        .help = "Bars show what each VM uses, caches and has free, and what its balloon took. Keys: arrows, Enter explains a VM, / filters\n"
                "by name, p n e a m d t c r s order by pressure (default), name, state, actual, max, demand, target, committed, RSS or\n"
                "swap, ? helps, q leaves. It changes nothing. --interval: how often to look, 100ms to 1h; default 2s.",
        .options = { { "--interval", "DURATION" } },
        .run = run_top,
};
