"""Is a CloudEvent taken at the door like any event, whichever way it comes?"""

from __future__ import annotations

import json
from typing import Any

from standardwebhooks import Webhook

from relay.cloud_events import BATCH, STRUCTURED
from relay.times import from_ms
from tests.pipeline.events import life
from tests.pipeline.inside import Inside


def cloud(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": event["id"], "source": "/erp", "type": f"com.contoso.{event['type']}",
        "time": event["occurred_at"], "data": {"transfer": event["transfer"]},
    }  # fmt: skip


async def send(world: Inside, body: object, media: str, **headers: str) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, text = await world.api.raw("POST", "/v1/events", data=raw, headers={"Content-Type": media, **headers})
    return status, json.loads(text)


async def test_each_mode_is_answered_as_an_event_is_and_told_as_one(world: Inside) -> None:
    await world.api.register("contoso", world.hooks)
    first, second, third = life("tr-1")
    assert await send(world, cloud(first), STRUCTURED) == (202, {"id": "tr-1-1", "status": "accepted"})
    attributes = {"ce-specversion": "1.0", "ce-source": "/erp", "ce-id": "tr-1-2", "ce-type": second["type"], "ce-time": second["occurred_at"]}
    assert (await send(world, {"transfer": second["transfer"]}, "application/json", **attributes))[0] == 202
    status, answers = await send(world, [cloud(first), cloud(third), {**cloud(third), "id": "?"}], BATCH)
    assert status == 207
    assert [(one["code"], one.get("status")) for one in answers] == [(200, "duplicate"), (202, "accepted"), (422, 422)]
    # The same event without its envelope is no other.
    assert (await world.api.ask("POST", "/v1/events", first, expect=200))["status"] == "duplicate"
    assert await send(world, {**cloud(first), "time": "2026-11-21T09:00:00Z"}, STRUCTURED) == (409, await conflict(world, first))
    await world.sweep()
    assert [json.loads(one.body)["type"] for one in world.hooks.requests] == [event["type"] for event in (first, second, third)]


async def conflict(world: Inside, event: dict[str, Any]) -> Any:
    return await world.api.ask("POST", "/v1/events", {**event, "occurred_at": "2026-11-21T09:00:00Z"}, expect=409)


async def test_what_is_not_taken_is_said(world: Inside) -> None:
    (event,) = life("tr-1", "created")
    assert (await send(world, b"<event/>", "application/cloudevents+xml"))[0] == 415
    status, said = await send(world, cloud(event) | {"time": "now", "specversion": "2"}, STRUCTURED)
    assert (status, {one["pointer"] for one in said["errors"]}) == (422, {"/time", "/specversion"})
    assert (await send(world, [cloud(event)], STRUCTURED))[0] == 422
    assert (await send(world, cloud(event), BATCH))[0] == 422


async def test_a_signature_proves_the_structured_mode_and_not_headers(world: Inside) -> None:
    producer = await world.api.ask("POST", "/v1/producers", {"name": "ERP"}, expect=201)
    (event,) = life("tr-1", "created")

    async def signed(body: str, media: str, **more: str) -> int:
        now = from_ms(world.clock())
        headers = {
            "webhook-id": "m-1", "webhook-timestamp": str(int(now.timestamp())), "Content-Type": media,
            "webhook-signature": Webhook(producer["secret"]).sign("m-1", now, body), **more,
        }  # fmt: skip
        async with world.api.http.post(f"{world.api.base}/v1/events", data=body, headers=headers) as answer:
            return answer.status

    attributes = {"ce-specversion": "1.0", "ce-source": "/erp", "ce-id": "tr-1-1", "ce-type": event["type"], "ce-time": event["occurred_at"]}
    assert await signed(json.dumps({"transfer": event["transfer"]}), "application/json", **attributes) == 415
    assert await signed(json.dumps(cloud(event)), STRUCTURED) == 202
