include %D%/decode.mk
include %D%/aerostatctl/local.mk
