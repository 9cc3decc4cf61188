include %D%/guest.mk
include %D%/control.mk
include %D%/virt.mk
include %D%/system.mk
include %D%/sim.mk
