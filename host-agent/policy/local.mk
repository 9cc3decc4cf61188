libaerostat_policy_a_CPPFLAGS = $(AM_CPPFLAGS)
libaerostat_policy_a_SOURCES =
