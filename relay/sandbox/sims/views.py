"""How does an operator read a SIM?

In the fields of the API's `Sim` and `Subscriber`, with their two ways to write a time. That a SIM is in
transfer is no field and no status: the definition has none. Pure.
"""

from __future__ import annotations

from typing import Any

from relay.sandbox.sims.world import Sim


def sim(one: Sim) -> dict[str, Any]:
    """A `Sim`."""
    subscriber = {
        "imsi": one.imsi, "iccid": one.iccid, "status": one.status.value, "subscription": _plan(one),
        "bundles": list(one.containers),
    }  # fmt: skip
    return {
        "simId": one.sim_id,
        "operatorId": one.owner,
        "status": one.status.value,
        "type": "s1.fast",
        "tags": {**one.tags, **({"name": one.name} if one.name else {})},
        "groupId": one.group or None,
        "speedClass": one.speed_class,
        "terminationEnabled": not one.is_protected,
        "expiryTime": one.expires_ms or None,
        "imeiLock": {"imei": one.imei_lock} if one.imei_lock else None,
        "lastModifiedTime": one.changed_ms,
        "sessionStatus": {"online": one.has_session},
        "activeProfileId": one.iccid,
        "profiles": {one.iccid: {"iccid": one.iccid, "primaryImsi": one.imsi, "subscribers": {one.imsi: subscriber}}},
    }


def subscriber(one: Sim) -> dict[str, Any]:
    """The same as a `Subscriber`."""
    shown = sim(one)
    names = ("operatorId", "status", "type", "tags", "groupId", "speedClass", "terminationEnabled", "sessionStatus")
    return {
        "imsi": one.imsi, "iccid": one.iccid, "simId": one.sim_id, **{name: shown[name] for name in names},
        "expiredAt": one.expires_ms or None, "lastModifiedAt": one.changed_ms, "subscription": _plan(one),
    }  # fmt: skip


def _plan(one: Sim) -> str:
    return "plan-D" if one.coverage == "jp" else "plan01s"
