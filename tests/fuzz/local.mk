include %D%/guest.mk
include %D%/control.mk
