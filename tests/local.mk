AM_TESTS_ENVIRONMENT = TSAN_OPTIONS="suppressions=$(abs_top_srcdir)/tests/tsan.supp $$TSAN_OPTIONS"; export TSAN_OPTIONS;
EXTRA_DIST += tests/tsan.supp

include %D%/unit/local.mk
include %D%/property/local.mk
include %D%/fuzz/local.mk
include %D%/web/local.mk
include %D%/terminal/local.mk
include %D%/lab/local.mk
include %D%/bench/local.mk
include %D%/sim/local.mk
