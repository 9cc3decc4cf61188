/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The terminal of `top`: taken over by ncurses, and given back as it was, whatever ends the program short of SIGKILL.
 */

#include <stdbool.h>

#include "tools/aerostatctl/text.h"

/* CTL_DONE if there is a terminal that can be used; otherwise an exit code, and stderr has a sentence. To be called first. */
int top_screen_check(void);

/* CTL_DONE and the terminal is ours; otherwise an exit code, and stderr has a sentence. Terminal signals are read from *ret_signal_fd from
 * then on. */
int top_screen_open(int *ret_signal_fd);

/* Gives the terminal back. May be called twice. */
void top_screen_close(void);

/* Ends the program by a signal that was read, so that whoever started it sees what ended it. */
void top_screen_die(int number) __attribute__((noreturn));

/* The next signal, 0 if there is none. A new size of the window has been taken up when this returns SIGWINCH. */
int top_screen_signal(void);

/* Whether the terminal takes output now: one that is stopped or slow does not, and drawing would wait for it. */
bool top_screen_is_ready(void);

/* The attributes of ncurses for a style. */
unsigned long top_screen_style(enum style style);
