"""What does the relay make of a transfer that is played?

Read from its API as any operator can: each event accepted, each POST to a partner with its verdict, each
e-mail with its subject, and whoever was not told with the reason. Each is said once.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import quote

from relay.sandbox.plays.cast import PARTNERS_OF
from relay.sandbox.plays.script import Broken, What
from relay.sandbox.plays.stage import Stage

_LOOK_S: Final = 0.15
_DEADLINE_S: Final = 90.0
_MAILS: Final = 30


class Watch:
    """Of one transfer, whose id is known when the first step was taken."""

    def __init__(self, stage: Stage, system: str) -> None:
        self._stage = stage
        self._system = system
        self._events: set[str] = set()
        self._tried: dict[str, int] = {}
        self._subjects: dict[str, str] = {}

    async def told(self, *types: str) -> None:
        """Until the relay has accepted an event of each of these types (the last part of its name) and told
        everybody of it. Raises Broken when that does not come about."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _DEADLINE_S
        while loop.time() < until:
            await self.notes()
            if await self._look({f"transfer.{type_}" for type_ in types}):
                return
            await asyncio.sleep(_LOOK_S)
        raise Broken(f"the relay has not told everybody of {', '.join(types)} within {_DEADLINE_S:.0f} s")

    async def called(self) -> None:
        """Until the transfer system has made one more call. Raises Broken when it does not."""
        lines, loop = self._stage.play.lines, asyncio.get_running_loop()
        before, until = len(lines), loop.time() + _DEADLINE_S
        while loop.time() < until:
            await self.notes()
            if any(line.what is What.CALLED for line in lines[before:]):
                return
            await asyncio.sleep(_LOOK_S)
        raise Broken(f"{self._system} has called nobody within {_DEADLINE_S:.0f} s")

    async def notes(self) -> None:
        """What the transfer system says of this transfer."""
        stage, transfer = self._stage, self._stage.play.transfer
        page = await stage.drive("GET", f"/{self._system}/notes?after={stage.noted.get(self._system, 0)}&limit=500")
        stage.noted[self._system] = page["next"]
        for note in page["data"]:
            # What is refused and about no transfer is the relay's own business: a token that has expired.
            if note["about"] not in ("", transfer) or (note["what"] == "refused" and not note["about"]):
                continue
            if note["what"] in ("called", "gave_up"):
                stage.say(What.CALLED, note["text"], who=self._system, ok=200 <= note["data"]["status"] < 300)
            elif note["what"] in ("moved", "asked", "fault", "refused"):
                stage.say(What.SYSTEM, note["text"], who=self._system, ok=note["what"] != "refused")

    async def _look(self, wanted: set[str]) -> bool:
        stage = self._stage
        if not stage.play.transfer:
            return False
        path = f"/v1/transfers/{quote(stage.play.transfer, safe='')}"
        found = await stage.found(path)
        if found is None:
            return False
        for entry in found["timeline"]:
            self._accepted(found, entry)
        deliveries = await stage.found(f"{path}/deliveries?limit=500") or {"data": []}
        for one in sorted(deliveries["data"], key=lambda one: one["sequence"]):
            await self._delivered(one)
        here = {entry["type"] for entry in found["timeline"]}
        planned = {told["delivery"] for entry in found["timeline"] for told in entry["told"]}
        settled = {one["id"] for one in deliveries["data"] if one["status"] != "pending"}
        told = all(entry["told"] or entry["skipped"] for entry in found["timeline"])
        return wanted <= here and told and planned <= settled

    def _accepted(self, found: dict[str, Any], entry: dict[str, Any]) -> None:
        if entry["event_id"] in self._events or not (entry["told"] or entry["skipped"]):
            return
        self._events.add(entry["event_id"])
        marks = "".join(f", {mark}" for mark in ("late", "repeat", "derived", "gap") if entry[mark])
        if not (entry["late"] or entry["repeat"]):
            self._stage.play.statuses.append(_STATUSES.get(entry["type"], entry["type"]))
        self._stage.say(What.STATE, f"{entry['type']} is accepted{marks}", who="the relay")
        for skip in entry["skipped"]:
            if skip["reason"] != "policy":
                whom = skip["email"] or _AS_GIVEN.get(skip["partner"], skip["partner"]) or skip["audience"]
                self._stage.say(What.NOBODY, f"no {skip['channel']} to {whom}: {skip['reason']}", who="the relay")

    async def _delivered(self, one: dict[str, Any]) -> None:
        if one["attempt_count"] <= self._tried.get(one["id"], 0):
            return
        self._tried[one["id"]] = one["attempt_count"]
        went_well = one["status"] == "delivered"
        if one["channel"] == "webhook":
            verdict = f"{one['status']}, {one['last_outcome']}"
            more = "" if went_well else f" (try {one['attempt_count']})"
            who = f"{_AS_GIVEN.get(one['partner'], one['partner'])} ({one['audience']})"
            self._stage.say(What.POST, f"{one['type']} → {verdict}{more}", who=who, ok=went_well)
        elif went_well:
            subject = await self._subject(one["id"])
            self._stage.say(What.MAIL, subject or f"{one['type']} → {one['last_outcome']}", who=f"{one['email']} ({one['audience']})")
        else:
            text = f"{one['type']} → {one['status']}, {one['last_outcome']}"
            self._stage.say(What.MAIL, text, who=f"{one['email']} ({one['audience']})", ok=False)

    async def _subject(self, delivery: str) -> str:
        """From the mailbox of `relay up`, where there is one; the message has the delivery's id."""
        if delivery not in self._subjects:
            page = await self._stage.found(f"/mailbox/messages?limit={_MAILS}") or {"data": []}
            for message in page["data"]:
                _, _, rest = message["raw"].partition("Message-ID: <")
                self._subjects[rest.partition("@")[0]] = message["subject"]
        return self._subjects.get(delivery, "")


_AS_GIVEN = {id_.casefold(): id_ for pair in PARTNERS_OF.values() for id_ in pair}
"""Those who play, by the key under which the relay has them."""
_STATUSES = {
    "transfer.created": "pending", "transfer.updated": "in_progress", "transfer.completed": "completed",
    "transfer.partially_completed": "partially_completed", "transfer.failed": "failed",
    "transfer.expired": "expired", "transfer.canceled": "canceled",
}  # fmt: skip
