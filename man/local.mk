# Manual pages, written in scdoc. Without scdoc they are not built.
man_sources = \
	%D%/aerostat-alerts.7.scd \
	%D%/aerostat-decode.1.scd %D%/aerostat-guest.8.scd %D%/aerostat-guest.conf.5.scd %D%/aerostat-sim.1.scd \
	%D%/aerostatctl.1.scd %D%/aerostatd.8.scd %D%/aerostatd.conf.5.scd
EXTRA_DIST += $(man_sources)
if HAVE_SCDOC
nodist_man_MANS += $(man_sources:.scd=)
CLEANFILES += $(man_sources:.scd=)
endif

SUFFIXES = .1.scd .1 .5.scd .5 .7.scd .7 .8.scd .8
build_man = $(AM_V_GEN)$(MKDIR_P) $(@D) && $(SCDOC) < $< > $@.tmp && mv $@.tmp $@
.1.scd.1:
	$(build_man)
.5.scd.5:
	$(build_man)
.7.scd.7:
	$(build_man)
.8.scd.8:
	$(build_man)
