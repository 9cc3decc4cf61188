# SPDX-License-Identifier: LGPL-2.1-or-later
"""A mail server on loopback."""

import unittest
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, List

from .daemon import free_port


class MailServer:
    """Keeps the mails that it takes, in their order; with `refuse` set it takes none. A mail's raw is its bytes, its sender
    and recipients are those of the envelope."""

    def __init__(self) -> None:
        try:
            from aiosmtpd.controller import Controller
        except ImportError as error:
            raise unittest.SkipTest("needs python3-aiosmtpd") from error
        self.mails: List[EmailMessage] = []
        self.refuse = False
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self.url = f"smtp://127.0.0.1:{self.controller.port}"
        self.controller.start()

    def close(self) -> None:
        self.controller.stop()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.refuse:
            return "554 Not taken"
        mail = message_from_bytes(envelope.content, policy=policy.default)
        mail.raw, mail.sender, mail.recipients = envelope.content, envelope.mail_from, envelope.rcpt_tos
        self.mails.append(mail)
        return "250 Taken"
