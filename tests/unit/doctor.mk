# What the manager keeps for people, and the operator's tools that need no daemon.
if HAVE_CMOCKA
check_PROGRAMS += %D%/test-decisions
TESTS += %D%/test-decisions
endif
%C%_test_decisions_CPPFLAGS = $(unit_cppflags)
%C%_test_decisions_SOURCES = %D%/test-decisions.c %D%/unit.h
%C%_test_decisions_LDADD = libaerostat-host.a $(CMOCKA_LIBS)
