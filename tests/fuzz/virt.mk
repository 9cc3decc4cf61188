# Fuzz targets of virt/.
fuzz_virt_targets = %D%/fuzz-channel %D%/fuzz-domain-xml
check_PROGRAMS += $(fuzz_virt_targets)
if !FUZZING
TESTS += $(fuzz_virt_targets)
endif

%C%_fuzz_channel_CPPFLAGS = $(fuzz_cppflags) $(SYSTEMD_CFLAGS)
%C%_fuzz_channel_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_channel_SOURCES = %D%/targets/fuzz-channel.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_channel_LDADD = libaerostat-virt.a libaerostat-protocol.a
%C%_fuzz_domain_xml_CPPFLAGS = $(fuzz_cppflags) $(SYSTEMD_CFLAGS)
%C%_fuzz_domain_xml_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_domain_xml_SOURCES = %D%/targets/fuzz-domain-xml.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_domain_xml_LDADD = libaerostat-virt.a libaerostat-protocol.a $(XML_LIBS)
