# The protocol and the guest agent.
if HAVE_CMOCKA
protocol_unit_tests = %D%/test-frame %D%/test-ini-lines %D%/test-message %D%/test-procfs
check_PROGRAMS += $(protocol_unit_tests)
TESTS += $(protocol_unit_tests)
endif
protocol_unit_libs = libaerostat-protocol.a $(CMOCKA_LIBS)
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
