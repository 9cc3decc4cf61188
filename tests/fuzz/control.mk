# The fuzz target of the control socket.
check_PROGRAMS += %D%/fuzz-varlink
if !FUZZING
TESTS += %D%/fuzz-varlink
endif
%C%_fuzz_varlink_CPPFLAGS = $(fuzz_cppflags) $(JANSSON_CFLAGS)
%C%_fuzz_varlink_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_varlink_SOURCES = %D%/targets/fuzz-varlink.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_varlink_LDADD = libaerostat-control.a libaerostat-protocol.a $(JANSSON_LIBS)
