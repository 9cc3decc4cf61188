# aerostatd. From the bottom up: policy (pure); settings (the only user of libinih); system (/proc, /sys), virt (libvirt, channels), state (what
# outlives the daemon), memory (KSM, swap, memory.high); the manager, which owns all state; and control (the operator's side), which looks at the
# manager.
include %D%/policy/local.mk
include %D%/settings/local.mk
include %D%/system/local.mk
include %D%/virt/local.mk
include %D%/state/local.mk
include %D%/memory/local.mk
include %D%/manager/local.mk
include %D%/control/local.mk

sbin_PROGRAMS += aerostatd
aerostatd_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
aerostatd_SOURCES = %D%/main.c
aerostatd_LDADD = \
	libaerostat-control.a libaerostat-manager.a libaerostat-memory.a libaerostat-virt.a libaerostat-system.a libaerostat-settings.a \
	libaerostat-host.a libaerostat-state.a libaerostat-policy.a libaerostat-protocol.a \
	$(LIBVIRT_LIBS) $(XML_LIBS) $(JANSSON_LIBS) $(MICROHTTPD_LIBS) $(INIH_LIBS) $(SYSTEMD_LIBS)
