"""Who is registered?

Partners, their endpoints, producers and bearer tokens: the only code that knows their Redis keys.

    {p:<partner>}:partner      JSON of relay.model.Partner
    {p:<partner>}:endpoints    hash: endpoint id -> JSON of relay.model.Endpoint
    {p:<partner>}:preferences  hash: address -> JSON of relay.preferences.Preferences (relay.store.preferences)
    {p:<partner>}:v            counts every change of the three above; caches ask by it
    {p:<partner>}:tokens       sorted set: token ids by the time they were made
    {registry}:partners        sorted set, by name: "<created, Unix ms>:<partner>", for listing
    {registry}:producers       hash: producer id -> JSON of relay.model.Producer
    {registry}:tokens:<id>     sorted set: a producer's token ids, or the operator's
    {registry}:used            hash: token id -> when it was last used, Unix ms, to the minute
    {k:<token id>}             JSON of relay.model.Token

A partner's keys share a slot and change by one script. What crosses slots is written so that a broken
chain shows nothing that is not there (the index before the thing, the thing removed before its index)
and so that doing it again finishes it. Partner ids are casefolded here, whatever a caller gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from relay.errors import RelayError
from relay.model import AdminAgent, Endpoint, Partner, Producer, Token, TokenHolder
from relay.preferences import Preferences
from relay.store.client import Call, Client, Script
from relay.store.preferences import read_chosen
from relay.store.records import Page
from relay.store.sessions import Sessions

_SET = Script.read("registry_set")
_READ = Script.read("registry_read")
_UNCHANGED = Script.read("unchanged")
_SWAP = Script.read("swap")
_INDEX = "registry"


class RegistryFull(RelayError):
    """The partner already has as many endpoints as it may have."""


class Contended(RelayError):
    """Others kept changing the same thing; nothing was changed. Try again."""


class NoSuchPartner(RelayError):
    """The partner is not registered."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What one partner has registered, as of `version`. `partner` is None when it is not registered."""

    version: int
    partner: Partner | None
    endpoints: dict[str, Endpoint]
    preferences: dict[str, Preferences]


class Registry:
    """Reads and changes registrations. Raises `StoreError` and the classes above."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.sessions = Sessions(client)

    # --- partners ---------------------------------------------------------------------------------

    async def get_partner(self, partner: str) -> Partner | None:
        """The partner, whatever the case of its id."""
        stored = await self._client.ask("GET", self._key(partner, "partner"))
        return None if stored is None else Partner.model_validate_json(stored)

    async def spellings(self, partners: Iterable[str | None]) -> dict[str, str]:
        """The ids of these partners as they were first given, by how they are compared; of those that are registered."""
        keys = list({one.casefold() for one in partners if one is not None})
        found = await self._client.several([("GET", self._key(key, "partner")) for key in keys])
        pairs = zip(keys, found, strict=True)
        return {key: Partner.model_validate_json(raw).id for key, raw in pairs if raw is not None}

    async def put_partner(self, partner: Partner) -> tuple[Partner, bool]:
        """Register it or replace what was; (as stored, whether it is new). `created_at_ms` and the
        spelling of the id stay those of the first time."""

        def merge(current: Partner | None) -> Partner:
            if current is None:
                return partner
            return partner.model_copy(update={"id": current.id, "created_at_ms": current.created_at_ms})

        before = await self._client.ask("GET", self._key(partner.key, "partner"))
        if before is None:
            await self._client.ask("ZADD", self._client.key(_INDEX, "partners"), 0, _entry(partner))
        stored = await self._change_partner(partner.key, merge)
        assert stored is not None
        return stored, before is None

    async def set_admin_agents(
        self, partner: str, agents: Sequence[AdminAgent], now_ms: int
    ) -> Partner | None:
        """Replace the list of people who are told by e-mail; None when there is no such partner."""
        update = {"admin_agents": tuple(agents), "updated_at_ms": now_ms}
        return await self._change_partner(
            partner, lambda current: None if current is None else current.model_copy(update=update)
        )

    async def remove_partner(self, partner: str) -> bool:
        """Remove it with its endpoints and tokens; False when there was none. Pending deliveries are
        canceled when their turn comes, because the recipient is then no longer registered."""
        current = await self.get_partner(partner)
        for token in await self.list_tokens(TokenHolder.PARTNER, partner):
            await self.revoke_token(TokenHolder.PARTNER, partner, token.id)
        if current is None:
            return False
        await self._change_partner(partner, lambda _: None, remove=True)
        await self._client.ask("ZREM", self._client.key(_INDEX, "partners"), _entry(current))
        return True

    async def list_partners(self, after: str | None, limit: int) -> Page[Partner]:
        """All partners, newest first."""
        top = f"({after}" if after else "+"
        index = self._client.key(_INDEX, "partners")
        entries = await self._client.ask("ZREVRANGEBYLEX", index, top, "-", "LIMIT", 0, limit + 1)
        names = [entry.decode() for entry in entries]
        keys = [name.partition(":")[2] for name in names[:limit]]
        found = await self._client.several([("GET", self._key(key, "partner")) for key in keys])
        pairs = zip(names[:limit], found, strict=True)
        read = [(name, Partner.model_validate_json(raw)) for name, raw in pairs if raw is not None]
        # An entry of a registration that lost a race names another time: it is nobody's.
        data = [partner for name, partner in read if _entry(partner) == name]
        return Page(data, names[limit - 1] if len(names) > limit else None)

    async def registrations(self, partners: Sequence[tuple[str, int]]) -> dict[str, Registration]:
        """What changed of `partners`, each given as (its key, the version the caller knows, or -1), in
        one round trip. A partner that is not in the answer is unchanged."""
        keys = [partner.casefold() for partner, _ in partners]
        ops = [(f"p:{key}", version) for key, (_, version) in zip(keys, partners, strict=True)]
        replies = await self._client.run(_READ, ops)
        changed: dict[str, Registration] = {}
        for key, reply in zip(keys, replies, strict=True):
            if reply is not None:
                version, partner, flat, chosen = reply
                changed[key] = Registration(
                    version=int(version),
                    partner=None if partner is None else Partner.model_validate_json(partner),
                    endpoints=_endpoints(flat),
                    preferences=read_chosen(chosen),
                )
        return changed

    def unchanged(self, versions: Sequence[tuple[str, int]]) -> Call:
        """The call that stops a chain where what one of these partners (its key, the version) has registered is another by
        now. Only where all data is on one server."""
        flat = [part for pair in versions for part in pair]
        return Call(_UNCHANGED, [(f"p:{versions[0][0]}", *flat)])

    # --- endpoints --------------------------------------------------------------------------------

    async def create_endpoint(self, endpoint: Endpoint, *, most: int = 0) -> None:
        """Store a new endpoint; RegistryFull when the partner has `most` already (0: no limit)."""
        code, _ = await self._set(endpoint.partner, endpoint.id, b"", _json(endpoint), most)
        if code == "full":
            raise RegistryFull(f"this partner has {most} endpoints, which is as many as it may have")
        if code == "no_partner":
            raise NoSuchPartner

    async def get_endpoint(self, partner: str, endpoint: str) -> Endpoint | None:
        """One endpoint of this partner."""
        raw = await self._client.ask("HGET", self._key(partner, "endpoints"), endpoint)
        return None if raw is None else Endpoint.model_validate_json(raw)

    async def list_endpoints(self, partner: str) -> list[Endpoint]:
        """Every endpoint of this partner, newest first. There are at most as many as it may have."""
        stored = await self._client.ask("HGETALL", self._key(partner, "endpoints"))
        found = [Endpoint.model_validate_json(raw) for raw in stored.values()]
        return sorted(found, key=lambda endpoint: (endpoint.created_at_ms, endpoint.id), reverse=True)

    async def update_endpoint(self, before: Endpoint, after: Endpoint) -> bool:
        """Replace `before` by `after` unless somebody changed it meanwhile, which answers False."""
        code, _ = await self._set(before.partner, before.id, _json(before), _json(after))
        return code != "changed"

    async def change_endpoint(
        self, partner: str, endpoint: str, change: Callable[[Endpoint], Endpoint]
    ) -> Endpoint | None:
        """Apply `change` to the endpoint as it is now; the new one, or None when there is none.

        `change` may run several times: when others change the same endpoint meanwhile it is given what
        they made of it, so that no change is lost. What `change` raises is passed on.
        """
        read = await self._client.ask("HGET", self._key(partner, "endpoints"), endpoint)
        for _ in range(32):
            if not read:
                return None
            changed = change(Endpoint.model_validate_json(read))
            code, read = await self._set(partner, endpoint, read, _json(changed))
            if code != "changed":
                return changed
        raise Contended

    async def delete_endpoint(self, partner: str, endpoint: str) -> bool:
        """Remove it; False when there was none."""
        read = await self._client.ask("HGET", self._key(partner, "endpoints"), endpoint)
        for _ in range(32):
            if not read:
                return False
            code, read = await self._set(partner, endpoint, read, b"")
            if code == "ok":
                return True
        raise Contended

    # --- producers and tokens ---------------------------------------------------------------------

    async def create_producer(self, producer: Producer, token: Token) -> None:
        """Store a producer, then its token."""
        await self._client.ask("HSET", self._client.key(_INDEX, "producers"), producer.id, _json(producer))
        await self.create_token(token)

    async def list_producers(self) -> list[Producer]:
        """Every producer, newest first."""
        stored = await self._client.ask("HGETALL", self._client.key(_INDEX, "producers"))
        found = [Producer.model_validate_json(raw) for raw in stored.values()]
        return sorted(found, key=lambda producer: (producer.created_at_ms, producer.id), reverse=True)

    async def get_producer(self, producer: str) -> Producer | None:
        """A producer by its id."""
        raw = await self._client.ask("HGET", self._client.key(_INDEX, "producers"), producer)
        return None if raw is None else Producer.model_validate_json(raw)

    async def change_producer(self, producer: str, change: Callable[[Producer], Producer]) -> Producer | None:
        """Apply `change` to the producer as it is now, as `change_endpoint` does; None when there is none."""
        for _ in range(32):
            read = await self._client.ask("HGET", self._client.key(_INDEX, "producers"), producer)
            if not read:
                return None
            changed = change(Producer.model_validate_json(read))
            (done,) = await self._client.run(_SWAP, [(_INDEX, "producers", producer, read, _json(changed))])
            if done:
                return changed
        raise Contended

    async def revoke_producer(self, producer: str) -> list[str] | None:
        """Remove its tokens, then itself; the ids of the tokens, or None when there was none."""
        known = self._client.key(_INDEX, "producers")
        if not await self._client.ask("HEXISTS", known, producer):
            return None
        tokens = await self.list_tokens(TokenHolder.PRODUCER, producer)
        for token in tokens:
            await self.revoke_token(TokenHolder.PRODUCER, producer, token.id)
        await self._client.ask("HDEL", known, producer)
        return [token.id for token in tokens]

    async def create_token(self, token: Token) -> None:
        """Store a token under its holder."""
        listed = self._tokens(token.holder, token.holder_id)
        await self._client.ask("ZADD", listed, token.created_at_ms, token.id)
        await self._client.ask("SET", self._client.key(f"k:{token.id}"), _json(token))

    async def get_token(self, token: str) -> Token | None:
        """A token by its id."""
        raw = await self._client.ask("GET", self._client.key(f"k:{token}"))
        return None if raw is None else Token.model_validate_json(raw)

    async def list_tokens(self, holder: TokenHolder, holder_id: str) -> list[Token]:
        """A holder's tokens, newest first."""
        ids = await self._client.ask("ZREVRANGE", self._tokens(holder, holder_id), 0, -1)
        found = await self._client.several([("GET", self._client.key(f"k:{token.decode()}")) for token in ids])
        return [Token.model_validate_json(raw) for raw in found if raw is not None]

    async def revoke_token(self, holder: TokenHolder, holder_id: str, token: str) -> bool:
        """Remove a token of this holder; False when it has none by this id."""
        listed = self._tokens(holder, holder_id)
        if await self._client.ask("ZSCORE", listed, token) is None:
            return False
        await self._client.ask("DEL", self._client.key(f"k:{token}"))
        await self._client.ask("ZREM", listed, token)
        await self._client.ask("HDEL", self._client.key(_INDEX, "used"), token)
        return True

    async def used(self, at_ms: Mapping[str, int]) -> None:
        """Note when these tokens were last used."""
        flat = [part for pair in at_ms.items() for part in pair]
        await self._client.ask("HSET", self._client.key(_INDEX, "used"), *flat)

    async def last_used(self, tokens: Sequence[str]) -> list[int | None]:
        """When each of these tokens was last used, Unix milliseconds."""
        if not tokens:
            return []
        found = await self._client.ask("HMGET", self._client.key(_INDEX, "used"), *tokens)
        return [None if at is None else int(at) for at in found]

    async def ping(self) -> None:
        """Returns when the database answers."""
        await self._client.ask("PING")

    # --- the database -----------------------------------------------------------------------------

    def _key(self, partner: str, rest: str) -> str:
        return self._client.key(f"p:{partner.casefold()}", rest)

    def _tokens(self, holder: TokenHolder, holder_id: str) -> str:
        if holder is TokenHolder.PARTNER:
            return self._key(holder_id, "tokens")
        return self._client.key(_INDEX, f"tokens:{holder_id}")

    async def _set(
        self, partner: str, endpoint: str, read: bytes, new: bytes, most: int = 0
    ) -> tuple[str, bytes]:
        what: Literal["partner", "endpoint"] = "endpoint" if endpoint else "partner"
        op = (f"p:{partner.casefold()}", what, endpoint, read, new, most)
        ((code, now),) = await self._client.run(_SET, [op])
        return code.decode(), now

    async def _change_partner(
        self, partner: str, change: Callable[[Partner | None], Partner | None], *, remove: bool = False
    ) -> Partner | None:
        read = await self._client.ask("GET", self._key(partner, "partner")) or b""
        for _ in range(32):
            changed = change(Partner.model_validate_json(read) if read else None)
            if changed is None and not remove:
                return None
            code, read = await self._set(partner, "", read, b"" if changed is None else _json(changed))
            if code != "changed":
                return changed
        raise Contended


def _entry(partner: Partner) -> str:
    return f"{partner.created_at_ms:013d}:{partner.key}"


def _json(noun: Partner | Endpoint | Producer | Token) -> bytes:
    return noun.model_dump_json(exclude_defaults=True).encode()


def _endpoints(flat: Sequence[bytes]) -> dict[str, Endpoint]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {name.decode(): Endpoint.model_validate_json(raw) for name, raw in pairs}
