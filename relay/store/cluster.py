"""How is a cluster asked what one server is asked elsewhere?

The same face as `Client`. A call's operations go to the servers that have their slots, one script call a
slot, all servers at once; the calls of a batch go one after the other, because a later one may rest on an
earlier one and no order holds between servers. When a slot has moved or a server has died, the map is read
again and what failed is asked again: the scripts are idempotent.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote, unquote

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import NoScriptError, ReadOnlyError, RedisClusterException, RedisError, ResponseError

from relay.errors import StoreUnavailable
from relay.places import Cluster, Login
from relay.store.address import PlainConnection, TlsConnection
from relay.store.client import Call, Client, Copies, Op, Plain, Script, translated, translating

_TRIES = 5
_PAUSE_S = 0.1
_ELSEWHERE = frozenset({"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN"})
"""Codes that say: not here, or not now. The map is read again; while a slot moves, it is waited for."""

Place = tuple[str, int]


class _Map(RedisCluster):
    """Knows which server has which slot. Its connections are the relay's own, as those to one server are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        kind = TlsConnection if options["ssl"] else PlainConnection
        self.connection_kwargs["connection_class"] = kind  # of the nodes that it is told of
        for node in self.nodes_manager.startup_nodes.values():
            node.connection_class = kind


class _Routed(_Map):
    """Single commands; what fails is raised as a `StoreError`."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py's, but for the exception."""
        with translating():
            return await super().execute_command(*args, **options)


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
        options: dict[str, Any] = {
            "startup_nodes": [ClusterNode(host, port) for host, port in cluster.nodes],
            "username": unquote(cluster.login.username) if cluster.login.username else None,
            "password": unquote(cluster.login.password) if cluster.login.password else None,
            "ssl": cluster.tls,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": min(timeout_s, 5.0),
            "require_full_coverage": False,
        }
        self._map = _Map(**options)  # type: ignore[abstract]
        self._routed = _Routed(**options)  # type: ignore[abstract]
        # The same commands under the same names; redis-py has no type for what both can do.
        self.redis = cast("Redis", self._map)
        self.plain = cast("Plain", self._routed)

    async def close(self) -> None:
        """Give the connections back."""
        for node in self._nodes.values():
            await node.close()
        await self._map.aclose()
        await self._routed.aclose()

    async def parts(self) -> Sequence[Client]:
        """A client for each primary."""
        await self._learn(again=True)
        return [self._node((node.host, int(node.port))) for node in self._map.get_primaries()]

    async def batch(self, calls: Sequence[Call], *, confirm: bool = False) -> list[list[Any]]:
        """As `Client.batch`, in a round trip a call."""
        confirm = confirm and self.copies.least > 0
        await self._learn(again=False)
        return [await self._spread(call, confirm) for call in calls]

    async def chain(self, calls: Sequence[Call]) -> list[list[Any]] | None:
        """Never: what is in one call elsewhere is on several servers here."""
        raise NotImplementedError

    async def _spread(self, call: Call, confirm: bool) -> list[Any]:
        replies: list[Any] = [None] * len(call.ops)
        left = list(range(len(call.ops)))
        for attempt in range(_TRIES):
            failed, error = await self._once(call.script, call.ops, left, replies, confirm)
            if error is None:
                return replies
            left = failed
            if not _may_be_elsewhere(error) or attempt == _TRIES - 1:
                raise error if isinstance(error, StoreUnavailable) else translated(error) from error
            await asyncio.sleep(_PAUSE_S * attempt)
            await self._learn(again=True)
        return replies

    async def _once(
        self, script: Script, ops: Sequence[Op], wanted: Sequence[int], replies: list[Any], confirm: bool
    ) -> tuple[list[int], Exception | None]:
        """Ask all servers at once; which operations failed, and the first reason."""
        try:
            places = self._places(ops, wanted)
        except RedisClusterException as error:
            return list(wanted), StoreUnavailable(
                f"nobody has a slot of the cluster ({type(error).__name__})"
            )
        slots = [list(by_slot.values()) for by_slot in places.values()]
        done = await asyncio.gather(
            *(
                self._node(place).send([Call(script, [ops[at] for at in each]) for each in groups], confirm)
                for place, groups in zip(places, slots, strict=True)
            ),
            return_exceptions=True,
        )
        failed: list[int] = []
        first: Exception | None = None
        for groups, outcome in zip(slots, done, strict=True):
            if isinstance(outcome, BaseException):
                if not isinstance(outcome, Exception):
                    raise outcome
                first = first or outcome
                failed += [at for each in groups for at in each]
                continue
            for each, some in zip(groups, outcome, strict=True):
                for at, reply in zip(each, some, strict=True):
                    replies[at] = reply
        return failed, first

    def _places(self, ops: Sequence[Op], wanted: Sequence[int]) -> dict[Place, dict[int, list[int]]]:
        """By server and slot, which operations are for it, in their order."""
        found: dict[Place, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for at in wanted:
            key = self.key(str(ops[at][0]))
            node = self._map.get_node_from_key(key)
            assert node is not None  # None is only for replicas
            found[node.host, int(node.port)][key_slot(key.encode())].append(at)
        return found

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

    async def _learn(self, *, again: bool) -> None:
        """Read which server has which slot."""
        try:
            await self._map.initialize()
            if again:
                await self._map.nodes_manager.initialize()
        except (RedisClusterException, RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"the cluster cannot be reached ({type(error).__name__})") from error


def _login(login: Login) -> str:
    if login.username is None and login.password is None:
        return ""
    name, password = (quote(unquote(text or ""), safe="") for text in (login.username, login.password))
    return f"{name}:{password}@"


def _may_be_elsewhere(error: Exception) -> bool:
    if isinstance(error, StoreUnavailable):
        return False
    if isinstance(error, ResponseError) and not isinstance(error, ReadOnlyError):
        return str(error).partition(" ")[0] in _ELSEWHERE
    return isinstance(error, (RedisError, OSError, TimeoutError))
