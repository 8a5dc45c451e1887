"""What does a long queue cost, in memory and in time?

One endpoint whose deliveries wait: the cost of a delivery with a short and with a very long queue behind it,
and the bytes of the database a pending and a delivered one take. The queue is filled through the store's own
scripts; what is delivered goes by a real worker.
"""

from __future__ import annotations

import asyncio
import os
import signal

from bench.rig import Relay, Watch, relay, say, sent
from bench.shapes import webhook_body
from bench.wire import Sink
from relay.model import Audience, Channel, Delivery, Recipient
from relay.people import delivery_id
from relay.store import Store
from relay.store.client import Client
from relay.store.hints import Hint
from relay.store.queues import Entry
from relay.store.stored import dump

_SHORT, _LONG = 1_000, 1_000_000
_MEASURED = 10_000
_AT_ONCE = 1_000


async def measure(sink: str, figures: dict[str, float], scale: int) -> None:
    """`backlog_*`: CPU of worker and database a delivery, their ratio, and bytes a record."""
    long, measured = _LONG // scale**2, _MEASURED // scale
    async with relay(sink) as running:
        (endpoint,) = await running.register(1)
        client = Client.connect(running.valkey.url, prefix="relay", connections=4)
        store = Store.over(client)
        await store.transfers.keep_body("backlog", 1, Audience.SOURCE, webhook_body("t-0"))
        with running.worker() as worker:
            say(f"a delivery with {_SHORT:,} behind it")
            os.kill(worker.pid, signal.SIGSTOP)
            empty = await _memory(client)
            made = await _fill(store, endpoint, 0, measured + _SHORT)
            figures["pending_bytes"] = (await _memory(client) - empty) / made
            short = await _deliver(running, store, endpoint, worker.pid, measured)
            await sent(made)
            await asyncio.sleep(1)
            figures["delivered_bytes"] = (await _memory(client) - empty) / made
            say(f"a delivery with {long:,} behind it")
            os.kill(worker.pid, signal.SIGSTOP)
            await _fill(store, endpoint, made, measured + long)
            behind = await _deliver(running, store, endpoint, worker.pid, measured)
        await client.close()
    figures["backlog_short_cpu_us"], figures["backlog_long_cpu_us"] = short, behind
    figures["backlog_long_to_short"] = behind / short


async def _memory(client: Client) -> int:
    info = await client.plain.info("memory")
    return int(info["used_memory_dataset"])


async def _fill(store: Store, endpoint: str, first: int, count: int) -> int:
    for at in range(first, first + count, _AT_ONCE):
        entries = [_entry(endpoint, n) for n in range(at, min(at + _AT_ONCE, first + count))]
        await store.client.batch([store.queues.enqueuing(entries)])
    return count


def _entry(endpoint: str, n: int) -> Entry:
    to = Recipient(
        id=endpoint, channel=Channel.WEBHOOK, audience=Audience.SOURCE, partner="p0", endpoint=endpoint
    )
    made = Delivery(
        id=delivery_id(endpoint, f"b-{n}"),
        event_id=f"b-{n}",
        type="transfer.created",
        transfer=f"T-{n}",
        transfer_key="backlog",
        sequence=1,
        created_at_ms=1_795_222_923_000 + n,
        recipient=to,
    )
    return Entry(endpoint, made.id, dump(made), f"t-{n}", 1, made.created_at_ms)


async def _deliver(running: Relay, store: Store, endpoint: str, worker: int, count: int) -> float:
    """CPU microseconds a delivery, worker and database together."""
    Sink.count = 0
    await store.hints.make_due(Hint.WEBHOOK, [(endpoint, 1)])
    watch = Watch(worker=worker, db=running.valkey.pid)
    os.kill(worker, signal.SIGCONT)
    await sent(count)
    return sum(watch.cost(count).cpu_us.values())
