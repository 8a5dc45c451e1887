"""Who plays, and do they hear what they are told?

The four partners of the demonstration, registered over the relay's API as anybody would. Where an endpoint of
theirs answers already (`relay up --demo`) it is left alone; else the sandbox listens for them, at
`/partners/<id>`, and verifies every signature.
"""

from __future__ import annotations

from typing import Any, Final

from relay.demo import DESCRIPTION, PARTNERS
from relay.demo_partner import Listeners
from relay.sandbox.plays.stage import Stage

_OURS: Final = "The receiver of the sandbox"
PATH: Final = "/partners/{partner}"
OPERATORS: Final = ("OP0012345678", "OP0099999999")
PARTNERS_OF: Final = {"subscription": ("kaiyo-cloud", "fabrikam"), "sim": OPERATORS}


async def ready(stage: Stage, listeners: Listeners, kind: str) -> None:
    """The two partners of this kind are registered and listen."""
    for id_ in PARTNERS_OF[kind]:
        name, locale, people = PARTNERS[id_]
        if await stage.found(f"/v1/partners/{id_}") is None:
            agents = [{"email": email, "name": person, "locale": own} for email, person, own in people]
            body = {"name": name, "locale": locale, "admin_agents": agents}
            await stage.relay("PUT", f"/v1/partners/{id_}", body)
        await _listens(stage, listeners, id_)


async def _listens(stage: Stage, listeners: Listeners, id_: str) -> None:
    path, url = f"/v1/partners/{id_}/endpoints", stage.where.sandbox + PATH.format(partner=id_)
    listed: list[dict[str, Any]] = (await stage.relay("GET", f"{path}?limit=500"))["data"]
    known = next((one for one in listed if one["description"] in (DESCRIPTION, _OURS)), None)
    if known is None:
        made = await stage.relay("POST", path, {"url": url, "description": _OURS})
        listeners.trust(id_, made["secret"])
        return
    if known["url"] != url and known["state"] == "enabled":
        said = await stage.relay("POST", f"{path}/{known['id']}/test", {})
        if said["outcome"] == "accepted":
            return
    if known["url"] != url or known["state"] != "enabled":
        await stage.relay("PATCH", f"{path}/{known['id']}", {"url": url, "state": "enabled"})
    listeners.trust(id_, (await stage.relay("GET", f"{path}/{known['id']}/secret"))["secret"])
