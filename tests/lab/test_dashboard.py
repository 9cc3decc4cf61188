#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The dashboard page in headless Chromium against a daemon with real guests, one of them with markup for a name."""

import os

from aerolab import MIB, Options, main
from aerolab.lab import build_folder
from aerolab.web import AlertCase, Browser, PageChecks

MARKUP = "<h2>shout<script>alert(1)"     # what libvirt and QEMU take for a name; tests/web has worse


class Dashboard(PageChecks, AlertCase):
    guests = [Options("web1", psi=True), Options("db1", swap=256 * MIB), Options(MARKUP)]

    def setUp(self) -> None:
        super().setUp()
        self.browser = Browser()
        self.addCleanup(self.browser.close)
        daemon = self.start({"host": {"memory": "1900M"}})
        self.browser.open(self.url + "/")
        for i, guest in enumerate(self.lab.guests):
            guest.load.hold("work", (120 + 120 * i) * MIB, ramp=300 * MIB, rate_hz=2)
        self.wait_calm()
        self.assertEqual(set(daemon.vms()), {"web1", "db1", MARKUP})

    def test_page(self) -> None:
        self.check_values(self.daemon)
        self.check_explanation(self.daemon, "db1")
        names = self.browser.evaluate("[...document.querySelectorAll('.vm .name > span:first-child')].map(e => e.textContent)")
        self.assertEqual(sorted(names), sorted(["web1", "db1", MARKUP]))
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('main script, .vms h2, .alerts h2').length"), 0)
        self.assertEqual(self.browser.dialogs, [])
        self.check_readable()
        self.check_calm(self.url)

    def test_restart_and_an_alert(self) -> None:
        self.daemon.stop()
        self.wait_page("document.getElementById('link').classList.contains('lost')", "the page says that the daemon is gone")
        self.daemon.start()
        self.wait_page("document.getElementById('link').classList.contains('live')", "the page lives again")
        self.wait_calm()
        self.check_values(self.daemon)
        guest = self.guest(MARKUP)
        guest.load.agent("stop")
        self.addCleanup(guest.load.agent, "cont")
        self.wait_page("document.querySelector('[data-alert=GuestStale]')", "the alert is on the page", 90)
        self.assertIn(MARKUP, self.browser.evaluate("document.querySelector('[data-alert=GuestStale]').textContent"))
        self.assertEqual(self.browser.dialogs, [])
        folder = os.path.join(build_folder(), "screenshots", "lab")
        os.makedirs(folder, exist_ok=True)
        self.check_looks(folder)
        self.check_calm(self.url)


if __name__ == "__main__":
    main()
