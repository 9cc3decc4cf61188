#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Prometheus thinks of our metrics, rules and dashboard, and how long a scrape of 1,000 VMs takes."""

import json
import os
import re
import statistics
import subprocess
import time
import unittest

from aeroweb import Stub, get, main, require
from aeroweb.daemon import work_folder

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SCRAPE_MAX = 0.1  # seconds, for 1,000 VMs


def read(path: str) -> str:
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


class Metrics(unittest.TestCase):
    def stub(self, vms: int) -> Stub:
        stub = Stub(work_folder(self), vms)
        self.addCleanup(stub.stop)
        return stub.start()

    def test_promtool_likes_the_metrics(self) -> None:
        promtool = require("promtool")
        done = subprocess.run([promtool, "check", "metrics"], input=get(self.stub(20).url + "/metrics"), capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_a_thousand_vms(self) -> None:
        stub = self.stub(1000)
        text = get(stub.url + "/metrics")
        self.assertEqual(len(re.findall(r"^aerostat_vm_info\{", text, re.M)), 1000)
        times = []
        for _ in range(9):
            time.sleep(0.25)  # longer than a reply is kept for others
            start = time.monotonic()
            get(stub.url + "/metrics")
            times.append(time.monotonic() - start)
        print(f"\n    1,000 VMs, {len(text) / 1e6:.1f} MB: {statistics.median(times) * 1000:.1f} ms, at most {max(times) * 1000:.1f} ms")
        self.assertLess(statistics.median(times), SCRAPE_MAX)

    def test_labels_are_bounded(self) -> None:
        """A label's values are VMs that run, or few and fixed: a thousand VMs bring no other label and no other value."""
        def labels(text: str) -> set:
            found = set()
            for inside in re.findall(r"^\w+\{(.*)\} \S+$", text, re.M):
                found |= set(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', inside))
            return {(name, value if name not in ("vm", "uuid") else "") for name, value in found}
        few, many = (labels(get(self.stub(n).url + "/metrics")) for n in (5, 1000))
        self.assertEqual(few, many)
        fixed = {"state", "name", "severity", "le", "version", "mode", "guarantee", "reason", "kind"}
        self.assertEqual({name for name, _ in many} - {"vm", "uuid"} - fixed, set())
        self.assertLess(len(many), 120)

    def test_rules(self) -> None:
        promtool = require("promtool")
        for command in (["check", "rules", "aerostat.rules.yml"], ["test", "rules", "aerostat.rules.test.yml"]):
            done = subprocess.run([promtool, *command], cwd=os.path.join(SOURCE, "data/prometheus"), capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_alert_has_a_rule_and_is_documented(self) -> None:
        kinds = re.findall(r'= \{ "(\w+)", ALERT_(\w+)', read("host-agent/policy/alert_kinds.c"))
        self.assertEqual(len(kinds), 19)
        rules, manual = read("data/prometheus/aerostat.rules.yml"), read("man/aerostat-alerts.7.scd")
        for name, severity in kinds:
            rule = rules.split(f"- alert: Aerostat{name}\n", 1)[1].split("- alert:", 1)[0]
            self.assertIn(f"severity: {severity.lower()}\n", rule)
            self.assertRegex(manual, rf"\*{name}\* \({severity.lower()}, ")

    def test_rules_and_dashboard_use_metrics_that_exist(self) -> None:
        known = set(re.findall(r"^# TYPE (\w+) ", get(self.stub(5).url + "/metrics"), re.M))
        known |= {f"{name}_{end}" for name in known for end in ("bucket", "sum", "count")}
        dashboard = json.loads(read("data/grafana/aerostat.json"))
        self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))
        for text in (read("data/prometheus/aerostat.rules.yml"), json.dumps(dashboard)):
            used = set(re.findall(r"\b(aerostat_(?:host|vm|swap|ksm|alert|decision|reaction|build)\w*)", text))
            self.assertEqual(used - known, set())


if __name__ == "__main__":
    main()
