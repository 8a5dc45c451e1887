"""Who has something to do now?

A hint is a sorted set, member by time, in a few shards. It is not the truth: that is in each transfer's
inbox and each recipient's queue, and `rebuild` makes the hints from them again. A worker takes due members
for a while; when it dies, they become due again by themselves.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from relay.model import Channel
from relay.store.client import Call, Client, Op, Script
from relay.store.group_commit import GroupCommit

SHARDS = 4


class Hint(StrEnum):
    """What kind of work is due."""

    PLAN = "plan"
    WEBHOOK = "webhook"
    EMAIL = "email"
    DEADLINE = "deadline"
    REPLAY = "replay"


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A member that was taken, and the score by which it is known to be still ours."""

    member: str
    score: float


class Hints:
    """Making, taking and giving back hints."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._due = Script.read("due")
        self._index = Script.read("index")
        self._take = Script.read("take")
        self._settle = Script.read("hint")
        self._give_back = GroupCommit(client, self._settle)

    def due(self, hint: Hint, members: Sequence[tuple[str, int]]) -> Call:
        """The call that makes members due at a time, or earlier than they were."""
        shards: dict[str, list[str | int]] = {}
        for member, at_ms in members:
            shards.setdefault(tag_of(hint, member), []).extend((at_ms, member))
        return Call(self._due, [(tag, *flat) for tag, flat in shards.items()])

    async def make_due(self, hint: Hint, members: Sequence[tuple[str, int]]) -> None:
        """Make them due now."""
        if members:
            await self._client.batch([self.due(hint, members)])

    async def take(self, hint: Hint, *, now_ms: int, until: float, most: int) -> list[Claim]:
        """Up to `most` due members, hidden from others until `until` (Unix ms, made unique by a fraction)."""
        ops = taking(hint, now_ms=now_ms, until=until, most=most)
        replies = await self._client.run(self._take, ops)
        return [Claim(member.decode(), until) for reply in replies for member in reply]

    def giving_back(self, hint: Hint, claims: Sequence[tuple[Claim, int | None]]) -> Call:
        """The call that gives taken members back: due again at a time, or (None) not before somebody says."""
        shards: dict[str, list[str | int]] = {}
        for claim, at in claims:
            tag = tag_of(hint, claim.member)
            shards.setdefault(tag, [tag]).extend((claim.member, repr(claim.score), "" if at is None else at))
        return Call(self._settle, [tuple(op) for op in shards.values()])

    async def give_back(self, hint: Hint, claim: Claim, at_ms: int | None) -> None:
        """Give one back now, together with others that are given back in this moment."""
        (op,) = self.giving_back(hint, [(claim, at_ms)]).ops
        await self._give_back(op)

    async def count(self, hint: Hint) -> int:
        """How many members wait, due or not."""
        redis = self._client.plain
        return sum([int(await redis.zcard(self._client.key(f"due:{hint}:{n}", "at"))) for n in range(SHARDS)])

    async def rebuild(self) -> int:
        """Make every hint again from the inboxes and queues; how many members were found.

        For the start of a worker and for the sweep's slow round: a hint lost with a crash between two
        slots costs its delivery nothing but this much time.
        """
        found = 0
        prefix = self._client.prefix
        for pattern, part in (
            (f"{prefix}:{{t:*}}:in", "in"),
            (f"{prefix}:{{r:*}}:due", "due"),
            (f"{prefix}:{{r:*}}:again", "again"),
            (f"{prefix}:{{r:*}}:fly", "fly"),
        ):
            for server in await self._client.parts():
                async for raw in server.plain.scan_iter(match=pattern, count=1000):
                    member = raw.decode()[len(prefix) + 4 : -len(part) - 2]
                    found += 1
                    if part == "in":
                        hint = Hint.PLAN
                    else:
                        hint = Hint.EMAIL if member.startswith("mb_") else Hint.WEBHOOK
                    await self._client.run(self._index, [(tag_of(hint, member), "at", "NX", 0, member)])
        return found


def taking(hint: Hint, *, now_ms: int, until: float, most: int) -> list[Op]:
    """The operations, one a shard, of a script that takes up to `most` members, as `lua/take.lua` does."""
    each = max(1, -(-most // SHARDS))
    return [(f"due:{hint}:{n}", now_ms, repr(until), each) for n in range(SHARDS)]


def hint_of(channel: Channel) -> Hint:
    """The hint that says which recipients of a channel have something due."""
    return Hint.EMAIL if channel is Channel.EMAIL else Hint.WEBHOOK


def tag_of(hint: Hint, member: str) -> str:
    """The hash tag of the shard that a member is in."""
    return f"due:{hint}:{zlib.crc32(member.encode()) % SHARDS}"
