"""Is the certificate that callbacks are signed with one that a receiver can go on trusting?"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from cryptography import x509

from relay.callback_key import AUTHORITY, CallbackKey
from relay.errors import VaultError
from relay.model import WebhookFormat
from relay.sources import signature
from relay.store import Store
from relay.store.client import Client
from relay.times import from_ms
from relay.vault import Vault, generate_key

NOW = 1_795_222_923_000
DAY = 86_400_000


def signer(client: Client, vault: Vault, organisation: str = "Transfer Relay") -> CallbackKey:
    return CallbackKey(Store.over(client).callback_key, vault, folder_url="https://relay.example/cert/", organisation=organisation)


async def proven(one: CallbackKey, body: bytes, now_ms: int, trusted: bytes, organisation: str = "Transfer Relay") -> str:
    """Returns the certificate's name when `body` is signed by one that `trusted` issued."""
    headers = await one.headers(WebhookFormat.PARTNER_CENTER, body, now_ms, {})
    name = headers["x-ms-certificate-url"].removeprefix("https://relay.example/cert/")
    chain = signature.read_certificates(await one.published(name, now_ms) or b"")
    authorities = x509.load_pem_x509_certificates(trusted)
    signature.check_certificate(chain, authorities, organisation, from_ms(now_ms))
    signature.verify(body, base64.b64decode(headers["authorization"].partition(" ")[2]), chain[0])
    return name


async def test_several_processes_that_begin_together_have_one_certificate(client: Client) -> None:
    vault = Vault([generate_key()])
    several = [signer(client, vault) for _ in range(3)]
    authority = await several[0].published(AUTHORITY, NOW)
    assert authority is not None
    assert len(set(await asyncio.gather(*(proven(one, b"{}", NOW, authority) for one in several)))) == 1


async def test_it_is_replaced_before_it_ends_and_the_authority_stays(client: Client) -> None:
    vault = Vault([generate_key()])
    one, other = signer(client, vault), signer(client, vault)
    authority = await one.published(AUTHORITY, NOW)
    assert authority is not None
    first = await proven(one, b"1", NOW, authority)
    assert await proven(other, b"1", NOW, authority) == first
    later = NOW + 700 * DAY
    second = await proven(one, b"2", later, authority)
    assert second != first
    # A process that has not noticed serves the new one, too, and the old one is still there for who is late.
    assert await other.published(second, NOW) is not None
    assert await one.published(first, later) is not None
    assert await one.published("relay-callbacks-0.cer", later) is None
    assert await one.published("../relay", later) is None


async def test_another_organisation_is_another_authority(client: Client) -> None:
    vault = Vault([generate_key()])
    before = await signer(client, vault).published(AUTHORITY, NOW)
    one = signer(client, vault, "Contoso")
    after = await one.published(AUTHORITY, NOW)
    assert after is not None and after != before
    await proven(one, b"{}", NOW, after, "Contoso")


async def test_what_is_kept_is_sealed_and_of_no_use_without_the_ring(client: Client) -> None:
    await signer(client, Vault([generate_key()])).headers(WebhookFormat.PARTNER_CENTER, b"{}", NOW, {})
    assert b"PRIVATE" not in str(await client.ask("HGETALL", client.key("callbacks"))).encode()
    with pytest.raises(VaultError):
        await signer(client, Vault([generate_key()])).headers(WebhookFormat.PARTNER_CENTER, b"{}", NOW, {})


async def test_the_standard_words_carry_nothing_more(client: Client) -> None:
    one: Any = signer(client, Vault([generate_key()]))
    assert await one.headers(WebhookFormat.CLOUDEVENTS, b"{}", NOW, {}) == {"content-type": "application/cloudevents+json"}
    assert not await client.ask("EXISTS", client.key("callbacks"))
