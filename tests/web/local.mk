# Metrics, rules, alerts and the dashboard page, end to end; tests/run runs them.
EXTRA_DIST += \
	%D%/aeroweb/__init__.py \
	%D%/aeroweb/browser.py \
	%D%/aeroweb/daemon.py \
	%D%/aeroweb/frame.py \
	%D%/aeroweb/mail.py \
	%D%/aeroweb/page.py \
	%D%/aeroweb/stack.py \
	%D%/test_mail.py \
	%D%/test_metrics.py \
	%D%/test_page.py \
	%D%/test_prometheus.py
