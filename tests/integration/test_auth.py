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
    time = clock or Clock()
    return Authenticator(registry, VAULT, OPERATOR, clock=lambda: int(time() * 1000), monotonic=time)


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


async def test_a_token_is_good_in_its_time_and_in_no_other(registry: Registry) -> None:
    clock = Clock()
    token, text = new_token(TokenHolder.PARTNER, "contoso", 1, not_before_ms=101_000, expires_at_ms=102_000)
    await registry.create_token(token)
    door = gate(registry, clock)
    for now, good in ((100.9, False), (101.0, True), (101.999, True), (102.0, False)):
        clock.now = now
        if good:
            assert (await door.authenticate(bearer(text))).id == "contoso"
        else:
            with pytest.raises(NotAuthenticated):
                await door.authenticate(bearer(text))


async def test_when_a_token_was_used_is_written_once_a_minute(registry: Registry) -> None:
    clock = Clock()
    token, text = new_token(TokenHolder.PARTNER, "contoso", 1)
    await registry.create_token(token)
    door = gate(registry, clock)
    for now, written in ((100.0, 100_000), (130.0, 100_000), (161.0, 161_000)):
        clock.now = now
        await door.authenticate(bearer(text))
        await door.write_used()
        assert await registry.last_used([token.id, "another"]) == [written, None]


async def test_a_producers_secrets_sign_each_in_its_time(registry: Registry) -> None:
    clock = Clock()
    texts = [new_secret() for _ in range(3)]
    spans = [(None, 101_000), (100_500, 102_000), (101_500, None)]
    made = tuple(
        Secret(sealed=VAULT.seal(text.encode(), context="producer:pr_1:secret"), created_at_ms=1, not_before_ms=start,
               expires_at_ms=end)
        for text, (start, end) in zip(texts, spans, strict=True)
    )  # fmt: skip
    token, _ = new_token(TokenHolder.PRODUCER, "pr_1", 1)
    await registry.create_producer(Producer(id="pr_1", name="Centre", secrets=made, created_at_ms=1), token)
    door = gate(registry, clock)
    for now_ms, good in ((100_000, {0}), (100_700, {0, 1}), (101_200, {1}), (101_700, {1, 2}), (102_000, {2})):
        live = (await door.producer_keys(now_ms))["pr_1"]
        assert sign("m", 1, b"", live) == sign("m", 1, b"", [HmacKey.parse(texts[one]) for one in sorted(good)])
