"""What is kept of transfers that may have had their time, and how does it leave?

What the job reads (`relay.retention` decides) and the steps by which something leaves, each atomic in its own slot
and safe to repeat: deliveries are retired, so that nobody opens them again; feed entries go, then bodies, and the
transfer says which events have no records before they go too. A transfer that leaves as a whole is noted in
`{retention}:leaving` first, so that whoever comes after a crash finds what lists it is still in.

`{retention}:again` is a sorted set of transfers that something has kept back, by when to look again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from relay.closed import Audience
from relay.lifecycle import FINAL
from relay.model import Record
from relay.retention import KeptEvent, KeptTransfer
from relay.store.client import Client, Op, Script
from relay.store.queues import recipient_of
from relay.store.stored import AcceptedStep, FixedPlan, Held, reader

JOB = "retention"
_HELD, _STEP, _PLAN = reader(Held), reader(AcceptedStep), reader(FixedPlan)
_FOR_EVER_MS = 100 * 365 * 86_400_000


class Departure(Record, frozen=True, kw_only=True):
    """A transfer that leaves as a whole: whose lists it is in, and what its events were called."""

    key: str
    version: int
    partners: list[str]
    events: list[tuple[int, str, int]]
    """(sequence, event id, accepted ms)"""


_DEPARTURE = reader(Departure)


def looking_again(keys: Sequence[str], at_ms: int) -> Op:
    """The operation, of the script that lists events, after which these transfers are looked at then."""
    return (JOB, "again", "LT", *(part for key in keys for part in (at_ms, key)))


class Notice(Record, frozen=True, kw_only=True):
    """A mail that is of no event, and where its body is."""

    member: str
    at_ms: int

    @property
    def delivery(self) -> str:
        """Its delivery."""
        return self.member.rpartition("|")[2]

    @property
    def place(self) -> tuple[str, str]:
        """Where its body is: transfer key and sequence, as text."""
        key, _, rest = self.member.partition("|")
        return key, rest.partition("|")[0]

    @property
    def has_own_body(self) -> bool:
        """Whether its body is nobody's else: a reminder's is its transfer's."""
        return " " in self.place[0]


class Contents(msgspec.Struct, frozen=True):
    """A transfer as it is kept. `feed` are its entries in feeds, by (sequence, audience): (partner, member)."""

    kept: KeptTransfer
    version: int
    held: Held
    steps: dict[int, AcceptedStep]
    plans: dict[str, bytes]
    refusals: dict[str, bytes]
    feed: dict[tuple[int, Audience], list[tuple[str, str]]]
    partners: list[str]

    @property
    def departure(self) -> Departure:
        """What must be known of it when it is gone."""
        events = [(n, step.event_id, step.accepted_at_ms) for n, step in sorted(self.steps.items())]
        return Departure(key=self.kept.key, version=self.version, partners=self.partners, events=events)


class Retention:
    """Reading, and the steps of leaving. Raises `StoreError`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._events = client.key("all", "events")
        self._again = client.key(JOB, "again")
        self._leaving = client.key(JOB, "leaving")
        self._contents = Script.read("contents")
        self._retire = Script.read("retire")
        self._forget = Script.read("forget")
        self._shed = Script.read("shed")
        self._erase = Script.read("erase")
        self._release = Script.read("release")
        self._unfeed = Script.read("unfeed")
        self._fields = Script.read("fields")

    async def beyond(self, most: int) -> int:
        """The moment before which an event is not among the newest `most`; -1 when there are no more than that."""
        rows = await self._client.plain.zrevrange(self._events, most, most, withscores=True)
        return int(rows[0][1]) if rows else -1

    async def passed(self, after: str, until_ms: int, most: int) -> tuple[list[tuple[str, int]], str]:
        """The next events (transfer key, sequence) that were accepted until then, and the cursor behind them."""
        plain = self._client.plain
        at, _, member = after.partition("|")
        # An event that was settled later than it was planned may be listed at another time by now.
        stands = await plain.zscore(self._events, member) if member else None
        rank = await plain.zrank(self._events, member) if stands is not None and int(stands) == int(at) else None
        if rank is not None:
            rows = await plain.zrange(self._events, rank + 1, rank + most, withscores=True)
        else:
            rows = await plain.zrangebyscore(self._events, at or "-inf", until_ms, start=0, num=most, withscores=True)
        found = [(raw.decode(), at_ms) for raw, at_ms in rows if at_ms <= until_ms]
        events = [(key, int(n)) for key, _, n in (name.rpartition("|") for name, _ in found)]
        return events, f"{found[-1][1]:.0f}|{found[-1][0]}" if found else after

    async def unlist(self, events: Sequence[tuple[str, int]]) -> None:
        """These events are of no transfer any more."""
        await self._client.plain.zrem(self._events, *(f"{key}|{n}" for key, n in events))

    async def absent(self, keys: Sequence[str]) -> set[str]:
        """Which of these transfers are no more."""
        there = await self._client.several([("HEXISTS", self._client.key(f"t:{key}"), "v") for key in keys])
        return {key for key, is_there in zip(keys, there, strict=True) if not is_there}

    async def again(self, now_ms: int, most: int) -> list[str]:
        """Transfers that are to be looked at again by now."""
        rows = await self._client.plain.zrangebyscore(self._again, "-inf", now_ms, start=0, num=most)
        return [raw.decode() for raw in rows]

    async def again_from(self) -> int | None:
        """When the first of them is to be looked at; None when there is none."""
        rows = await self._client.plain.zrange(self._again, 0, 0, withscores=True)
        return int(rows[0][1]) if rows else None

    async def look_again(self, times: Mapping[str, int | None]) -> None:
        """When to look at these again; None for not before something of them has had its time."""
        later = {key: at_ms for key, at_ms in times.items() if at_ms is not None}
        never = [key for key, at_ms in times.items() if at_ms is None]
        if later:
            await self._client.plain.zadd(self._again, later)
        if never:
            await self._client.plain.zrem(self._again, *never)

    async def waiting(self) -> int:
        """How many transfers something keeps back."""
        return int(await self._client.plain.zcard(self._again))

    async def contents(self, keys: Sequence[str]) -> list[Contents]:
        """What is kept of these transfers; those that are no more, or whose standing cannot be read, are left out."""
        replies = await self._client.run(self._contents, [(f"t:{key}",) for key in keys])
        found = []
        for key, (version, standing, waiting, *flat) in zip(keys, replies, strict=True):
            if version is None or standing is None:
                continue
            fields = {flat[at].decode(): flat[at + 1] for at in range(0, len(flat), 2)}
            try:
                found.append(_contents(key, int(version), _HELD.decode(standing), waiting, fields))
            except (msgspec.DecodeError, ValueError, LookupError, TypeError):
                continue  # what nobody can read says nothing of when it may leave
        return found

    async def retire(self, deliveries: Sequence[str]) -> set[str]:
        """See that nobody opens these again; those that are pending, and stay."""
        queues = _by_recipient(deliveries)
        replies = await self._client.run(self._retire, [(f"r:{who}", *ids) for who, ids in queues.items()])
        return {
            one for ids, done in zip(queues.values(), replies, strict=True) for one, is_ in zip(ids, done, strict=True) if not is_
        }

    async def forget(self, deliveries: Sequence[str]) -> int:
        """The records of deliveries that were retired leave; how many."""
        queues = _by_recipient(deliveries)
        return sum(await self._client.run(self._forget, [(f"r:{who}", *ids) for who, ids in queues.items()]))

    async def unfeed(self, entries: Sequence[tuple[str, str]]) -> int:
        """Entries (partner, member) leave the feeds; how many."""
        partners: dict[str, list[str]] = defaultdict(list)
        for partner, member in entries:
            partners[partner].append(member)
        return sum(await self._client.run(self._unfeed, [(f"p:{who}", *members) for who, members in partners.items()]))

    async def shed(self, key: str, *, gone: Sequence[int], fields: Sequence[str]) -> int:
        """Fields of a transfer leave, and the records of these events are about to; how many fields did."""
        (left,) = await self._client.run(self._shed, [(f"t:{key}", len(gone), *(f"g:{n}" for n in gone), *fields)])
        return int(left)

    async def notices(self, skip: int, until_ms: int, most: int) -> list[Notice]:
        """Mails of no event, of until then, the oldest first."""
        listed = self._client.key("all", "notices")
        rows = await self._client.plain.zrangebyscore(listed, "-inf", until_ms, start=skip, num=most, withscores=True)
        return [Notice(member=raw.decode(), at_ms=int(at_ms)) for raw, at_ms in rows]

    async def unnotice(self, notices: Sequence[Notice]) -> None:
        """They leave, with the bodies that are theirs."""
        for one in notices:
            if one.has_own_body:
                key, sequence = one.place
                await self._client.ask("HDEL", self._client.key(f"t:{key}"), f"b:{sequence}:{Audience.SOURCE}")
        await self._client.plain.zrem(self._client.key("all", "notices"), *(one.member for one in notices))

    async def fields(self, key: str, names: Sequence[str]) -> dict[str, bytes]:
        """Some fields of a transfer; absent ones are left out."""
        (values,) = await self._client.run(self._fields, [(f"t:{key}", *names)]) if names else [()]
        return {name: value for name, value in zip(names, values, strict=True) if value is not None}

    async def departing(self, most: int) -> list[Departure]:
        """Transfers whose leaving was begun."""
        _, flat = await self._client.plain.hscan(self._leaving, 0, count=most)
        return [_DEPARTURE.decode(raw) for raw in flat.values()]

    async def begin(self, one: Departure, ids_ms: int | None, now_ms: int) -> bool:
        """A transfer leaves, if it still is as it was looked at; its event ids stay claimed for `ids_ms` after
        their acceptance (None: for ever)."""
        await self._client.ask("HSET", self._leaving, one.key, msgspec.json.encode(one))
        ops: list[Op] = []
        for _, event_id, accepted_ms in one.events:
            left = _FOR_EVER_MS if ids_ms is None else max(0, accepted_ms + ids_ms - now_ms)
            ops.append((f"e:{event_id}", left))
        await self._client.run(self._release, ops)
        (gone,) = await self._client.run(self._erase, [(f"t:{one.key}", one.version)])
        return bool(gone)

    async def finish(self, one: Departure) -> None:
        """It is gone: so it is out of every list, unless it has begun anew meanwhile."""
        plain, key = self._client.plain, one.key
        fresh = await self._client.ask("HGET", self._client.key(f"t:{key}"), "v")
        if fresh is None:
            members = [f"{key}|{n}" for n, _, _ in one.events]
            if members:
                await plain.zrem(self._events, *members)
            for partner in one.partners:
                tag = f"p:{partner}"
                await plain.zrem(self._client.key(tag, "transfers"), key)
                kept = [f"{n}|{audience}|{key}" for n, _, _ in one.events for audience in Audience]
                await plain.zrem(self._client.key(tag, "waiting"), *kept)
            await plain.zrem(self._again, key)
            await plain.zrem(self._client.key("all", "transfers"), key)
        await self._client.ask("HDEL", self._leaving, key)



def _by_recipient(deliveries: Sequence[str]) -> dict[str, list[str]]:
    queues: dict[str, list[str]] = defaultdict(list)
    for delivery in deliveries:
        queues[recipient_of(delivery)].append(delivery)
    return queues


def _contents(key: str, version: int, held: Held, waiting: int, fields: Mapping[str, bytes]) -> Contents:
    steps = {int(name[2:]): _STEP.decode(raw) for name, raw in fields.items() if name.startswith("i:")}
    plans = {name[2:]: raw for name, raw in fields.items() if name.startswith("p:")}
    bodies: dict[int, set[Audience]] = defaultdict(set)
    for name in fields:
        if name.startswith("b:"):
            at, _, audience = name[2:].partition(":")
            bodies[int(at)].add(Audience(audience))
    told: dict[int, dict[Audience, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    feed: dict[tuple[int, Audience], list[tuple[str, str]]] = defaultdict(list)
    partners = dict.fromkeys((held.source, held.target))
    for member, raw in plans.items():
        sequence, plan = int(member.partition("~")[0]), _PLAN.decode(raw)
        for made in plan.deliveries:
            told[sequence][made.recipient.audience][made.id] = None
        for one in plan.feed if sequence in steps else ():
            line = f"{sequence}|{one.audience}|{steps[sequence].event_id}|{key}"
            feed[sequence, one.audience].append((one.partner, line))
        partners.update(dict.fromkeys(one.partner for one in (*plan.feed, *plan.activity)))
    refusals = {name[2:]: raw for name, raw in fields.items() if name.startswith("r:")}
    events = [
        KeptEvent(
            sequence=n,
            accepted_ms=step.accepted_at_ms,
            deliveries={audience: list(ids) for audience, ids in told[n].items()},
            bodies=frozenset(bodies[n]),
            fed=frozenset(audience for at, audience in feed if at == n and audience in bodies[n]),
            has_event=f"x:{n}" in fields,
            gone=f"g:{n}" in fields,
        )
        for n, step in sorted(steps.items())
    ]
    kept = KeptTransfer(
        key=key,
        final=held.status in FINAL,
        unplanned=waiting > 0 or any(f"{n}" not in plans for n in steps),
        current=held.current,
        updated_ms=held.updated_ms,
        events=events,
        refusals={id_: int(msgspec.json.decode(raw)["refused_at_ms"]) for id_, raw in refusals.items()},
    )
    return Contents(kept, version, held, steps, plans, refusals, dict(feed), list(partners))
