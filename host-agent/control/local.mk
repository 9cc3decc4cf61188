# The control socket: a varlink server, and what it says about the manager (host-agent/view.h).
libaerostat_control_a_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS) $(JANSSON_CFLAGS)
libaerostat_control_a_SOURCES = \
	%D%/connection.c %D%/connection.h \
	%D%/control.c %D%/control.h \
	%D%/explain.c %D%/explain.h \
	%D%/json.c %D%/json.h \
	%D%/listen.c %D%/listen.h \
	%D%/memory.c %D%/memory.h \
	%D%/message.c %D%/message.h \
	%D%/methods.c %D%/methods.h \
	%D%/parameters.c \
	%D%/peer.c %D%/peer.h \
	%D%/put.c %D%/put.h \
	%D%/varlink.c %D%/varlink.h
nodist_libaerostat_control_a_SOURCES = %D%/description.c

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
