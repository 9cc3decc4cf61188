include %D%/aerostatctl/local.mk
