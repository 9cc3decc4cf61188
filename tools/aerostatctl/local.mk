# The operator's tool: speaks varlink to the daemon, and needs nothing of it but the protocol's parsers.
bin_PROGRAMS += aerostatctl
aerostatctl_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
aerostatctl_SOURCES = \
	%D%/adjust.c \
	%D%/args.c %D%/args.h \
	%D%/automation.c \
	%D%/client.c %D%/client.h \
	%D%/ctl.h \
	%D%/field.c %D%/field.h \
	%D%/ksm.c \
	%D%/list.c \
	%D%/main.c \
	%D%/show.c \
	%D%/status.c \
	%D%/swap.c %D%/swap_file.c %D%/swap_file.h \
	%D%/table.c %D%/table.h \
	%D%/text.c %D%/text.h \
	%D%/version.c
aerostatctl_LDADD = libaerostat-protocol.a $(JANSSON_LIBS)
