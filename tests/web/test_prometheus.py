#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""From the daemon to Alertmanager, with Debian's Prometheus: a host that becomes critically short, and recovers. And the webhook, which
needs none."""

import json
import os
import shutil
import subprocess
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import List, Tuple

from aeroweb import Alertmanager, Daemon, Prometheus, main, require, wait_until
from aeroweb.daemon import GIB, work_folder

WEBHOOK = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "data", "alerts", "webhook"))
SHORT = {"host": {"reserve": "100T"}}  # more than there is: the host is critical at once
CLEAR = 75  # seconds until an alert is resolved, and some more


class EndToEnd(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = work_folder(self)
        self.alertmanager = Alertmanager(self.folder)
        self.addCleanup(self.alertmanager.stop)
        self.alertmanager.start()

    def daemon(self, settings: dict) -> Daemon:
        daemon = Daemon(self.folder, {"web1": 2 * GIB, "db1": GIB}, settings)
        self.addCleanup(daemon.stop)
        return daemon.start()

    def test_rule_fires_and_resolves(self) -> None:
        daemon = self.daemon({})
        prometheus = Prometheus(self.folder, daemon.port, self.alertmanager)
        self.addCleanup(prometheus.stop)
        prometheus.start()
        wait_until(lambda: prometheus.query("aerostat_vm_info"), 15, "Prometheus has scraped the daemon")
        self.assertNotIn("AerostatHostCritical", self.alertmanager.alerts())
        daemon.configure(SHORT)
        wait_until(lambda: "AerostatHostCritical" in self.alertmanager.alerts(), 20, "Alertmanager has the alert")
        alert = self.alertmanager.alerts()["AerostatHostCritical"]
        self.assertEqual(alert["labels"]["severity"], "critical")
        self.assertIn("critically short of memory", alert["annotations"]["summary"])
        self.assertEqual(daemon.ctl("check").returncode, 2)
        daemon.configure({})
        wait_until(lambda: "AerostatHostCritical" not in self.alertmanager.alerts(), CLEAR, "Alertmanager has it resolved", every=0.5)
        self.assertEqual({alert["name"] for alert in daemon.json("alerts")["firing"]} & {"HostCritical"}, set())
        self.assertIn("HostCritical", {alert["name"] for alert in daemon.json("alerts")["recent"]})

    def test_webhook_alone(self) -> None:
        require("curl")
        require("jq")
        command = os.path.join(self.folder, "webhook")
        shutil.copy(WEBHOOK, command)
        daemon = self.daemon({"alerts": {"command": f"{command} {self.alertmanager.url}/api/v2/alerts"}})
        with subprocess.Popen(daemon.ctl_command("watch"), stdout=subprocess.PIPE, text=True) as follower:
            self.addCleanup(follower.kill)
            follower.stdout.readline()  # now it follows
            daemon.configure(SHORT)
            alert = wait_until(lambda: self.alertmanager.alerts().get("AerostatHostCritical"), 15, "Alertmanager has the alert")
            self.assertIn("critically short", alert["annotations"]["summary"])
            self.assertIn("Act now", alert["annotations"]["description"])
            event = next(event for event in map(json.loads, follower.stdout) if event["type"] == "alert")
            self.assertEqual((event["type"], event["phase"], event["alert"]["name"]), ("alert", "fired", "HostCritical"))
            # A restart neither forgets nor repeats.
            daemon.stop()
            daemon.start()
            self.assertIn("HostCritical", {alert["name"] for alert in daemon.json("alerts")["firing"]})
            wait_until(lambda: len(daemon.json("alerts")["firing"]) >= 3, 30, "the milder alerts fire, too")
            self.assertEqual(daemon.log().count("alert HostCritical:"), 1)
            follower.kill()
        daemon.configure({"alerts": {"command": f"{command} {self.alertmanager.url}/api/v2/alerts"}})
        wait_until(lambda: "AerostatHostCritical" not in self.alertmanager.alerts(), CLEAR, "Alertmanager has it resolved", every=0.5)

    def test_plain_webhook_is_tried_again(self) -> None:
        """Any web server will do; one that fails is logged, and asked again 5 s later."""
        require("curl")
        bodies: List[Tuple[float, bytes]] = []

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append((time.monotonic(), self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(500 if len(bodies) == 1 else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass
        server = HTTPServer(("127.0.0.1", 0), Receiver)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        daemon = self.daemon({"alerts": {"command": f"{WEBHOOK} --plain http://127.0.0.1:{server.server_port}/hook"}, **SHORT})
        wait_until(lambda: len([body for _, body in bodies if b"HostCritical" in body]) >= 2, 30, "it is sent again")
        (first, failed), (second, sent) = [(when, body) for when, body in bodies if b"HostCritical" in body][:2]
        self.assertEqual(failed, sent)
        self.assertTrue(4 < second - first < 10, second - first)
        event = json.loads(sent)
        self.assertEqual((event["version"], event["event"], event["alert"]["name"], event["alert"]["subject"]), (1, "fired", "HostCritical", "host"))
        self.assertRegex(daemon.log(), "webhook.*(500|exit)")

    def test_a_command_that_hangs_delays_nobody(self) -> None:
        daemon = self.daemon({"alerts": {"command": "/bin/sleep 1000"}, **SHORT})

        def children() -> List[str]:
            pid = daemon.process.pid
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                return file.read().split()
        wait_until(children, 10, "the command runs")
        before, start, slowest = daemon.json("status")["decisions"], time.monotonic(), 0.0
        while time.monotonic() - start < 8:
            asked = time.monotonic()
            daemon.json("status")
            slowest = max(slowest, time.monotonic() - asked)
            self.assertLessEqual(len(children()), 4)
            time.sleep(0.1)
        decisions = daemon.json("status")["decisions"] - before
        print(f"\n    {len(children())} commands hang: {decisions} decisions in 8 s, status within {1000 * slowest:.0f} ms")
        self.assertGreaterEqual(decisions, 6)
        self.assertLess(slowest, 1)


if __name__ == "__main__":
    main()
