"""Would this database lose what was answered 202?

Asked before a process serves or works. A managed service may hide CONFIG; then what INFO tells is used.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from relay.store.client import Client, translating

_WANTED = {
    "appendonly": ("yes", "the append-only file is off, so a restart loses everything since the last snapshot"),
    "appendfsync": ("always", "writes are acknowledged before they are on disk, so a crash loses the last second"),
    "maxmemory-policy": ("noeviction", "the database drops records of its choice when memory is short"),
}


async def durability_problems(client: Client) -> list[str]:
    """One sentence for each setting that would lose data, with the cure; none when all is well."""
    with translating():
        try:
            names: list[Any] = list(_WANTED)
            found = await client.redis.config_get(*names)
        except ResponseError:
            return await _from_info(client)
    return [
        f"database: {name} is {found.get(name)!r}: {why}; set `{name} {wanted}`"
        for name, (wanted, why) in _WANTED.items()
        if found.get(name) != wanted
    ]


async def _from_info(client: Client) -> list[str]:
    info = await client.plain.info("persistence")
    if not info.get("aof_enabled"):
        return [f"database: {_WANTED['appendonly'][1]}; set `appendonly yes`"]
    return []
