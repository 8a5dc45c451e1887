"""What may those who play do, and how is it told?

Ask the relay as its operator, the sandbox as the person who drives it, and both systems as the parties'
programs do; say what happens; and wait until the relay has told everybody of a step. A person who watches
needs time to read: between steps there is a pause.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import ClientSession, ClientTimeout

from relay.sandbox.plays.script import Broken, Line, Play, What

_TIMEOUT: Final = ClientTimeout(total=30)
_AGAIN_S: Final = 0.5
_TRIES: Final = 60
_MOST_READ: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Where:
    """Where the relay and the sandbox answer, with the operator's token. `pause_s` is for who reads."""

    relay: str
    sandbox: str
    token: str
    pause_s: float


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: its status, and its JSON or None."""

    status: int
    body: Any


@dataclass(frozen=True)
class Stage:
    """The stage of one play. Everything raises Broken when it cannot be done."""

    session: ClientSession
    where: Where
    play: Play
    clock: Callable[[], int]
    on_line: Callable[[], None]
    noted: dict[str, int] = field(default_factory=dict)

    def say(self, what: What, text: str, *, who: str = "", ok: bool = True) -> None:
        """One line more."""
        play = self.play
        play.lines.append(
            Line(
                number=len(play.lines), at_ms=self.clock(), what=what, text=text, who=who, transfer=play.transfer, ok=ok
            )
        )
        self.on_line()

    async def step(self, who: str, text: str) -> None:
        """Somebody does something now; there was time to read what went before."""
        if len(self.play.lines) > 1:
            await asyncio.sleep(self.where.pause_s)
        self.say(What.STEP, text, who=who)

    async def relay(self, method: str, path: str, body: object = None) -> Any:
        """The relay's answer to its operator, below 400; waits while it is busy or away."""
        for _ in range(_TRIES):
            said = await self.ask(method, self.where.relay + path, body, self._operator)
            if said.status not in (0, 429, 503):
                return _good(said, f"{method} {path}")
            await asyncio.sleep(_AGAIN_S)
        raise Broken(f"the relay does not answer at {self.where.relay}; is `relay up` running?")

    async def found(self, path: str) -> Any:
        """What the relay has there; None where there is nothing."""
        said = await self.ask("GET", self.where.relay + path, None, self._operator)
        return None if said.status in (0, 404, 429, 503) else _good(said, path)

    async def drive(self, method: str, path: str, body: object = None) -> Any:
        """The sandbox's answer to the person who drives it."""
        said = await self.ask(method, f"{self.where.sandbox}/sandbox{path}", body, self._operator)
        return _good(said, f"{method} /sandbox{path}")

    async def later(self, text: str, seconds: int) -> None:
        """Time passes in the sandbox; what was due has happened."""
        await self.step("the clock", text)
        await self.drive("POST", "/clock", {"jump_seconds": seconds})

    async def ask(
        self, method: str, url: str, body: object, headers: Mapping[str, str], *, is_form: bool = False
    ) -> Said:
        """Whatever is answered; status 0 where nothing is."""
        given: dict[str, Any] = {} if body is None else {"data" if is_form else "json": body}
        try:
            async with self.session.request(
                method, url, headers=headers, allow_redirects=False, timeout=_TIMEOUT, **given
            ) as answer:
                raw = await answer.read()
                if len(raw) > _MOST_READ:
                    raise Broken(f"{method} {url}: the answer is too long")
                return Said(answer.status, _json(raw))
        except (aiohttp.ClientError, OSError, TimeoutError):
            return Said(0, None)

    @property
    def _operator(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.where.token}"}


def _good(said: Said, what: str) -> Any:
    if not said.status:
        raise Broken(f"{what}: there is no answer")
    if said.status >= 400:
        body = said.body if isinstance(said.body, dict) else {}
        detail = body.get("detail") or body.get("description") or body.get("message") or said.body
        raise Broken(f"{what}: {said.status}, {detail}")
    return said.body


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None
