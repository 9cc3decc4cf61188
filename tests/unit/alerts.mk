# Alerts: the engine and its conditions, delivery, metrics and the dashboard's server, against an invented manager.
alert_test_cppflags = $(control_test_cppflags)
alert_test_ldadd = $(control_test_ldadd) $(CMOCKA_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += %D%/test-alerts %D%/test-delivery %D%/test-web
TESTS += %D%/test-alerts %D%/test-delivery %D%/test-web
endif
%C%_test_alerts_CPPFLAGS = $(alert_test_cppflags)
%C%_test_alerts_SOURCES = %D%/test-alerts.c %D%/unit.h
%C%_test_alerts_LDADD = $(alert_test_ldadd)

%C%_test_delivery_CPPFLAGS = $(alert_test_cppflags)
%C%_test_delivery_SOURCES = %D%/test-delivery.c %D%/stub-manager.c %D%/stub-manager.h %D%/unit.h
%C%_test_delivery_LDADD = $(alert_test_ldadd)

%C%_test_web_CPPFLAGS = $(alert_test_cppflags)
%C%_test_web_SOURCES = %D%/test-web.c %D%/stub-manager.c %D%/stub-manager.h %D%/unit.h
%C%_test_web_LDADD = $(alert_test_ldadd)
