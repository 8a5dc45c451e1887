"""What do producers post while everything around them dies?

A steady stream of the lives of transfers, each event sent again and again until it is acknowledged, as the
contract asks of a producer. Who transfers what to whom is drawn from the run's seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random

from chaos.tally import Tally
from tests.pipeline.caller import Caller
from tests.pipeline.events import step

LIVES = (
    ("created", "updated", "completed"),
    ("created", "updated", "failed"),
    ("created", "canceled"),
    ("created", "updated", "partially_completed", "updated", "completed"),
)
_AT_ONCE = 16
_TOLD = {"created": ("source",), "completed": ("source", "target")}
"""Whose admin agents are told by e-mail: the contract's table."""


class Load:
    """Producers that together post `rate` events a second until `stop`."""

    def __init__(self, api: Caller, tally: Tally, seed: str, rate: float, partners: list[str], mailed: set[str]) -> None:
        self._api = api
        self._tally = tally
        self._seed = seed
        self._gap_s = _AT_ONCE / rate
        self._partners = partners
        self._mailed = mailed
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin no more transfers, and leave those that were begun where they are."""
        self._stopping.set()

    async def run(self) -> None:
        """Post until stopped and all that was begun to be posted is acknowledged."""
        async with asyncio.TaskGroup() as group:
            for number in range(_AT_ONCE):
                group.create_task(self._produce(number))

    async def _produce(self, number: int) -> None:
        chance = Random(f"{self._seed}-producer-{number}")
        for transfer in self._transfers(number):
            source, target = chance.sample(self._partners, 2)
            for at, type_ in enumerate(chance.choice(LIVES), 1):
                try:
                    await asyncio.wait_for(self._stopping.wait(), chance.uniform(0, 2 * self._gap_s))
                except TimeoutError:
                    event = step(transfer, type_, at, source=source, target=target)
                    await self._api.post_until_acknowledged(event)
                    parties = {"source": source, "target": target}
                    mails = sum(parties[role] in self._mailed for role in _TOLD.get(type_, ()))
                    self._tally.acknowledge(event["id"], (source, target), mails)
                    continue
                return

    def _transfers(self, number: int) -> Iterator[str]:
        count = 0
        while True:
            count += 1
            yield f"tr-{number}-{count}"
