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
_UNKNOWN = (
    "database: it hides its settings, so nobody here can tell whether it writes to disk before it answers; "
    "make sure of `appendfsync always`"
)


_MB = 1 << 20
_LITTLE = 256 * _MB
_FULL_SHARE = 0.9
_DELIVERY = 5_000
"""Bytes of the database for each delivery, all that belongs to it included (docs/operations.md)."""


async def durability_problems(client: Client) -> list[str]:
    """One sentence for each setting that would lose data, with the cure; none when all is well."""
    problems: list[str] = []
    with translating():
        for part in await client.parts():
            found = await _settings(part)
            problems += await _from_info(part) if found is None else _from_settings(found)
    return list(dict.fromkeys(problems))


async def durability_unknown(client: Client) -> list[str]:
    """One sentence for what could not be asked, because the database hides its settings."""
    with translating():
        hidden = [await _settings(part) is None for part in await client.parts()]
    return [_UNKNOWN] if any(hidden) else []


async def room_problems(client: Client) -> list[str]:
    """One sentence where `maxmemory` is reached, or nearly; none when all is well."""
    return [text for used, most in await _memory(client) for text in _crowded(used, most)]


async def room_notices(client: Client) -> list[str]:
    """One sentence where `maxmemory` is so low that little will ever be kept."""
    return [
        f"database: maxmemory is {most / _MB:.0f} MB, which is room for about {max(0, most - used) // _DELIVERY:,} more "
        "deliveries (docs/operations.md, What a delivery takes); at the limit every event is answered 503"
        for used, most in await _memory(client)
        if 0 < most < _LITTLE and not _crowded(used, most)
    ]


async def _memory(client: Client) -> list[tuple[int, int]]:
    """Of each server: bytes that count towards its limit, and the limit (0 none)."""
    with translating():
        told = [await part.redis.info("memory") for part in await client.parts()]
    return [
        (int(one["used_memory"]) - int(one.get("mem_not_counted_for_evict", 0)), int(one.get("maxmemory", 0)))
        for one in told
    ]


def _crowded(used: int, most: int) -> list[str]:
    cure = "raise it, or shorten [retention] and wait until that has left"
    if not most or used < _FULL_SHARE * most:
        return []
    if used >= most:
        return [f"database: maxmemory ({most / _MB:.0f} MB) is reached: every event is answered 503; {cure}"]
    share = 100 * used / most
    return [f"database: {share:.0f} % of maxmemory ({most / _MB:.0f} MB) is used; at the limit every event is answered 503; {cure}"]


async def replicas_short(client: Client, wanted: int) -> list[str]:
    """One sentence where fewer replicas are connected than an acknowledgement waits for; none when all is well."""
    if not wanted:
        return []
    with translating():
        told = [await part.redis.info("replication") for part in await client.parts()]
    connected = min(int(one.get("connected_slaves", 0)) for one in told)
    if connected >= wanted:
        return []
    short = f"store.wait_replicas is {wanted} and {connected} replicas are connected"
    return [f"database: {short}: every event is answered 503 until there are enough; start them, or lower it"]


def _from_settings(found: dict[str, str]) -> list[str]:
    return [
        f"database: {name} is {found.get(name)!r}: {why}; set `{name} {wanted}`"
        for name, (wanted, why) in _WANTED.items()
        if found.get(name) != wanted
    ]


async def _settings(client: Client) -> dict[str, str] | None:
    found: dict[str, str] = {}
    try:
        for name in _WANTED:  # one at a time: Redis before 7.0 takes no more
            found |= await client.redis.config_get(name)
    except ResponseError:
        return None
    return found or None


async def _from_info(client: Client) -> list[str]:
    persistence: dict[str, Any] = await client.redis.info("persistence")
    memory: dict[str, Any] = await client.redis.info("memory")
    problems = []
    if not persistence.get("aof_enabled"):
        problems.append(f"database: {_WANTED['appendonly'][1]}; set `appendonly yes`")
    elif persistence.get("aof_last_write_status", "ok") != "ok":
        problems.append("database: it could not write its append-only file; look at its disk and its log")
    if memory.get("maxmemory_policy", "noeviction") != "noeviction":
        problems.append(f"database: {_WANTED['maxmemory-policy'][1]}; set `maxmemory-policy noeviction`")
    return problems
