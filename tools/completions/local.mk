bashcompletiondir = $(datadir)/bash-completion/completions
EXTRA_DIST += %D%/aerostatctl.bash

# bash finds a command's completion by the command's name.
install-data-local:
	$(MKDIR_P) $(DESTDIR)$(bashcompletiondir)
	$(INSTALL_DATA) $(srcdir)/%D%/aerostatctl.bash $(DESTDIR)$(bashcompletiondir)/aerostatctl
uninstall-local:
	rm -f $(DESTDIR)$(bashcompletiondir)/aerostatctl
