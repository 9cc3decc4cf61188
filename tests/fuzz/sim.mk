# The fuzz target of the simulator's scenarios.
check_PROGRAMS += %D%/fuzz-scenario
if !FUZZING
TESTS += %D%/fuzz-scenario
endif
%C%_fuzz_scenario_CPPFLAGS = $(fuzz_cppflags) $(JANSSON_CFLAGS)
%C%_fuzz_scenario_LDFLAGS = $(fuzz_ldflags)
%C%_fuzz_scenario_SOURCES = %D%/targets/fuzz-scenario.c $(fuzz_driver) %D%/fuzz.h
%C%_fuzz_scenario_LDADD = libaerostat-sim.a libaerostat-settings.a libaerostat-policy.a libaerostat-protocol.a $(JANSSON_LIBS) $(INIH_LIBS)
