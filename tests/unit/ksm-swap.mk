# KSM and swap.
if HAVE_CMOCKA
ksm_swap_unit_tests = %D%/test-policy-ksm %D%/test-ksm-series %D%/test-ksm %D%/test-policy-swap %D%/test-undo %D%/test-swap-limit %D%/test-swap-control \
	%D%/test-swap-systemd %D%/test-ksm-control
check_PROGRAMS += $(ksm_swap_unit_tests)
TESTS += $(ksm_swap_unit_tests)
endif
%C%_test_policy_ksm_CPPFLAGS = $(unit_cppflags)
%C%_test_policy_ksm_SOURCES = %D%/test-policy-ksm.c %D%/unit.h
%C%_test_policy_ksm_LDADD = libaerostat-policy.a libaerostat-protocol.a $(CMOCKA_LIBS)
%C%_test_ksm_series_CPPFLAGS = $(fixture_cppflags)
%C%_test_ksm_series_SOURCES = %D%/test-ksm-series.c %D%/unit.h
%C%_test_ksm_series_LDADD = libaerostat-policy.a libaerostat-protocol.a $(CMOCKA_LIBS)
%C%_test_ksm_CPPFLAGS = $(fixture_cppflags)
%C%_test_ksm_SOURCES = %D%/test-ksm.c %D%/unit.h
%C%_test_ksm_LDADD = libaerostat-system.a libaerostat-protocol.a $(CMOCKA_LIBS)
%C%_test_policy_swap_CPPFLAGS = $(unit_cppflags)
%C%_test_policy_swap_SOURCES = %D%/test-policy-swap.c %D%/unit.h
%C%_test_policy_swap_LDADD = libaerostat-policy.a libaerostat-protocol.a $(CMOCKA_LIBS)
%C%_test_undo_CPPFLAGS = $(unit_cppflags)
%C%_test_undo_SOURCES = %D%/test-undo.c %D%/tree.h %D%/unit.h
%C%_test_undo_LDADD = libaerostat-system.a libaerostat-protocol.a $(CMOCKA_LIBS)
%C%_test_swap_limit_CPPFLAGS = $(unit_cppflags)
%C%_test_swap_limit_SOURCES = %D%/test-swap-limit.c %D%/tree.h %D%/unit.h
%C%_test_swap_limit_LDADD = libaerostat-system.a libaerostat-protocol.a $(CMOCKA_LIBS)
memory_test_libs = libaerostat-memory.a libaerostat-host.a libaerostat-system.a libaerostat-policy.a libaerostat-protocol.a \
	$(SYSTEMD_LIBS) $(CMOCKA_LIBS)
%C%_test_swap_control_CPPFLAGS = $(unit_cppflags) $(SYSTEMD_CFLAGS)
%C%_test_swap_control_SOURCES = %D%/test-swap-control.c %D%/swap-run.h %D%/tree.h %D%/unit.h
%C%_test_swap_control_LDADD = $(memory_test_libs)
%C%_test_swap_systemd_CPPFLAGS = $(unit_cppflags) $(SYSTEMD_CFLAGS)
%C%_test_swap_systemd_SOURCES = %D%/test-swap-systemd.c %D%/swap-run.h %D%/tree.h %D%/unit.h
%C%_test_swap_systemd_LDADD = $(memory_test_libs)
%C%_test_ksm_control_CPPFLAGS = $(unit_cppflags) $(SYSTEMD_CFLAGS)
%C%_test_ksm_control_SOURCES = %D%/test-ksm-control.c %D%/tree.h %D%/unit.h
%C%_test_ksm_control_LDADD = $(memory_test_libs)

# Where the last resort's saves would go.
if HAVE_CMOCKA
check_PROGRAMS += %D%/test-save-space
TESTS += %D%/test-save-space
endif
%C%_test_save_space_CPPFLAGS = $(unit_cppflags)
%C%_test_save_space_SOURCES = %D%/test-save-space.c %D%/tree.h %D%/unit.h
%C%_test_save_space_LDADD = libaerostat-system.a libaerostat-protocol.a $(CMOCKA_LIBS)

# Containment.
if HAVE_CMOCKA
check_PROGRAMS += %D%/test-contain
TESTS += %D%/test-contain
endif
%C%_test_contain_CPPFLAGS = $(unit_cppflags) $(SYSTEMD_CFLAGS)
%C%_test_contain_SOURCES = %D%/test-contain.c %D%/tree.h %D%/unit.h
%C%_test_contain_LDADD = $(memory_test_libs)
