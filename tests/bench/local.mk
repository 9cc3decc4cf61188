# Benchmarks print what they measure; they never fail for being slow. `make bench` runs them; `make check` builds them, so that they do not rot.
BENCHMARKS += %D%/bench-sample
check_PROGRAMS += %D%/bench-sample
%C%_bench_sample_SOURCES = %D%/bench-sample.c
%C%_bench_sample_LDADD = libaerostat-system.a libaerostat-protocol.a
