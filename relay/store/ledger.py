"""What happened, for each partner, in order?

The activity log, the pull feed and the list of transfers of a partner (hash tag `p:<partner>`), and the
installation's own lists of transfers and events (hash tag `all`). Positions are given by the database
inside one slot, so a reader that goes on from a cursor misses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from relay.model import Audience, Kind, Status
from relay.store.client import Call, Client, Op, Script
from relay.store.records import FeedEntry, Page, TransferRecord
from relay.store.stored import Activity, dump, reader
from relay.store.transfers import Transfers

_ACTIVITY = reader(Activity)
_CHUNK = 200
_MOST_READ = 5_000
"""How many records a filtered list reads before it answers with what it has and a cursor."""


class Line(msgspec.Struct, frozen=True):
    """What one event adds to one partner's records; `record` is None where only the feed grows."""

    partner: str
    record_id: str
    record: Activity | None
    feed: str
    transfer: str
    transfer_score: int


class Ledger:
    """Reading and extending the logs."""

    def __init__(self, client: Client, transfers: Transfers) -> None:
        self._client = client
        self._transfers = transfers
        self._append = Script.read("ledger")
        self._index = Script.read("index")
        self._await = Script.read("await")
        self._records = Script.read("records")

    def appending(self, lines: Sequence[Line]) -> Call:
        """The call that appends these lines, each once."""
        ops: dict[str, list[bytes | str | int]] = {}
        for line in lines:
            ops.setdefault(line.partner, [f"p:{line.partner}"]).extend(
                (
                    line.record_id,
                    b"" if line.record is None else dump(line.record),
                    line.feed,
                    line.transfer,
                    line.transfer_score,
                )
            )
        return Call(self._append, [tuple(op) for op in ops.values()])

    async def append(self, lines: Sequence[Line]) -> None:
        """Append them now."""
        if lines:
            await self._client.batch([self.appending(lines)])

    def indexing(self, events: Sequence[tuple[str, int, int, int]], *more: Op) -> Call:
        """The call that lists these events (transfer key, sequence, accepted ms, created ms), with more of its operations."""
        seen: list[str | int] = []
        transfers: list[str | int] = []
        for key, sequence, accepted_ms, created_ms in events:
            seen += [accepted_ms, f"{key}|{sequence}"]
            transfers += [created_ms, key]
        return Call(self._index, [("all", "events", "", *seen), ("all", "transfers", "NX", *transfers), *more])

    async def notice(self, made: Sequence[tuple[str, str, int]], now_ms: int) -> None:
        """List mails that are of no event (delivery id, and where its body is: transfer key, sequence)."""
        members = {f"{key}|{sequence}|{delivery}": now_ms for delivery, key, sequence in made}
        await self._client.plain.zadd(self._client.key("all", "notices"), members)

    async def notices(self, start: int, most: int) -> list[str]:
        """The deliveries of such mails, oldest first."""
        found = await self._client.plain.zrange(self._client.key("all", "notices"), start, start + most - 1)
        return [member.decode().rpartition("|")[2] for member in found]

    async def wait_for(self, waits: Sequence[tuple[str, str, int]]) -> list[bool]:
        """Note transfers that wait for a party to register (partner key, member, score); True for each
        whose party has registered meanwhile."""
        ops: list[Op] = [(f"p:{partner}", member, score) for partner, member, score in waits]
        return [reply == 1 for reply in await self._client.run(self._await, ops)]

    async def waiting(self, partner: str) -> list[str]:
        """The `transfer|sequence|audience` that wait for this partner."""
        found = await self._client.plain.zrange(self._client.key(f"p:{partner}", "waiting"), 0, -1)
        return [member.decode() for member in found]

    async def no_longer_waiting(self, partner: str, members: Sequence[str]) -> None:
        """These are told, or their transfer has ended."""
        if members:
            await self._client.plain.zrem(self._client.key(f"p:{partner}", "waiting"), *members)

    async def activity(
        self,
        partner: str,
        *,
        after: str | None = None,
        limit: int = 50,
        type: str | None = None,
        transfer: str | None = None,
        customer: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Page[Activity]:
        """A partner's activity log, newest first; `after` is the position of the last one seen."""
        found: list[Activity] = []
        below: str | float = "+inf" if after is None else f"({int(after)}"
        read, last = 0, 0.0
        while read < _MOST_READ:
            rows = await self._client.plain.zrevrangebyscore(
                self._client.key(f"p:{partner}", "activity"),
                below,
                "-inf",
                start=0,
                num=_CHUNK,
                withscores=True,
            )
            if not rows:
                return Page(found, None)
            (raws,) = await self._client.run(self._records, [(f"p:{partner}", *[row[0] for row in rows])])
            for (_, position), raw in zip(rows, raws, strict=True):
                below = f"({position:.0f}"
                if raw is None:
                    continue
                record = _ACTIVITY.decode(raw)
                if _wanted(record, type, transfer, customer, since_ms, until_ms):
                    if len(found) == limit:
                        return Page(found, f"{last:.0f}")
                    found.append(record)
                    last = position
            read += len(rows)
            if len(rows) < _CHUNK:
                return Page(found, None)
        return Page(found, str(below).lstrip("("))

    async def feed_taken(self, partner: str) -> int:
        """The position of the last entry of a pull feed that retention took; 0 when none."""
        return int(await self._client.ask("HGET", self._client.key(f"p:{partner}", "ends"), "fed") or 0)

    async def feed(self, partner: str, *, after: str | None = None, limit: int = 50) -> list[FeedEntry]:
        """A partner's pull feed, oldest first, from just behind `after`."""
        rows = await self._client.plain.zrangebyscore(
            self._client.key(f"p:{partner}", "feed"),
            "-inf" if after is None else f"({int(after)}",
            "+inf",
            start=0,
            num=limit,
            withscores=True,
        )
        found = []
        for member, position in rows:
            sequence, audience, event_id, key = member.decode().split("|", 3)
            found.append(FeedEntry(f"{position:.0f}", key, int(sequence), Audience(audience), event_id))
        return found

    async def transfers(
        self,
        partner: str | None,
        *,
        role: str | None = None,
        status: Status | None = None,
        kind: Kind | None = None,
        customer: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[TransferRecord]:
        """Transfers of one partner, or (None) of the whole installation, newest first."""
        key = self._client.key("all" if partner is None else f"p:{partner}", "transfers")
        found: list[TransferRecord] = []
        at = 0 if after is None else await self._client.behind(key, after)
        read = 0
        while True:
            rows = await self._client.plain.zrevrange(key, at, at + _CHUNK - 1, withscores=True)
            keys = [raw.decode() for raw, _ in rows]
            for record in await self._transfers.several(keys):
                if _fits(record, partner, role, status, kind, customer):
                    if len(found) == limit:
                        return Page(found, f"{found[-1].created_at_ms}|{found[-1].key}")
                    found.append(record)
            read += len(keys)
            at += len(keys)
            if len(keys) < _CHUNK:
                return Page(found, None)
            if read >= _MOST_READ:
                return Page(found, f"{rows[-1][1]:.0f}|{keys[-1]}")

    async def events(self, *, after: str | None, most: int) -> list[tuple[str, int, int]]:
        """Accepted events of the whole installation (transfer key, sequence, accepted ms), newest first; `after` is the
        last one seen, as `<accepted ms>|<transfer key>|<sequence>`."""
        key = self._client.key("all", "events")
        at = 0 if after is None else await self._client.behind(key, after)
        rows = await self._client.plain.zrevrange(key, at, at + most - 1, withscores=True)
        found = []
        for member, at_ms in rows:
            transfer, _, sequence = member.decode().rpartition("|")
            found.append((transfer, int(sequence), int(at_ms)))
        return found


def _wanted(
    record: Activity,
    type: str | None,
    transfer: str | None,
    customer: str | None,
    since_ms: int | None,
    until_ms: int | None,
) -> bool:
    return (
        (type is None or record.type == type)
        and (transfer is None or (record.transfer or "").casefold() == transfer.casefold())
        and (customer is None or (record.customer_id or "").casefold() == customer.casefold())
        and (since_ms is None or record.at_ms >= since_ms)
        and (until_ms is None or record.at_ms < until_ms)
    )


def _fits(
    record: TransferRecord,
    partner: str | None,
    role: str | None,
    status: Status | None,
    kind: Kind | None,
    customer: str | None,
) -> bool:
    if role is not None and partner is not None:
        holder = record.source_key if role == Audience.SOURCE.value else record.target_key
        if holder != partner:
            return False
    of = (record.transfer.get("customer") or {}).get("id") or ""
    return (
        (status is None or record.status is status)
        and (kind is None or record.kind is kind)
        and (customer is None or of.casefold() == customer.casefold())
    )
