"""Whom does a SIM's change of status tell?

Event Handlers of the kind that can tell of it: a rule about a SIM's status with a web request. What is sent
is the text that the customer typed, with its variables filled in: no signature, no id, no time. Pure.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from relay.sandbox.sims.refusals import Code
from relay.sandbox.sims.world import Handler, Operator, Sim, Status, World, new_id, put
from relay.sandbox.system import Answer, Call, Note, Step

_RULES: Final = ("SimStatusAttributeRule", "SubscriberStatusAttributeRule")
_TARGETS: Final = {
    "targetOperatorId": "operator", "targetSimId": "sim", "targetImsi": "imsi", "targetGroupId": "group"
}  # fmt: skip
MOST_HANDLERS: Final = 100
_MOST_FIRED: Final = 1_000


def create(world: World, who: Operator, body: Any, now_ms: int) -> Step[World]:
    """`POST /v1/event_handlers`."""
    handler = _read(world, who, body)
    mine = [one for one in world.handlers.values() if one.operator == who.id]
    if len(mine) >= MOST_HANDLERS:
        raise Code.INVALID.refuse(f"an operator has at most {MOST_HANDLERS} handlers here")
    world, id_ = new_id(world, "handler")
    handler = msgspec.structs.replace(handler, id=id_)
    world = msgspec.structs.replace(world, handlers=put(world.handlers, id_, handler))
    note = Note(at_ms=now_ms, what="asked", about="", text=f"{who.name} has an Event Handler: {handler.name}")
    return Step(world, Answer(201, shown(handler)), notes=(note,))


def remove(world: World, who: Operator, id_: str, now_ms: int) -> Step[World]:
    """`DELETE /v1/event_handlers/{handler_id}`."""
    found = world.handlers.get(id_)
    if found is None or found.operator != who.id:
        raise Code.INVALID.refuse("there is no such handler")
    left = {key: one for key, one in world.handlers.items() if key != id_}
    note = Note(at_ms=now_ms, what="asked", about="", text=f"{who.name} removes the Event Handler {found.name}")
    return Step(msgspec.structs.replace(world, handlers=left), Answer(204), notes=(note,))


def shown(handler: Handler) -> dict[str, Any]:
    """A handler in the API's shape."""
    properties = {
        "inactiveTimeoutDateConst": "NEVER" if handler.fires_once else "IMMEDIATELY",
        **({"sourceStatus": handler.source_status} if handler.source_status else {}),
        **({"targetStatus": handler.target_status} if handler.target_status else {}),
    }
    target = next(name for name, kind in _TARGETS.items() if kind == handler.target_of)
    return {
        "handlerId": handler.id,
        target: handler.target,
        "status": "active" if handler.is_active else "inactive",
        "name": handler.name,
        "ruleConfig": {"type": _RULES[0], "properties": properties},
        "actionConfigList": [
            {
                "type": "ExecuteWebRequestAction",
                "properties": {
                    "executionDateTimeConst": "IMMEDIATELY", "httpMethod": "POST", "url": handler.url,
                    "contentType": "application/json", "body": handler.body,
                },
            }
        ],
    }  # fmt: skip


def fired(world: World, sim: Sim, before: Status, now_ms: int) -> tuple[World, tuple[Call, ...]]:
    """The calls that are owed because the status of `sim` was `before` and is what it is."""
    calls = []
    for handler in list(world.handlers.values()):
        if not _applies(handler, sim, before):
            continue
        world, id_ = new_id(world, "call")
        calls.append(
            Call(
                id=id_, url=handler.url, event="sim-status", about=sim.batch, to=handler.operator,
                body=_filled(handler.body, sim, before), headers={"Content-Type": "application/json", **handler.headers},
                due_ms=now_ms, tries=3,
            )
        )  # fmt: skip
        if handler.fires_once:
            after = msgspec.structs.replace(handler, fired=(*handler.fired, sim.imsi)[-_MOST_FIRED:])
            world = msgspec.structs.replace(world, handlers=put(world.handlers, handler.id, after))
    return world, tuple(calls)


def without(world: World, sims: set[str]) -> World:
    """The world without the handlers of these SIMs' own: they are not carried over."""
    own = {one.sim_id for one in world.sims.values() if one.imsi in sims} | sims
    left = {
        id_: msgspec.structs.replace(one, fired=tuple(imsi for imsi in one.fired if imsi not in sims))
        for id_, one in world.handlers.items()
        if not (one.target_of in ("sim", "imsi") and one.target in own)
    }
    return msgspec.structs.replace(world, handlers=left)


def _applies(handler: Handler, sim: Sim, before: Status) -> bool:
    watched = {"operator": sim.owner, "sim": sim.sim_id, "imsi": sim.imsi, "group": sim.group}[handler.target_of]
    return (
        handler.is_active
        and handler.operator == sim.owner
        and handler.target == watched
        and handler.source_status in ("", before.value)
        and handler.target_status in ("", sim.status.value)
        and sim.imsi not in handler.fired
    )


def _filled(body: str, sim: Sim, before: Status) -> str:
    for name, value in (
        ("imsi", sim.imsi), ("IMSI", sim.imsi), ("simId", sim.sim_id), ("oldStatus", before.value), ("newStatus", sim.status.value)
    ):  # fmt: skip
        body = body.replace(f"${{{name}}}", value)
    return body


def _read(world: World, who: Operator, body: Any) -> Handler:
    fields = body if isinstance(body, dict) else {}
    targets = [name for name in _TARGETS if isinstance(fields.get(name), str)]
    rule, actions = fields.get("ruleConfig"), fields.get("actionConfigList")
    if len(targets) != 1:
        raise Code.INVALID.refuse(f"give exactly one of {', '.join(_TARGETS)}")
    if not isinstance(rule, dict) or rule.get("type") not in _RULES:
        raise Code.INVALID.refuse(f"ruleConfig.type: the sandbox has {' and '.join(_RULES)}")
    if not isinstance(actions, list) or len(actions) != 1 or not isinstance(actions[0], dict):
        raise Code.INVALID.refuse("actionConfigList: the sandbox takes one action")
    wanted, properties = actions[0].get("properties"), rule.get("properties")
    if actions[0].get("type") != "ExecuteWebRequestAction" or not isinstance(wanted, dict):
        raise Code.INVALID.refuse("actionConfigList: the sandbox has ExecuteWebRequestAction")
    url = wanted.get("url")
    if wanted.get("httpMethod") != "POST" or not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise Code.INVALID.refuse("the sandbox's web requests are POST, to an http or https URL")
    properties = properties if isinstance(properties, dict) else {}
    statuses = [str(properties.get(name, "")) for name in ("sourceStatus", "targetStatus")]
    if any(one not in ("", *Status) for one in statuses):
        raise Code.INVALID.refuse(f"a status is one of {', '.join(Status)}")
    target = str(fields[targets[0]])
    if _TARGETS[targets[0]] == "operator" and target != who.id:
        raise Code.INVALID.refuse("targetOperatorId is another operator's")
    return Handler(
        id="", operator=who.id, target_of=_TARGETS[targets[0]], target=target, name=str(fields.get("name", ""))[:200],
        url=url, body=str(wanted.get("body", ""))[:4096], headers=_headers(wanted.get("headers")),
        source_status=statuses[0], target_status=statuses[1], is_active=fields.get("status", "active") == "active",
        fires_once=properties.get("inactiveTimeoutDateConst", "NEVER") != "IMMEDIATELY",
    )  # fmt: skip


def _headers(text: Any) -> dict[str, str]:
    """The headers that the customer typed: the text of a JSON object."""
    try:
        value = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        value = {}
    safe = value if isinstance(value, dict) else {}
    return {
        name: one for name, one in safe.items()
        if isinstance(one, str) and name.replace("-", "").isalnum() and name.isascii() and one.isprintable()
    }  # fmt: skip
