"""What does one reader get to know, in their words?

A stored view (what the reader's role may see, nothing else) becomes labelled facts, rows of items and
the few values that sentences need. Nothing is decided here but wording: what is not in the view cannot
be in the mail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from relay.deadlines import ANSWER_WITHIN_MS
from relay.mail.words import ERROR_LENGTH, Words, clean
from relay.times import in_zone, to_datetime

ACCEPT_WITHIN = timedelta(milliseconds=ANSWER_WITHIN_MS)
"""How long a pending subscription transfer may be accepted, unless it says so itself."""

_TONES = {
    "completed": "good",
    "failed": "bad",
    "expired": "off",
    "canceled": "off",
    "terminated": "off",
    "partially_completed": "wait",
    "pending": "wait",
    "in_progress": "wait",
    "transferring": "wait",
}
_LONG_ID = 200


@dataclass(frozen=True, slots=True)
class Fact:
    """One labelled fact; `code` is set in monospace, `tone` is good, bad, wait, off or nothing."""

    label: str
    value: str
    code: bool = False
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One item: its name, its identifiers, how many, how it stands and why."""

    name: str
    ids: tuple[Fact, ...]
    quantity: str
    status: str
    tone: str
    error: str


@dataclass(frozen=True, slots=True)
class Table:
    """The items that are shown; `more` says how many are not."""

    title: str
    name_head: str
    quantity_head: str
    status_head: str
    rows: tuple[Row, ...]
    more: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the skins lay out (`heading`, `facts`, `table`) and what sentences use (`values`)."""

    heading: Fact
    facts: tuple[Fact, ...]
    table: Table | None
    section: str
    values: dict[str, Any] = field(default_factory=dict)


def transfer_facts(view: dict[str, Any], words: Words, *, shown: int) -> Facts:
    """The facts of a transfer message. `view` is the stored body, `shown` the most items to list."""
    data = view["data"]
    transfer = data["transfer"]
    kind, role = transfer["kind"], data["role"]
    items: list[dict[str, Any]] = transfer.get("items") or []
    facts = [
        Fact(
            words.label("state"),
            words.state(kind, transfer["status"]),
            tone=_TONES.get(transfer["status"], ""),
        ),
        Fact(words.label("what"), words.one("what", kind)),
        *_parties(transfer, words, role),
        *_outcome(transfer, items, words),
        *_times(view, words),
    ]
    if transfer.get("replaces"):
        facts.append(Fact(words.label("replaces"), clean(transfer["replaces"], _LONG_ID), code=True))
    if data.get("actor"):
        facts.append(Fact(words.label("actor"), _actor(data["actor"], words)))
    heading = Fact(words.label("transfer_id"), clean(transfer["id"], _LONG_ID), code=True)
    table = _table(items, kind, role, words, shown)
    return Facts(heading, tuple(facts), table, "facts", _values(view, items, words))


def _values(view: dict[str, Any], items: list[dict[str, Any]], words: Words) -> dict[str, Any]:
    """What the sentences of a transfer message may speak of."""
    data = view["data"]
    transfer = data["transfer"]
    done = sum(item.get("status") == "completed" for item in items)
    first_day = _effective(transfer)
    return {
        "kind": transfer["kind"],
        "status": transfer["status"],
        "role": data["role"],
        "derived": bool(data.get("derived")),
        "source": clean(transfer["source"]["name"]),
        "target": clean(transfer["target"]["name"]),
        "customer": clean((transfer.get("customer") or {}).get("name") or ""),
        "root_user": _root_user(transfer),
        "deadline": words.moment(deadline_of(transfer)),
        "deadline_day": words.day(in_zone(deadline_of(transfer), words.zone)),
        "products": words.listed(_products(transfer, words)),
        "replaces": bool(transfer.get("replaces")),
        "done": done,
        "again": view["type"] == "transfer.updated" and done > 0,
        "ids_shown": any(item.get("id") for item in items),
        "left_ready": any(item.get("status") not in (None, "ready", "transferring") for item in items),
        "effective_on": words.day(first_day) if first_day else "",
        "billed_until": words.day(first_day - timedelta(days=1)) if first_day else "",
    }


def _parties(transfer: dict[str, Any], words: Words, role: str) -> list[Fact]:
    prefix = "sim_" if transfer["kind"] == "sim" else ""
    facts = [
        Fact(words.label(f"{prefix}source"), _party(transfer["source"], words, role)),
        Fact(words.label(f"{prefix}target"), _party(transfer["target"], words, role)),
    ]
    if root_user := _root_user(transfer):
        facts.append(Fact(words.label("root_user"), root_user, code=True))
    facts += [
        Fact(words.label(party), _party(transfer[party], words, role))
        for party in ("customer", "reseller")
        if transfer.get(party)
    ]
    return facts


def _outcome(transfer: dict[str, Any], items: list[dict[str, Any]], words: Words) -> list[Fact]:
    """What was asked for, and how the items stand."""
    sim = transfer["kind"] == "sim"
    facts = []
    if not sim:
        products = words.listed(_products(transfer, words)) or words.one("product", "all")
        facts.append(Fact(words.label("products"), products))
    if items:
        label = words.label("sim_status" if sim else "outcome")
        facts.append(Fact(label, _summary(items, transfer["kind"], words)))
    return facts


def _times(view: dict[str, Any], words: Words) -> list[Fact]:
    transfer = view["data"]["transfer"]
    sim = transfer["kind"] == "sim"
    created = words.moment(to_datetime(transfer["created_at"]))
    facts = [Fact(words.label("sim_created" if sim else "created"), created)]
    if view["type"] != "transfer.created":
        facts.append(Fact(words.label("when"), words.moment(to_datetime(view["timestamp"]))))
    if not sim and transfer["status"] == "pending":
        facts.append(Fact(words.label("deadline"), words.moment(deadline_of(transfer))))
    if first_day := _effective(transfer):
        facts.append(Fact(words.label("effective_on"), words.day(first_day)))
    return facts


def deadline_of(transfer: dict[str, Any]) -> datetime:
    """Until when a pending subscription transfer may be accepted."""
    expires = transfer.get("expires_at")
    return to_datetime(expires) if expires else to_datetime(transfer["created_at"]) + ACCEPT_WITHIN


def tone_of(status: str) -> str:
    """How a state looks: good, bad, wait, off or nothing."""
    return _TONES.get(status, "")


def _effective(transfer: dict[str, Any]) -> date | None:
    return date.fromisoformat(transfer["effective_on"]) if transfer.get("effective_on") else None


def _root_user(transfer: dict[str, Any]) -> str:
    return clean(transfer["target"].get("email", ""), 254)


def _products(transfer: dict[str, Any], words: Words) -> list[str]:
    return [words.one("product", product) for product in transfer.get("product_types") or ()]


def endpoint_facts(view: dict[str, Any], words: Words) -> Facts:
    """The facts of a message about an endpoint (`relay.mail.notice`)."""
    data = view["data"]
    label = words.label
    host = clean(data["endpoint"]["host"], _LONG_ID)
    facts = [Fact(label("host"), host, code=True)]
    if data["endpoint"].get("description"):
        facts.append(Fact(label("description"), clean(data["endpoint"]["description"], _LONG_ID)))
    facts.append(Fact(label("partner"), clean(data["partner"]["name"])))
    first = data.get("first_failure_at")
    since = words.moment(to_datetime(first)) if first else ""
    if since:
        facts.append(Fact(label("first_failure"), since))
    last = data.get("last_attempt")
    if last:
        sentence = words.one("outcome", last["outcome"])
        if last.get("status") is not None:
            sentence = label("http").format(sentence=sentence, status=last["status"])
        facts.append(Fact(label("last_attempt"), sentence))
    waiting = words.number(int(data.get("waiting", 0)))
    facts.append(Fact(label("waiting"), waiting))
    disable = data.get("disable_at")
    disabled_at = words.moment(to_datetime(disable)) if disable else ""
    if disabled_at:
        facts.append(Fact(label("disable"), disabled_at))
    values = {
        "host": host,
        "partner": clean(data["partner"]["name"]),
        "since": since,
        "gone": bool(last) and last["outcome"] == "gone",
        "waiting": waiting,
        "waiting_count": int(data.get("waiting", 0)),
        "any_waiting": bool(data.get("waiting")),
        "disabled_at": disabled_at,
        "when": words.moment(to_datetime(view["timestamp"])),
    }
    heading = Fact(label("endpoint_id"), clean(data["endpoint"]["id"], _LONG_ID), code=True)
    return Facts(heading, tuple(facts), None, "endpoint", values)


def agent_facts(view: dict[str, Any], words: Words) -> Facts:
    """The facts of a message about an admin agent whom mail does not reach (`relay.mail.notice`)."""
    data, label = view["data"], words.label
    when = words.moment(to_datetime(view["timestamp"]))
    email, partner = clean(data["agent"]["email"], 254), clean(data["partner"]["name"])
    facts = [
        Fact(label("agent"), clean(data["agent"]["name"])),
        Fact(label("partner"), partner),
        Fact(label("when"), when),
    ]
    said = [clean(data[part], ERROR_LENGTH) for part in ("status", "detail") if data.get(part)]
    if said:
        facts.append(Fact(label("answer"), ": ".join(said)))
    values = {"agent": email, "partner": partner, "for_good": bool(data["for_good"]), "when": when}
    return Facts(Fact(label("address"), email, code=True), tuple(facts), None, "agent", values)


def _party(party: dict[str, Any], words: Words, role: str) -> str:
    identity = clean(party.get("id", ""), _LONG_ID)
    if not party.get("name"):
        return identity
    if not identity or role == "customer":  # a customer knows the parties by name
        return clean(party["name"])
    return words.say("party", name=clean(party["name"]), id=identity)


def _actor(actor: dict[str, str], words: Words) -> str:
    role = words.one("role", actor["role"]) if "role" in actor else ""
    email = clean(actor.get("email", ""), 254)
    return words.say("party", name=role, id=email) if role and email else role or email


def _summary(items: list[dict[str, Any]], kind: str, words: Words) -> str:
    """How many stand how, in the order in which the statuses first appear."""
    counts: dict[str, int] = {}
    for item in items:
        status = item.get("status")
        if status is not None:
            counts[status] = counts.get(status, 0) + 1
    if not counts:
        return words.number(len(items))
    return words.listed(
        [
            words.say("counted", word=_item_state(words, kind, status), count=words.number(count))
            for status, count in counts.items()
        ]
    )


def _item_state(words: Words, kind: str, status: str) -> str:
    return words.one("sim" if kind == "sim" else "state", status)


def _table(items: list[dict[str, Any]], kind: str, role: str, words: Words, shown: int) -> Table | None:
    if not items:
        return None
    sim = kind == "sim"
    if len(items) > shown:  # what went wrong is what a reader of a long list looks for
        items = sorted(items, key=lambda item: item.get("status") in ("completed", "ready", None))
    label = words.label
    left = len(items) - shown
    quantities = any("quantity" in item for item in items)
    return Table(
        title=label("sims" if sim else "items"),
        name_head=label("sim" if sim else "item"),
        quantity_head=label("quantity") if quantities else "",
        status_head=label("status" if sim else "outcome"),
        rows=tuple(_row(item, kind, role, words) for item in items[:shown]),
        more=words.counted("more", left) if left > 0 else "",
    )


def _item_name(item: dict[str, Any], words: Words) -> str:
    if item.get("name"):
        return clean(item["name"])
    return words.one("product", item["product_type"]) if item.get("product_type") else words.label("unnamed")


def _row(item: dict[str, Any], kind: str, role: str, words: Words) -> Row:
    id_label = words.label("new_id" if role == "target" else "id")
    named = [("id", id_label), *((key, words.label(key)) for key in ("imsi", "iccid", "sim_id"))]
    error = item.get("error") or {}
    why = [clean(error[key], ERROR_LENGTH) for key in ("code", "message") if error.get(key)]
    status = item.get("status")
    return Row(
        name=_item_name(item, words),
        ids=tuple(Fact(name, clean(item[key], _LONG_ID), code=True) for key, name in named if item.get(key)),
        quantity=words.number(item["quantity"]) if "quantity" in item else "",
        status=_item_state(words, kind, status) if status else "",
        tone=_TONES.get(status or "", ""),
        error=": ".join(why),
    )
