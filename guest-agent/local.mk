# The daemon in the guest: libc, libudev and libinih only. All but main.c is in a library, which the tests link, too.
noinst_LIBRARIES += libaerostat-guest.a
libaerostat_guest_a_CPPFLAGS = $(AM_CPPFLAGS) $(UDEV_CFLAGS) $(INIH_CFLAGS)
libaerostat_guest_a_SOURCES = \
	%D%/agent.c %D%/agent.h \
	%D%/config.c %D%/config.h \
	%D%/log.c %D%/log.h \
	%D%/pace.c %D%/pace.h \
	%D%/port.c %D%/port.h \
	%D%/queue.c %D%/queue.h \
	%D%/sample.c %D%/sample.h \
	%D%/session.c %D%/session.h \
	%D%/zram.c %D%/zram.h

guest_agent_libs = libaerostat-guest.a libaerostat-protocol.a $(UDEV_LIBS) $(INIH_LIBS)

sbin_PROGRAMS += aerostat-guest
aerostat_guest_SOURCES = %D%/main.c
aerostat_guest_LDADD = $(guest_agent_libs)
