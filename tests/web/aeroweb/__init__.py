# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of metrics, rules, alerts and the dashboard page share: Python 3 with its standard library, and for a mail server
python3-aiosmtpd."""

from .browser import Browser
from .daemon import Daemon, Stub, free_port, get, program, require, wait_until
from .frame import main
from .mail import MailServer
from .stack import Alertmanager, Prometheus

__all__ = ["Alertmanager", "Browser", "Daemon", "MailServer", "Prometheus", "Stub", "free_port", "get", "main", "program", "require", "wait_until"]
