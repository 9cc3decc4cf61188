# libvirt and the channels. They use libvirt's test driver and sockets below /tmp: no libvirtd, no root.
if HAVE_CMOCKA
virt_unit_tests = %D%/test-channel %D%/test-channel-session %D%/test-domain-xml %D%/test-virt %D%/test-virt-hang
check_PROGRAMS += $(virt_unit_tests)
TESTS += $(virt_unit_tests)
endif
virt_unit_cppflags = $(unit_cppflags) $(SYSTEMD_CFLAGS)
virt_unit_libs = libaerostat-virt.a libaerostat-protocol.a $(SYSTEMD_LIBS) $(CMOCKA_LIBS)

%C%_test_channel_CPPFLAGS = $(virt_unit_cppflags)
%C%_test_channel_SOURCES = %D%/test-channel.c %D%/unit.h
%C%_test_channel_LDADD = $(virt_unit_libs)
%C%_test_channel_session_CPPFLAGS = $(virt_unit_cppflags)
%C%_test_channel_session_SOURCES = %D%/test-channel-session.c %D%/unit.h
%C%_test_channel_session_LDADD = $(virt_unit_libs)
%C%_test_domain_xml_CPPFLAGS = $(virt_unit_cppflags)
%C%_test_domain_xml_SOURCES = %D%/test-domain-xml.c %D%/unit.h
%C%_test_domain_xml_LDADD = $(virt_unit_libs) $(XML_LIBS)
%C%_test_virt_CPPFLAGS = $(virt_unit_cppflags) $(LIBVIRT_CFLAGS)
%C%_test_virt_SOURCES = %D%/test-virt.c %D%/virt-driver.c %D%/virt-driver.h %D%/unit.h
%C%_test_virt_LDADD = $(virt_unit_libs) $(LIBVIRT_LIBS) $(XML_LIBS)
%C%_test_virt_hang_CPPFLAGS = $(virt_unit_cppflags) $(LIBVIRT_CFLAGS)
%C%_test_virt_hang_SOURCES = %D%/test-virt-hang.c %D%/virt-driver.c %D%/virt-driver.h %D%/unit.h
%C%_test_virt_hang_LDADD = $(virt_unit_libs) $(LIBVIRT_LIBS) $(XML_LIBS)

# The manager, and the last resort's notes, resumed in libvirt's test driver.
if HAVE_CMOCKA
check_PROGRAMS += %D%/test-manager %D%/test-paused
TESTS += %D%/test-manager %D%/test-paused
endif
%C%_test_manager_CPPFLAGS = $(virt_unit_cppflags) $(LIBVIRT_CFLAGS)
%C%_test_manager_SOURCES = %D%/test-manager.c %D%/tree.h %D%/unit.h
%C%_test_manager_LDADD = libaerostat-manager.a libaerostat-memory.a libaerostat-virt.a libaerostat-system.a libaerostat-settings.a \
	libaerostat-host.a libaerostat-state.a libaerostat-policy.a libaerostat-protocol.a \
	$(LIBVIRT_LIBS) $(XML_LIBS) $(INIH_LIBS) $(SYSTEMD_LIBS) $(CMOCKA_LIBS)
%C%_test_paused_CPPFLAGS = $(virt_unit_cppflags) $(LIBVIRT_CFLAGS)
%C%_test_paused_SOURCES = %D%/test-paused.c %D%/tree.h %D%/unit.h
%C%_test_paused_LDADD = libaerostat-manager.a libaerostat-system.a $(virt_unit_libs) $(LIBVIRT_LIBS) $(XML_LIBS)

# What the manager knows of one VM.
if HAVE_CMOCKA
check_PROGRAMS += %D%/test-vm
TESTS += %D%/test-vm
endif
%C%_test_vm_CPPFLAGS = $(virt_unit_cppflags)
%C%_test_vm_SOURCES = %D%/test-vm.c %D%/unit.h
%C%_test_vm_LDADD = libaerostat-manager.a libaerostat-settings.a libaerostat-policy.a libaerostat-system.a $(virt_unit_libs) $(INIH_LIBS)

# The last resort as the manager carries it out, over an invented libvirt.
if HAVE_CMOCKA
check_PROGRAMS += %D%/test-last-resort
TESTS += %D%/test-last-resort
endif
%C%_test_last_resort_CPPFLAGS = $(unit_cppflags) $(SYSTEMD_CFLAGS)
%C%_test_last_resort_SOURCES = %D%/test-last-resort.c %D%/tree.h %D%/unit.h
%C%_test_last_resort_LDADD = libaerostat-manager.a libaerostat-host.a libaerostat-system.a libaerostat-policy.a \
	libaerostat-protocol.a $(SYSTEMD_LIBS) $(CMOCKA_LIBS)
