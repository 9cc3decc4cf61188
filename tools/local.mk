include %D%/aerostatctl/local.mk
include %D%/decode.mk
