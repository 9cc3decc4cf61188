# Pure: no I/O, no clock, no log, no allocation, no library but libc's memory functions (tests/unit/check-includes watches).
noinst_LIBRARIES += libaerostat-policy.a
libaerostat_policy_a_SOURCES = \
	%D%/alerts.c %D%/alerts.h %D%/alert_kinds.c \
	%D%/policy.c %D%/policy.h %D%/internal.h \
	%D%/names.c %D%/obedience.c %D%/demand.c %D%/envelope.c %D%/fill.c %D%/nodes.c %D%/targets.c %D%/moves.c %D%/states.c \
	%D%/ksm.c %D%/ksm.h %D%/swap.c %D%/swap.h \
	%D%/balloon_model.h %D%/shadow.c %D%/shadow.h %D%/whatif.c %D%/whatif.h \
	%D%/last_resort.c %D%/last_resort.h
