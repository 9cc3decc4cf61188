# Benchmarks print what they measure; they never fail for being slow. `make bench` runs them; `make check` builds them, so that they do not rot.
BENCHMARKS += %D%/bench-sample
check_PROGRAMS += %D%/bench-sample
%C%_bench_sample_SOURCES = %D%/bench-sample.c
%C%_bench_sample_LDADD = libaerostat-system.a libaerostat-protocol.a

# One decision for many VMs.
BENCHMARKS += %D%/bench-policy
check_PROGRAMS += %D%/bench-policy
%C%_bench_policy_SOURCES = %D%/bench-policy.c
%C%_bench_policy_LDADD = libaerostat-policy.a libaerostat-protocol.a
