"""Is everything that is sealed sealed again, whatever there is of it?"""

from __future__ import annotations

from relay.address_book import AddressBook
from relay.auth import new_token
from relay.closed import SuppressionReason, SuppressionSource
from relay.model import Endpoint, Partner, Producer, Secret, TokenHolder
from relay.readers import Suppression, suppressed
from relay.rotation import Rotation
from relay.store import Store
from relay.store.client import Client
from relay.store.registry import Registry
from relay.store.sources import Sources
from relay.vault import Vault, generate_key

OLD, NEW = generate_key(), generate_key()
GONE = Suppression(reason=SuppressionReason.HARD_BOUNCE, source=SuppressionSource.SMTP, at_ms=1)


def sealed(context: str) -> Secret:
    return Secret(sealed=Vault([OLD]).seal(b"x", context=context), created_at_ms=1)


async def test_every_field_that_holds_a_secret_is_sealed_again(client: Client, registry: Registry) -> None:
    await registry.put_partner(Partner(id="contoso", name="C", created_at_ms=1, updated_at_ms=1))
    place = "endpoint:ep_1:secret"
    fields = {
        name: (sealed(place), sealed(place)) if "tuple" in str(field.annotation) else sealed(place)
        for name, field in Endpoint.model_fields.items()
        if "Secret" in str(field.annotation)
    }
    assert {"secrets", "signing_key", "previous_signing_keys"} <= set(fields)
    headers = Vault([OLD]).seal(b"{}", context="endpoint:ep_1:headers")
    endpoint = Endpoint(
        id="ep_1", partner="contoso", url="https://x.example", created_at_ms=1, updated_at_ms=1, sealed_headers=headers, **fields
    )
    await registry.create_endpoint(endpoint)
    token, _ = new_token(TokenHolder.PRODUCER, "pr_1", 1)
    await registry.create_producer(
        Producer(id="pr_1", name="P", secrets=(sealed("producer:pr_1:secret"),), created_at_ms=1), token
    )
    walk = await Rotation(client, Vault([NEW, OLD])).walk(change=False)
    assert dict(walk.old) == {"endpoint": 1, "producer": 1}
    again = await Rotation(client, Vault([NEW, OLD])).rotate()
    assert (dict(again.again), again.lost) == ({"endpoint": 1, "producer": 1}, [])
    # The old key is gone, and everything opens.
    walk = await Rotation(client, Vault([NEW])).walk(change=False)
    assert (dict(walk.current), dict(walk.old), walk.lost) == ({"endpoint": 1, "producer": 1}, {}, [])
    stored = await client.ask("HGETALL", client.key("p:contoso", "endpoints"))
    assert Vault([OLD])._current not in str(stored)


async def test_what_no_key_opens_is_named_and_the_rest_goes_on(client: Client, registry: Registry) -> None:
    for number, key in enumerate((OLD, NEW, generate_key())):
        context = f"producer:pr_{number}:secret"
        secret = Secret(sealed=Vault([key]).seal(b"x", context=context), created_at_ms=1)
        token, _ = new_token(TokenHolder.PRODUCER, f"pr_{number}", 1)
        await registry.create_producer(Producer(id=f"pr_{number}", name="P", secrets=(secret,), created_at_ms=1), token)
    walk = await Rotation(client, Vault([NEW, OLD])).rotate()
    assert (dict(walk.again), walk.lost, walk.current["producer"]) == ({"producer": 1}, ["producer:pr_2:secret"], 2)


async def test_the_addresses_and_the_key_that_names_them_are_sealed_again(client: Client) -> None:
    store = Store.over(client)
    book = AddressBook(store.readers, Vault([OLD]))
    await book.change("aoi@x.example", lambda now: suppressed(now, GONE))
    walk = await Rotation(client, Vault([NEW, OLD])).rotate()
    assert (dict(walk.again), walk.lost) == ({"address key": 1, "address": 1}, [])
    # The old key is gone: the address is found under the name it had, and shown.
    book = AddressBook(store.readers, Vault([NEW]))
    assert (await book.get("AOI@x.example")).suppressed == GONE
    assert [one.email for one in (await book.suppressed(None, 5)).data] == ["aoi@x.example"]


async def test_a_sources_refresh_token_is_sealed_again_and_is_still_the_one_for_what_is_configured(client: Client) -> None:
    sources, names = Sources(client), ("partner-center:contoso", "partner-center:fabrikam")
    for name in names:
        token = Vault([OLD]).seal(f"token of {name}".encode(), context=f"source:{name}:refresh")
        await sources.keep(name, "refresh", f"configured {token}".encode())
    await sources.keep("partner-center:quiet", "tested", b"2026-11-21T00:00:00Z")
    assert dict((await Rotation(client, Vault([NEW, OLD])).rotate()).again) == {"refresh token": 2}
    for name in names:
        configured, _, sealed = (await sources.kept(name, "refresh")).decode().partition(" ")
        assert configured == "configured"
        assert Vault([NEW]).open(sealed, context=f"source:{name}:refresh") == f"token of {name}".encode()
    assert await sources.kept("partner-center:quiet", "tested") == b"2026-11-21T00:00:00Z"
