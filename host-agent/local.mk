# aerostatd. Libraries from the bottom up: policy (pure), system (/proc, /sys), virt (libvirt, channels); then the manager, which owns all
# state, and control (the operator's side), which looks at the manager.
noinst_LIBRARIES += libaerostat-policy.a libaerostat-virt.a libaerostat-system.a libaerostat-control.a

include %D%/policy/local.mk
include %D%/system/local.mk
include %D%/virt/local.mk
include %D%/control/local.mk
