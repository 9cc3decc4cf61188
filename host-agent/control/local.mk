libaerostat_control_a_CPPFLAGS = $(AM_CPPFLAGS)
libaerostat_control_a_SOURCES =
