# Property tests: generated histories, every invariant after every decision. `test-properties --count N` for more than make check's 100,000.
check_LIBRARIES += libproperty.a
libproperty_a_SOURCES = %D%/case.h %D%/check.c %D%/generate.c %D%/pairs.c %D%/shrink.c %D%/text.c
check_PROGRAMS += %D%/test-properties
TESTS += %D%/test-properties
%C%_test_properties_SOURCES = %D%/test-properties.c
%C%_test_properties_LDADD = libproperty.a libaerostat-sim.a libaerostat-policy.a libaerostat-protocol.a

# Convergence after a step in demand, against what balloons allow.
check_PROGRAMS += %D%/test-convergence
TESTS += %D%/test-convergence
%C%_test_convergence_SOURCES = %D%/test-convergence.c
%C%_test_convergence_LDADD = libaerostat-policy.a libaerostat-protocol.a
EXTRA_DIST += %D%/mutate
