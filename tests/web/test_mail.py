#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The example that mails alerts, against a mail server on loopback."""

import json
import os
import subprocess
import unittest
from email.utils import parsedate_to_datetime
from typing import Dict

from aeroweb import MailServer, free_port, main, require

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
ALERT = {"name": "GuestPressure", "severity": "warning", "subject": "web1", "uuid": None, "since": "2026-11-21T10:00:00Z", "until": None,
         "message": "web1 waits for memory 31 % of the time", "advice": "`aerostatctl show VM` tells", "numbers": {"psi_some_ratio": 0.31, "node_mask": None}}
NAME = "w<b>\r\nBcc: x@example.org\r\n\r\n.\r\nü" + "日本" * 20  # nobody could be worse


class Mail(unittest.TestCase):
    def setUp(self) -> None:
        require("curl")
        require("jq")
        self.server = MailServer()
        self.addCleanup(self.server.close)

    def send(self, *arguments: str, **alert: object) -> "subprocess.CompletedProcess[str]":
        event: Dict[str, object] = {"version": 1, "event": "fired", "host": "kvm1", "alert": {**ALERT, **alert}}
        return subprocess.run([os.path.join(SOURCE, "data", "alerts", "mail"), "root@example.org", self.server.url, *arguments], check=False, text=True,
                              input=json.dumps(event), capture_output=True, env={"PATH": os.environ["PATH"]})

    def test_headers_and_text(self) -> None:
        self.assertEqual(self.send().returncode, 0)
        mail, = self.server.mails
        self.assertEqual((mail.sender, mail.recipients), ("aerostat@kvm1", ["root@example.org"]))
        self.assertEqual((mail["From"], mail["To"]), ("aerostat@kvm1", "root@example.org"))
        self.assertEqual(mail["Subject"], "[aerostat] kvm1: GuestPressure fired (web1)")
        self.assertEqual((mail["Auto-Submitted"], mail["MIME-Version"], mail["Content-Transfer-Encoding"]), ("auto-generated", "1.0", "8bit"))
        self.assertEqual(mail.get_content_type(), "text/plain")
        self.assertIsNotNone(parsedate_to_datetime(mail["Date"]).tzinfo)
        self.assertIn("@kvm1>", mail["Message-ID"])
        self.assertEqual(mail.get_content(), "web1 waits for memory 31 % of the time\r\n\r\n`aerostatctl show VM` tells\r\n\r\n"
                         "severity warning, since 2026-11-21T10:00:00Z\r\npsi_some_ratio: 0.31\r\nnode_mask: null\r\n")

    def test_a_sender_of_your_own(self) -> None:
        self.assertEqual(self.send("me@example.org").returncode, 0)
        self.assertEqual((self.server.mails[0].sender, self.server.mails[0]["From"]), ("me@example.org", "me@example.org"))

    def test_names_are_one_line(self) -> None:
        self.assertEqual(self.send(subject=NAME, message=NAME + " waits").returncode, 0)
        mail, = self.server.mails
        name = "w<b> Bcc: x@example.org . ü" + "日本" * 20
        self.assertEqual(mail["Subject"], f"[aerostat] kvm1: GuestPressure fired ({name})")
        self.assertIsNone(mail["Bcc"])
        self.assertTrue(mail.get_content().startswith(f"{name} waits\r\n\r\n`aerostatctl"), mail.get_content())
        head = mail.raw.split(b"\r\n\r\n")[0]
        self.assertTrue(head.isascii() and max(map(len, head.split(b"\r\n"))) < 79, head)
        # Nor does one that looks like an encoded word become another, nor a long one a longer subject.
        self.assertEqual(self.send(subject="=?utf-8?B?eA==?=").returncode, 0)
        self.assertIn("(=?utf-8?B?eA==?=)", self.server.mails[1]["Subject"])
        self.assertEqual(self.send(subject="x" * 2000).returncode, 0)
        self.assertEqual(len(self.server.mails[2]["Subject"]), 200)

    def test_failures_are_told(self) -> None:
        self.server.refuse = True
        refused = self.send()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("curl", refused.stderr)
        self.server.refuse = False
        self.assertNotEqual(self.send(message=None).returncode, 0)  # half a mail is none
        self.assertEqual(self.server.mails, [])
        self.server.url = f"smtp://127.0.0.1:{free_port()}"  # nobody is there
        self.assertNotEqual(self.send().returncode, 0)


if __name__ == "__main__":
    main()
