include %D%/guest.mk
include %D%/virt.mk
