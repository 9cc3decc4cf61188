# What is set on the host beyond balloons: KSM, swap limits, memory.high.
noinst_LIBRARIES += libaerostat-memory.a
libaerostat_memory_a_CPPFLAGS = $(AM_CPPFLAGS) $(SYSTEMD_CFLAGS)
libaerostat_memory_a_SOURCES = \
	%D%/contain.c %D%/contain.h \
	%D%/contain_writer.c %D%/contain_writer.h \
	%D%/ksm_control.c %D%/ksm_control.h \
	%D%/swap_control.c %D%/swap_control.h \
	%D%/swap_keeper.c %D%/swap_keeper.h \
	%D%/swap_systemd.c %D%/swap_systemd.h
