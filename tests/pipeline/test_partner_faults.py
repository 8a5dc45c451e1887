"""Whatever partners do, is it an outcome of theirs, and does nobody else notice?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relay.outcomes import MAX_RETRY_AFTER_S
from relay.times import to_ns
from tests.fakes.partner import Answer, ids
from tests.pipeline.caller import Caller
from tests.pipeline.events import life, step
from tests.pipeline.inside import inside

HEAD = b"HTTP/1.1 200 OK\r\n"
FAULTS: dict[str, tuple[Answer, str]] = {
    "hangs": (Answer(hang=True), "timed_out"),
    "drips its headers": (Answer(raw_drip=HEAD + b"X-A: 1\r\n" * 500), "timed_out"),
    "drips its body": (Answer(200, body=b"thank you", drip=True), "accepted"),
    "drips the body of an error": (Answer(500, body=b"oh no", drip=True), "server_error"),
    "never ends its body": (Answer(200, endless=True), "accepted"),
    "sends a gzip bomb": (Answer.gzip_bomb(), "accepted"),
    "floods with interim answers": (Answer(flood=b"HTTP/1.1 102 Processing\r\n\r\n"), "protocol_error"),
    "hangs up": (Answer(drop=True), "connection_lost"),
    "cuts its body": (Answer(200, body=b"half", broken_body=True), "accepted"),
    "is no web server": (Answer(raw=b"220 mail.contoso.example ESMTP\r\n"), "protocol_error"),
    "redirects": (Answer(302, headers={"Location": "https://elsewhere.example/"}), "redirected"),
    "does not know it": (Answer(404), "rejected"),
    "is gone": (Answer(410), "gone"),
    "has had too many": (Answer(429), "throttled"),
    "is away": (Answer(503), "unavailable"),
    "fails": (Answer(502), "server_error"),
}


async def of_all(operator: Caller, partner: str, endpoint: str) -> Any:
    """The one delivery of an endpoint, as the operator sees it: partners are not told what was not answered."""
    found = await operator.all(f"/v1/partners/{partner}/endpoints/{endpoint}/deliveries")
    assert len(found) == 1
    return await operator.ask("GET", f"/v1/deliveries/{found[0]['id']}")


async def test_every_fault_is_an_outcome_and_nobody_else_notices(valkey_url: str) -> None:
    # No second try comes while the first ones are timed out.
    settings = {"RELAY_WORKER__REQUEST_TIMEOUT_SECONDS": "5", "RELAY_RETRY__WAITS_SECONDS": "[0, 3600]"}
    async with inside(valkey_url, **settings) as world:
        member = await world.api.register("contoso", world.hooks)
        healthy = member.endpoint
        made: dict[str, str] = {}
        for n, (name, (answer, _)) in enumerate(FAULTS.items()):
            world.hooks.always(answer, f"/fault-{n}")
            await world.api.listen(member, world.hooks, f"/fault-{n}")
            made[name] = member.endpoint
        await world.api.post(step("tr-1", "created", 1))
        await world.sweep()
        for name, (_, outcome) in FAULTS.items():
            seen = await of_all(world.api, member.id, made[name])
            (attempt,) = seen["attempts"]
            assert (name, attempt["outcome"]) == (name, outcome)
            assert len((attempt["answer"] or {"body": ""})["body"].encode()) <= 3 * 4096
            assert attempt["duration_ms"] < 20_000
            assert (name, seen["status"]) == (name, "delivered" if outcome == "accepted" else "pending")
        assert (await of_all(world.api, member.id, healthy))["status"] == "delivered"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "least_s", "most_s"),
    [("120", 120, 122), ("-5", 4, 6.1), ("soon", 4, 6.1), ("9" * 30, 86_400, 86_402), ("0", 4, 6.1)],
    ids=["seconds", "negative", "words", "absurd", "none"],
)
async def test_retry_after_is_honoured_within_limits(
    valkey_url: str, status: int, value: str, least_s: float, most_s: float
) -> None:
    assert MAX_RETRY_AFTER_S > 86_400, "the setting bounds it"
    async with inside(valkey_url) as world:
        member = await world.api.register("contoso", world.hooks)
        world.hooks.always(Answer(status, headers={"Retry-After": value}), member.path)
        await world.api.post(step("tr-1", "created", 1))
        await world.sweep()
        seen = await world.delivery("tr-1-1")
        waits = (to_ns(seen["next_attempt_at"]) - to_ns(seen["attempts"][0]["at"])) / 1e9
        assert least_s <= waits <= most_s + 30, "counted from when the answer came"


async def test_those_that_hang_take_nothing_from_those_that_work(valkey_url: str) -> None:
    """More hang than a worker may have out at once, of several partners, each with more than its window."""
    async with inside(
        valkey_url,
        RELAY_WORKER__IN_FLIGHT="8",
        RELAY_WORKER__ENDPOINT_WINDOW="4",
        RELAY_WORKER__REQUEST_TIMEOUT_SECONDS="600",
        RELAY_BREAKER__FAILURES_TO_OPEN="0",
    ) as world:
        healthy = await world.api.register("fabrikam", world.hooks)
        failing = await world.api.register("failing", world.hooks)
        world.hooks.always(Answer(500), failing.path)
        for name in ("one", "two", "three"):
            member = await world.api.register(name, world.hooks)
            for n in range(4):
                path = f"/{name}-{n}"
                world.hooks.always(Answer(hang=True), path)
                await world.api.listen(member, world.hooks, path)
        for n in range(8):
            for name in ("one", "two", "three", "failing"):
                for event in life(f"tr-{name}-{n}", source=name):
                    await world.api.post(event)
        sweeping = asyncio.ensure_future(world.engine.sweep())
        due = 8 * 4 * 3
        async with asyncio.timeout(45):
            while len([r for r in world.hooks.requests if r.path == healthy.path]) < due:
                await world.hooks.wait_for(len(world.hooks.requests) + 1, timeout=45)
        hung = {r.path for r in world.hooks.requests if r.path.startswith(("/one-", "/two-", "/three-"))}
        assert len(hung) >= 12, "each that hangs had a request too"
        await sweeping
        world.hooks.release()
        await world.engine.idle()


async def test_a_first_try_does_not_wait_behind_a_flood_of_retries(valkey_url: str) -> None:
    window = 4
    # No second try comes while the first ones are made.
    waits = {"RELAY_RETRY__WAITS_SECONDS": "[0, 300]"}
    async with inside(
        valkey_url, RELAY_WORKER__ENDPOINT_WINDOW=str(window), RELAY_BREAKER__FAILURES_TO_OPEN="0", **waits
    ) as world:
        member = await world.api.register("contoso", world.hooks)
        world.hooks.always(Answer(500), member.path)
        for n in range(60):
            await world.api.post(step(f"tr-{n}", "created", 1))
        await world.sweep()
        world.hooks.always(Answer(delay_s=0.01), member.path)
        world.pass_time(370)
        await world.api.post(step("tr-new", "created", 1))
        before = len(world.hooks.requests)
        await world.sweep()
        sent = ids(world.hooks.requests[before:])
        assert len(sent) == 61
        assert sent.index("tr-new-1") < 4 * window, "in the first of what is taken at a time"
