include %D%/decode.mk
include %D%/aerostatctl/local.mk
include %D%/completions/local.mk
include %D%/hooks/local.mk
# filled in by this folder's part
include %D%/sim/local.mk
