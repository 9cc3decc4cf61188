#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon tells of itself, against what the lab sees: its log, its journal entries, and its mails."""

import os
import re
import socket
import struct
import threading
import time
from datetime import datetime
from email.message import EmailMessage
from typing import Dict, List, Tuple

from aerolab import LONG, MIB, LabCase, Options, log, main, virsh, wait_until
from aerolab.lab import SOURCE
from aerolab.machine import read_text
from aerolab.web import AlertCase, MailServer

CONFIG = {"host": {"memory": "1900M"}}
CALM = 60 if LONG else 30    # seconds
SETTLED = 70        # seconds after its start the daemon has told what it has to say of a host as such
MESSAGE_IDS = {"fired": "4ee3d8c751e5492b8ce0a1c988d6c2e8", "resolved": "f5462028a38b468340aa6bb72568f814"}
MOVE = re.compile(r"^(\d+):(\d+):(\d+\.\d+) (\w+): ([\d.]+ \w+) -> ([\d.]+ \w+) \((.+); demand ([\d.]+ \w+)\)$")


class Log(LabCase):
    guests = [Options(name, swap=256 * MIB) for name in "abc"]

    def test_one_line_for_what_matters_and_none_when_calm(self) -> None:
        daemon = self.start_daemon(CONFIG)
        self.wait_heard()
        self.wait_calm()
        wait_until(lambda: daemon.status()["uptime_seconds"] > SETTLED, SETTLED, "what weakens the guarantee is told", every=1)
        before, decisions = daemon.log().splitlines(), daemon.status()["decisions"]
        time.sleep(CALM)
        calm = daemon.log().splitlines()[len(before):]
        log(f"{CALM} s of calm: {daemon.status()['decisions'] - decisions} decisions, {len(calm)} lines; {len(before)} lines since the start")
        self.assertEqual(calm, [])
        guest = self.guest("b")
        size = guest.actual()
        for _ in range(3):
            guest.load.hold("burst", guest.load.guest()["available_bytes"] + 50 * MIB, ramp=300 * MIB)
            wait_until(lambda: guest.actual() > size + 64 * MIB, 30, "the burst is met")
            guest.load.free("burst")
            self.wait_calm()
        time.sleep(10)  # small moves are told together, at most so much later
        told = [MOVE.match(line) for line in daemon.log().splitlines()[len(before):]]
        lines = [match for match in told if match]
        log("for example " + lines[0].string)
        self.assertTrue(any(match.group(4) == "b" and grew(match) for match in lines), "the burst's answer is told")
        self.assertTrue(any(match.group(4) == "b" and not grew(match) for match in lines), "and that it is taken back")
        issued = sum(len([t for t, _ in one.balloon_targets()]) for one in self.lab.guests)
        log(f"three bursts: {len(lines)} lines of moves, {len(told) - len(lines)} others; QEMUs were given {issued} targets since the start")
        for name in "abc":  # at most one a second about each
            times = [3600 * int(m.group(1)) + 60 * int(m.group(2)) + float(m.group(3)) for m in lines if m.group(4) == name]
            self.assertTrue(all((b - a) % 86400 > 0.9 for a, b in zip(times, times[1:])), times)


def grew(match: "re.Match[str]") -> bool:
    return size_of(match.group(6)) > size_of(match.group(5))


def size_of(text: str) -> float:
    value, unit = text.split()
    return float(value) * {"KiB": 1, "MiB": 1 << 10, "GiB": 1 << 20}[unit]


class Journal:
    """Stands in for systemd-journald: takes entries of its native protocol at its socket, which the sandbox has for itself."""

    PATH = "/run/systemd/journal/socket"

    def __init__(self) -> None:
        os.makedirs(os.path.dirname(self.PATH), exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.PATH)
        self.entries: List[Tuple[float, Dict[str, str]]] = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.PATH)
        self.thread.join()
        os.unlink(self.PATH)
        self.socket.close()

    def read(self) -> None:
        while data := self.socket.recv(1 << 18):
            self.entries.append((time.time(), self.parse(data)))

    @staticmethod
    def parse(data: bytes) -> Dict[str, str]:
        """KEY=VALUE in a line, or KEY in a line, the value's length in 8 bytes, and the value, where that has line breaks."""
        fields = {}
        while data:
            line, data = data.split(b"\n", 1)
            if b"=" in line:
                key, value = line.split(b"=", 1)
            else:
                key, size = line, struct.unpack("<Q", data[:8])[0]
                value, data = data[8:8 + size], data[9 + size:]
            fields[key.decode()] = value.decode()
        return fields

    def find(self, phase: str, name: str, vm: str) -> List[Tuple[float, Dict[str, str]]]:
        return [(when, entry) for when, entry in self.entries
                if (entry.get("AEROSTAT_ALERT_PHASE"), entry.get("AEROSTAT_ALERT"), entry.get("AEROSTAT_VM")) == (phase, name, vm)]


class Told(AlertCase):
    guests = [Options("a"), Options("b")]

    def mail_command(self) -> str:
        """The mail example, behind what keeps the environment that it is given in the lab's folder."""
        path = f"{self.lab.folder}/mail"
        with open(path, "w", encoding="ascii") as file:
            file.write(f'#!/bin/sh\nenv >> {path}.env\nexec {SOURCE}/data/alerts/mail "$@"\n')
        os.chmod(path, 0o755)
        return path

    def test_journal_mail_and_restart(self) -> None:
        journal = Journal()
        self.addCleanup(journal.close)
        os.environ["JOURNAL_STREAM"] = "1:1"  # as systemd sets it
        self.addCleanup(os.environ.pop, "JOURNAL_STREAM")
        os.environ["AEROSTAT_TEST_SECRET"] = "x"
        self.addCleanup(os.environ.pop, "AEROSTAT_TEST_SECRET")
        server, command = MailServer(), self.mail_command()
        self.addCleanup(server.close)
        daemon = self.start({"host": {"memory": "1900M"}, "alerts": {"command": f"{command} root@example.org {server.url}"}})
        guest = self.guest("b")
        guest.load.agent("stop")
        silent = time.time()
        wait_until(lambda: journal.find("fired", "GuestStale", "b"), 90, "the alert is in the journal")
        when, entry = journal.find("fired", "GuestStale", "b")[0]
        self.assertEqual(entry["MESSAGE_ID"], MESSAGE_IDS["fired"])
        self.assertEqual(entry["AEROSTAT_VM_UUID"], virsh("domuuid", "b"))
        self.assertEqual((entry["AEROSTAT_ALERT_SEVERITY"], entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]), ("warning", "4", "aerostatd"))
        self.assertIn("systemctl status aerostat-guest", entry["AEROSTAT_ALERT_ADVICE"])
        self.assertRegex(entry["MESSAGE"], "^alert GuestStale: (b has not reported|the agent of b no longer reports)")
        since = datetime.fromisoformat(entry["AEROSTAT_ALERT_SINCE"].replace("Z", "+00:00")).timestamp()
        log(f"in the journal {when - silent:.1f} s after the agent fell silent, held since {since - silent:.1f} s after it")
        self.assertTrue(7 < since - silent < 16 and 27 < when - since < 36)
        wait_until(lambda: mails_of(server, "GuestStale fired"), 20, "it is mailed")
        mail = mails_of(server, "GuestStale fired")[0]
        self.assertEqual((mail.recipients, mail["To"]), (["root@example.org"], "root@example.org"))
        self.assertRegex(mail["Subject"], r"^\[aerostat\] \S+: GuestStale fired \(b\)$")
        self.assertRegex(mail.get_content(), "^(b|the agent of b) ")
        environment = read_text(f"{command}.env")
        self.assertIn("PATH=", environment)
        self.assertNotIn("AEROSTAT_TEST_SECRET", environment)
        # A restart neither forgets nor repeats, and what is over is told once.
        daemon.stop()
        daemon.start()
        self.assertIn("GuestStale", {alert["name"] for alert in daemon.json("alerts")["firing"]})
        # What is still silent stays told of, although the balloon's statistics come and the new daemon has never heard its agent.
        time.sleep(80)
        self.assertIn("GuestStale", {alert["name"] for alert in daemon.json("alerts")["firing"]})
        self.assertFalse(journal.find("resolved", "GuestStale", "b"))
        guest.load.agent("cont")
        wait_until(lambda: journal.find("resolved", "GuestStale", "b"), 120, "its end is in the journal")
        entry = journal.find("resolved", "GuestStale", "b")[0][1]
        self.assertEqual((entry["MESSAGE_ID"], entry["PRIORITY"]), (MESSAGE_IDS["resolved"], "5"))
        wait_until(lambda: mails_of(server, "GuestStale resolved"), 20, "that is mailed, too")
        self.assertEqual(len(journal.find("fired", "GuestStale", "b")), 1)
        self.assertEqual(len(mails_of(server, "GuestStale")), 2)
        moves = [entry for _, entry in journal.entries if "->" in entry["MESSAGE"]]
        self.assertTrue(moves and all(entry["AEROSTAT_VM"] in "ab" for entry in moves), "moves are told with their VM")


def mails_of(server: MailServer, subject: str) -> List[EmailMessage]:
    return [mail for mail in server.mails if subject in mail["Subject"]]


if __name__ == "__main__":
    main()
