# Configuration samples, units, accounts.
aerostatdir = $(sysconfdir)/aerostat
dist_aerostat_DATA = %D%/aerostatd.conf
EXTRA_DIST += %D%/aerostatd.service.in %D%/aerostat.sysusers

systemdsystemunit_DATA = %D%/aerostatd.service
CLEANFILES += %D%/aerostatd.service
sysusersdir = $(prefix)/lib/sysusers.d
sysusers_DATA = %D%/aerostat.conf
CLEANFILES += %D%/aerostat.conf

SUFFIXES += .service.in .service .sysusers .conf
.service.in.service:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(SED) -e 's|@sbindir[@]|$(sbindir)|g' $< > $@
# sysusers.d wants the name .conf, which says too little in this folder.
.sysusers.conf:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $< $@
