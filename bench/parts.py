"""What does each part of an event's and a delivery's way cost by itself?

Each part alone, in this process, the fastest of many rounds: what names the cost of validation, of the views,
of signing, of a log line. Microseconds; no database and no socket in them.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

from bench.rig import say
from bench.shapes import event, webhook_body
from relay import view
from relay.intake import fingerprint, parse, read_and_write
from relay.model import Attempt, Audience, Delivery, Endpoint, Outcome, Partner
from relay.plan import Registered, Step, plan
from relay.reread import read_event
from relay.signing import HmacKey, sign
from relay.store.stored import dump, reader
from relay.vault import Vault

_TIMES, _ROUNDS = 500, 12


class _Everybody:
    """A policy that tells both parties by webhook and by their logs."""

    webhook = (Audience.SOURCE, Audience.TARGET)
    email: tuple[Audience, ...] = ()
    activity = (Audience.SOURCE, Audience.TARGET)
    audit: tuple[Audience, ...] = ()


def measure(figures: dict[str, float]) -> None:
    """`part_*_us`, each alone."""
    say("the parts, one by one")
    raw = event("evt-0", "t-0", "p0", "p1")
    value, written = read_and_write(raw)
    parsed = parse(value, written)
    body = parsed.stored
    registered = {name: _registered(name) for name in ("p0", "p1")}
    step = Step(event=parsed.event, sequence=1, accepted_at_ms=1)
    made = plan(step, row=_Everybody(), registered=registered, default_locale="en")
    both = (Audience.SOURCE, Audience.TARGET)
    meta, read_delivery = dump(made.deliveries[0]), reader(Delivery)
    keys = [HmacKey(b"k" * 32)]
    message = webhook_body("t-0")
    vault = Vault([b"k" * 32])
    headers = {f"header-{n}": "v" * 24 for n in range(6)}

    parts: dict[str, Callable[[], object]] = {
        "read_json": lambda: read_and_write(raw),
        "validate_and_fingerprint": lambda: parse(value, written),
        "fingerprint": lambda: fingerprint(value),
        "seal_a_link": lambda: vault.seal(b"https://iot.example/accept/0123456789", context="transfer:t-0:link"),
        "read_stored_event": lambda: read_event(body),
        "plan_with_views": lambda: plan(step, row=_Everybody(), registered=registered, default_locale="en"),
        "views": lambda: view.messages(both, parsed.event, sequence=1, late=False, derived=False, gap=False),
        "write_delivery": lambda: dump(made.deliveries[0]),
        "read_delivery": lambda: read_delivery.decode(meta),
        "sign": lambda: sign("evt-0", 1_795_222_923, message, keys),
        "record_attempt": lambda: dump(
            Attempt(
                number=1, at_ms=1, duration_ms=1, outcome=Outcome.ACCEPTED, request_headers=headers, answer_headers=headers
            )
        ),
    }
    for name, part in parts.items():
        figures[f"part_{name}_us"] = min(timeit.repeat(part, number=_TIMES, repeat=_ROUNDS)) / _TIMES * 1e6


def _registered(name: str) -> Registered:
    endpoint = Endpoint(
        id=f"ep_{name}", partner=name, url="https://hooks.example/", created_at_ms=1, updated_at_ms=1
    )
    partner = Partner(id=name, name=name, created_at_ms=1, updated_at_ms=1)
    return Registered(partner, {endpoint.id: endpoint})
