"""Is everybody told what the contract says, and nobody anything else?"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import json
import time
from collections import Counter
from email.message import EmailMessage
from typing import Any

import pytest

from tests.pipeline.caller import Caller, Member, eventually
from tests.pipeline.events import life, sample, sample_names, step
from tests.pipeline.rig import Rig

# Contract, section 3. Whoever is not named is skipped with the reason `policy`.
TOLD = """
kind          type                  email                  webhook        activity       audit
subscription  created               source,customer        source,target  source,target  target
subscription  updated               -                      source,target  source,target  source
subscription  completed             source,target,customer source,target  source,target  -
subscription  failed                -                      source,target  source,target  -
subscription  expired               -                      source,target  source,target  -
subscription  partially_completed   -                      source,target  source,target  -
subscription  canceled              -                      source,target  source,target  -
sim           created               target                 source,target  source,target  -
sim           updated               -                      source,target  source,target  -
sim           completed             -                      source,target  source,target  -
sim           canceled              -                      source,target  source,target  -
sim           failed                -                      source,target  source,target  -
sim           partially_completed   -                      source,target  source,target  -
"""
CHANNELS = ("email", "webhook", "activity")
POSSIBLE = {
    ("source", "webhook"), ("target", "webhook"), ("source", "email"), ("target", "email"),
    ("customer", "email"), ("source", "activity"), ("target", "activity"),
}  # fmt: skip
PEOPLE = {
    "subscription": {
        "source": ["agent@kaiyo-cloud.example"],
        "target": ["agent@fabrikam.example"],
        "customer": ["joho-system@relecloud.example", "it-procurement@relecloud.example"],
    },
    "sim": {
        "source": ["agent@op0012345678.example"],
        "target": ["root@northwind.example", "agent@op0099999999.example"],
        "customer": [],
    },
}
PARTIES = {
    "subscription": {"source": "kaiyo-cloud", "target": "fabrikam"},
    "sim": {"source": "OP0012345678", "target": "OP0099999999"},
}
JAPANESE = {
    "agent@kaiyo-cloud.example", "joho-system@relecloud.example",
    "agent@op0012345678.example", "root@northwind.example", "agent@op0099999999.example",
}  # fmt: skip


def row(event: dict[str, Any]) -> dict[str, set[str]]:
    names, *rows = (line.split() for line in TOLD.strip().splitlines())
    wanted = [event["transfer"]["kind"], event["type"].removeprefix("transfer.")]
    (found,) = (cells for cells in rows if cells[:2] == wanted)
    return {n: set() if c == "-" else set(c.split(",")) for n, c in zip(names[2:], found[2:], strict=True)}


async def register_all(rig: Rig) -> dict[str, Member]:
    return {
        name: await rig.api.register(name, rig.hooks, locale=locale)
        for name, locale in (
            ("kaiyo-cloud", "ja"), ("fabrikam", "en"), ("OP0012345678", "ja"), ("OP0099999999", "ja"),
        )
    }  # fmt: skip


async def test_every_sample_is_told_as_the_contract_says(rig: Rig) -> None:
    members = await register_all(rig)
    lives = {name: sample(name) for name in sample_names()}
    for events in lives.values():
        for event in events:
            answer = await rig.api.post(event)
            assert answer == {"id": event["id"], "status": "accepted"}
    mails = requests = 0
    for events in lives.values():
        told = await rig.api.settled(events[0]["transfer"]["id"])
        assert {d["status"] for d in told} == {"delivered"}
        assert {d["attempt_count"] for d in told} == {1}
        mails += sum(d["channel"] == "email" for d in told)
        requests += sum(d["channel"] == "webhook" for d in told)
        await the_timeline_is_as_the_table_says(rig.api, events, told)
        await the_logs_are_as_the_table_says(members, events)
        the_requests_are_in_order(rig, members, events)
    assert len(rig.hooks.requests) == requests  # and every one was verified, by two libraries
    assert len(rig.mail.messages) == mails
    for events in lives.values():
        the_mails_are_as_the_table_says(rig, events)
    await the_feeds_are_the_webhooks(rig, members)
    events = sum(len(life) for life in lives.values())
    await the_metrics_count_it(rig, {
        'relay_events_total{status="accepted"}': events,
        'relay_deliveries_settled_total{channel="webhook",status="delivered"}': requests,
        'relay_deliveries_settled_total{channel="email",status="delivered"}': mails,
        'relay_attempts_total{channel="webhook",outcome="accepted"}': requests,
        'relay_attempts_total{channel="email",outcome="accepted"}': mails,
        'relay_deliveries_pending{channel="webhook"}': 0,
        'relay_deliveries_pending{channel="email"}': 0,
    })  # fmt: skip
    await a_second_time_changes_nothing(rig, lives)


async def the_timeline_is_as_the_table_says(
    api: Caller, events: list[dict[str, Any]], told: list[dict[str, Any]]
) -> None:
    kind = events[0]["transfer"]["kind"]
    seen = await api.ask("GET", f"/v1/transfers/{events[0]['transfer']['id']}")
    assert seen["status"] == events[-1]["transfer"]["status"]
    other_case = await api.ask("GET", f"/v1/transfers/{seen['id'].swapcase()}")
    assert other_case == seen, "ids compare without regard to case and are shown as first given"
    assert seen["id"] == events[0]["transfer"]["id"]
    assert [e["event_id"] for e in seen["timeline"]] == [e["id"] for e in events]
    for number, (entry, event) in enumerate(zip(seen["timeline"], events, strict=True), 1):
        rows = row(event)
        assert (entry["sequence"], entry["late"], entry["repeat"], entry["gap"]) == (number, False, False, False)
        expected = Counter(
            [("email", audience, email) for audience in rows["email"] for email in PEOPLE[kind][audience]]
            + [("webhook", audience, PARTIES[kind][audience]) for audience in rows["webhook"]]
        )
        got = Counter((d["channel"], d["audience"], d["email"] or d["partner"]) for d in entry["told"])
        assert got == expected, event["id"]
        assert Counter(d["id"] for d in told if d["event_id"] == event["id"]) == Counter(
            d["delivery"] for d in entry["told"]
        )
        skipped = {(s["audience"], s["channel"]): s["reason"] for s in entry["skipped"]}
        not_told = {pair for pair in POSSIBLE if pair[0] not in rows[pair[1]]}
        assert skipped == dict.fromkeys(not_told, "policy"), event["id"]


async def the_logs_are_as_the_table_says(
    members: dict[str, Member], events: list[dict[str, Any]]
) -> None:
    kind, transfer = events[0]["transfer"]["kind"], events[0]["transfer"]["id"]
    for role, partner in PARTIES[kind].items():
        member = members[partner]
        log = await member.caller.all(f"/v1/partners/{partner}/activity?transfer={transfer}")
        expected = [
            (e["id"], e["type"], role, role in row(e)["audit"]) for e in events if role in row(e)["activity"]
        ]
        assert [(r["event_id"], r["type"], r["role"], r["audit"]) for r in reversed(log)] == expected


def the_requests_are_in_order(rig: Rig, members: dict[str, Member], events: list[dict[str, Any]]) -> None:
    transfer = events[0]["transfer"]
    for role, partner in PARTIES[transfer["kind"]].items():
        came = [
            (request.message_id, body)
            for request in rig.hooks.requests
            if request.path == members[partner].path
            and (body := json.loads(request.body))["data"]["transfer"]["id"] == transfer["id"]
        ]
        assert [id_ for id_, _ in came] == [e["id"] for e in events if role in row(e)["webhook"]]
        for sequence, ((_, body), event) in enumerate(zip(came, events, strict=True), 1):
            data = body["data"]
            assert (body["type"], body["timestamp"]) == (event["type"], event["occurred_at"])
            assert (data["role"], data["sequence"], data["late"], data["derived"]) == (role, sequence, False, False)
            assert data["transfer"]["status"] == event["transfer"]["status"]


def the_mails_are_as_the_table_says(rig: Rig, events: list[dict[str, Any]]) -> None:
    transfer = events[0]["transfer"]
    expected = Counter(
        email for e in events for audience in row(e)["email"] for email in PEOPLE[transfer["kind"]][audience]
    )
    parsed: list[tuple[str, EmailMessage]] = [(m.to, m.parsed) for m in rig.mail.messages]
    got = Counter(to for to, mail in parsed if transfer["id"] in text_of(mail, "plain"))
    assert got == expected, transfer["id"]
    for to, mail in parsed:
        assert not mail.defects
        # A calendar entry lies beside the words, where there is one, and is no alternative to them.
        parts = [part.get_content_type() for part in mail.iter_parts()]
        assert (mail.get_content_type(), parts) in (
            ("multipart/alternative", ["text/plain", "text/html"]),
            ("multipart/mixed", ["multipart/alternative", "text/calendar"]),
        )
        assert mail["Subject"]
        assert to in mail["To"]
        assert text_of(mail, "html").lstrip().lower().startswith("<!doctype html")
        language = "ja" if to in JAPANESE else "en"
        assert f'lang="{language}"' in text_of(mail, "html"), (to, mail["Subject"])


def text_of(mail: EmailMessage, subtype: str) -> str:
    part = mail.get_body((subtype,))
    assert part is not None
    text = part.get_content()
    assert isinstance(text, str)
    return text


async def the_feeds_are_the_webhooks(rig: Rig, members: dict[str, Member]) -> None:
    for member in members.values():
        hooks = [
            (request.message_id, json.loads(request.body))
            for request in rig.hooks.requests
            if request.path == member.path
        ]
        polled: list[Any] = []
        after = ""
        while True:
            page = await member.caller.ask("GET", f"/v1/partners/{member.id}/events?limit=3{after}")
            polled += page["data"]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        bodies = [(one.pop("id"), one) for one in polled]
        for _, one in bodies:
            one.pop("cursor")
        assert sorted(bodies, key=lambda b: b[0]) == sorted(hooks, key=lambda b: b[0])


async def the_metrics_count_it(rig: Rig, expected: dict[str, int]) -> None:
    """They count for the whole installation, whichever process did it, within a moment."""
    seen: dict[str, float] = {}

    async def look() -> bool | None:
        _, text = await rig.api.raw("GET", "/metrics")
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        seen.update({name: float(value) for name, _, value in lines if name in expected})
        return True if seen == expected else None

    try:
        await eventually(look, "the metrics", 30)
    except AssertionError:
        assert seen == expected


async def a_second_time_changes_nothing(rig: Rig, lives: dict[str, list[dict[str, Any]]]) -> None:
    transfers = [events[0]["transfer"]["id"] for events in lives.values()]
    before = [await rig.api.settled(transfer) for transfer in transfers]
    states = [await rig.api.ask("GET", f"/v1/transfers/{transfer}") for transfer in transfers]
    for events in lives.values():
        answers = await rig.api.ask("POST", "/v1/events", events, expect=207)
        assert answers == [{"code": 200, "id": e["id"], "status": "duplicate"} for e in events]
    assert [await rig.api.settled(transfer) for transfer in transfers] == before
    assert [await rig.api.ask("GET", f"/v1/transfers/{transfer}") for transfer in transfers] == states


async def two(rig: Rig) -> tuple[Member, Member]:
    return await rig.api.register("contoso", rig.hooks), await rig.api.register("fabrikam", rig.hooks)


async def test_an_array_is_a_life_in_one_request(rig: Rig) -> None:
    source, _ = await two(rig)
    events = life("tr-1")
    bad = step("tr-2", "created", 1)
    del bad["transfer"]["source"]
    answers = await rig.api.ask("POST", "/v1/events", [*events, bad], expect=207)
    assert [(a["code"], a.get("id"), a["status"]) for a in answers[:3]] == [
        (202, e["id"], "accepted") for e in events
    ]
    assert (answers[3]["code"], answers[3]["id"]) == (422, "tr-2-1")
    assert [e["pointer"] for e in answers[3]["errors"]] == ["/transfer/source"]
    await rig.api.settled("tr-1")
    came = [r.message_id for r in rig.hooks.requests if r.path == source.path]
    assert came == [e["id"] for e in events]


async def test_a_late_step_is_marked_and_not_mailed(rig: Rig) -> None:
    source, _ = await two(rig)
    created, updated, completed = life("tr-1")
    await rig.api.post(updated)
    await rig.api.post(completed)
    await rig.api.post(created)
    told = await rig.api.settled("tr-1")
    seen = await rig.api.ask("GET", "/v1/transfers/tr-1")
    assert seen["status"] == "completed"
    assert [(e["event_id"], e["sequence"], e["late"], e["gap"]) for e in seen["timeline"]] == [
        (updated["id"], 1, False, True),
        (completed["id"], 2, False, False),
        (created["id"], 3, True, False),
    ]
    assert {d["channel"] for d in told if d["event_id"] == created["id"]} == {"webhook"}
    late = {(s["audience"], s["channel"]): s["reason"] for s in seen["timeline"][2]["skipped"]}
    assert late == {
        ("source", "email"): "late", ("customer", "email"): "late", ("target", "email"): "policy",
    }  # fmt: skip
    bodies = [json.loads(r.body)["data"] for r in rig.hooks.requests if r.path == source.path]
    assert [(b["sequence"], b["late"]) for b in bodies] == [(1, False), (2, False), (3, True)]


async def test_contradicting_a_final_state_is_refused_and_shown(rig: Rig) -> None:
    source, _ = await two(rig)
    for event in life("tr-1"):
        await rig.api.post(event)
    await rig.api.settled("tr-1")
    before = len(rig.hooks.requests)
    answer = await rig.api.post(step("tr-1", "canceled", 9), expect=409)
    assert (answer["id"], answer["status"]) == ("tr-1-9", 409)
    for caller in (rig.api, source.caller):
        seen = await caller.ask("GET", "/v1/transfers/tr-1")
        assert (seen["status"], len(seen["timeline"])) == ("completed", 3)
        assert [(r["event_id"], r["type"], r["status"]) for r in seen["refusals"]] == [
            ("tr-1-9", "transfer.canceled", "completed")
        ]
    await rig.api.settled("tr-1")
    assert len(rig.hooks.requests) == before


async def test_the_same_state_under_another_id_is_told_to_nobody(rig: Rig) -> None:
    await two(rig)
    await rig.api.post(step("tr-1", "created", 1))
    await rig.api.post(step("tr-1", "created", 2))
    told = await rig.api.settled("tr-1")
    assert {d["event_id"] for d in told} == {"tr-1-1"}
    seen = await rig.api.ask("GET", "/v1/transfers/tr-1")
    assert [e["repeat"] for e in seen["timeline"]] == [False, True]
    reasons = {(s["audience"], s["channel"]): s["reason"] for s in seen["timeline"][1]["skipped"]}
    assert reasons == dict.fromkeys(POSSIBLE, "repeat") | {("target", "email"): "policy"}


async def test_an_id_is_taken_once_and_a_transfer_belongs_to_its_producer(rig: Rig) -> None:
    first, second = [
        await rig.api.ask("POST", "/v1/producers", {"name": name}, expect=201) for name in ("one", "two")
    ]
    mine, other = rig.api.of(first["token"]), rig.api.of(second["token"])
    event = step("tr-1", "created", 1)
    await mine.post(event)
    assert (await mine.post(event, expect=200))["status"] == "duplicate"
    # The same JSON in another spelling is the same body.
    spelled = json.dumps(event, indent=3, sort_keys=True)
    status, _ = await mine.raw("POST", "/v1/events", data=spelled, headers={"Content-Type": "application/json"})
    assert status == 200
    changed = {**event, "occurred_at": "2026-11-21T02:00:00Z"}
    assert (await mine.post(changed, expect=409))["id"] == event["id"]
    elsewhere = {**step("tr-2", "created", 1), "id": event["id"]}
    assert (await mine.post(elsewhere, expect=409))["id"] == event["id"]
    await other.post(step("tr-1", "updated", 2), expect=403)
    await rig.api.post(step("tr-1", "updated", 2))
    await mine.post(step("tr-1", "completed", 3))


async def test_a_producer_may_sign_instead_of_showing_a_token(rig: Rig) -> None:
    made = await rig.api.ask("POST", "/v1/producers", {"name": "signer"}, expect=201)
    key = base64.b64decode(made["secret"].removeprefix("whsec_"))
    body, now = json.dumps(step("tr-1", "created", 1)), int(time.time())

    def headers(signed: str) -> dict[str, str]:
        digest = hmac.new(key, f"msg-1.{now}.{signed}".encode(), hashlib.sha256).digest()
        return {
            "webhook-id": "msg-1",
            "webhook-timestamp": str(now),
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }

    async def post(given: dict[str, str]) -> int:
        async with rig.api.http.post(f"{rig.api.base}/v1/events", data=body, headers=given) as answer:
            return answer.status

    assert await post(headers(body + " ")) == 401
    assert await post(headers(body)) == 202


async def test_what_is_wrong_is_answered_in_the_contracts_order(rig: Rig) -> None:
    """401, 403, 415, 413, 422, the id, the lifecycle: of two faults the earlier is answered."""
    partner = await rig.api.register("contoso")
    huge, packed = b"x" * (5 << 20), {"Content-Encoding": "gzip"}
    nobody = rig.api.of("nobody")

    async def status(caller: Caller, data: bytes, **headers: str) -> int:
        return (await caller.raw("POST", "/v1/events", data=io.BytesIO(data), headers=headers))[0]

    assert await status(nobody, huge, **packed) == 401
    assert await status(partner.caller, huge, **packed) == 403
    assert await status(rig.api, b"{" * 100, **packed) == 415
    assert await status(rig.api, huge) == 413
    event = step("tr-1", "created", 1)
    fat = {**event, "padding": "x" * (256 << 10)}
    assert await status(rig.api, json.dumps(fat).encode()) == 413
    assert await status(rig.api, b"{") == 422
    code, text = await rig.api.raw("POST", "/v1/events", data=b"not json")
    assert (code, [e["pointer"] for e in json.loads(text)["errors"]]) == (422, [""])
    await rig.api.post(event)
    # An id that is taken, with a body that is wrong: 422 comes first.
    wrong = json.loads(json.dumps(event))
    wrong["occurred_at"], wrong["transfer"]["status"] = "yesterday", "completed"
    problem = await rig.api.post(wrong, expect=422)
    assert {e["pointer"] for e in problem["errors"]} == {"/occurred_at", "/transfer/status"}
    # An id that is taken, with a move that is not legal: 409 about the id.
    await rig.api.post(step("tr-1", "canceled", 2))
    taken = {**step("tr-1", "completed", 1)}
    detail = (await rig.api.post(taken, expect=409))["detail"]
    assert "id" in detail
    seen = await rig.api.ask("GET", "/v1/transfers/tr-1")
    assert seen["refusals"] == []


async def test_polling_with_the_cursor_misses_nothing_while_events_pour_in(rig: Rig) -> None:
    source, _ = await two(rig)
    events = [event for n in range(30) for event in life(f"tr-{n}")]
    seen: list[str] = []

    async def post() -> None:
        for start in range(0, len(events), 9):
            await rig.api.ask("POST", "/v1/events", events[start : start + 9], expect=207)

    async def poll() -> None:
        after = ""

        async def look() -> bool | None:
            nonlocal after
            page = await source.caller.ask("GET", f"/v1/partners/contoso/events?limit=7{after}")
            seen.extend(one["id"] for one in page["data"])
            if page["next"] is not None:
                after = f"&after={page['next']}"
            return True if len(seen) >= len(events) else None

        await eventually(look, "all events are polled")

    await asyncio.gather(post(), poll())
    assert sorted(seen) == sorted(e["id"] for e in events)


@pytest.mark.parametrize("known", ["partner", "nobody"])
async def test_a_party_that_is_not_registered_is_no_error(rig: Rig, known: str) -> None:
    if known == "partner":
        await rig.api.register("contoso", rig.hooks)
    await rig.api.post(step("tr-1", "created", 1))
    seen = await rig.api.planned("tr-1")
    unknown = {(s["audience"], s["channel"]) for s in seen["timeline"][0]["skipped"] if s["reason"] == "partner_unknown"}
    expected = {("target", "webhook"), ("target", "activity")}
    if known == "nobody":
        expected |= {("source", "webhook"), ("source", "activity"), ("source", "email")}
    assert unknown == expected
