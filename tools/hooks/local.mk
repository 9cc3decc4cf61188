# libvirt's hook: installed where it does nothing; linking it into /etc/libvirt/hooks switches it on.
hooksdir = $(pkgdatadir)/hooks
dist_hooks_SCRIPTS = %D%/qemu
