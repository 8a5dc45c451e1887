"""What does this reader get, to the byte?

One stored body, one recipient, one language in; subject, text, HTML and the finished message out. The
same inputs give the same bytes, whenever and however often they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from relay.errors import ConfigError, MessageError
from relay.mail import ics
from relay.mail.daily import daily_facts
from relay.mail.dkim import Record, Signer
from relay.mail.facts import Facts, agent_facts, endpoint_facts, transfer_facts
from relay.mail.flow import columns
from relay.mail.mime import Address, address, build, date, digest, message_id, thread_index, unstructured
from relay.mail.palette import palette
from relay.mail.progress import steps
from relay.mail.settings import MailSettings, own_address
from relay.mail.skins import Rendered, Skins, fonts
from relay.mail.words import Words, choose, clean, load_words
from relay.model import Recipient
from relay.preferences import DAILY, may_choose
from relay.times import to_datetime

MAX_HTML = 90_000
"""Bytes; some readers cut a message off at about 102 kB."""

_MOST_ELSEWHERE = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = (50, 20, 8)
"""How many items are listed: fewer when the page would be too long."""


@dataclass(frozen=True, slots=True)
class Composed:
    """One finished message: `raw` is what is sent, `sender` and `to` the envelope.

    `smtputf8` says that the server must take UTF-8 addresses (RFC 6531). `locale` is the language used.
    """

    subject: str
    html: str
    text: str
    raw: bytes
    sender: str
    to: str
    smtputf8: bool
    locale: str


class Composer:
    """Makes messages from the templates in `templates_dir` (the folder that has `email/`).

    ConfigError when the templates, the time zone or the sender's address cannot be used.
    """

    def __init__(self, config_mail: MailSettings, templates_dir: Path) -> None:
        folder = templates_dir / "email"
        self._words = load_words(folder, config_mail.timezone, config_mail.timezones, config_mail.default_locale)
        self._skins = Skins(
            folder, {locale: one.language for locale, one in self._words.items()}, palette(config_mail.color)
        )
        self._elsewhere: dict[tuple[str, str], Words] = {}
        self._default = config_mail.default_locale
        self._look = {
            "product_name": clean(config_mail.product_name),
            "logo_url": config_mail.logo_url,
        }
        if config_mail.logo_url and not _is_link(config_mail.logo_url, "https://"):
            raise ConfigError(["mail.logo_url: give an https:// address without spaces, or leave it empty"])
        self._from: Address = own_address(config_mail, clean(config_mail.from_name))
        self._calendar = config_mail.calendar
        self._signer = Signer(config_mail.dkim, self._from.domain)

    @property
    def dkim_records(self) -> list[Record]:
        """What the sender's DNS must say for the signatures of the mails."""
        return self._signer.records

    @property
    def locales(self) -> tuple[str, ...]:
        """The languages there are templates for."""
        return tuple(self._words)

    def words(self, locale: str, timezone: str | None = None) -> Words:
        """The words of the language for a reader who wants `locale`, with times in `timezone`, or else in the zone of
        the language; also where there is no such zone any more."""
        words = choose(locale or self._default, self._words, self._default)
        if timezone is None or timezone == words.zone.key:
            return words
        place = (words.locale, timezone)
        if place not in self._elsewhere:
            if len(self._elsewhere) >= _MOST_ELSEWHERE:
                self._elsewhere.clear()
            self._elsewhere[place] = words.in_zone(timezone)
        return self._elsewhere[place]

    def compose(
        self,
        *,
        body: bytes,
        recipient: Recipient,
        delivery_id: str,
        event_id: str,
        transfer_key: str,
        date_ms: int,
        acceptance_url: str | None = None,
        locale: str = "",
        invited: bool = False,
        preferences_url: str = "",
        timezone: str | None = None,
    ) -> Composed:
        """The message for `recipient`; MessageError when it cannot be built.

        `body` is the stored view (or a notice about an endpoint); `acceptance_url` is used only for the
        recipient who may have it, and only where it is an https link. `locale` is what the reader
        wants; when it is empty, the recipient's own. `invited` says that the recipient got the mail of the
        request, and a calendar entry with it (`relay.mail.ics`). `preferences_url` is where this reader
        chooses which mails they get; it is used only for mails that may be chosen about. `timezone` (IANA) is the one
        that the reader chose, None that of their language.
        """
        try:
            view = orjson.loads(body)
            words = self.words(locale or recipient.locale or "", timezone)
            name, link = _which(view), self._link(view, recipient, acceptance_url)
            entry = self._calendar and ics.wanted(view, invited=invited, date_ms=date_ms)
            optional = view["type"] == DAILY or may_choose(view["type"], root=recipient.is_root or recipient.with_link)
            choose_at = preferences_url if optional else ""
            footing = {"choose_at": choose_at, "always": "" if optional else _always(view)}
            shown = self._render(name, view, words, recipient, {"link": link, "entry": entry, **footing})
            begun = _begun(view)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as problem:
            raise MessageError(f"the stored body does not fit its message: {problem!r}") from problem
        to = address(recipient.email or "", clean(recipient.name or ""))
        domain = self._from.domain
        thread = digest(f"{transfer_key}\n{to.email.lower()}")
        root = message_id(f"transfer-{thread}", domain)
        in_thread = [
            ("In-Reply-To", root),
            ("References", root),
            ("Thread-Topic", unstructured("Thread-Topic", shown.topic)),
            ("Thread-Index", thread_index(thread, begun)),
        ]
        headers = [
            ("From", self._from.header("From")),
            ("To", to.header("To")),
            ("Subject", unstructured("Subject", shown.subject)),
            ("Date", date(datetime.fromtimestamp(date_ms // 1000, UTC))),
            ("Message-ID", message_id(delivery_id, domain)),
            *([] if view["type"] == DAILY else in_thread),
            ("Auto-Submitted", "auto-generated"),
            ("X-Auto-Response-Suppress", "All"),
            ("Content-Language", words.locale),
            *_unsubscribe(choose_at),
        ]
        calendar = None
        if entry:
            calendar = ics.entry(
                view, uid=f"accept-{thread}@{domain}", title=f"[{words.one('event', 'entry')}] {shown.topic}",
                note=shown.note, organizer=self._from, attendee=to.email, reference=shown.reference, date_ms=date_ms,
            )  # fmt: skip
        raw = build(
            headers, text=shown.text, html=shown.html, token=f"{delivery_id}\n{event_id}", calendar=calendar
        )
        return Composed(
            subject=shown.subject,
            html=shown.html,
            text=shown.text,
            raw=self._signer.signed(raw, date_ms // 1000),
            sender=self._from.email,
            to=to.email,
            smtputf8=to.smtputf8 or self._from.smtputf8,
            locale=words.locale,
        )

    def asks_whether_invited(self, body: bytes) -> bool:
        """Whether `compose` makes something of `invited` for this body."""
        return self._calendar and ics.follows(orjson.loads(body))

    def _render(
        self, name: str, view: dict[str, Any], words: Words, recipient: Recipient, more: dict[str, str | bool]
    ) -> Rendered:
        path = f"{words.locale}/{name}"
        for shown in _SHOWN[:1] if view["type"] == DAILY else _SHOWN:
            facts = self._facts(view, words, shown, recipient)
            found = self._skins.render(path, self._values(facts, words, recipient) | more)
            if len(found.html.encode()) < MAX_HTML:
                return found
        raise MessageError("the page would be longer than mail readers show")

    def _facts(self, view: dict[str, Any], words: Words, shown: int, recipient: Recipient) -> Facts:
        if view["type"].startswith("endpoint."):
            return endpoint_facts(view, words)
        if view["type"].startswith("agent."):
            return agent_facts(view, words)
        if view["type"] != DAILY:
            return transfer_facts(view, words, shown=shown)

        def subject(one: dict[str, Any]) -> tuple[str, str]:
            values = self._values(self._facts(one, words, 1, recipient), words, recipient)
            return self._skins.topic(f"{words.locale}/{_which(one)}", values | {"link": ""})

        return daily_facts(view, words, subject)

    def _values(self, facts: Facts, words: Words, recipient: Recipient) -> dict[str, Any]:
        rows = facts.table.rows if facts.table else ()
        labels = [fact.label for row in rows for fact in row.ids]
        if facts.table:
            labels += [facts.table.quantity_head, facts.table.status_head]
        return {
            **facts.values,
            "facts": facts,
            "words": words,
            "room": max(columns(fact.label) for fact in facts.facts),
            "item_room": max(map(columns, set(labels)), default=0),
            "reader": clean(recipient.name or ""),
            "is_root": recipient.with_link,
            "steps": steps(facts.values["kind"], facts.values["status"], words)
            if "status" in facts.values
            else (),
            "reference": _reference(facts) if "status" in facts.values else "",
            "fonts": fonts(words.locale, mso=False),
            "fonts_mso": fonts(words.locale, mso=True),
            **self._look,
        }

    @staticmethod
    def _link(view: dict[str, Any], recipient: Recipient, url: str | None) -> str:
        wanted = recipient.with_link and view["type"] == "transfer.created" and recipient.audience == "target"
        if not wanted or not url:
            return ""
        if not _is_link(url, ("https://", "http://")):
            raise MessageError("the acceptance link is not one that a mail may carry")
        return url


def _is_link(url: str, schemes: str | tuple[str, ...]) -> bool:
    return url.startswith(schemes) and clean(url, 2048) == url and url.isascii() and " " not in url


def _unsubscribe(url: str) -> list[tuple[str, str]]:
    """RFC 2369, and RFC 8058 where the link is one that a mail service may post to: https."""
    if not url:
        return []
    post = [("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")] if url.startswith("https://") else []
    return [("List-Unsubscribe", f"<{url}>"), *post]


def _always(view: dict[str, Any]) -> str:
    """Why a mail comes in any case, as `words.toml` names the reason."""
    return "endpoint" if view["type"].startswith("endpoint.") else "accept"


def _reference(facts: Facts) -> str:
    """What a subject has room for of the transfer's id: all of a short one, the beginning of a GUID."""
    whole = facts.heading.value
    first = whole.partition("-")[0]
    return whole if len(whole) <= 16 else first if 6 <= len(first) <= 16 else f"{whole[:12]}…"


def _begun(view: dict[str, Any]) -> datetime:
    """When the thread began: the same in each of its mails, and known from any of them."""
    transfer = view["data"].get("transfer")
    return to_datetime(transfer["created_at"]) if transfer else _EPOCH


def _which(view: dict[str, Any]) -> str:
    """The message file of a body: `<kind>/<type>.j2`."""
    if view["type"] == DAILY:
        return "daily/daily.j2"
    about = view["type"].partition(".")[0]
    kind = about if about in ("endpoint", "agent") else view["data"]["transfer"]["kind"]
    return f"{kind}/{view['type'].replace('.', '-').replace('_', '-')}.j2"
