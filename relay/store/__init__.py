"""What does the relay remember, and who may touch it?

`Store` is the only way to the database; the modules of this package are the only ones that know a key.
Truth lives in the relay's own keys, changed by the scripts in `lua/`; arq's keys carry wake-ups only.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.model import Channel, DeliveryStatus
from relay.store.accounts import Accounts
from relay.store.chain import Chains
from relay.store.client import Client
from relay.store.counters import Counters
from relay.store.deadlines import Deadlines
from relay.store.hints import Hints
from relay.store.ledger import Ledger
from relay.store.paces import Paces
from relay.store.preferences import Choices
from relay.store.queues import Queues
from relay.store.readers import Readers
from relay.store.records import DeliveryRecord, Page, TransferRecord
from relay.store.registry import Registry
from relay.store.replays import Replays
from relay.store.retention import Retention
from relay.store.sealed import SealedKey
from relay.store.shifts import Shifts
from relay.store.sources import Sources
from relay.store.transfers import Transfers

_CHUNK = 100
_MOST_EVENTS = 2_000
_BEHIND = 1_000_000
"""More than the deliveries of any event: a cursor behind all of them."""


@dataclass(frozen=True, slots=True)
class Store:
    """The faces of the store over one client."""

    client: Client
    transfers: Transfers
    queues: Queues
    ledger: Ledger
    hints: Hints
    counters: Counters
    deadlines: Deadlines
    accounts: Accounts
    shifts: Shifts
    replays: Replays
    chains: Chains
    registry: Registry
    readers: Readers
    choices: Choices
    sources: Sources
    paces: Paces
    callback_key: SealedKey
    retention: Retention

    @classmethod
    def over(cls, client: Client) -> Store:
        """The faces over a connected client."""
        transfers, hints = Transfers(client), Hints(client)
        return cls(
            client=client,
            transfers=transfers,
            queues=Queues(client),
            ledger=Ledger(client, transfers),
            hints=hints,
            counters=Counters(client),
            deadlines=Deadlines(client),
            accounts=Accounts(client, hints),
            shifts=Shifts(client),
            replays=Replays(client, hints),
            chains=Chains(client),
            registry=Registry(client),
            readers=Readers(client, transfers.fields),
            choices=Choices(client),
            sources=Sources(client),
            paces=Paces(client),
            callback_key=SealedKey(client, "callbacks"),
            retention=Retention(client),
        )

    async def deliveries(
        self,
        *,
        status: DeliveryStatus | None = None,
        channel: Channel | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[DeliveryRecord]:
        """Deliveries of the whole installation, those of the newest event first.

        `after` is `<accepted ms>|<transfer>|<sequence>|<n>`: go on with the n-th delivery of that event, then
        with older events. A page that read very many events without finding enough ends early, with a cursor.
        """
        found: list[DeliveryRecord] = []
        event, skip = (None, 0) if after is None else _cursor(after)
        read = 0
        while True:
            events = await self.ledger.events(after=event, most=_CHUNK)
            more = len(events) == _CHUNK
            if event is not None and read == 0:
                at_ms, _, member = event.partition("|")
                transfer, _, sequence = member.rpartition("|")
                events.insert(0, (transfer, int(sequence), int(at_ms)))
            records = {r.key: r for r in await self.transfers.several(list({key for key, *_ in events}))}
            for key, number, at in events:
                event = f"{at}|{key}|{number}"
                for nth, record in enumerate(await self._of_event(records.get(key), number, skip), start=skip):
                    if status in (None, record.status) and channel in (
                        None,
                        record.delivery.recipient.channel,
                    ):
                        if len(found) == limit:
                            return Page(found, f"{event}|{nth}")
                        found.append(record)
                skip = 0
            read += len(events)
            if not more:
                return Page(found, None)
            if read >= _MOST_EVENTS:
                return Page(found, f"{event}|{_BEHIND}")

    async def _of_event(self, record: TransferRecord | None, sequence: int, skip: int) -> list[DeliveryRecord]:
        if record is None:
            return []
        ids = [d.id for entry in record.timeline if entry.sequence == sequence for d in entry.deliveries]
        return await self.queues.deliveries(ids[skip:])


def _cursor(after: str) -> tuple[str, int]:
    event, _, at = after.rpartition("|")
    return event, int(at)
