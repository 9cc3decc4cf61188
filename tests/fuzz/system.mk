# Fuzz targets of the host agent's settings and of what it reads from /proc and /sys; see guest.mk.
fuzz_system_targets = %D%/fuzz-host %D%/fuzz-ksm %D%/fuzz-settings
check_PROGRAMS += $(fuzz_system_targets)
if !FUZZING
TESTS += $(fuzz_system_targets)
endif

%C%_fuzz_host_CPPFLAGS = $(fuzz_cppflags)
%C%_fuzz_host_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_host_SOURCES = %D%/targets/fuzz-host.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_host_LDADD = libaerostat-system.a libaerostat-protocol.a
%C%_fuzz_settings_CPPFLAGS = $(fuzz_cppflags)
%C%_fuzz_settings_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_settings_SOURCES = %D%/targets/fuzz-settings.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_settings_LDADD = libaerostat-settings.a libaerostat-policy.a libaerostat-protocol.a $(INIH_LIBS)
%C%_fuzz_ksm_CPPFLAGS = $(fuzz_cppflags)
%C%_fuzz_ksm_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_ksm_SOURCES = %D%/targets/fuzz-ksm.c $(fuzz_driver) %D%/fuzz.h tests/unit/tree.h
%C%_fuzz_ksm_LDADD = libaerostat-system.a libaerostat-guest.a libaerostat-protocol.a

# The files of the state folder.
check_PROGRAMS += %D%/fuzz-history %D%/fuzz-state
if !FUZZING
TESTS += %D%/fuzz-history %D%/fuzz-state
endif
%C%_fuzz_history_CPPFLAGS = $(fuzz_cppflags)
%C%_fuzz_history_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_history_SOURCES = %D%/targets/fuzz-history.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_history_LDADD = libaerostat-state.a libaerostat-protocol.a
%C%_fuzz_state_CPPFLAGS = $(fuzz_cppflags)
%C%_fuzz_state_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_state_SOURCES = %D%/targets/fuzz-state.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_state_LDADD = libaerostat-state.a libaerostat-protocol.a

check_PROGRAMS += %D%/fuzz-report
if !FUZZING
TESTS += %D%/fuzz-report
endif
%C%_fuzz_report_CPPFLAGS = $(fuzz_cppflags)
%C%_fuzz_report_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_report_SOURCES = %D%/targets/fuzz-report.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_report_LDADD = libaerostat-state.a libaerostat-policy.a libaerostat-protocol.a
