# The protocol and the parsers that both agents share: libc only.
lib_LIBRARIES += libaerostat-protocol.a
libaerostat_protocol_a_SOURCES = \
	%D%/base.h %D%/units.h \
	%D%/endian.h \
	%D%/frame.c %D%/frame.h \
	%D%/ini_lines.c %D%/ini_lines.h \
	%D%/message.c %D%/message.h \
	%D%/clock.h \
	%D%/parse.c %D%/parse.h \
	%D%/procfs.c %D%/procfs.h
dist_doc_DATA += %D%/PROTOCOL.md
