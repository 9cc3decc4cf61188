# Tests of the control socket and of aerostatctl, against an invented manager.
if HAVE_CMOCKA
check_PROGRAMS += %D%/stub-aerostatd %D%/test-control %D%/test-listen %D%/test-varlink %D%/test-varlink-load
dist_check_SCRIPTS += %D%/test-cli.sh %D%/test-help.sh
TESTS += %D%/test-control %D%/test-listen %D%/test-varlink %D%/test-varlink-load %D%/test-cli.sh %D%/test-help.sh
endif
dist_check_SCRIPTS += %D%/test-operator.sh
TESTS += %D%/test-operator.sh
EXTRA_DIST += %D%/cli.sh
control_test_cppflags = $(unit_cppflags) $(SYSTEMD_CFLAGS) $(JANSSON_CFLAGS)
control_test_ldadd = libaerostat-control.a libaerostat-settings.a libaerostat-state.a libaerostat-host.a libaerostat-policy.a libaerostat-protocol.a \
	$(SYSTEMD_LIBS) $(JANSSON_LIBS) $(MICROHTTPD_LIBS) $(INIH_LIBS)

%C%_stub_aerostatd_CPPFLAGS = $(control_test_cppflags)
%C%_stub_aerostatd_SOURCES = %D%/stub-aerostatd.c %D%/stub-manager.c %D%/stub-manager.h
%C%_stub_aerostatd_LDADD = $(control_test_ldadd)

%C%_test_control_CPPFLAGS = $(control_test_cppflags)
%C%_test_control_SOURCES = %D%/test-control.c %D%/stub-manager.c %D%/stub-manager.h %D%/unit.h
%C%_test_control_LDADD = $(control_test_ldadd) $(CMOCKA_LIBS)

varlink_server_sources = %D%/varlink-server.c %D%/varlink-server.h %D%/stub-manager.c %D%/stub-manager.h %D%/unit.h
%C%_test_listen_CPPFLAGS = $(control_test_cppflags)
%C%_test_listen_SOURCES = %D%/test-listen.c $(varlink_server_sources)
%C%_test_listen_LDADD = $(control_test_ldadd) $(CMOCKA_LIBS)
%C%_test_varlink_CPPFLAGS = $(control_test_cppflags)
%C%_test_varlink_SOURCES = %D%/test-varlink.c $(varlink_server_sources)
%C%_test_varlink_LDADD = $(control_test_ldadd) $(CMOCKA_LIBS)
%C%_test_varlink_load_CPPFLAGS = $(control_test_cppflags)
%C%_test_varlink_load_SOURCES = %D%/test-varlink-load.c $(varlink_server_sources)
%C%_test_varlink_load_LDADD = $(control_test_ldadd) $(CMOCKA_LIBS)

# What outlives the daemon.
if HAVE_CMOCKA
check_PROGRAMS += %D%/test-state
TESTS += %D%/test-state
endif
%C%_test_state_CPPFLAGS = $(unit_cppflags)
%C%_test_state_SOURCES = %D%/test-state.c %D%/unit.h
%C%_test_state_LDADD = libaerostat-state.a libaerostat-protocol.a $(CMOCKA_LIBS)

dist_check_SCRIPTS += %D%/test-hook.sh
TESTS += %D%/test-hook.sh
