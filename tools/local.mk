include %D%/decode.mk
