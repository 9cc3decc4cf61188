include %D%/unit/local.mk
include %D%/unit/control.mk
include %D%/property/local.mk
include %D%/fuzz/local.mk
include %D%/lab/local.mk
include %D%/bench/local.mk
