# Unit tests: cmocka, no root, no network, no real /proc. One program for each module: test-MODULE.
if HAVE_CMOCKA
unit_cppflags = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)

check_PROGRAMS += %D%/test-parse
TESTS += %D%/test-parse
endif
%C%_test_parse_CPPFLAGS = $(unit_cppflags)
%C%_test_parse_SOURCES = %D%/test-parse.c %D%/unit.h
%C%_test_parse_LDADD = libaerostat-protocol.a $(CMOCKA_LIBS)
include %D%/guest.mk
include %D%/virt.mk
