libaerostat_virt_a_CPPFLAGS = $(AM_CPPFLAGS)
libaerostat_virt_a_SOURCES =
