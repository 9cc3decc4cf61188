# Unit tests: cmocka, no root, no network, no real /proc. One program for each module: test-MODULE.
if HAVE_CMOCKA
unit_cppflags = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)

check_PROGRAMS += %D%/test-parse
TESTS += %D%/test-parse
endif
%C%_test_parse_CPPFLAGS = $(unit_cppflags)
%C%_test_parse_SOURCES = %D%/test-parse.c %D%/unit.h
%C%_test_parse_LDADD = libaerostat-protocol.a $(CMOCKA_LIBS)

dist_check_SCRIPTS += %D%/check-includes
TESTS += %D%/check-includes

if HAVE_CMOCKA
check_PROGRAMS += %D%/test-settings
TESTS += %D%/test-settings
endif
%C%_test_settings_CPPFLAGS = $(unit_cppflags) -DSRCDIR='"$(abs_srcdir)"'
%C%_test_settings_SOURCES = %D%/test-settings.c %D%/unit.h
%C%_test_settings_LDADD = libaerostat-settings.a libaerostat-policy.a libaerostat-protocol.a $(INIH_LIBS) $(CMOCKA_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += %D%/test-host %D%/test-process %D%/test-cgroup
TESTS += %D%/test-host %D%/test-process %D%/test-cgroup
endif
system_test_libs = libaerostat-system.a libaerostat-protocol.a $(CMOCKA_LIBS)
%C%_test_host_CPPFLAGS = $(unit_cppflags)
%C%_test_host_SOURCES = %D%/test-host.c %D%/tree.h %D%/unit.h
%C%_test_host_LDADD = $(system_test_libs)
%C%_test_process_CPPFLAGS = $(unit_cppflags)
%C%_test_process_SOURCES = %D%/test-process.c %D%/tree.h %D%/unit.h
%C%_test_process_LDADD = $(system_test_libs)
%C%_test_cgroup_CPPFLAGS = $(unit_cppflags)
%C%_test_cgroup_SOURCES = %D%/test-cgroup.c %D%/tree.h %D%/unit.h
%C%_test_cgroup_LDADD = $(system_test_libs)

include %D%/control.mk
include %D%/doctor.mk
include %D%/guest.mk
include %D%/alerts.mk
include %D%/virt.mk
include %D%/ksm-swap.mk
include %D%/policy.mk
