"""How is a connection to the database opened?

To one server, or to whoever is primary of a group: such a connection asks the Sentinels each time it is
opened, and is dropped when what it is connected to is primary no more.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote

import hiredis
from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError

from relay.places import Group, Login, parse_group

_CONNECT_S = 5.0
_LARGE = 1 << 16
"""Bytes not yet written after which a call waits for the database to read."""
_SENTINEL_S = 1.0
"""How long one Sentinel may take to answer before the next is asked."""

Pool = TypeVar("Pool", ConnectionPool, BlockingConnectionPool)


async def primary_of(group: Group) -> tuple[str, int]:
    """Host and port of the primary, by the first Sentinel that knows. ConnectionError when none does."""
    for host, port in group.sentinels:
        sentinel = Redis(
            host=host,
            port=port,
            **_shown(group.of_sentinels),
            ssl=group.tls,
            socket_timeout=_SENTINEL_S,
            socket_connect_timeout=_SENTINEL_S,
        )
        try:
            asking = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", group.service)  # type: ignore[no-untyped-call]
            found = await asking
        except (RedisError, OSError, TimeoutError):
            continue
        finally:
            await sentinel.aclose()
        if found:
            return found[0].decode(), int(found[1])
    raise RedisConnectionError(f"no Sentinel knows a primary of {group.service}")


class _Prompt:
    """A command is on its way when it is given, and is packed by hiredis. It goes before a connection class of redis-py's.

    redis-py's own looks for stray bytes and writes with a time limit around each, which gives up the turn three times:
    under load others work for milliseconds in between, and the database has nothing to do. It packs in Python too, at
    several times the cost of the round trip where a call carries hundreds of arguments.
    """

    def pack_command(self, *args: Any) -> list[bytes]:
        return [packed(args)]

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        return [packed(tuple(command)) for command in commands]

    async def can_read_destructive(self) -> bool:
        """Whether something came that nobody waits for, or the end of the connection; as of the loop's last turn."""
        stream: Any = self._reader  # type: ignore[attr-defined]
        return stream is None or stream.exception() is not None or stream.at_eof() or bool(stream._buffer)

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """As redis-py's, which is asked where there is something to wait for."""
        base: Any = super()
        writer: Any = self._writer  # type: ignore[attr-defined]
        if writer is None or (check_health and self._is_old()):
            await base.send_packed_command(command, check_health)
            return
        try:
            writer.writelines([command] if isinstance(command, bytes) else command)
        except (OSError, RuntimeError) as error:
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise RedisConnectionError(f"it was closed while it was written to ({type(error).__name__})") from error
        if writer.transport.get_write_buffer_size() > _LARGE:
            await base.send_packed_command([], False)

    def _is_old(self) -> bool:
        return asyncio.get_running_loop().time() > self.next_health_check  # type: ignore[attr-defined,no-any-return]

    async def _send_packed_command(self, command: Iterable[bytes]) -> None:
        """As redis-py's. Where the other side closed the connection in this very moment, uvloop has an exception
        that redis-py does not know for one of connections."""
        try:
            await super()._send_packed_command(command)  # type: ignore[misc]
        except RuntimeError as error:
            raise ConnectionResetError(errno.ECONNRESET, "it was closed while it was written to") from error


class PlainConnection(_Prompt, Connection):
    """To one server."""


class TlsConnection(_Prompt, SSLConnection):
    """To one server, over TLS."""


class _Following:
    """A connection to whoever is primary. It goes before a connection class of redis-py's."""

    def __init__(self, *, group: Group, **more: Any) -> None:
        self._group = group
        super().__init__(**more)

    async def _connect(self) -> None:
        self.host, self.port = await primary_of(self._group)
        await super()._connect()  # type: ignore[misc]

    async def on_connect(self) -> None:
        """As redis-py's, and then asks whether this is the primary: for a while after a failover Sentinels
        may name the old one, which comes back as a replica."""
        await super().on_connect()  # type: ignore[misc]
        await self.send_command("ROLE")  # type: ignore[attr-defined]
        role = await self.read_response()
        if role[0] != b"master":
            raise RedisConnectionError("the Sentinels name a server that is no primary")

    async def read_response(self, *args: Any, **more: Any) -> Any:
        """As redis-py's, but a primary that became a replica is left, so that the next one is asked for."""
        try:
            return await super().read_response(*args, **more)  # type: ignore[misc]
        except ReadOnlyError:
            await self.disconnect()  # type: ignore[attr-defined]
            raise


class _FollowingPlain(_Following, PlainConnection):
    """To the primary of a group."""


class _FollowingTls(_Following, TlsConnection):
    """To the primary of a group, over TLS."""


def pool_of(url: str, kind: type[Pool], *, timeout_s: float, **more: Any) -> Pool:
    """A pool of connections to `url`; nothing is sent yet. `timeout_s` is of one call."""
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, _CONNECT_S),
        "socket_keepalive": True,
        "health_check_interval": 30,
        **more,
    }
    group = parse_group(url)
    if group is None:
        pool = kind.from_url(url, **options)
        if not url.startswith("unix:"):
            pool.connection_class = TlsConnection if url.startswith("rediss:") else PlainConnection  # the URL's own holds otherwise
        return pool
    return kind(
        connection_class=_FollowingTls if group.tls else _FollowingPlain,
        group=group,
        **_shown(group.login),
        db=group.database,
        **options,
    )


def _shown(login: Login) -> dict[str, Any]:
    return {
        "username": unquote(login.username) if login.username else None,
        "password": unquote(login.password) if login.password else None,
    }


def packed(command: Sequence[Any]) -> bytes:
    """A command as the protocol has it. redis-py names some in two words, which are two arguments."""
    name = command[0]
    words = name.split() if isinstance(name, str) else [name]
    written: bytes = hiredis.pack_command((*words, *command[1:]))
    return written
