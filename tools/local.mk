# filled in by this folder's part
include %D%/sim/local.mk
