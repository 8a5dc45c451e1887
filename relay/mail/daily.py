"""What does one reader get to know of a day, in one table?

The body of a daily mail holds the stored bodies of the deliveries that it carries, each as its reader may see it.
Every one of them is a line: what it is about, how it stands, by when it is to be answered, and the id to find it by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from relay.mail.facts import Fact, Facts, Row, Table, deadline_of, tone_of
from relay.mail.words import Words, clean
from relay.preferences import DAILY
from relay.times import format_ms, in_zone, to_datetime

MOST = 40
"""As many lines has one mail: more would be longer than mail readers show."""
_ID_LENGTH = 64


def daily_body(bodies: Sequence[bytes], now_ms: int) -> bytes:
    """Several stored bodies as the one that `Composer.compose` takes."""
    head = f'{{"type":"{DAILY}","timestamp":"{format_ms(now_ms)}","data":{{"views":['
    return head.encode() + b",".join(bodies) + b"]}}"


def daily_facts(
    view: dict[str, Any], words: Words, subject: Callable[[dict[str, Any]], tuple[str, str]]
) -> Facts:
    """The facts of a daily mail. `subject` gives the event and the topic that a view's own mail would have."""
    views: list[dict[str, Any]] = view["data"]["views"]
    lines = [_line(one, words, *subject(one)) for one in views]
    counts = Counter((line.status, line.tone) for line in lines)
    day = words.day(in_zone(to_datetime(view["timestamp"]), words.zone).date())
    return Facts(
        heading=Fact(words.label("summary_of"), day),
        facts=tuple(Fact(status, words.number(count)) for (status, _), count in counts.items()),
        table=Table(
            title=words.label("messages"),
            name_head=words.label("transfer"),
            quantity_head="",
            status_head=words.label("state"),
            rows=tuple(lines),
            more="",
        ),
        section="daily",
        values={
            "messages": words.number(len(views)),
            "message_count": len(views),
            "any_waits": any(_waits(one) for one in views),
        },
    )


def _line(view: dict[str, Any], words: Words, event: str, topic: str) -> Row:
    transfer = view["data"].get("transfer")
    if transfer is None:
        agent = view["data"].get("agent")
        label, about = ("endpoint_id", view["data"]["endpoint"]["id"]) if agent is None else ("address", agent["email"])
        return Row(topic, (Fact(words.label(label), clean(about, _ID_LENGTH * 4), code=True),), "", event, "", "")
    ids = [Fact(words.label("transfer_id"), clean(transfer["id"], _ID_LENGTH * 2), code=True)]
    if _waits(view):
        ids.append(Fact(words.label("deadline"), words.moment(deadline_of(transfer))))
    status = transfer["status"]
    return Row(topic, tuple(ids), "", words.state(transfer["kind"], status), tone_of(status), "")


def _waits(view: dict[str, Any]) -> bool:
    """Whether the reader is asked for something: the source of a subscription that is pending."""
    transfer = view["data"].get("transfer") or {}
    asked = view["data"].get("role") == "source" and transfer.get("kind") == "subscription"
    return asked and transfer.get("status") == "pending"
