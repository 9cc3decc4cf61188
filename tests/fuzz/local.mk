include %D%/guest.mk
