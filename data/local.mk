# Configuration samples, units, accounts.
aerostatdir = $(sysconfdir)/aerostat
dist_aerostat_DATA = %D%/aerostat-guest.conf %D%/aerostatd.conf
EXTRA_DIST += %D%/aerostat-guest.service.in %D%/aerostatd.service.in %D%/aerostat.sysusers

systemdsystemunit_DATA = %D%/aerostat-guest.service %D%/aerostatd.service
CLEANFILES += $(systemdsystemunit_DATA)
sysusersdir = $(prefix)/lib/sysusers.d
sysusers_DATA = %D%/aerostat.conf
CLEANFILES += %D%/aerostat.conf

SUFFIXES += .service.in .service .sysusers .conf
.service.in.service:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(SED) -e 's|@sbindir[@]|$(sbindir)|g' $< > $@
# sysusers.d wants the name .conf, which says too little in this folder.
.sysusers.conf:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $< $@

# For whom alerts are told: delivery examples, Prometheus rules, a Grafana dashboard.
alertsdir = $(pkgdatadir)/alerts
dist_alerts_SCRIPTS = %D%/alerts/mail %D%/alerts/webhook
prometheusdir = $(pkgdatadir)/prometheus
dist_prometheus_DATA = %D%/prometheus/aerostat.rules.yml
grafanadir = $(pkgdatadir)/grafana
dist_grafana_DATA = %D%/grafana/aerostat.json
EXTRA_DIST += %D%/prometheus/aerostat.rules.test.yml
