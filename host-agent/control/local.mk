# The control socket: a varlink server, and what it says about the manager (host-agent/manager/view.h).
noinst_LIBRARIES += libaerostat-control.a
libaerostat_control_a_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS) $(JANSSON_CFLAGS) $(MICROHTTPD_CFLAGS)
libaerostat_control_a_SOURCES = \
	%D%/alert_json.c %D%/alert_json.h \
	%D%/alert_store.c %D%/alert_store.h \
	%D%/alert_text.c %D%/alert_text.h \
	%D%/connection.c %D%/connection.h \
	%D%/control.c %D%/control.h \
	%D%/dashboard.h \
	%D%/delivery.c %D%/delivery.h \
	%D%/explain.c %D%/explain.h \
	%D%/explain_more.c \
	%D%/follow.c %D%/follow.h \
	%D%/http.c %D%/http.h \
	%D%/http_socket.c %D%/http_socket.h \
	%D%/json.c %D%/json.h \
	%D%/json_history.c \
	%D%/json_nodes.c \
	%D%/limits.c \
	%D%/listen.c %D%/listen.h \
	%D%/memory.c %D%/memory.h \
	%D%/message.c %D%/message.h \
	%D%/metrics.c %D%/metrics.h %D%/metrics_nodes.c \
	%D%/methods.c %D%/methods.h \
	%D%/pages.c %D%/pages.h \
	%D%/parameters.c \
	%D%/peer.c %D%/peer.h \
	%D%/put.c %D%/put.h \
	%D%/runner.c %D%/runner.h \
	%D%/report.c %D%/report.h %D%/report_text.c %D%/report_text.h \
	%D%/reserve.c \
	%D%/varlink.c %D%/varlink.h \
	%D%/whatif.c %D%/whatif.h
nodist_libaerostat_control_a_SOURCES = %D%/description.c %D%/dashboard.c

# The description of the interface is one file: clients read it, and the daemon hands it out.
varlinkdir = $(pkgdatadir)
dist_varlink_DATA = %D%/org.aerostat.Host.varlink
CLEANFILES += %D%/description.c
%D%/description.c: %D%/org.aerostat.Host.varlink
	$(AM_V_GEN)$(MKDIR_P) %D% && { \
	  echo '/* Generated from org.aerostat.Host.varlink. */'; \
	  echo '#include "host-agent/control/methods.h"'; \
	  echo 'const char control_interface_description[] ='; \
	  $(SED) -e 's/[\\"]/\\&/g' -e 's/.*/        "&\\n"/' $(srcdir)/%D%/org.aerostat.Host.varlink; \
	  echo ';'; } >$@.tmp && mv $@.tmp $@

# The dashboard page: a few files as they are, built in.
dashboard_sources = %D%/dashboard/index.html %D%/dashboard/style.css %D%/dashboard/app.js %D%/dashboard/draw.js %D%/dashboard/icon.svg
EXTRA_DIST += %D%/dashboard/embed $(dashboard_sources)
CLEANFILES += %D%/dashboard.c
%D%/dashboard.c: %D%/dashboard/embed $(dashboard_sources)
	$(AM_V_GEN)$(MKDIR_P) %D% && $(SHELL) $(srcdir)/%D%/dashboard/embed $(srcdir)/%D%/dashboard >$@.tmp && mv $@.tmp $@
