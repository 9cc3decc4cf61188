# What the manager and the operator's side share, and tests link without either.
noinst_LIBRARIES += libaerostat-host.a libaerostat-manager.a
libaerostat_host_a_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
libaerostat_host_a_SOURCES = \
	%D%/alert_conditions.c %D%/alert_conditions.h \
	%D%/balloon_speed.h \
	%D%/decisions.c %D%/decisions.h \
	%D%/nodes.c %D%/nodes.h \
	%D%/whatif.c %D%/whatif.h \
	host-agent/log.c host-agent/log.h

libaerostat_manager_a_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
libaerostat_manager_a_SOURCES = \
	%D%/alerts.c \
	%D%/by_hand.c \
	%D%/decide.c \
	%D%/histogram.h \
	%D%/internal.h \
	%D%/keep.c \
	%D%/last_resort.c \
	%D%/manager.c %D%/manager.h \
	%D%/memory.c \
	%D%/operator.c \
	%D%/paused.c %D%/paused.h \
	%D%/report.c \
	%D%/reserve.c \
	%D%/view.h \
	%D%/vm.c %D%/vm.h \
	%D%/vms.c
