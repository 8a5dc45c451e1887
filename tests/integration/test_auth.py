"""Who is let in, who is not, and how soon is a revocation in force?"""

from __future__ import annotations

import pytest

from relay.auth import Authenticator, NotAuthenticated, new_token
from relay.model import Producer, Secret, TokenHolder
from relay.signing import HmacKey, new_secret, sign
from relay.store.registry import Registry
from relay.vault import Vault, generate_key

OPERATOR = "an operator's token is any string of 32 characters"
VAULT = Vault([generate_key()])


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def gate(registry: Registry, clock: Clock | None = None) -> Authenticator:
    return Authenticator(registry, VAULT, OPERATOR, monotonic=clock or Clock())


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


async def new_producer(registry: Registry, *, all_transfers: bool = False) -> tuple[str, str]:
    secret = new_secret()
    sealed = VAULT.seal(secret.encode(), context="producer:pr_1:secret")
    token, text = new_token(TokenHolder.PRODUCER, "pr_1", 1)
    producer = Producer(
        id="pr_1",
        name="Centre",
        secrets=(Secret(sealed=sealed, created_at_ms=1),),
        all_transfers=all_transfers,
        created_at_ms=1,
    )
    await registry.create_producer(producer, token)
    return text, secret


async def test_the_operators_token_may_be_any_string(registry: Registry) -> None:
    caller = await gate(registry).authenticate(bearer(OPERATOR))
    assert caller.is_operator


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {OPERATOR}"},
        bearer("wrong"),
        bearer("rlp_"),
        bearer("ロ" * 54),
        bearer(OPERATOR + "x"),
        bearer(new_token(TokenHolder.PARTNER, "contoso", 1)[1]),
    ],
)
async def test_who_proves_nothing_is_not_let_in(registry: Registry, headers: dict[str, str]) -> None:
    with pytest.raises(NotAuthenticated):
        await gate(registry).authenticate(headers)


async def test_a_token_names_its_holder(registry: Registry) -> None:
    text, _ = await new_producer(registry, all_transfers=True)
    token, partners = new_token(TokenHolder.PARTNER, "contoso", 1)
    await registry.create_token(token)
    door = gate(registry)
    producer = await door.authenticate(bearer(text))
    assert (producer.holder, producer.id, producer.all_transfers) == (TokenHolder.PRODUCER, "pr_1", True)
    partner = await door.authenticate({"authorization": "x", **bearer(partners)})
    assert (partner.holder, partner.id) == (TokenHolder.PARTNER, "contoso")


async def test_the_secret_of_a_token_counts_not_only_its_id(registry: Registry) -> None:
    token, _ = new_token(TokenHolder.PARTNER, "contoso", 1)
    await registry.create_token(token)
    other, text = new_token(TokenHolder.PARTNER, "contoso", 1)
    await registry.create_token(other.model_copy(update={"digest": token.digest}))
    with pytest.raises(NotAuthenticated):
        await gate(registry).authenticate(bearer(text))


async def test_a_revocation_is_in_force_at_once_here_and_in_half_a_second_elsewhere(
    registry: Registry,
) -> None:
    token, text = new_token(TokenHolder.PARTNER, "contoso", 1)
    await registry.create_token(token)
    clock = Clock()
    here, elsewhere = gate(registry, clock), gate(registry, clock)
    for door in (here, elsewhere):
        await door.authenticate(bearer(text))
    await registry.revoke_token(TokenHolder.PARTNER, "contoso", token.id)
    here.forget_token(token.id)
    with pytest.raises(NotAuthenticated):
        await here.authenticate(bearer(text))
    await elsewhere.authenticate(bearer(text))
    clock.now += 0.51
    with pytest.raises(NotAuthenticated):
        await elsewhere.authenticate(bearer(text))


async def test_a_new_token_works_at_once(registry: Registry) -> None:
    door = gate(registry)
    token, text = new_token(TokenHolder.PARTNER, "contoso", 1)
    with pytest.raises(NotAuthenticated):
        await door.authenticate(bearer(text))
    await registry.create_token(token)
    assert (await door.authenticate(bearer(text))).id == "contoso"


async def test_a_producer_made_elsewhere_is_let_in_at_once(registry: Registry) -> None:
    door = gate(registry)
    assert await door.producer_keys(1) == {}
    text, _ = await new_producer(registry)
    assert (await door.authenticate(bearer(text))).id == "pr_1"


async def test_a_producers_signature_proves_it(registry: Registry) -> None:
    _, secret = await new_producer(registry)
    door = gate(registry)
    now, body = 1_795_000_000, b'{"id":"evt-1"}'
    headers = {
        "webhook-id": "m1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign("m1", now, body, [HmacKey.parse(secret)]),
    }
    caller = await door.verify_signed(headers, body, now)
    assert caller is not None
    assert caller.id == "pr_1"
    assert await door.verify_signed(headers, body + b" ", now) is None
    assert await door.verify_signed(headers, body, now + 301) is None
    await registry.revoke_producer("pr_1")
    door.forget_producers()
    assert await door.verify_signed(headers, body, now) is None
