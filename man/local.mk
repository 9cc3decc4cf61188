# Man pages, written in scdoc. To add one: its .scd here. (`.scd:` is the portable way to say "%: %.scd".)
man_sources = \
	%D%/aerostatctl.1.scd
EXTRA_DIST += $(man_sources)

if HAVE_SCDOC
nodist_man_MANS += $(man_sources:.scd=)
CLEANFILES += $(man_sources:.scd=)
SUFFIXES = .scd
.scd:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(SCDOC) <$< >$@.tmp && mv $@.tmp $@
endif
