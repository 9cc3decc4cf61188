# The operator's tool: speaks varlink to the daemon, and needs nothing of it but the protocol's parsers.
bin_PROGRAMS += aerostatctl
aerostatctl_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(NCURSES_CFLAGS) -DSBINDIR='"$(sbindir)"'
aerostatctl_SOURCES = \
	%D%/adjust.c \
	%D%/alerts.c \
	%D%/args.c %D%/args.h \
	%D%/automation.c \
	%D%/client.c %D%/client.h \
	%D%/config.c \
	%D%/ctl.h \
	%D%/doctor.c %D%/doctor.h \
	%D%/doctor_cpu.c %D%/doctor_findings.c %D%/doctor_kernel.c %D%/doctor_memory.c %D%/doctor_qemu.c %D%/doctor_vm.c \
	%D%/explain.c \
	%D%/field.c %D%/field.h \
	%D%/ksm.c \
	%D%/history.c %D%/history.h %D%/history_svg.c \
	%D%/limits.c \
	%D%/list.c \
	%D%/main.c \
	%D%/report.c \
	%D%/reserve.c \
	%D%/show.c \
	%D%/status.c \
	%D%/swap.c %D%/swap_file.c %D%/swap_file.h \
	%D%/table.c %D%/table.h \
	%D%/text.c %D%/text.h \
	%D%/top.c %D%/top.h \
	%D%/top_draw.c %D%/top_host.c %D%/top_table.c \
	%D%/top_fetch.c %D%/top_fetch.h \
	%D%/top_model.c %D%/top_model.h %D%/top_text.c %D%/top_text.h \
	%D%/top_screen.c %D%/top_screen.h \
	%D%/version.c \
	%D%/whatif.c \
	%D%/wire.c %D%/wire.h
aerostatctl_LDADD = libaerostat-protocol.a $(JANSSON_LIBS) $(NCURSES_LIBS)
