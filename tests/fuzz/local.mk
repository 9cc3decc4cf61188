include %D%/guest.mk
include %D%/system.mk
