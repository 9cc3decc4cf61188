# libvirt and the channels. libvirt.h is included here only.
libaerostat_virt_a_CPPFLAGS = $(AM_CPPFLAGS) $(LIBVIRT_CFLAGS) $(XML_CFLAGS) $(SYSTEMD_CFLAGS)
libaerostat_virt_a_SOURCES = \
	%D%/domain_xml.c %D%/domain_xml.h %D%/domain_policy.c %D%/domain_policy.h \
	%D%/virt.h %D%/channel.h
