# What the manager keeps for people, and the operator's tools that need no daemon.
if HAVE_CMOCKA
check_PROGRAMS += %D%/test-decisions %D%/test-doctor %D%/test-history %D%/test-top
TESTS += %D%/test-decisions %D%/test-doctor %D%/test-history %D%/test-top
endif
%C%_test_decisions_CPPFLAGS = $(unit_cppflags)
%C%_test_decisions_SOURCES = %D%/test-decisions.c %D%/unit.h
%C%_test_decisions_LDADD = libaerostat-host.a $(CMOCKA_LIBS)

%C%_test_doctor_CPPFLAGS = $(unit_cppflags) $(JANSSON_CFLAGS)
%C%_test_doctor_SOURCES = \
	%D%/test-doctor.c %D%/tree.h %D%/unit.h \
	tools/aerostatctl/doctor.h tools/aerostatctl/doctor_cpu.c tools/aerostatctl/doctor_findings.c tools/aerostatctl/doctor_kernel.c \
	tools/aerostatctl/doctor_memory.c tools/aerostatctl/doctor_qemu.c tools/aerostatctl/doctor_vm.c
%C%_test_doctor_LDADD = libaerostat-protocol.a $(JANSSON_LIBS) $(CMOCKA_LIBS)

%C%_test_history_CPPFLAGS = $(unit_cppflags)
%C%_test_history_SOURCES = %D%/test-history.c %D%/unit.h
%C%_test_history_LDADD = libaerostat-host.a libaerostat-state.a libaerostat-protocol.a $(CMOCKA_LIBS)

%C%_test_top_CPPFLAGS = $(unit_cppflags) $(JANSSON_CFLAGS)
%C%_test_top_SOURCES = \
	%D%/test-top.c %D%/unit.h \
	tools/aerostatctl/field.c tools/aerostatctl/field.h tools/aerostatctl/text.c tools/aerostatctl/text.h \
	tools/aerostatctl/top_model.c tools/aerostatctl/top_model.h tools/aerostatctl/top_text.c tools/aerostatctl/top_text.h
%C%_test_top_LDADD = libaerostat-protocol.a $(JANSSON_LIBS) $(CMOCKA_LIBS)
