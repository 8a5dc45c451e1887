"""Does any event, or anything else that is sent to the door, break the relay?

Sound events full of hostile text go the whole way: door, plan, webhook, e-mail, activity log. Broken ones
and broken HTTP are refused. Nothing is answered 5xx, no process ends, and what was accepted is settled.
"""

from __future__ import annotations

import json
import secrets
import socket
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from relay.model import MOVES_TO, EventType, Kind, ProductType
from tests.fuzz.conftest import EXAMPLES, Target
from tests.pipeline.caller import OPERATOR

QUICK = settings(
    max_examples=EXAMPLES * 4,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink] if EXAMPLES > 50 else [Phase.generate],
)
ANSWERS = {200, 202, 207, 409, 413, 415, 422}

HOSTILE = [
    "\x00", "\r\nBcc: x@y.example\r\n\r\nbody", "{{ 7*7 }}{% raw %}", "</script><script>alert(1)</script>", "\u202e\u2066\ufeff",
    "=cmd|' /C calc'!A0", "'; DROP TABLE x --", "\x1b[2J", "../../../etc/passwd", "%s%n%00", "\U0001f4a3" * 40, "\u0130\u0131\u00df",
    ".\r\n.\r\nMAIL FROM:<x@y.example>", "|", "a|b|c", ":", "{t:x}", "*", "\u0000\uffff", "-", "ﷺ" * 60, "?" * 512,
]  # fmt: skip
words = st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=80))
idents = st.one_of(
    st.text(st.characters(min_codepoint=0x21, exclude_categories=["Cs"], exclude_characters="\x7f"), min_size=1, max_size=40),
    st.sampled_from(["a|b", "{t:x}", ":", "İ", "ß", "ﬁ", "..", "*", "a" * 128]),
)
times = st.datetimes().map(lambda at: at.isoformat() + "Z")
mails = st.sampled_from(["a@b.example", "x+y@z.example", "ü@example.example", "a@xn--p1ai.example", "o'neil@b.example", "a@b"])
locales = st.sampled_from(["ja", "en-GB", "zh_Hant_TW", "xx", "de-DE-1996"])
statuses = st.one_of(st.sampled_from(["completed", "failed", "ready"]), words)


def party(id_: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"id": id_, "name": words}, optional={"tenant_id": words, "email": mails, "locale": locales})


items = st.fixed_dictionaries(
    {},
    optional={
        "id": idents, "name": words, "product_type": words, "quantity": st.integers(-1, 2**64), "status": statuses,
        "result_id": idents, "imsi": idents, "iccid": idents, "sim_id": idents,
        "error": st.none() | st.fixed_dictionaries({}, optional={"code": words, "message": words}),
    },
)  # fmt: skip
customers = st.fixed_dictionaries(
    {"id": idents, "name": words},
    optional={"contacts": st.lists(st.fixed_dictionaries({"email": mails}, optional={"name": words}), max_size=3)},
)


@st.composite
def events(draw: Any, source: str, target: str) -> dict[str, Any]:
    """An event that is nearly always sound: some name one party twice."""
    kind = draw(st.sampled_from(Kind))
    type_ = draw(st.sampled_from([one for one in MOVES_TO if one is not EventType.EXPIRED or kind is Kind.SUBSCRIPTION]))
    transfer = {
        "id": draw(st.one_of(idents, st.sampled_from([f"tr-{n}" for n in range(3)]))),
        "kind": kind.value,
        "status": MOVES_TO[type_].value,
        "created_at": draw(times),
        "source": draw(party(st.just(source) | idents)),
        "target": draw(party(st.just(target) | idents)),
        "customer": draw(customers),
    }
    more = {
        "expires_at": times,
        "product_types": st.lists(st.sampled_from([one.value for one in ProductType]), max_size=2 if kind is Kind.SUBSCRIPTION else 0),
        "items": st.lists(items, max_size=3), "replaces": idents, "effective_on": st.dates().map(str),
        "acceptance_url": st.just("https://a.example/x"), "reseller": party(idents), "unknown": words,
    }  # fmt: skip
    for name, values in more.items():
        if draw(st.booleans()):
            transfer[name] = draw(values)
    made = {"id": f"f-{secrets.token_hex(12)}", "type": type_.value, "occurred_at": draw(times), "transfer": transfer}
    if draw(st.booleans()):
        made["actor"] = draw(st.fixed_dictionaries({}, optional={"email": mails, "role": words}))
    return made


def post(target: Target, body: bytes, **headers: str) -> Any:
    said = {"Authorization": f"Bearer {OPERATOR}", "Content-Type": "application/json", **headers}
    return target.http.post(f"{target.base}/v1/events", data=body, headers=said, timeout=60)


@pytest.mark.timeout(3600)
def test_hostile_text_goes_the_whole_way_and_what_is_accepted_is_told(target: Target) -> None:
    there = target.furnish().known["partner"]
    accepted: set[str] = set()

    @given(st.lists(events(there, "fabrikam"), min_size=1, max_size=3))
    @QUICK
    def go(made: list[dict[str, Any]]) -> None:
        answer = post(target, json.dumps(made).encode())
        assert answer.status_code == 207, answer.text
        for event, one in zip(made, answer.json(), strict=True):
            assert one["code"] in ANSWERS, (event, one)
            if one["code"] == 202:
                accepted.add(event["transfer"]["id"])

    go()
    assert accepted
    for transfer in sorted(accepted)[:: max(1, len(accepted) // 100)]:
        target.run(_told(target, transfer))
    target.lives()


async def _told(target: Target, transfer: str) -> None:
    if transfer.strip("."):  # "..", as a part of a path, is no client's to ask for
        await target.rig.api.settled(quote(transfer, safe=""))


@st.composite
def broken(draw: Any) -> bytes:
    """A body that was an event's before somebody meddled with it, or never was."""
    raw = bytearray(json.dumps(draw(events("contoso", "fabrikam")), ensure_ascii=draw(st.booleans())).encode("utf-8"))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(raw) - 1))
        match draw(st.sampled_from(["byte", "cut", "put", "double", "swap"])):
            case "byte":
                raw[at] = draw(st.integers(0, 255))
            case "cut":
                del raw[at : at + draw(st.integers(1, 20))]
            case "put":
                raw[at:at] = draw(st.sampled_from([b'"', b"[", b"{", b"\\ud800", b"NaN", b"1e999", b"-0", b"\xff", b"\x00", b"null"]))
            case "double":
                raw[at:at] = raw[at : at + 40]
            case "swap":
                raw[at : at + 2] = raw[at : at + 2][::-1]
        if not raw:
            break
    return bytes(raw)


@pytest.mark.timeout(3600)
def test_a_broken_body_is_refused_or_taken_and_never_an_error(target: Target) -> None:
    @given(broken() | st.binary(max_size=300) | st.recursive(st.none() | st.booleans() | st.floats() | words,
           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3)).map(lambda v: json.dumps(v).encode()))
    @QUICK
    def go(raw: bytes) -> None:
        answer = post(target, raw)
        assert answer.status_code in ANSWERS, (raw, answer.status_code, answer.text)
        assert answer.headers["content-type"].startswith(("application/json", "application/problem+json"))

    go()
    target.lives()


REQUEST = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
PIECES = [
    b"\r\n", b"\n", b"\x00", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 99999999999999999999\r\n", b"Content-Length: -1\r\n",
    b"Content-Encoding: gzip\r\n", b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"X: " + b"y" * 9000 + b"\r\n",
    b"webhook-signature: v1,x\r\n", b"webhook-timestamp: \xff\r\n", b"Cookie: relay_portal=\xff\r\n", b"Host: \r\n", b" ", b"\t", b"HTTP/9.9", b"%00", b"/../",
    b"Authorization: Bearer \xc3\xbc\r\n", b"Range: bytes=0-\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"Content-Type: text/html; charset=\x7f\r\n",
]  # fmt: skip


@st.composite
def wires(draw: Any) -> bytes:
    """A request as it is on the wire, before and after somebody meddled with it."""
    method = draw(st.sampled_from([b"POST /v1/events", b"GET /portal", b"GET /mailbox?key=%ff", b"POST /mailbox/sign-in", b"GET /v1/transfers?limit=%00"]))
    raw = bytearray((REQUEST % OPERATOR.encode()).replace(b"POST /v1/events", method, 1))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.sampled_from(PIECES) | st.binary(max_size=8))
    return bytes(raw)


@pytest.mark.timeout(3600)
def test_broken_http_ends_one_connection_and_nothing_else(target: Target) -> None:
    address = urlsplit(target.base)

    @given(wires())
    @QUICK
    def go(raw: bytes) -> None:
        with socket.create_connection((address.hostname, address.port), timeout=60) as wire:
            wire.sendall(raw)
            wire.shutdown(socket.SHUT_WR)
            came = b""
            while piece := wire.recv(65536):
                came += piece
        assert not came.startswith(b"HTTP/1.1 5"), (raw, came[:500])
        assert b"Traceback" not in came

    go()
    target.lives()
