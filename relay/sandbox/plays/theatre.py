"""How is a play begun and watched over HTTP?

`GET /sandbox/lives`, `POST /sandbox/plays` with `{"life", "fast"?}`, `GET /sandbox/plays/{id}?after=`. One
play at a time: they share the clock and the faults. The last ones are remembered for as long as the process
lives; what they did stays in the relay.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import ClientSession, web

from relay.config import Config
from relay.demo_partner import Listeners
from relay.errors import RelayError
from relay.model import Record
from relay.sandbox.control import read_body, refused
from relay.sandbox.plays import cast
from relay.sandbox.plays.lives import LIVES, Life
from relay.sandbox.plays.script import Play, What
from relay.sandbox.plays.stage import Stage, Where
from relay.sandbox.plays.watching import Watch

PAUSE_S: Final = 2.0
_MOST_PLAYS: Final = 20
_LONGEST_WAIT_S: Final = 20.0
_LONGEST_PLAY_S: Final = 600.0


class PlayBody(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`life`: its name; `fast`: nobody reads along, so without pauses."""

    life: str
    fast: bool = False


class Theatre:
    """Where plays are played, and remembered."""

    def __init__(self, session: ClientSession, config: Config) -> None:
        self._session = session
        self._config = config
        self._plays: dict[str, Play] = {}
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self.listeners = Listeners(_nothing_said)

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.get("/sandbox/lives", self._lives),
            web.get("/sandbox/plays", self._list),
            web.post("/sandbox/plays", self._begin),
            web.get("/sandbox/plays/{id}", self._show),
            web.post(cast.PATH, self.listeners.take),
        ]

    async def closing(self, app: web.Application) -> AsyncIterator[None]:
        """A play that is not over when the process ends is cut."""
        yield
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _lives(self, request: web.Request) -> web.Response:
        found = [{"name": one.name, "kind": one.kind, "about": one.about} for one in LIVES.values()]
        return web.json_response({"data": found})

    async def _list(self, request: web.Request) -> web.Response:
        newest = reversed(self._plays.values())
        return web.json_response({"data": [play.shown(len(play.lines)) for play in newest]})

    async def _begin(self, request: web.Request) -> web.Response:
        body = await read_body(request, PlayBody)
        life = LIVES.get(body.life)
        if life is None:
            raise refused(f"life: there is no {body.life!r}; there are {', '.join(LIVES)}")
        if self._task is not None and not self._task.done():
            raise refused("another play is not over yet; wait for its end", 409)
        play = Play(id=f"play-{secrets.token_hex(4)}", life=life.name)
        self._plays[play.id] = play
        for over in list(self._plays)[:-_MOST_PLAYS]:
            del self._plays[over]
        self._task = asyncio.create_task(self._play(life, play, 0.0 if body.fast else PAUSE_S))
        return web.json_response(play.shown(0), status=201)

    async def _show(self, request: web.Request) -> web.Response:
        """At once what is new; where nothing is, as soon as something is."""
        play = self._plays.get(request.match_info["id"])
        if play is None:
            raise refused("there is no such play, or it was long ago", 404)
        text = request.query.get("after", "0")
        after = int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0
        try:
            async with asyncio.timeout(_LONGEST_WAIT_S if "wait" in request.query else 0.001):
                while play.state == "playing" and len(play.lines) <= after:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            pass  # nothing is new
        return web.json_response(play.shown(after))

    async def _play(self, life: Life, play: Play, pause_s: float) -> None:
        config = self._config
        where = Where(config.server.base_url, config.sandbox.base_url, config.secrets.operator_token, pause_s)
        stage = Stage(self._session, where, play, _now_ms, self._moved.set)
        try:
            async with asyncio.timeout(_LONGEST_PLAY_S):
                stage.noted[life.system] = await _noted(stage, life.system)
                await cast.ready(stage, self.listeners, life.kind)
                watch = Watch(stage, life.system)
                await life.play(stage, watch)
                await watch.notes()
            play.state = "played"
            stage.say(What.END, f"{life.name}: played to its end")
        except asyncio.CancelledError:
            play.state = "failed"
            raise
        except RelayError as why:
            play.state = "failed"
            stage.say(What.END, str(why), ok=False)
        except TimeoutError:
            play.state = "failed"
            stage.say(What.END, f"not over after {_LONGEST_PLAY_S:.0f} s", ok=False)
        except Exception as error:
            # Whoever watches must see the end; the process shows where it was.
            play.state = "failed"
            stage.say(What.END, f"{type(error).__name__}: {error}", ok=False)
            raise


async def _noted(stage: Stage, system: str) -> int:
    """How much was noted before."""
    after = 0
    while True:
        page = await stage.drive("GET", f"/{system}/notes?after={after}&limit=500")
        if not page["data"]:
            return after
        after = int(page["next"])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _nothing_said(source: str, line: str) -> None:
    """Each verdict is told by the relay."""
