# The policy's rules, with worked numbers.
if HAVE_CMOCKA
policy_tests = %D%/test-policy-envelope %D%/test-policy-guests %D%/test-policy-targets %D%/test-policy-moves %D%/test-policy-resident \
	%D%/test-policy-nodes \
	%D%/test-policy-last-resort %D%/test-report %D%/test-whatif
check_PROGRAMS += $(policy_tests)
TESTS += $(policy_tests)
endif
policy_test_ldadd = libaerostat-policy.a $(CMOCKA_LIBS)
%C%_test_policy_envelope_CPPFLAGS = $(unit_cppflags)
%C%_test_policy_envelope_SOURCES = %D%/test-policy-envelope.c %D%/policy.h %D%/unit.h
%C%_test_policy_envelope_LDADD = $(policy_test_ldadd)
%C%_test_policy_guests_CPPFLAGS = $(unit_cppflags)
%C%_test_policy_guests_SOURCES = %D%/test-policy-guests.c %D%/policy.h %D%/unit.h
%C%_test_policy_guests_LDADD = $(policy_test_ldadd)
%C%_test_policy_targets_CPPFLAGS = $(unit_cppflags)
%C%_test_policy_targets_SOURCES = %D%/test-policy-targets.c %D%/policy.h %D%/unit.h
%C%_test_policy_targets_LDADD = $(policy_test_ldadd)
%C%_test_policy_moves_CPPFLAGS = $(unit_cppflags)
%C%_test_policy_moves_SOURCES = %D%/test-policy-moves.c %D%/policy.h %D%/unit.h
%C%_test_policy_moves_LDADD = $(policy_test_ldadd)
%C%_test_policy_nodes_CPPFLAGS = $(unit_cppflags)
%C%_test_policy_nodes_SOURCES = %D%/test-policy-nodes.c %D%/policy.h %D%/unit.h
%C%_test_policy_nodes_LDADD = $(policy_test_ldadd)
%C%_test_policy_resident_CPPFLAGS = $(unit_cppflags)
%C%_test_policy_resident_SOURCES = %D%/test-policy-resident.c %D%/policy.h %D%/unit.h
%C%_test_policy_resident_LDADD = $(policy_test_ldadd)
%C%_test_whatif_CPPFLAGS = $(unit_cppflags)
%C%_test_whatif_SOURCES = %D%/test-whatif.c %D%/policy.h %D%/unit.h
%C%_test_whatif_LDADD = libaerostat-host.a $(policy_test_ldadd)
%C%_test_report_CPPFLAGS = $(unit_cppflags)
%C%_test_report_SOURCES = %D%/test-report.c %D%/policy.h %D%/unit.h
%C%_test_report_LDADD = libaerostat-state.a libaerostat-policy.a libaerostat-protocol.a $(CMOCKA_LIBS)
%C%_test_policy_last_resort_CPPFLAGS = $(unit_cppflags)
%C%_test_policy_last_resort_SOURCES = %D%/test-policy-last-resort.c %D%/unit.h
%C%_test_policy_last_resort_LDADD = $(policy_test_ldadd)
