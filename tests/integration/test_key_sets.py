"""A receiver verifies without a secret: the published key set, read and used by libraries of others."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from relay.services import Services
from tests.calling import Api
from tests.fakes.partner import Partner, Received

Http = TestClient[web.Request, web.Application]
ENDPOINTS = "/v1/partners/contoso/endpoints"


@pytest.fixture
async def contoso(operator: Api) -> Api:
    return await operator.partner("contoso")


async def fetched(http: Http, endpoint: dict[str, Any]) -> list[dict[str, str]]:
    """The key set, as anybody fetches it."""
    answer = await http.get(endpoint["key_set"].removeprefix("http://relay.test"))
    assert (answer.status, answer.content_type) == (200, "application/jwk-set+json")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    found = await answer.json(content_type=None)
    jwt.PyJWKSet.from_dict(found)  # raises unless it is a key set with keys that can be used
    assert not any("d" in key for key in found["keys"])
    keys: list[dict[str, str]] = found["keys"]
    return keys


def verifies(key: dict[str, str], request: Received) -> bool:
    """Whether libsodium finds one of the `v1a` signatures genuine, with this key of the set alone."""
    public = VerifyKey(base64.urlsafe_b64decode(key["x"] + "="))
    assert key["whpk"] == "whpk_" + base64.b64encode(public.encode()).decode()
    content = b".".join(
        (request.message_id.encode(), request.headers["webhook-timestamp"].encode(), request.body)
    )
    for item in request.headers["webhook-signature"].split(" "):
        version, _, text = item.partition(",")
        if version == "v1a":
            try:
                public.verify(content, base64.b64decode(text))
            except BadSignatureError:
                continue
            return True
    return False


async def test_the_published_key_verifies_what_is_sent(http: Http, contoso: Api) -> None:
    async with Partner() as partner:
        made = await contoso.ask("POST", ENDPOINTS, {"url": partner.url(), "asymmetric": True}, expect=201)
        (key,) = await fetched(http, made)
        assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("OKP", "Ed25519", "sig", "EdDSA")
        assert key["whpk"] == made["public_key"]
        await contoso.ask("POST", f"{ENDPOINTS}/{made['id']}/test")
        (request,) = partner.requests
        assert verifies(key, request)
        assert [part.partition(",")[0] for part in request.headers["webhook-signature"].split(" ")] == ["v1", "v1a"]
        other = await contoso.ask("POST", ENDPOINTS, {"url": partner.url(), "asymmetric": True}, expect=201)
        # What one endpoint was sent, another does not find genuine.
        assert not verifies((await fetched(http, other))[0], request)


async def test_a_new_pair_and_the_old_one_sign_and_are_published_for_the_overlap(http: Http, contoso: Api) -> None:
    async with Partner() as partner:
        made = await contoso.ask("POST", ENDPOINTS, {"url": partner.url(), "asymmetric": True}, expect=201)
        (old,) = await fetched(http, made)
        path = f"{ENDPOINTS}/{made['id']}"
        rotated = await contoso.ask("POST", f"{path}/secret/rotate", {"what": "key_pair"})
        assert rotated["secret"] == made["secret"]
        new, kept = await fetched(http, made)
        assert kept == old
        assert new["whpk"] == rotated["public_key"] != old["whpk"]
        await contoso.ask("POST", f"{path}/test")
        # Who still has the old set, and who has the new one, both find it genuine.
        assert verifies(old, partner.requests[-1])
        assert verifies(new, partner.requests[-1])
        await contoso.ask("POST", f"{path}/secret/rotate", {"what": "key_pair", "overlap_seconds": 0})
        assert new not in await fetched(http, made)
        await contoso.ask("POST", f"{path}/test")
        assert not verifies(new, partner.requests[-1])
        assert (await contoso.ask("GET", f"{path}/secret"))["secret"] == made["secret"]


async def test_a_pair_that_has_expired_is_published_no_more(http: Http, contoso: Api) -> None:
    body = {"url": "https://hooks.fabrikam.com/", "asymmetric": True}
    made = await contoso.ask("POST", ENDPOINTS, body, expect=201)
    rotate = f"{ENDPOINTS}/{made['id']}/secret/rotate"
    rotated = await contoso.ask("POST", rotate, {"what": "key_pair", "overlap_seconds": 1})
    async with asyncio.timeout(30):
        while len(keys := await fetched(http, made)) > 1:
            await asyncio.sleep(0.05)
    assert [key["whpk"] for key in keys] == [rotated["public_key"]]


async def test_a_pair_can_be_had_later_and_given_up(http: Http, contoso: Api) -> None:
    async with Partner() as partner:
        made = await contoso.ask("POST", ENDPOINTS, {"url": partner.url()}, expect=201)
        path = f"{ENDPOINTS}/{made['id']}"
        assert (made["asymmetric"], made["key_set"]) == (False, None)
        await contoso.ask("POST", f"{path}/secret/rotate", {"what": "key_pair"}, expect=409)
        changed = await contoso.ask("PATCH", path, {"asymmetric": True})
        (key,) = await fetched(http, changed)
        assert (await contoso.ask("PATCH", path, {"asymmetric": True, "description": "x"}))["asymmetric"]
        assert await fetched(http, changed) == [key]
        assert (await contoso.ask("PATCH", path, {"asymmetric": False}))["key_set"] is None
        await contoso.ask("POST", f"{path}/test")
        assert "v1a" not in partner.requests[-1].headers["webhook-signature"]


async def test_what_is_not_there_is_the_same_404_whatever_is_missing(http: Http, contoso: Api) -> None:
    made = await contoso.ask("POST", ENDPOINTS, {"url": "https://hooks.fabrikam.com/"}, expect=201)
    seen = set()
    for partner, endpoint in (("contoso", made["id"]), ("contoso", "ep_never"), ("nobody", made["id"]), ("a b", "%00")):
        answer = await http.get(f"/.well-known/webhook-keys/{partner}/{endpoint}")
        seen.add((answer.status, await answer.text()))
    assert len(seen) == 1
    assert seen.pop()[0] == 404


async def test_the_private_half_is_sealed_and_shown_nowhere(
    http: Http, operator: Api, contoso: Api, services: Services
) -> None:
    made = await contoso.ask("POST", ENDPOINTS, {"url": "https://hooks.fabrikam.com/", "asymmetric": True}, expect=201)
    stored = await services.store.registry.get_endpoint("contoso", made["id"])
    assert stored is not None
    assert stored.signing_key is not None
    private = services.vault.open(stored.signing_key.sealed, context=f"endpoint:{made['id']}:secret").decode()
    assert private.startswith("whsk_")
    shown = [made, await contoso.ask("GET", f"{ENDPOINTS}/{made['id']}"), await contoso.ask("GET", f"{ENDPOINTS}/{made['id']}/secret"),
             await fetched(http, made), stored.model_dump_json()]  # fmt: skip
    assert private not in str(shown)
    assert private[5:40] not in str(shown)


async def test_the_key_that_verifies_exported_logs_is_published(http: Http, contoso: Api) -> None:
    sets = [await (await http.get("/.well-known/jwks.json")).json(content_type=None) for _ in range(2)]
    assert sets[0] == sets[1]
    (key,) = sets[0]["keys"]
    assert jwt.PyJWKSet.from_dict(sets[0]).keys[0].key_id == key["kid"]
    assert "d" not in key
