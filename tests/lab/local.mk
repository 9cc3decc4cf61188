# The lab: run by tests/run, not by `make check`, since it needs root and real guests.
EXTRA_DIST += \
	tests/run tests/setup.sh tools/demo \
	%D%/README.md \
	%D%/aerolab/__init__.py \
	%D%/aerolab/alone.py \
	%D%/aerolab/case.py \
	%D%/aerolab/cgroups.py \
	%D%/aerolab/chart.py \
	%D%/aerolab/daemon.py \
	%D%/aerolab/follower.py \
	%D%/aerolab/guest.py \
	%D%/aerolab/hog.py \
	%D%/aerolab/hook.py \
	%D%/aerolab/jsonport.py \
	%D%/aerolab/ksm.py \
	%D%/aerolab/lab.py \
	%D%/aerolab/libvirtd.py \
	%D%/aerolab/load.py \
	%D%/aerolab/machine.py \
	%D%/aerolab/qmp.py \
	%D%/aerolab/record.py \
	%D%/aerolab/sampler.py \
	%D%/aerolab/sandbox.py \
	%D%/aerolab/verdict.py \
	%D%/aerolab/web.py \
	%D%/bench_ksm.py \
	%D%/demo.py \
	%D%/guest/build-image \
	%D%/guest/init \
	%D%/guest/load/agent.c \
	%D%/guest/load/faults.c \
	%D%/guest/load/load.h \
	%D%/guest/load/main.c \
	%D%/guest/load/watch.c \
	%D%/guest/load/work.c \
	%D%/record_ksm.py \
	%D%/test_badinput.py \
	%D%/test_cache.py \
	%D%/test_alerts.py \
	%D%/test_contain.py \
	%D%/test_dashboard.py \
	%D%/test_faults.py \
	%D%/test_kinds.py \
	%D%/test_nodes.py \
	%D%/test_operator.py \
	%D%/test_lastresort.py \
	%D%/test_pressure.py \
	%D%/test_ksm.py \
	%D%/test_reaction.py \
	%D%/test_reserve.py \
	%D%/test_reserve_swap.py \
	%D%/test_smoke.py \
	%D%/test_soak.py \
	%D%/test_story.py \
	%D%/test_swap.py \
	%D%/test_swap_groups.py \
	%D%/test_targets.py \
	%D%/test_top.py \
	%D%/test_unit.py \
	%D%/test_whatif.py

# The swap control of aerostatd as the only process of a guest, for test_swap_groups.py: `make tests/lab/swap-ceiling`.
EXTRA_PROGRAMS += %D%/swap-ceiling
%C%_swap_ceiling_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
%C%_swap_ceiling_SOURCES = %D%/guest/swap-ceiling.c %D%/guest/pid1.h
%C%_swap_ceiling_LDADD = libaerostat-memory.a libaerostat-host.a libaerostat-system.a libaerostat-policy.a libaerostat-protocol.a $(SYSTEMD_LIBS)

# The same for containment and test_contain.py.
EXTRA_PROGRAMS += %D%/contain
%C%_contain_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
%C%_contain_SOURCES = %D%/guest/contain.c %D%/guest/pid1.h
%C%_contain_LDADD = libaerostat-memory.a libaerostat-host.a libaerostat-system.a libaerostat-policy.a libaerostat-protocol.a $(SYSTEMD_LIBS)

# aerostatd's reading of NUMA nodes, for test_nodes.py.
EXTRA_PROGRAMS += %D%/node-sample
%C%_node_sample_SOURCES = %D%/guest/node-sample.c %D%/guest/pid1.h
%C%_node_sample_LDADD = libaerostat-system.a libaerostat-protocol.a

# aerostatd's KSM decisions on a real kernel, recorded by record_ksm.py.
EXTRA_PROGRAMS += %D%/ksm-series
%C%_ksm_series_SOURCES = %D%/guest/ksm-series.c %D%/guest/pid1.h
%C%_ksm_series_LDADD = libaerostat-system.a libaerostat-policy.a libaerostat-protocol.a
