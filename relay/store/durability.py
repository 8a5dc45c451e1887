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
