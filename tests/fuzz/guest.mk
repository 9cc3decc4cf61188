# Fuzz targets of the protocol and the guest agent. With --enable-fuzzing they are fuzzers (tests/fuzz/README.md); without, `make check`
# replays their corpora.
fuzz_guest_targets = %D%/fuzz-guest-config %D%/fuzz-parse %D%/fuzz-procfs %D%/fuzz-protocol
check_PROGRAMS += $(fuzz_guest_targets)
if FUZZING
fuzz_driver =
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer
else
fuzz_driver = %D%/replay.c
fuzz_ldflags = $(AM_LDFLAGS)
TESTS += $(fuzz_guest_targets)
endif
fuzz_cppflags = $(AM_CPPFLAGS) -DTOP_SRCDIR='"$(abs_top_srcdir)"'
EXTRA_DIST += %D%/replay.c %D%/corpus %D%/README.md

%C%_fuzz_guest_config_CPPFLAGS = $(fuzz_cppflags) $(INIH_CFLAGS)
%C%_fuzz_guest_config_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_guest_config_SOURCES = %D%/targets/fuzz-guest-config.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_guest_config_LDADD = $(guest_agent_libs)
%C%_fuzz_parse_CPPFLAGS = $(fuzz_cppflags)
%C%_fuzz_parse_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_parse_SOURCES = %D%/targets/fuzz-parse.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_parse_LDADD = libaerostat-protocol.a
%C%_fuzz_procfs_CPPFLAGS = $(fuzz_cppflags)
%C%_fuzz_procfs_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_procfs_SOURCES = %D%/targets/fuzz-procfs.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_procfs_LDADD = libaerostat-protocol.a
%C%_fuzz_protocol_CPPFLAGS = $(fuzz_cppflags)
%C%_fuzz_protocol_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_protocol_SOURCES = %D%/targets/fuzz-protocol.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_protocol_LDADD = libaerostat-protocol.a
