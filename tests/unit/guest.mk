# The protocol and the guest agent.
if HAVE_CMOCKA
guest_unit_tests = \
	%D%/test-frame %D%/test-ini-lines %D%/test-message %D%/test-procfs %D%/test-vectors \
	%D%/test-guest-agent %D%/test-guest-config %D%/test-guest-pace %D%/test-guest-sample %D%/test-guest-session
check_PROGRAMS += $(guest_unit_tests)
TESTS += $(guest_unit_tests)
endif
dist_check_SCRIPTS += %D%/check-decode
TESTS += %D%/check-decode
protocol_unit_libs = libaerostat-protocol.a $(CMOCKA_LIBS)
guest_unit_libs = $(guest_agent_libs) $(CMOCKA_LIBS)
fixture_cppflags = $(unit_cppflags) -DTOP_SRCDIR='"$(abs_top_srcdir)"'
EXTRA_DIST += %D%/fixtures

%C%_test_frame_CPPFLAGS = $(unit_cppflags)
%C%_test_frame_SOURCES = %D%/test-frame.c %D%/unit.h
%C%_test_frame_LDADD = $(protocol_unit_libs)
%C%_test_ini_lines_CPPFLAGS = $(unit_cppflags) $(INIH_CFLAGS)
%C%_test_ini_lines_SOURCES = %D%/test-ini-lines.c %D%/unit.h
%C%_test_ini_lines_LDADD = $(protocol_unit_libs) $(INIH_LIBS)
%C%_test_message_CPPFLAGS = $(unit_cppflags)
%C%_test_message_SOURCES = %D%/test-message.c %D%/unit.h
%C%_test_message_LDADD = $(protocol_unit_libs)
%C%_test_procfs_CPPFLAGS = $(fixture_cppflags)
%C%_test_procfs_SOURCES = %D%/test-procfs.c %D%/unit.h
%C%_test_procfs_LDADD = $(protocol_unit_libs)
%C%_test_vectors_CPPFLAGS = $(fixture_cppflags)
%C%_test_vectors_SOURCES = %D%/test-vectors.c %D%/unit.h
%C%_test_vectors_LDADD = $(protocol_unit_libs)
EXTRA_DIST += protocol/vectors

%C%_test_guest_agent_CPPFLAGS = $(unit_cppflags)
%C%_test_guest_agent_SOURCES = %D%/test-guest-agent.c %D%/unit.h
%C%_test_guest_agent_LDADD = $(guest_unit_libs) -lutil
%C%_test_guest_config_CPPFLAGS = $(fixture_cppflags)
%C%_test_guest_config_SOURCES = %D%/test-guest-config.c %D%/unit.h
%C%_test_guest_config_LDADD = $(guest_unit_libs)
%C%_test_guest_pace_CPPFLAGS = $(unit_cppflags)
%C%_test_guest_pace_SOURCES = %D%/test-guest-pace.c %D%/unit.h
%C%_test_guest_pace_LDADD = $(guest_unit_libs)
%C%_test_guest_sample_CPPFLAGS = $(fixture_cppflags)
%C%_test_guest_sample_SOURCES = %D%/test-guest-sample.c %D%/unit.h
%C%_test_guest_sample_LDADD = $(guest_unit_libs)
%C%_test_guest_session_CPPFLAGS = $(unit_cppflags)
%C%_test_guest_session_SOURCES = %D%/test-guest-session.c %D%/unit.h
%C%_test_guest_session_LDADD = $(guest_unit_libs)
