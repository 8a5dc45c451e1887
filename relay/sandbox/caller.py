"""How does the sandbox make the calls that it owes?

Each over the guarded session, signed as its system signs; one receiver's calls one after the other, in the
order in which they are due; what is answered is written down before the next.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
from aiohttp import ClientSession, ClientTimeout

from relay.sandbox.box import Box
from relay.sandbox.system import Call, Verdict

_TIMEOUT: Final = ClientTimeout(total=10)
_MOST_READ: Final = 65_536
Sign = Callable[[Call, bytes], Mapping[str, str]]


async def make(session: ClientSession, box: Box[Any], sign: Sign, calls: Sequence[Call]) -> int:
    """Make these calls; how many they were."""
    lanes: defaultdict[str, list[Call]] = defaultdict(list)
    for call in calls:
        lanes[call.url].append(call)
    await asyncio.gather(*(_lane(session, box, sign, lane) for lane in lanes.values()))
    return len(calls)


async def _lane(session: ClientSession, box: Box[Any], sign: Sign, calls: Sequence[Call]) -> None:
    for call in calls:
        await box.called(call, await _one(session, call, sign))


async def _one(session: ClientSession, call: Call, sign: Sign) -> Verdict:
    raw = call.body.encode()
    headers = {**call.headers, **sign(call, raw)}
    try:
        async with session.post(
            call.url, data=raw, headers=headers, allow_redirects=False, timeout=_TIMEOUT
        ) as answer:
            await answer.content.read(_MOST_READ)
            return Verdict(answer.status)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Verdict(0, type(error).__name__)
