# The protocol and the parsers that both agents share: libc only.
lib_LIBRARIES += libaerostat-protocol.a
libaerostat_protocol_a_SOURCES = \
	%D%/base.h %D%/units.h \
	%D%/parse.c %D%/parse.h
