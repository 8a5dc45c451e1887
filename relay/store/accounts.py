"""What do the keys say of every accepted event and everyone it is told to?

Reads transfers one after the other, oldest first, and the queues that their plans name; mends what stands still
(`lua/owed.lua`, `lua/redrive.lua`). What a lap came to is kept as the state of a job (`relay.store.shifts`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from relay.accounts import Account, Missing, Planned
from relay.model import Record
from relay.store.client import Client, Script
from relay.store.hints import Hint, Hints
from relay.store.queues import channel_of, recipient_of
from relay.store.stored import FixedPlan, Held, reader

JOB = "accounts"
"""The shift that a step of a lap takes."""
_HELD, _PLAN = reader(Held), reader(FixedPlan)


class Lap(Record, frozen=True, kw_only=True):
    """One walk through all transfers, under way or ended (`ended_ms`). `cursor` is the last transfer seen, as
    `<created ms>|<key>`; `began` is (pending, settled) by channel as it was counted at the start."""

    began_ms: int
    ended_ms: int = 0
    cursor: str = ""
    transfers: int = 0
    events: int = 0
    states: dict[str, int] = msgspec.field(default_factory=dict)
    pending: dict[str, int] = msgspec.field(default_factory=dict)
    repaired: int = 0
    missing: list[tuple[str, int, str | None, str]] = msgspec.field(default_factory=list)
    began: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)


class Books(Record, frozen=True, kw_only=True):
    """The lap under way, the last whole one, how much was ever mended, and the drift the last one saw."""

    lap: Lap | None = None
    last: Lap | None = None
    repaired: int = 0
    drift: dict[str, int] = msgspec.field(default_factory=dict)


BOOKS = reader(Books)


class Accounts:
    """Reading and mending."""

    def __init__(self, client: Client, hints: Hints) -> None:
        self._client = client
        self._hints = hints
        self._account = Script.read("account")
        self._owed = Script.read("owed")
        self._redrive = Script.read("redrive")

    async def after(self, cursor: str, most: int) -> list[str]:
        """The cursors of the next transfers of the installation, oldest first."""
        listed = self._client.key("all", "transfers")
        start = 0
        if cursor:
            score, _, key = cursor.partition("|")
            rank = await self._client.plain.zrank(listed, key)
            start = await self._client.plain.zcount(listed, "-inf", f"({score}") if rank is None else int(rank) + 1
        rows = await self._client.plain.zrange(listed, start, start + most - 1, withscores=True)
        return [f"{score:.0f}|{key.decode()}" for key, score in rows]

    async def transfers(self) -> int:
        """How many there are."""
        return int(await self._client.ask("ZCARD", self._client.key("all", "transfers")))

    async def read(self, keys: Sequence[str]) -> list[tuple[Held | None, Account]]:
        """What these transfers' own slots say; those that are no more are left out,
        and a standing that cannot be read is None."""
        replies = await self._client.run(self._account, [(f"t:{key}",) for key in keys])
        found: list[tuple[Held | None, Account]] = []
        for key, (standing, waiting, steps, names, plans) in zip(keys, replies, strict=True):
            if standing is None:
                continue
            named = [name.decode() for name in steps]
            account = Account(
                key=key,
                accepted=frozenset(int(name[2:]) for name in named if name.startswith("i:")),
                gone=frozenset(int(name[2:]) for name in named if name.startswith("g:")),
                waiting=frozenset(member.decode() for member in waiting),
                plans=tuple(_planned(name.decode()[2:], text) for name, text in zip(names, plans, strict=True)),
            )
            found.append((_standing(standing), account))
        return found

    async def owed(self, deliveries: Sequence[str]) -> dict[str, str]:
        """How each of these stands (`relay.accounts.settle`). What stood still waits again, and is due."""
        queues: dict[str, list[str]] = {}
        for delivery in deliveries:
            queues.setdefault(recipient_of(delivery), []).append(delivery)
        replies = await self._client.run(self._owed, [(f"r:{who}", *ids) for who, ids in queues.items()])
        found: dict[str, str] = {}
        for (who, ids), (due, *letters) in zip(queues.items(), replies, strict=True):
            found |= {one: letter.decode() for one, letter in zip(ids, letters, strict=True)}
            if due:
                await self._hints.make_due(Hint(channel_of(who).value), [(who, int(due))])
        return found

    async def redrive(self, missing: Sequence[Missing], now_ms: int) -> int:
        """Have these planned, or their plans carried out, once more; how many are."""
        again = [one for one in missing if one.member]
        if not again:
            return 0
        ops = [(f"t:{one.transfer}", one.member, one.sequence) for one in again]
        replies = await self._client.run(self._redrive, ops)
        driven = {one.transfer for one, reply in zip(again, replies, strict=True) if reply}
        await self._hints.make_due(Hint.PLAN, [(key, now_ms) for key in driven])
        return sum(replies)


def _standing(text: bytes) -> Held | None:
    try:
        return _HELD.decode(text)
    except msgspec.DecodeError:
        return None


def _planned(member: str, text: bytes) -> Planned:
    sequence = int(member.partition("~")[0])
    try:
        plan = _PLAN.decode(text)
    except msgspec.DecodeError:
        return Planned(member, sequence, None)
    return Planned(member, sequence, tuple(one.id for one in plan.deliveries), len(plan.skips))
