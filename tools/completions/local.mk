bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/site-functions
EXTRA_DIST += %D%/aerostatctl.bash %D%/_aerostatctl

# bash finds a command's completion by the command's name, zsh by the name behind a line.
install-data-local:
	$(MKDIR_P) $(DESTDIR)$(bashcompletiondir) $(DESTDIR)$(zshcompletiondir)
	$(INSTALL_DATA) $(srcdir)/%D%/aerostatctl.bash $(DESTDIR)$(bashcompletiondir)/aerostatctl
	$(INSTALL_DATA) $(srcdir)/%D%/_aerostatctl $(DESTDIR)$(zshcompletiondir)/_aerostatctl
uninstall-local:
	rm -f $(DESTDIR)$(bashcompletiondir)/aerostatctl $(DESTDIR)$(zshcompletiondir)/_aerostatctl
