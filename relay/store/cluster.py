"""How is a cluster asked what one server is asked elsewhere?

The same face as `Client`. A call's operations go to the servers that have their slots, one script call a
slot, all servers at once; the calls of a batch go one after the other, because a later one may rest on an
earlier one and no order holds between servers. When a slot has moved or a server has died, the map is read
again and what failed is asked again: the scripts are idempotent. A server that is away fails what is for it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any
from urllib.parse import quote, unquote

from redis.crc import key_slot
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from relay.errors import StoreError
from relay.places import Cluster, Login
from relay.store.client import Arg, Call, Client, Copies, Op, Plain, translated
from relay.store.slots import Place, Slots

_TRIES = 5
_PAUSE_S = 0.1
_ELSEWHERE = frozenset({"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN"})
"""Codes that say: not here, or not now. The map is read again; while a slot moves, it is waited for."""

_OF_ANY = frozenset({"PING", "TIME"})
"""Commands that have no key: whoever answers."""
_NOT_TWICE = frozenset({"GETDEL", "HDEL", "HSETNX", "INCR"})
"""Commands whose second answer is another one: not asked again where the first may have been lost."""

_Send = Callable[["_Node", Sequence[Sequence[int]]], Awaitable[Sequence[Any]]]
"""Asks a server what is for it, by slot the positions of what is wanted; the replies in that order."""


class _Routed(Plain):
    """Single commands, each to whoever has its key."""

    def __init__(self, cluster: ClusterClient) -> None:
        super().__init__()
        self._cluster = cluster

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py's, but for who is asked, and the exception."""
        return await self._cluster.command(args, options)

    def pipeline(self, *args: Any, **options: Any) -> Any:
        """Never: `Client.several` knows who is asked."""
        raise NotImplementedError


class _Node(Client):
    """One server of the cluster."""

    def _marker(self, calls: Sequence[Call]) -> str:
        return self.key(str(calls[0].ops[0][0]), "waited")

    async def send(self, calls: Sequence[Call], confirm: bool) -> list[list[Any]]:
        """The replies, or what went wrong as redis-py tells it."""
        try:
            return await self._send(calls, confirm)
        except NoScriptError:
            await self._load({call.script for call in calls})
            return await self._send(calls, confirm)

    async def told(self, commands: Sequence[Sequence[Arg]]) -> list[Any]:
        """The replies to plain commands, or what went wrong as redis-py tells it."""
        return await self._several(commands)


class ClusterClient(Client):
    """The servers of a cluster, and the batched call over them."""

    joint = False

    def __init__(
        self, cluster: Cluster, *, prefix: str, connections: int, timeout_s: float, copies: Copies
    ) -> None:
        self.copies = copies
        self.prefix = prefix
        self._cluster = cluster
        self._connections = connections
        self._timeout_s = timeout_s
        self._nodes: dict[Place, _Node] = {}
        self._slots = Slots(cluster.nodes, self._ask_slots)
        self.redis = self.plain = _Routed(self)

    async def close(self) -> None:
        """Give the connections back."""
        await self._slots.close()
        for node in self._nodes.values():
            await node.close()

    async def parts(self) -> Sequence[Client]:
        """A client for each primary."""
        await self._slots.learn(again=True)
        return [self._node(place) for place in self._slots.primaries]

    def lane(self, op: Op) -> Hashable:
        """The server that has what an operation touches, as far as is known."""
        return self._slots.of(_slot(self.key(str(op[0]))))

    async def batch(self, calls: Sequence[Call], *, confirm: bool = False) -> list[list[Any]]:
        """As `Client.batch`, in a round trip a call."""
        confirm = confirm and self.copies.least > 0
        return [await self._call(call, confirm) for call in calls]

    async def chain(self, calls: Sequence[Call]) -> list[list[Any]] | None:
        """Never: what is in one call elsewhere is on several servers here."""
        raise NotImplementedError

    async def several(self, commands: Sequence[Sequence[Arg]]) -> list[Any]:
        """As `Client.several`, in a round trip to each server."""

        async def send(node: _Node, slots: Sequence[Sequence[int]]) -> Sequence[Any]:
            return await node.told([commands[at] for slot in slots for at in slot])

        return await self._spread([_text(command[1]) for command in commands], send)

    async def command(self, args: Sequence[Any], options: dict[str, Any]) -> Any:
        """The reply to one command, as redis-py reads it. Its first argument is its key, but where any server will do."""
        name = str(args[0])
        if name in _OF_ANY:
            return await self._any(args, options)
        if len(args) < 2 or name in ("SCAN", "EVAL", "EVALSHA"):
            raise NotImplementedError(f"{name} is asked of each server of `parts`")

        async def send(node: _Node, slots: Sequence[Sequence[int]]) -> Sequence[Any]:
            return [await node.redis.execute_command(*args, **options)]  # type: ignore[no-untyped-call]

        (reply,) = await self._spread([_text(args[1])], send, twice=name not in _NOT_TWICE)
        return reply

    async def _any(self, args: Sequence[Any], options: dict[str, Any]) -> Any:
        await self._slots.learn(again=False)
        failed: Exception | None = None
        for place in self._slots.servers:
            try:
                return await self._node(place).redis.execute_command(*args, **options)  # type: ignore[no-untyped-call]
            except (RedisError, OSError, TimeoutError) as error:
                self._slots.doubt(place)
                failed = error
        await self._slots.learn(again=True)
        raise translated(failed or RedisTimeoutError()) from failed

    async def _call(self, call: Call, confirm: bool) -> list[Any]:
        async def send(node: _Node, slots: Sequence[Sequence[int]]) -> Sequence[Any]:
            replies = await node.send([Call(call.script, [call.ops[at] for at in slot]) for slot in slots], confirm)
            return [reply for some in replies for reply in some]

        return await self._spread([self.key(str(op[0])) for op in call.ops], send)

    async def _spread(self, keys: Sequence[str], send: _Send, *, twice: bool = True) -> list[Any]:
        """The replies to what touches these keys, in their order; `twice` if a repeat does no harm."""
        await self._slots.learn(again=False)
        replies: list[Any] = [None] * len(keys)
        left = list(range(len(keys)))
        for attempt in range(_TRIES):
            failed, error = await self._once(keys, left, replies, send)
            if error is None:
                return replies
            left = failed
            if attempt == _TRIES - 1 or not _may_be_elsewhere(error, attempt, twice):
                raise error if isinstance(error, StoreError) else translated(error) from error
            await asyncio.sleep(_PAUSE_S * attempt)
            await self._slots.learn(again=True)
        return replies

    async def _once(
        self, keys: Sequence[str], wanted: Sequence[int], replies: list[Any], send: _Send
    ) -> tuple[list[int], Exception | None]:
        """Ask all servers at once; which of the wanted failed, and the first reason."""
        places: dict[Place, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        failed: list[int] = []
        first: Exception | None = None
        for at in wanted:
            slot = _slot(keys[at])
            place = self._slots.of(slot)
            if place is None:
                failed.append(at)
                first = ResponseError("CLUSTERDOWN nobody has the slot")
            else:
                places[place][slot].append(at)
        groups = [list(by_slot.values()) for by_slot in places.values()]
        done = await asyncio.gather(
            *(send(self._node(place), each) for place, each in zip(places, groups, strict=True)), return_exceptions=True
        )
        for place, each, outcome in zip(places, groups, done, strict=True):
            asked = [at for group in each for at in group]
            if isinstance(outcome, BaseException):
                if not isinstance(outcome, (RedisError, OSError, TimeoutError, StoreError)):
                    raise outcome
                self._slots.doubt(place)
                first = first or outcome
                failed += asked
                continue
            for at, reply in zip(asked, outcome, strict=True):
                replies[at] = reply
        return failed, first

    async def _ask_slots(self, place: Place) -> Any:
        return await self._node(place).redis.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]

    def _node(self, place: Place) -> _Node:
        node = self._nodes.get(place)
        if node is None:
            host, port = place
            shown = f"[{host}]" if ":" in host else host
            url = f"{'rediss' if self._cluster.tls else 'redis'}://{_login(self._cluster.login)}{shown}:{port}/0"
            node = self._nodes[place] = _Node.connect(
                url,
                prefix=self.prefix,
                connections=self._connections,
                timeout_s=self._timeout_s,
                copies=self.copies,
            )
        return node


def _slot(key: str) -> int:
    return key_slot(key.encode())


def _text(key: Arg) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)


def _login(login: Login) -> str:
    if login.username is None and login.password is None:
        return ""
    name, password = (quote(unquote(text or ""), safe="") for text in (login.username, login.password))
    return f"{name}:{password}@"


def _may_be_elsewhere(error: Exception, attempt: int, twice: bool) -> bool:
    """Whether to read the map again, and to ask again. A server that does not answer is asked twice, and so is one
    all of whose connections wait for its answers."""
    if isinstance(error, StoreError):
        return False
    if isinstance(error, ReadOnlyError):
        return True
    if isinstance(error, ResponseError):
        return str(error).partition(" ")[0] in _ELSEWHERE
    if isinstance(error, (RedisTimeoutError, TimeoutError)) or isinstance(error.__cause__, TimeoutError):
        return twice and attempt == 0
    return twice
