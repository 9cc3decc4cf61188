# aerostatd. Libraries from the bottom up: policy (pure), settings (the only user of libinih), system (/proc, /sys), virt (libvirt,
# channels); then the manager, which owns all state, and control (the operator's side), which looks at the manager.
noinst_LIBRARIES += libaerostat-host.a libaerostat-policy.a libaerostat-settings.a libaerostat-virt.a libaerostat-system.a libaerostat-control.a

# What the manager and the operator's side share, and tests link without either.
libaerostat_host_a_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
libaerostat_host_a_SOURCES = \
	%D%/alert_conditions.c %D%/alert_conditions.h \
	%D%/balloon_speed.h \
	%D%/decisions.c %D%/decisions.h \
	%D%/history.c %D%/history.h \
	%D%/log.c %D%/log.h \
	%D%/nodes.c %D%/nodes.h \
	%D%/what_if.c %D%/what_if.h

libaerostat_settings_a_CPPFLAGS = $(AM_CPPFLAGS) $(INIH_CFLAGS)
libaerostat_settings_a_SOURCES = \
	%D%/settings.c %D%/settings.h \
	%D%/settings_keys.h %D%/settings_parse.c %D%/settings_table.c %D%/settings_value.c

# What outlives the daemon; a library so that tests and fuzzing link it.
noinst_LIBRARIES += libaerostat-state.a
libaerostat_state_a_SOURCES = \
	%D%/report.c %D%/report.h \
	%D%/report_file.c %D%/report_file.h \
	%D%/history_file.c %D%/history_file.h \
	%D%/reservations.c %D%/reservations.h \
	%D%/state_file.c %D%/state_file.h

include %D%/policy/local.mk
include %D%/system/local.mk
include %D%/virt/local.mk
include %D%/control/local.mk

sbin_PROGRAMS += aerostatd
aerostatd_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
aerostatd_SOURCES = \
	%D%/main.c \
	%D%/manager.c %D%/manager.h %D%/manager_internal.h \
	%D%/histogram.h \
	%D%/manager_alerts.c \
	%D%/manager_decide.c \
	%D%/manager_last_resort.c \
	%D%/manager_vms.c \
	%D%/manager_memory.c %D%/manager_report.c %D%/manager_what_if.c %D%/operator.c %D%/view.h \
	%D%/ksm_control.c %D%/ksm_control.h \
	%D%/swap_control.c %D%/swap_control.h %D%/swap_keeper.c %D%/swap_keeper.h %D%/swap_systemd.c %D%/swap_systemd.h \
	%D%/by_hand.c \
	%D%/contain.c %D%/contain.h %D%/contain_writer.c %D%/contain_writer.h \
	%D%/keep.c \
	%D%/paused.c %D%/paused.h \
	%D%/limits.h \
	%D%/reserve.c \
	%D%/state_writer.c \
	%D%/vm.c %D%/vm.h
aerostatd_LDADD = \
	libaerostat-control.a libaerostat-virt.a libaerostat-system.a libaerostat-settings.a \
	libaerostat-host.a libaerostat-policy.a libaerostat-state.a libaerostat-protocol.a \
	$(LIBVIRT_LIBS) $(XML_LIBS) $(JANSSON_LIBS) $(MICROHTTPD_LIBS) $(INIH_LIBS) $(SYSTEMD_LIBS)
