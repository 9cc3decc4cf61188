noinst_LIBRARIES += libaerostat-system.a
libaerostat_system_a_CPPFLAGS = $(AM_CPPFLAGS)
libaerostat_system_a_SOURCES = \
	%D%/host.c %D%/host.h \
	%D%/process.c %D%/process_parsers.c \
	%D%/cgroup.c %D%/cgroup.h %D%/cgroup_parsers.c \
	%D%/lines.c %D%/lines.h \
	%D%/nodes.c %D%/nodes.h \
	%D%/parsers.c %D%/parsers.h \
	%D%/ksm.c %D%/ksm.h %D%/ksm_process.c %D%/ksm_parsers.c %D%/ksm_parsers.h \
	%D%/group_high.c %D%/group_high.h \
	%D%/save_space.c %D%/save_space.h \
	%D%/swap_limit.c %D%/swap_limit.h \
	%D%/undo.c %D%/undo.h
