"""What does the registry promise to those who change it and to those who keep copies?"""

from __future__ import annotations

import asyncio

import pytest

from relay.auth import new_token
from relay.model import (
    AdminAgent,
    Endpoint,
    EndpointState,
    Partner,
    Producer,
    TokenHolder,
)
from relay.store.client import Client
from relay.store.registry import NoSuchPartner, Registry, RegistryFull


def partner(name: str, at: int = 1) -> Partner:
    return Partner(id=name, name=name.title(), created_at_ms=at, updated_at_ms=at)


def endpoint(id_: str, owner: str = "contoso", at: int = 1) -> Endpoint:
    return Endpoint(id=id_, partner=owner, url="https://a.example/", created_at_ms=at, updated_at_ms=at)


async def test_a_partner_is_found_in_any_case_and_shown_as_first_given(registry: Registry) -> None:
    await registry.put_partner(partner("Contoso", at=5))
    again, new = await registry.put_partner(partner("CONTOSO", at=9))
    assert not new
    assert (again.id, again.created_at_ms, again.updated_at_ms) == ("Contoso", 5, 9)
    assert await registry.get_partner("cOnToSo") == again


async def test_an_endpoint_needs_its_partner(registry: Registry) -> None:
    with pytest.raises(NoSuchPartner):
        await registry.create_endpoint(endpoint("ep_1"))


async def test_a_partner_has_no_more_endpoints_than_it_may(registry: Registry) -> None:
    await registry.put_partner(partner("contoso"))
    results = await asyncio.gather(
        *(registry.create_endpoint(endpoint(f"ep_{n}"), most=3) for n in range(8)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, RegistryFull) for result in results) == 5
    assert len(await registry.list_endpoints("contoso")) == 3


async def test_changes_at_the_same_time_do_not_lose_each_other(registry: Registry) -> None:
    await registry.put_partner(partner("contoso"))
    await registry.create_endpoint(endpoint("ep_1"))

    def add(word: str):  # type: ignore[no-untyped-def]
        return lambda now: now.model_copy(update={"description": now.description + word})

    await asyncio.gather(*(registry.change_endpoint("contoso", "ep_1", add(w)) for w in "abcdefgh"))
    stored = await registry.get_endpoint("contoso", "ep_1")
    assert stored is not None
    assert sorted(stored.description) == list("abcdefgh")


async def test_an_update_of_something_older_is_refused(registry: Registry) -> None:
    await registry.put_partner(partner("contoso"))
    first = endpoint("ep_1")
    await registry.create_endpoint(first)
    disabled = first.model_copy(update={"state": EndpointState.DISABLED})
    assert await registry.update_endpoint(first, disabled)
    assert not await registry.update_endpoint(first, first.model_copy(update={"description": "x"}))
    assert await registry.get_endpoint("contoso", "ep_1") == disabled


async def test_registrations_gives_only_what_changed_in_one_round_trip(
    registry: Registry, client: Client
) -> None:
    await registry.put_partner(partner("contoso"))
    await registry.put_partner(partner("fabrikam"))
    await registry.registrations([("contoso", -1)])  # the server knows the script now
    before = await client.redis.info("stats")
    first = await registry.registrations([("Contoso", -1), ("fabrikam", -1), ("nobody", -1)])
    after = await client.redis.info("stats")
    assert after["total_commands_processed"] - before["total_commands_processed"] < 20
    assert set(first) == {"contoso", "fabrikam", "nobody"}
    assert first["nobody"].partner is None
    assert first["contoso"].endpoints == {}

    known = [(key, found.version) for key, found in first.items()]
    assert await registry.registrations(known) == {}
    await registry.create_endpoint(endpoint("ep_1"))
    changed = await registry.registrations(known)
    assert list(changed) == ["contoso"]
    assert list(changed["contoso"].endpoints) == ["ep_1"]


CHANGES = ("put", "agents", "create", "change", "delete", "remove")


@pytest.mark.parametrize("change", CHANGES)
async def test_every_change_is_seen_by_those_who_keep_copies(registry: Registry, change: str) -> None:
    await registry.put_partner(partner("contoso"))
    await registry.create_endpoint(endpoint("ep_1"))
    version = (await registry.registrations([("contoso", -1)]))["contoso"].version
    agents = [AdminAgent(email="aoi@contoso.example", name="Aoi")]
    match change:
        case "put":
            await registry.put_partner(partner("contoso", at=2))
        case "agents":
            await registry.set_admin_agents("contoso", agents, 2)
        case "create":
            await registry.create_endpoint(endpoint("ep_2"))
        case "change":
            await registry.change_endpoint(
                "contoso", "ep_1", lambda now: now.model_copy(update={"url": "https://b.example/"})
            )
        case "delete":
            assert await registry.delete_endpoint("contoso", "ep_1")
        case "remove":
            assert await registry.remove_partner("contoso")
    assert "contoso" in await registry.registrations([("contoso", version)])


async def test_a_removed_partner_is_gone_with_its_endpoints_and_tokens(registry: Registry) -> None:
    await registry.put_partner(partner("contoso"))
    await registry.create_endpoint(endpoint("ep_1"))
    token, _ = new_token(TokenHolder.PARTNER, "contoso", 1)
    await registry.create_token(token)
    assert await registry.remove_partner("contoso")
    assert not await registry.remove_partner("contoso")
    assert await registry.get_partner("contoso") is None
    assert await registry.list_endpoints("contoso") == []
    assert await registry.get_token(token.id) is None
    assert (await registry.list_partners(None, 10)).data == []


async def test_partners_are_listed_newest_first_a_page_at_a_time(registry: Registry) -> None:
    for at, name in enumerate(("a", "b", "c", "d", "e"), start=1):
        await registry.put_partner(partner(name, at))
    seen: list[str] = []
    after: str | None = None
    while True:
        page = await registry.list_partners(after, 2)
        seen += [found.id for found in page.data]
        after = page.next
        if after is None:
            break
    assert seen == ["e", "d", "c", "b", "a"]


async def test_revoking_a_producer_revokes_its_tokens(registry: Registry) -> None:
    token, _ = new_token(TokenHolder.PRODUCER, "pr_1", 1)
    await registry.create_producer(Producer(id="pr_1", name="P", created_at_ms=1), token)
    assert await registry.revoke_producer("pr_1") == [token.id]
    assert await registry.revoke_producer("pr_1") is None
    assert await registry.get_token(token.id) is None
    assert await registry.list_producers() == []


async def test_a_token_is_revoked_only_under_its_own_holder(registry: Registry) -> None:
    token, _ = new_token(TokenHolder.PARTNER, "contoso", 1)
    await registry.create_token(token)
    assert not await registry.revoke_token(TokenHolder.PARTNER, "fabrikam", token.id)
    assert await registry.get_token(token.id) == token
    assert await registry.revoke_token(TokenHolder.PARTNER, "Contoso", token.id)


async def test_a_sign_in_link_works_once(registry: Registry) -> None:
    link = await registry.sessions.new_link("Contoso", seconds=60)
    assert await registry.sessions.use_link(link) == "contoso"
    assert await registry.sessions.use_link(link) is None
    session = await registry.sessions.new_session("contoso", seconds=60)
    assert await registry.sessions.session(session) == "contoso"
    assert await registry.sessions.use_link(session) is None
    await registry.sessions.end_session(session)
    assert await registry.sessions.session(session) is None
