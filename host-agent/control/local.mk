# The control socket: a varlink server, and what it says about the manager (host-agent/view.h).
libaerostat_control_a_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS) $(JANSSON_CFLAGS)
libaerostat_control_a_SOURCES = \
	%D%/connection.c %D%/connection.h \
	%D%/listen.c %D%/listen.h \
	%D%/message.c %D%/message.h \
	%D%/parameters.c \
	%D%/peer.c %D%/peer.h \
	%D%/varlink.c %D%/varlink.h
