# The operator's tool: speaks varlink to the daemon, and needs nothing of it but the protocol's parsers.
bin_PROGRAMS += aerostatctl
aerostatctl_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) -DSBINDIR='"$(sbindir)"'
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
	%D%/version.c \
	%D%/whatif.c
aerostatctl_LDADD = libaerostat-protocol.a $(JANSSON_LIBS)
