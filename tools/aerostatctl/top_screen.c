/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who ends how: q, Esc and ^C end the loop in top.c, which closes the screen; SIGTERM, SIGHUP and SIGQUIT are read from a descriptor, so
 * that they do, too, and ncurses is never interrupted; exit() from anywhere closes it by atexit(). A crash cannot be trusted with ncurses:
 * its handler writes a text and terminal settings that were made ready at the start, and lets the signal kill us then. SIGTSTP is left to
 * ncurses, which gives the terminal back for as long.
 */

#include "tools/aerostatctl/top_screen.h"

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <term.h>
#include <termios.h>

#include "protocol/base.h"
#include "tools/aerostatctl/ctl.h"

#define STUCK_SECONDS 2         /* how long giving a terminal back that takes no output may last */

static SCREEN *screen;
static int signal_fd = -1;
static struct termios settings;
static char goodbye[256];       /* ends the alternate screen, colours and application keys */

static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

static void on_crash(int number) {
        ssize_t n = write(STDOUT_FILENO, goodbye, strlen(goodbye));

        (void) n;
        (void) tcsetattr(STDOUT_FILENO, TCSANOW, &settings);
        raise(number); /* SA_RESETHAND: this time it kills */
}

static void prepare_for_crashes(void) {
        static const char *const capabilities[] = { "sgr0", "op", "rmkx", "cnorm", "rmcup" };
        struct sigaction action = { .sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER };

        goodbye[0] = 0;
        for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
                const char *text = tigetstr((char *) capabilities[i]);

                if (text && text != (char *) -1 && strlen(goodbye) + strlen(text) < sizeof(goodbye))
                        strcat(goodbye, text);
        }
        for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
                (void) sigaction(crashes[i], &action, NULL);
}

/* Signals that end us, and the window's size, through a descriptor. Negative: -errno. */
static int take_signals(void) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGQUIT);
        sigaddset(&set, SIGWINCH);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        return signal_fd < 0 ? -errno : 0;
}

int top_screen_check(void) {
        const char *term = getenv("TERM");
        const char *move;
        int known;

        if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
                return complain(CTL_USAGE, "`top` needs a terminal\nFor files and pipes there are `aerostatctl list` and `aerostatctl watch`.");
        if (setupterm(NULL, STDOUT_FILENO, &known) != OK)
                return complain(CTL_FAILED, "the terminal \"%s\" is not known here\nTry `TERM=xterm aerostatctl top`.", term ?: "");
        move = tigetstr("cup");
        if (!move || move == (char *) -1)
                return complain(CTL_FAILED, "the terminal \"%s\" cannot place its cursor\n"
                                "Try `aerostatctl list`, or `TERM=xterm aerostatctl top`.", term ?: "");
        (void) del_curterm(cur_term);
        return CTL_DONE;
}

static void take_colours(void) {
        /* What text.c decided from NO_COLOR holds here, too. */
        if (!*text_style(STYLE_BAD) || !has_colors() || start_color() == ERR || use_default_colors() == ERR)
                return;
        init_pair(STYLE_GOOD, COLOR_GREEN, -1);
        init_pair(STYLE_WARN, COLOR_YELLOW, -1);
        init_pair(STYLE_BAD, COLOR_RED, -1);
        init_pair(STYLE_HEADER, COLOR_CYAN, -1);
}

int top_screen_open(int *ret_signal_fd) {
        int r;

        (void) tcgetattr(STDOUT_FILENO, &settings);
        r = take_signals();
        if (r < 0)
                return complain(CTL_FAILED, "cannot take signals: %s", strerror(-r));
        screen = newterm(NULL, stdout, stdin);
        if (!screen)
                return complain(CTL_FAILED, "ncurses cannot use this terminal");
        prepare_for_crashes();
        (void) atexit(top_screen_close);
        take_colours();
        (void) cbreak();
        (void) noecho();
        (void) nonl();
        (void) keypad(stdscr, TRUE);
        (void) nodelay(stdscr, TRUE);
        (void) intrflush(stdscr, FALSE);
        (void) set_escdelay(50);
        (void) curs_set(0);
        *ret_signal_fd = signal_fd;
        return CTL_DONE;
}

void top_screen_close(void) {
        if (!screen)
                return;
        /* A terminal that was stopped (^S) must not keep us: without IXON the kernel starts it again. Where that does not help SIGALRM
         * kills, and the settings at least are as they were. */
        if (!top_screen_is_ready()) {
                struct termios going = settings;

                going.c_iflag &= ~(tcflag_t) IXON;
                (void) tcsetattr(STDOUT_FILENO, TCSANOW, &going);
                (void) tcsetattr(STDOUT_FILENO, TCSANOW, &settings);
        }
        (void) alarm(STUCK_SECONDS);
        (void) endwin();
        (void) alarm(0);
        delscreen(screen);
        screen = NULL;
        closep(&signal_fd);
        signal_fd = -1;
}

void top_screen_die(int number) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, number);
        (void) signal(number, SIG_DFL);
        (void) raise(number);
        (void) sigprocmask(SIG_UNBLOCK, &set, NULL);
        exit(CTL_FAILED); /* a signal that does not kill */
}

int top_screen_signal(void) {
        struct signalfd_siginfo info;
        struct winsize size;

        if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
                return 0;
        if (info.ssi_signo == SIGWINCH && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
                (void) resizeterm(size.ws_row, size.ws_col);
        return (int) info.ssi_signo;
}

bool top_screen_is_ready(void) {
        struct pollfd pollfd = { .fd = STDOUT_FILENO, .events = POLLOUT };

        return poll(&pollfd, 1, 0) == 1;
}

unsigned long top_screen_style(enum style style) {
        static const attr_t plain[] = {
                [STYLE_PLAIN] = A_NORMAL, [STYLE_HEADER] = A_BOLD, [STYLE_GOOD] = A_NORMAL,
                [STYLE_WARN] = A_BOLD, [STYLE_BAD] = A_BOLD, [STYLE_FAINT] = A_DIM,
        };
        bool coloured = *text_style(STYLE_BAD) && has_colors() && (style == STYLE_GOOD || style == STYLE_WARN || style == STYLE_BAD);

        return plain[style] | (coloured ? COLOR_PAIR(style) : 0);
}
