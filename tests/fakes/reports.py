"""What mail servers and providers send back, written as they write it.

`TO` stands for the return path of the mail that each is about.
"""

from __future__ import annotations

from base64 import encodebytes

TO = "%RETURN-PATH%"


def crlf(text: str) -> bytes:
    return text.strip("\n").replace("\n", "\r\n").encode()


def report(status: str, *, kind: str = "delivery-status", head: str = "", original: str = "") -> bytes:
    """A multipart/report with this machine-readable part."""
    return crlf(f"""
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.example>
To: {TO}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
{head}MIME-Version: 1.0
Content-Type: multipart/report; report-type={kind}; boundary="=_b"

--=_b
Content-Type: text/plain; charset=utf-8

I'm sorry to have to inform you that your message could not be delivered.

--=_b
Content-Type: message/{kind}

{status}
--=_b
Content-Type: message/rfc822

{original or "From: relay@relay.example"}
Subject: =?utf-8?b?5a6M5LqG?=
Message-ID: <dlv_mb_x@relay.example>

body
--=_b--
""")


def dsn(action: str = "failed", status: str = "5.1.1", said: str = "smtp; 550 5.1.1 User unknown") -> bytes:
    return report(f"""Reporting-MTA: dns; mx.example
Arrival-Date: Sat, 21 Nov 2026 05:05:00 +0000

Final-Recipient: rfc822; aoi@fabrikam.example
Original-Recipient: rfc822;aoi@fabrikam.example
Action: {action}
Status: {status}
Remote-MTA: dns; mail.fabrikam.example
Diagnostic-Code: {said}
""")


def arf(type_: str = "abuse", *, original: str = "") -> bytes:
    """A complaint. It goes to whoever registered for the loop: the return path is in what it reports."""
    made = report(
        f"""Feedback-Type: {type_}
User-Agent: Fabrikam-Mail/1.0
Version: 1
Original-Mail-From: <{TO}>
Arrival-Date: Sat, 21 Nov 2026 05:05:00 +0000
""",
        kind="feedback-report",
        original=original,
    )
    return made.replace(f"To: {TO}\r\n".encode(), b"To: abuse@relay.example\r\n")


BASE64_STATUS = encodebytes(
    b"Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; a@x.example\nAction: failed\nStatus: 5.1.1\n"
).decode()

EXCHANGE = report("""Reporting-MTA: dns;AM6PR0.example

Final-recipient: RFC822;aoi@fabrikam.example
ACTION: Failed
Status: 5.0.0 (unspecified)
Remote-MTA: dns; mx.example
Diagnostic-Code: smtp;
 550 5.1.10 RESOLVER.ADR.RecipientNotFound;
 Recipient not found by SMTP address lookup
""")
ENCODED = report(BASE64_STATUS).replace(
    b"Content-Type: message/delivery-status\r\n",
    b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n",
)
FOLDED_TYPE = dsn().replace(b"Content-Type: message/delivery-status", b"Content-Type:\r\n message/Delivery-Status")
GLOBAL = dsn().replace(b"message/delivery-status", b"message/global-delivery-status")
NO_ACTION = report("Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x.example\nStatus: 5.1.1\n")
TWO = report(
    "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x.example\nAction: delivered\nStatus: 2.0.0\n\n"
    "Final-Recipient: rfc822; b@x.example\nAction: failed\nStatus: 5.2.2\n"
)
QMAIL = crlf(f"""
Return-Path: <>
From: MAILER-DAEMON@mx.example
To: {TO}
Subject: failure notice

Hi. This is the qmail-send program at mx.example.
<aoi@fabrikam.example>:
Sorry, no mailbox here by that name. (#5.1.1)
""")
EXIM = crlf(f"""
X-Failed-Recipients: aoi@fabrikam.example
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mx.example>
To: {TO}
Subject: Mail delivery failed: returning message to sender

  aoi@fabrikam.example
    host mail.fabrikam.example: 550 relay not permitted
""")
OUT_OF_OFFICE = crlf(f"""
Return-Path: <>
From: Aoi Tanaka <aoi@fabrikam.example>
To: {TO}
Subject: Automatic reply: [New request] Transfer
Auto-Submitted: auto-replied
X-Auto-Response-Suppress: All

I am out of the office, and 5.1.1 is my room.
""")
OLD_OUT_OF_OFFICE = crlf(f"""
Return-Path: <aoi@fabrikam.example>
From: aoi@fabrikam.example
To: {TO}
Subject: Out of Office
Precedence: bulk

Back on Monday.
""")
READ_RECEIPT = report(
    "Final-Recipient: rfc822;aoi@fabrikam.example\nDisposition: manual-action/MDN-sent-manually; displayed\n",
    kind="disposition-notification",
)
PERSON = crlf(f"""
Return-Path: <aoi@fabrikam.example>
From: aoi@fabrikam.example
To: {TO}
Subject: Re: Transfer

Who are you, and why did mail to postmaster@x.example come back with 5.1.1?
""")
EVERY: dict[str, tuple[bytes, str, str]] = {
    "postfix": (dsn(), "failed", "5.1.1"),
    "exchange": (EXCHANGE, "failed", "5.1.10"),
    "full": (dsn(status="5.2.2", said="smtp; 552 5.2.2 Over quota"), "failed", "5.2.2"),
    "policy": (dsn(status="5.7.1", said="smtp; 550 5.7.1 Spam"), "failed", "5.7.1"),
    "delayed": (dsn("delayed", "4.4.1", "smtp; timed out"), "delayed", "4.4.1"),
    "delivered": (dsn("delivered", "2.0.0", ""), "arrived", "2.0.0"),
    "relayed": (dsn("relayed", "2.0.0", ""), "arrived", "2.0.0"),
    "comment": (dsn("failed (see below)", "5.1.1 (bad mailbox)"), "failed", "5.1.1"),
    "encoded": (ENCODED, "failed", "5.1.1"),
    "folded-type": (FOLDED_TYPE, "failed", "5.1.1"),
    "global": (GLOBAL, "failed", "5.1.1"),
    "no-action": (NO_ACTION, "failed", "5.1.1"),
    "two": (TWO, "failed", "5.2.2"),
    "lf": (dsn().replace(b"\r\n", b"\n"), "failed", "5.1.1"),
    "qmail": (QMAIL, "failed", "5.1.1"),
    "exim": (EXIM, "failed", ""),
    "abuse": (arf(), "complaint", ""),
    "not-spam": (arf("not-spam"), "other", ""),
    "auth-failure": (arf("auth-failure"), "other", ""),
    "out-of-office": (OUT_OF_OFFICE, "automatic", ""),
    "old-out-of-office": (OLD_OUT_OF_OFFICE, "automatic", ""),
    "read-receipt": (READ_RECEIPT, "automatic", ""),
    "person": (PERSON, "other", ""),
    "empty": (b"", "other", ""),
    "headless": (b"\r\n\r\nhello", "other", ""),
    "no-recipients": (report("Reporting-MTA: dns; x\n"), "other", ""),
}
"""Each message with what it is and its status."""
