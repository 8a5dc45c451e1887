"""What is owed to a recipient, and what came of it?

The face of a recipient's queue, one hash tag `r:<recipient>` (see `lua/queue.lua` for the keys). A pass
holds the queue under a lease, records its results and takes what is due in one step, `advance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from relay.breaker import CLOSED, Breaker
from relay.model import Attempt, CancelReason, Channel, Delivery, DeliveryStatus
from relay.store.client import Call, Client, Op, Script
from relay.store.group_commit import GroupCommit
from relay.store.hints import Claim, hint_of, tag_of, taking
from relay.store.passes import Advanced, Opening, Result, Taken, advanced_of
from relay.store.records import DeliveryRecord, Page
from relay.store.stored import dump, reader

_CHUNK = 200
_DELIVERY, _ATTEMPT, _BREAKER = reader(Delivery), reader(Attempt), reader(Breaker)
_REASONS: dict[str, CancelReason] = {reason.value: reason for reason in CancelReason}
_STATUS = {
    "p": DeliveryStatus.PENDING,
    "d": DeliveryStatus.DELIVERED,
    "x": DeliveryStatus.EXHAUSTED,
    "c": DeliveryStatus.CANCELED,
}


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A delivery on its way into a queue. `lane` is the transfer whose order it keeps, '' for none;
    `rate` the endpoint's limit in requests a minute; `taken` what a pass has of it that begins at once, where it may."""

    recipient: str
    delivery_id: str
    meta: bytes
    lane: str
    sequence: int
    now_ms: int
    rate: int | None = None
    taken: Taken | None = None


@dataclass(frozen=True, slots=True)
class QueueState:
    """How a recipient has been doing. `held`: it is disabled."""

    held: bool = False
    breaker: Breaker = CLOSED
    failing_since_ms: int | None = None
    incident_ms: int | None = None

    @property
    def holds(self) -> bool:
        """Whether what waits is held back."""
        return self.held or self.breaker.is_open


WELL = QueueState()


@dataclass(frozen=True, slots=True)
class End:
    """How a delivery stands, and why it ended so, where that has a reason."""

    status: DeliveryStatus
    reason: str | None = None


def recipients_of(entries: Sequence[Entry]) -> list[str]:
    """Whose queues these deliveries go to, each once, in the order of the first of each."""
    return list(dict.fromkeys(entry.recipient for entry in entries))


def recipient_of(delivery_id: str) -> str:
    """The recipient in whose queue a delivery is: its id names it."""
    return delivery_id.removeprefix("dlv_").rpartition("_")[0]


class Queues:
    """Reading and changing the queues of recipients."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._advance = GroupCommit(client, Script.read("advance"), most=128)
        self._open = Script.read("open")
        self._enqueue = Script.read("enqueue")
        self._hold = Script.read("hold")
        self._reopen = Script.read("reopen")
        self._whole = Script.read("whole")
        self._ended = Script.read("ended")

    def enqueuing(self, entries: Sequence[Entry], opening: Opening | None = None) -> Call:
        """The call that appends deliveries, each once; its replies are when each recipient's queue is next
        due, in the order of `recipients_of`. Where all data is on one server, their hints say so already, and passes
        may begin by an `opening` over queues in which there was nothing: of such a one the reply lists what it took."""
        ops: dict[str, list[bytes | str | int]] = {}
        begins = ("", "", "") if opening is None else (opening.token, repr(opening.until), opening.want)
        for entry in entries:
            op = ops.get(entry.recipient)
            if op is None:
                hint = hint_tag(entry.recipient) if self._client.joint else ""
                op = ops[entry.recipient] = [
                    f"r:{entry.recipient}",
                    "" if entry.rate is None else entry.rate,
                    hint,
                    *begins,
                ]
            if entry.taken is None:
                op[3] = ""
            op += (entry.delivery_id, entry.meta, entry.lane, entry.sequence, entry.now_ms)
        return Call(self._enqueue, [tuple(op) for op in ops.values()])

    async def advance(
        self,
        recipient: str,
        *,
        token: str,
        now_ms: int,
        lease_ms: int,
        want: int,
        in_flight: int,
        rate: int | None = None,
        hold_until_ms: int | None = None,
        breaker: Breaker | None = None,
        results: Sequence[Result] = (),
        claim: Claim | None = None,
        told: bool = False,
    ) -> Advanced:
        """Record results and take up to `want` due deliveries, under the lease of `token`. `rate` is
        requests a minute, 0 for no limit; it, the hold and the breaker are as the queue knows them when None.
        Where all data is on one server, `claim` is given back when the pass ends, and `told` has each delivery's
        body with it."""
        op: list[bytes | str | int | float] = [
            f"r:{recipient}",
            token,
            now_ms,
            lease_ms,
            want,
            in_flight,
            "" if rate is None else rate,
            "" if hold_until_ms is None else hold_until_ms,
            "" if breaker is None else _kept(breaker) or "-",
            "" if claim is None else hint_tag(recipient),
            "" if claim is None else repr(claim.score),
            "1" if told else "",
        ]
        for result in results:
            op += result.flat
        return advanced_of(await self._advance(tuple(op)))

    async def begin(
        self, channel: Channel, *, token: str, now_ms: int, until: float, most: int, lease_ms: int, want: int
    ) -> tuple[int, list[tuple[Claim, Advanced | None]]]:
        """Take up to `most` recipients that have something due, as `Hints.take` does, and begin a pass over each, with
        up to `want` deliveries. How many were taken; who of them has something, or is another pass's, or (None) has
        what cannot be read. Only where all data is on one server."""
        taking_them = taking(hint_of(channel), now_ms=now_ms, until=until, most=most)
        ops = [(*op, token, lease_ms, want) for op in taking_them]
        taken, begun = 0, list[tuple[Claim, Advanced | None]]()
        for reply in await self._client.run(self._open, ops):
            taken += reply[0]
            for at in range(1, len(reply), 2):
                begun.append((Claim(reply[at].decode(), until), _if_sound(reply[at + 1])))
        return taken, begun

    async def hold(self, recipient: str, *, held: bool, now_ms: int, breaker: Breaker = CLOSED) -> int | None:
        """Hold a recipient's deliveries back, or release them, behind a breaker; when the queue is next due."""
        op = (f"r:{recipient}", "1" if held else "0", now_ms, _kept(breaker))
        (reply,) = await self._client.run(self._hold, [op])
        return int(reply) if reply else None

    async def was_warned(self, recipient: str) -> bool:
        """Whether a warning was given since the recipient last took something or was released."""
        return bool(await self._client.ask("HEXISTS", self._client.key(f"r:{recipient}", "q"), "warned"))

    async def begin_incident(self, recipient: str, since_ms: int, *, warned: bool = False) -> None:
        """The partner was told (warned, or of the end) of failures since then; it is to be told when they are
        over."""
        key = self._client.key(f"r:{recipient}", "q")
        await self._client.ask("HSETNX", key, "incident", since_ms)
        if warned:
            await self._client.ask("HSET", key, "warned", 1)

    async def end_incident(self, recipient: str) -> None:
        """The partner was told that they are over."""
        await self._client.ask("HDEL", self._client.key(f"r:{recipient}", "q"), "incident")

    async def reopen(
        self, delivery_ids: Sequence[str], now_ms: int, *, once: str = ""
    ) -> list[tuple[str, int | None]]:
        """Open settled deliveries again: ('reopened' | 'pending' | 'gone', when what it carried is no longer kept | 'absent',
        when the queue is due). What was opened with the same `once` before stays as it is, and the answer is the same."""
        replies = await self._client.run(
            self._reopen, [(f"r:{recipient_of(d)}", d, now_ms, once) for d in delivery_ids]
        )
        return [(word.decode(), int(due) if due else None) for word, due in replies]

    async def delivery(self, delivery_id: str) -> DeliveryRecord | None:
        """One delivery with its whole life."""
        found = await self.deliveries([delivery_id])
        return found[0] if found else None

    async def deliveries(self, delivery_ids: Sequence[str]) -> list[DeliveryRecord]:
        """Several of them, in the order asked for; absent ones are left out."""
        ops: list[Op] = [(f"r:{recipient_of(d)}", f"d:{d}") for d in delivery_ids]
        holders = list(dict.fromkeys(recipient_of(d) for d in delivery_ids))
        ops += [(f"r:{holder}", "q") for holder in holders]
        replies = await self._client.run(self._whole, ops)
        states = dict(
            zip(holders, (_state(_fields(flat)) for flat in replies[len(delivery_ids) :]), strict=True)
        )
        found = []
        for delivery_id, flat in zip(delivery_ids, replies[: len(delivery_ids)], strict=True):
            if flat:
                found.append(_record(_fields(flat), states[recipient_of(delivery_id)]))
        return found

    async def ends(self, delivery_ids: Sequence[str]) -> dict[str, End]:
        """How each of these stands; those whose records are no longer kept are left out."""
        found: dict[str, End] = {}
        for at in range(0, len(delivery_ids), _CHUNK):
            asked = delivery_ids[at : at + _CHUNK]
            replies = await self._client.run(self._ended, [(f"r:{recipient_of(d)}", f"d:{d}") for d in asked])
            for delivery_id, (status, reason) in zip(asked, replies, strict=True):
                if status:
                    found[delivery_id] = End(_STATUS[status.decode()], reason.decode() if reason else None)
        return found

    async def state(self, recipient: str) -> QueueState:
        """How a recipient has been doing."""
        (flat,) = await self._client.run(self._whole, [(f"r:{recipient}", "q")])
        return _state(_fields(flat))

    async def of_endpoint(
        self,
        endpoint_id: str,
        *,
        status: DeliveryStatus | None = None,
        type: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[DeliveryRecord]:
        """An endpoint's deliveries, newest first; `after` is the last one seen, as `<created ms>|<id>`."""
        key = self._client.key(f"r:{endpoint_id}", "all")
        found: list[DeliveryRecord] = []
        at = 0 if after is None else await self._client.behind(key, after)
        while True:
            ids = await self._client.plain.zrevrange(key, at, at + _CHUNK - 1)
            for record in await self.deliveries([i.decode() for i in ids]):
                if status in (None, record.status) and type in (None, record.delivery.type):
                    if len(found) == limit:
                        last = found[-1].delivery
                        return Page(found, f"{last.created_at_ms}|{last.id}")
                    found.append(record)
            if len(ids) < _CHUNK:
                return Page(found, None)
            at += len(ids)

    async def counts(self, recipient: str) -> dict[str, int]:
        """How much waits in one queue."""
        names = ("due", "again", "all")
        sizes = [
            int(await self._client.ask("ZCARD", self._client.key(f"r:{recipient}", name))) for name in names
        ]
        flying = int(await self._client.ask("HLEN", self._client.key(f"r:{recipient}", "fly")))
        return {**dict(zip(names, sizes, strict=True)), "fly": flying}


def _if_sound(reply: list[Any]) -> Advanced | None:
    try:
        return None if reply[0] == b"failed" else advanced_of(reply)
    except msgspec.DecodeError:
        return None


def _fields(flat: Sequence[bytes]) -> dict[str, bytes]:
    return {flat[at].decode(): flat[at + 1] for at in range(0, len(flat), 2)}


def _kept(breaker: Breaker) -> bytes:
    """A breaker as the queue keeps it: empty when there is nothing to say."""
    return b"" if breaker == CLOSED else dump(breaker)


def _state(fields: dict[str, bytes]) -> QueueState:
    return QueueState(
        held=fields.get("held") == b"1",
        breaker=_BREAKER.decode(fields["breaker"]) if "breaker" in fields else CLOSED,
        failing_since_ms=int(fields["fs"]) if "fs" in fields else None,
        incident_ms=int(fields["incident"]) if "incident" in fields else None,
    )


def _record(fields: dict[str, bytes], state: QueueState) -> DeliveryRecord:
    delivery = _DELIVERY.decode(fields["m"])
    status = _STATUS[fields["s"].decode()]
    pending = status is DeliveryStatus.PENDING
    reason = fields["w"].decode() if fields.get("w") else None
    held = pending and state.holds
    return DeliveryRecord(
        delivery=delivery,
        status=status,
        held=held,
        attempts=[
            _ATTEMPT.decode(fields[f"a{n}"])
            for n in range(1, int(fields.get("n", b"0")) + 1)
            if f"a{n}" in fields
        ],
        next_attempt_at_ms=int(fields["t"]) if pending and not held and "t" in fields else None,
        settled_at_ms=int(fields["z"]) if "z" in fields else None,
        reason=_REASONS.get(reason, reason) if reason is not None else None,
        kept="y" not in fields,
    )


@lru_cache(maxsize=20_000)
def hint_tag(recipient: str) -> str:
    """The hash tag of the hint that says when a recipient's queue is due."""
    return tag_of(hint_of(channel_of(recipient)), recipient)


def channel_of(recipient: str) -> Channel:
    """The channel of a recipient, by its id."""
    return Channel.EMAIL if recipient.startswith("mb_") else Channel.WEBHOOK
