# aerostat-sim: the policy over modelled guests. The models are a library, for the property tests run them, too.
noinst_LIBRARIES += libaerostat-sim.a
libaerostat_sim_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
libaerostat_sim_a_SOURCES = \
	%D%/account.c %D%/baseline.c %D%/baseline.h %D%/decide.c %D%/events.c %D%/guest.c %D%/guest.h %D%/host.c %D%/host.h %D%/host_internal.h \
	%D%/host_nodes.c \
	%D%/invariants.c %D%/invariants.h %D%/invariants_internal.h %D%/invariants_nodes.c %D%/random.h %D%/reader.c %D%/reader.h %D%/run.c %D%/run.h \
	%D%/scenario.c %D%/scenario.h %D%/scenario_events.c %D%/scenario_guests.c %D%/series.c \
	%D%/summary.c %D%/summary.h %D%/svg.c %D%/svg.h %D%/timeline.c %D%/timeline.h

bin_PROGRAMS += aerostat-sim
aerostat_sim_CPPFLAGS = $(libaerostat_sim_a_CPPFLAGS)
aerostat_sim_SOURCES = %D%/main.c
aerostat_sim_LDADD = libaerostat-sim.a libaerostat-settings.a libaerostat-policy.a libaerostat-protocol.a $(JANSSON_LIBS) $(INIH_LIBS)
