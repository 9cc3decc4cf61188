# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's Prometheus and Alertmanager on loopback, with the rules that we ship."""

import json
import os
from typing import Any, Dict, List

from .daemon import Process, get, require

RULES = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..", "data", "prometheus", "aerostat.rules.yml"))


class Alertmanager(Process):
    def __init__(self, folder: str) -> None:
        super().__init__(folder, "alertmanager")
        self.config = f"{folder}/alertmanager.yml"
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("route: {receiver: none}\nreceivers: [{name: none}]\n")

    def command(self) -> List[str]:
        return [require("prometheus-alertmanager", "alertmanager"), f"--config.file={self.config}", f"--storage.path={self.folder}/alertmanager",
                f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="]

    def alive_path(self) -> str:
        return "/-/ready"

    def alerts(self) -> Dict[str, Dict[str, Any]]:
        """What is active, by name."""
        return {alert["labels"]["alertname"]: alert for alert in json.loads(get(f"{self.url}/api/v2/alerts?active=true"))}


class Prometheus(Process):
    def __init__(self, folder: str, scrape_port: int, alertmanager: Alertmanager) -> None:
        super().__init__(folder, "prometheus")
        self.config = f"{folder}/prometheus.yml"
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f"""global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ['{RULES}']
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager.port}']}}]}}]}}
scrape_configs:
  - job_name: aerostat
    static_configs: [{{targets: ['127.0.0.1:{scrape_port}']}}]
""")

    def command(self) -> List[str]:
        return [require("prometheus"), f"--config.file={self.config}", f"--storage.tsdb.path={self.folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--rules.alert.resend-delay=2s"]

    def alive_path(self) -> str:
        return "/-/ready"

    def query(self, expression: str) -> List[Dict[str, Any]]:
        from urllib.parse import quote
        return json.loads(get(f"{self.url}/api/v1/query?query={quote(expression)}"))["data"]["result"]
