# What outlives the daemon: its form, and its files.
noinst_LIBRARIES += libaerostat-state.a
libaerostat_state_a_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
libaerostat_state_a_SOURCES = \
	%D%/history.c %D%/history.h \
	%D%/history_file.c %D%/history_file.h \
	%D%/limits.h \
	%D%/report.c %D%/report.h \
	%D%/report_file.c %D%/report_file.h \
	%D%/reservations.c %D%/reservations.h \
	%D%/state_file.c %D%/state_file.h \
	%D%/state_writer.c
