# libvirt and the channels. libvirt.h is included here only.
noinst_LIBRARIES += libaerostat-virt.a
libaerostat_virt_a_CPPFLAGS = $(AM_CPPFLAGS) $(LIBVIRT_CFLAGS) $(XML_CFLAGS) $(SYSTEMD_CFLAGS)
libaerostat_virt_a_SOURCES = \
	%D%/calls.c \
	%D%/channel.c %D%/channel.h \
	%D%/channel_session.c %D%/channel_session.h \
	%D%/core.h \
	%D%/discovery.c \
	%D%/domain_policy.c %D%/domain_policy.h \
	%D%/domain_xml.c %D%/domain_xml.h \
	%D%/events.c \
	%D%/following.c \
	%D%/internal.h \
	%D%/machines.c %D%/machines.h \
	%D%/states.c \
	%D%/virt.c %D%/virt.h \
	%D%/workers.c
