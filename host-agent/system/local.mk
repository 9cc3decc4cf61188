libaerostat_system_a_CPPFLAGS = $(AM_CPPFLAGS)
libaerostat_system_a_SOURCES =
