"""How long from the 202 to the arrival, alone and beside endpoints that hang?

A steady stream of events to two healthy endpoints; then the same beside a hundred endpoints that take a
request and never answer, each with a queue of its own.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

from bench.rig import Relay, percentile, relay, say, sent
from bench.shapes import event
from bench.wire import Sink

_A_SECOND = 200
_HUNG = 100
_EACH = 40
"""Events that wait for each hung endpoint: more than its window."""
_SETTLE_S = 5
"""Until what hangs is on the wire: planning two thousand events at once is another measurement."""


async def measure(sink: str, figures: dict[str, float], scale: int) -> None:
    """`arrival_*` alone, `beside_hung_*` beside them, and the ratio of their 99th percentiles."""
    seconds = max(2, 12 // scale)
    async with relay(sink) as running:
        await running.register(2)
        with ExitStack() as stack:
            stack.enter_context(running.worker())
            await _stream(running, "warm", 2)
            say(f"from the 202 to the arrival at {_A_SECOND} events a second")
            alone = await _stream(running, "alone", seconds)
            say(f"the same beside {_HUNG} endpoints that hang")
            await running.register(_HUNG, first=2, path="hang")
            hung = [
                event(f"h-{n}", f"th-{n}", f"p{2 + n % _HUNG}", f"p{2 + (n + 1) % _HUNG}")
                for n in range(_HUNG * _EACH // 2)
            ]
            async with running.session() as session:
                for at in range(0, len(hung), 100):
                    body = b"[" + b",".join(hung[at : at + 100]) + b"]"
                    async with session.post("/v1/events", data=body) as answer:
                        assert answer.status == 207, await answer.text()
            await asyncio.sleep(_SETTLE_S)
            beside = await _stream(running, "beside", seconds)
    for name, waits in (("arrival", alone), ("beside_hung", beside)):
        figures[f"{name}_p50_ms"] = percentile(waits, 0.5)
        figures[f"{name}_p99_ms"] = percentile(waits, 0.99)
    figures["beside_hung_to_alone"] = figures["beside_hung_p99_ms"] / figures["arrival_p99_ms"]


async def _stream(running: Relay, name: str, seconds: int) -> list[float]:
    """Milliseconds from each 202 to the first arrival."""
    accepted: dict[str, float] = {}
    total = seconds * _A_SECOND
    Sink.count, Sink.arrivals, Sink.keep_arrivals = 0, {}, True

    async with running.session() as session:

        async def post(n: int) -> None:
            body = event(f"{name}-{n}", f"t-{name}-{n}", "p0", "p1")
            async with session.post("/v1/events", data=body) as answer:
                await answer.read()
                accepted[f"{name}-{n}"] = time.time()

        began = time.perf_counter()
        posting = []
        for n in range(total):
            await asyncio.sleep(max(0.0, began + n / _A_SECOND - time.perf_counter()))
            posting.append(asyncio.ensure_future(post(n)))
        await asyncio.gather(*posting)
    await sent(2 * total)
    Sink.keep_arrivals = False
    return [max(0.0, Sink.arrivals[one] - at) * 1000 for one, at in accepted.items()]
