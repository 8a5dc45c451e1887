"""How is everything that is sealed sealed again with the first key of the ring, while the relay runs?

Each value is replaced only if it still is what was read, so that nothing written meanwhile is lost. It may be
interrupted and done again; when a walk finds nothing more to do, the other keys can go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.address_book import CONTEXT as READERS
from relay.callback_key import CONTEXT as CALLBACKS
from relay.chain_key import CONTEXT as CHAIN
from relay.errors import VaultError
from relay.model import Endpoint, Producer, Secret
from relay.store import Store
from relay.store.client import Client
from relay.store.sealed import Sealed, SealedValues
from relay.vault import Vault

_PAGE = 500
_MOST_WALKS = 5


@dataclass(slots=True)
class Walk:
    """What was seen: how many values of each kind are under the first key (`current`), were sealed again
    (`again`), are under another (`old`, when nothing is changed), and which no key opens (`lost`, by
    their context)."""

    current: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    old: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


class Rotation:
    """Walks over everything sealed. Raises `StoreError`."""

    def __init__(self, client: Client, vault: Vault) -> None:
        store = Store.over(client)
        self._registry = store.registry
        self._values = SealedValues(client)
        self._keys = (
            ("signing key", store.chains.key, CHAIN),
            ("address key", store.readers.key, READERS),
            ("callback key", store.callback_key, CALLBACKS),
        )
        self._vault = vault

    async def rotate(self) -> Walk:
        """Seal again until a walk finds nothing to do. What is returned are the sums, and the last walk's
        `current` and `lost`."""
        total = Walk()
        for _ in range(_MOST_WALKS):
            walk = await self.walk(change=True)
            total.again += walk.again
            total.current, total.lost = walk.current, walk.lost
            if not walk.again:
                break
        return total

    async def walk(self, *, change: bool) -> Walk:
        """Once over everything; with `change`, what is not under the first key is sealed again."""
        seen = Walk()
        async for partner in self._partners():
            for endpoint in await self._registry.list_endpoints(partner):
                if self._look(seen, "endpoint", _of_endpoint(endpoint)) and change:
                    await self._registry.change_endpoint(partner, endpoint.id, self._endpoint_again)
        for producer in await self._registry.list_producers():
            if self._look(seen, "producer", _of_producer(producer)) and change:
                await self._registry.change_producer(producer.id, self._producer_again)
        for what, key, context in self._keys:
            sealed = await key.get()
            if sealed is not None and self._look(seen, what, [(sealed, context)]) and change:
                await key.replace(sealed, self._again(sealed, context))
        found = self._values
        for values in (found.links(), found.messages(), found.addresses(), found.refresh_tokens()):
            async for some in values:
                await self._look_at(seen, some, change=change)
        if change:
            seen.again, seen.old = seen.old, Counter()
        return seen

    async def _partners(self) -> AsyncIterator[str]:
        after = None
        while True:
            page = await self._registry.list_partners(after, _PAGE)
            for partner in page.data:
                yield partner.key
            after = page.next
            if after is None:
                return

    async def _look_at(self, seen: Walk, found: Sequence[Sealed], *, change: bool) -> None:
        due = [one for one in found if self._look(seen, one.what, [(one.sealed, one.context)])]
        if change and due:
            await self._values.replace([(one, self._again(one.sealed, one.context)) for one in due])

    def _look(self, seen: Walk, what: str, values: Sequence[tuple[str, str]]) -> bool:
        """Whether one of these is to be sealed again and can be."""
        due = False
        for sealed, context in values:
            try:
                self._vault.open(sealed, context=context)
            except VaultError:
                seen.lost.append(context)
                return False
            due = due or not self._vault.is_current(sealed)
        (seen.old if due else seen.current)[what] += 1
        return due

    def _again(self, sealed: str, context: str) -> str:
        if self._vault.is_current(sealed):
            return sealed
        return self._vault.seal(self._vault.open(sealed, context=context), context=context)

    def _endpoint_again(self, now: Endpoint) -> Endpoint:
        update = self._secrets_again(now, f"endpoint:{now.id}:secret")
        if now.sealed_headers is not None:
            update["sealed_headers"] = self._again(now.sealed_headers, f"endpoint:{now.id}:headers")
        return now.model_copy(update=update)

    def _producer_again(self, now: Producer) -> Producer:
        return now.model_copy(update=self._secrets_again(now, f"producer:{now.id}:secret"))

    def _secrets_again(self, noun: Endpoint | Producer, context: str) -> dict[str, Any]:
        def again(secret: Secret) -> Secret:
            return secret.model_copy(update={"sealed": self._again(secret.sealed, context)})

        return {
            name: again(value) if isinstance(value, Secret) else tuple(again(one) for one in value)
            for name, value in _secrets(noun).items()
        }


def _secrets(noun: Endpoint | Producer) -> dict[str, Secret | tuple[Secret, ...]]:
    """Every field that holds secrets, whatever it is called: one that is added is sealed again as well."""
    return {
        name: value
        for name in type(noun).model_fields
        if isinstance(value := getattr(noun, name), Secret)
        or (isinstance(value, tuple) and any(isinstance(one, Secret) for one in value))
    }


def _sealed(noun: Endpoint | Producer, context: str) -> list[tuple[str, str]]:
    held = [value if isinstance(value, tuple) else (value,) for value in _secrets(noun).values()]
    return [(secret.sealed, context) for secrets in held for secret in secrets]


def _of_endpoint(endpoint: Endpoint) -> list[tuple[str, str]]:
    found = _sealed(endpoint, f"endpoint:{endpoint.id}:secret")
    if endpoint.sealed_headers is not None:
        found.append((endpoint.sealed_headers, f"endpoint:{endpoint.id}:headers"))
    return found


def _of_producer(producer: Producer) -> list[tuple[str, str]]:
    return _sealed(producer, f"producer:{producer.id}:secret")
