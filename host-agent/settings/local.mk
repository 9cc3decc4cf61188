noinst_LIBRARIES += libaerostat-settings.a
libaerostat_settings_a_CPPFLAGS = $(AM_CPPFLAGS) $(INIH_CFLAGS)
libaerostat_settings_a_SOURCES = \
	%D%/settings.c %D%/settings.h \
	%D%/keys.h \
	%D%/parse.c \
	%D%/table.c \
	%D%/value.c
