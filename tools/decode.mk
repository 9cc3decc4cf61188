# aerostat-decode: prints a capture of the guest channel.
bin_PROGRAMS += aerostat-decode
aerostat_decode_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
aerostat_decode_SOURCES = %D%/decode.c
aerostat_decode_LDADD = libaerostat-protocol.a $(JANSSON_LIBS)
