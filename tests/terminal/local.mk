# aerostatctl top in a terminal of tmux, against an invented manager; tests/run runs it.
EXTRA_DIST += \
	%D%/aeroterm.py \
	%D%/test_top.py
