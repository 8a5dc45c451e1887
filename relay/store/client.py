"""How is the database asked, many questions at a time?

Everything that must be atomic is a Lua script over a batch of operations. An operation touches the keys
of one hash tag only, so on a cluster operations travel one call a slot, and on a single server all of
them in one call. The scripts are idempotent: a call whose reply was lost is simply made again.

Framing of every script: `ARGV[1]` is the key prefix, then for each operation its number of arguments and
the arguments; the first argument is the hash tag. The reply is an array with one reply an operation.
`KEYS[1]` is a key of the first operation's slot and routes the call.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import (
    BusyLoadingError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from relay.errors import StoreError, StoreFull, StoreUnavailable
from relay.store.address import pool_of

Arg = bytes | str | int | float
Op = tuple[Arg, ...]
"""One operation: its hash tag, then its arguments."""

_AWAY = (
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    ReadOnlyError,
    asyncio.TimeoutError,
    OSError,
)
_AWAY_CODES = frozenset(
    {"MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "UNKILLABLE", "BUSY", "TRYAGAIN", "MOVED", "ASK"}
)
_MARKER_MS = 60_000
_FULL_CODES = frozenset({"OOM", "MISCONF"})


@dataclass(frozen=True, slots=True)
class Script:
    """A script by name, with the SHA-1 the server knows it by."""

    name: str
    text: str
    sha: str

    @classmethod
    def read(cls, name: str) -> Script:
        """The script in `lua/<name>.lua`, inside the frame all share; `--@queue` brings in `lua/queue.lua`, and
        `--@use <other>` another script, as a function of its name."""
        body = _USE.sub(_used, _lua(name)).replace("--@queue", _lua("queue"), 1)
        return cls.of(name, _lua("frame").replace("--@operation", body))

    @classmethod
    def chain(cls, names: Sequence[str]) -> Self:
        """These scripts as one, to be done in turn (`lua/chain.lua`)."""
        head = _lua("frame").partition("--@operation")[0]
        steps = [_lua("queue"), "local steps = {}"]
        for name in names:
            steps += ["do", _USE.sub(_used, _lua(name)), f"steps['{name}'] = operation", "end"]
        return cls.of("+".join(names), head + _lua("chain").replace("--@steps", "\n".join(steps)))

    @classmethod
    def of(cls, name: str, text: str) -> Self:
        """A script and its digest."""
        return cls(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


_USE = re.compile(r"^--@use (\w+)$", re.MULTILINE)


def _used(line: re.Match[str]) -> str:
    other = line[1]
    return f"local {other}\ndo\n{_lua(other)}\n{other} = operation\nend"


@cache
def _lua(name: str) -> str:
    return resources.files("relay.store").joinpath("lua", f"{name}.lua").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Call:
    """One script with the operations it is to do."""

    script: Script
    ops: Sequence[Op]


@dataclass(frozen=True, slots=True)
class Copies:
    """On how many replicas a write must be before it counts, and how long they may take."""

    least: int = 0
    within_s: float = 1.0


class Plain(Redis):
    """Single commands, for reading indexes; what fails is raised as a `StoreError`."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py's, but for the exception."""
        with translating():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


class Client:
    """The connection pool and the batched call. Raises only `StoreError` and its kinds.

    `joint`: all keys are on one server, so that a step may touch those of several hash tags.
    """

    joint = True

    def __init__(self, redis: Redis, prefix: str, copies: Copies = Copies()) -> None:
        self.copies = copies
        self.redis = redis
        self.plain = Plain(connection_pool=redis.connection_pool)
        self.prefix = prefix
        self._chains: dict[tuple[str, ...], Script] = {}

    @classmethod
    def connect(
        cls, url: str, *, prefix: str, connections: int, timeout_s: float = 10.0, copies: Copies = Copies()
    ) -> Self:
        """A client for `url`; nothing is sent before the first call."""
        pool = pool_of(
            url, BlockingConnectionPool, max_connections=connections, timeout=timeout_s, timeout_s=timeout_s
        )
        return cls(Redis(connection_pool=pool), prefix, copies)

    async def close(self) -> None:
        """Give the connections back."""
        await self.redis.aclose(close_connection_pool=True)

    async def ask(self, *command: Arg) -> Any:
        """The reply to one plain command."""
        return await self.plain.execute_command(*command)

    async def several(self, commands: Sequence[Sequence[Arg]]) -> list[Any]:
        """The replies to several plain commands, in one round trip."""
        with translating():
            return await self._several(commands)

    def lane(self, op: Op) -> Hashable:
        """Operations of different lanes do not wait for each other, nor fail together."""
        return None

    async def behind(self, key: str, after: str) -> int:
        """How many members of a sorted set are read when a list, the highest first, has come to `<score>|<member>`;
        what has left since is not counted."""
        score, _, member = after.partition("|")
        rank = await self.plain.zrevrank(key, member)
        return int(await self.plain.zcount(key, score, "+inf")) if rank is None else int(rank) + 1

    def key(self, tag: str, rest: str = "") -> str:
        """The name of a key: `<prefix>:{<tag>}` and, where there are several, `:<rest>`."""
        return f"{self.prefix}:{{{tag}}}:{rest}" if rest else f"{self.prefix}:{{{tag}}}"

    async def run(self, script: Script, ops: Sequence[Op], *, confirm: bool = False) -> list[Any]:
        """The replies of one script, one an operation."""
        if not ops:
            return []
        (replies,) = await self.batch([Call(script, ops)], confirm=confirm)
        return replies

    async def parts(self) -> Sequence[Client]:
        """A client for each server that has some of the data."""
        return [self]

    async def batch(self, calls: Sequence[Call], *, confirm: bool = False) -> list[list[Any]]:
        """Several scripts in one round trip, done in their order; one list of replies a call. To `confirm`,
        enough replicas must have them too: what they did stands also where StoreUnavailable says not."""
        confirm = confirm and self.copies.least > 0
        try:
            return await self._send(calls, confirm)
        except NoScriptError:
            # The server restarted or failed over, and lost its script cache. What ran before the
            # missing script is idempotent, so the whole batch goes again.
            await self._load({call.script for call in calls})
            return await self._guarded(calls, confirm)
        except (RedisError, *_AWAY) as error:
            raise translated(error) from error

    async def chain(self, calls: Sequence[Call]) -> list[list[Any]] | None:
        """Several scripts in one call, in their order; what fails keeps what follows from being done. None when
        an operation stopped it. What was done before stands, and may be done again. A script comes once."""
        names = tuple(call.script.name for call in calls)
        script = self._chains.get(names)
        if script is None:
            script = self._chains[names] = Script.chain(names)
        command: list[Arg] = [self.key(str(calls[0].ops[0][0])), self.prefix]
        for call in calls:
            command += (call.script.name, len(call.ops))
            for op in call.ops:
                command.append(len(op))
                command.extend(op)
        try:
            try:
                replies = await self.redis.execute_command("EVALSHA", script.sha, 1, *command)  # type: ignore[no-untyped-call]
            except NoScriptError:
                replies = await self.redis.execute_command("EVAL", script.text, 1, *command)  # type: ignore[no-untyped-call]
        except (RedisError, *_AWAY) as error:
            raise translated(error) from error
        return replies or None

    async def _guarded(self, calls: Sequence[Call], confirm: bool) -> list[list[Any]]:
        try:
            return await self._send(calls, confirm)
        except (RedisError, *_AWAY) as error:
            raise translated(error) from error

    async def _send(self, calls: Sequence[Call], confirm: bool) -> list[list[Any]]:
        if len(calls) == 1 and not confirm:
            return [await self.redis.execute_command(*self._command(calls[0]))]  # type: ignore[no-untyped-call]
        async with self.redis.pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.execute_command(*self._command(call))
            if confirm:
                # WAIT counts from the last write of its own connection, and a repeat writes nothing.
                pipe.execute_command("SET", self._marker(calls), "1", "PX", _MARKER_MS)
                pipe.execute_command("WAIT", self.copies.least, round(self.copies.within_s * 1000))
            replies = await _executed(pipe)
        if confirm and (reached := replies.pop()) < self.copies.least:
            raise StoreUnavailable(f"{reached} of {self.copies.least} replicas have what was written")
        return replies[: len(calls)]

    async def _several(self, commands: Sequence[Sequence[Arg]]) -> list[Any]:
        if not commands:
            return []
        async with self.redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return await _executed(pipe)

    def _marker(self, calls: Sequence[Call]) -> str:
        """A key to write where these calls write."""
        return self.key("waited")

    def _command(self, call: Call) -> list[Arg]:
        command: list[Arg] = ["EVALSHA", call.script.sha, 1, self.key(str(call.ops[0][0])), self.prefix]
        for op in call.ops:
            command.append(len(op))
            command.extend(op)
        return command

    async def _load(self, scripts: Iterable[Script]) -> None:
        try:
            for script in scripts:
                await self.redis.script_load(script.text)
        except (RedisError, *_AWAY) as error:
            raise translated(error) from error


async def _executed(pipe: Pipeline) -> list[Any]:
    """The replies, or the first error as the server has it: redis-py would write its own words before the code."""
    replies = list(await pipe.execute(raise_on_error=False))
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def translated(error: BaseException) -> StoreError:
    """What a redis-py exception means to us. An error reply is told by its code, the first word of
    the reply, as the protocol defines it."""
    if isinstance(error, OutOfMemoryError):
        return StoreFull("the database refuses writes: its memory limit is reached")
    if isinstance(error, _AWAY):
        return StoreUnavailable(f"the database cannot be reached ({type(error).__name__})")
    if isinstance(error, ResponseError):
        code = str(error).partition(" ")[0]
        if code in _FULL_CODES:
            return StoreFull(f"the database refuses writes ({code})")
        if code in _AWAY_CODES:
            return StoreUnavailable(f"the database is not ready ({code})")
    return StoreError(f"the database answered: {error}")


@contextmanager
def translating() -> Iterator[None]:
    """Within it, a plain command's failure is raised as a `StoreError`."""
    try:
        yield
    except (RedisError, *_AWAY) as error:
        raise translated(error) from error
