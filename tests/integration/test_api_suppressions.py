"""Who sees and changes the list of addresses that nothing is mailed to?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relay.closed import SuppressionReason, SuppressionSource
from relay.readers import Suppression, suppressed
from relay.services import Services
from tests.calling import Api

AGENTS = [{"email": f"a{n}@contoso.example", "name": f"A{n}"} for n in range(3)]


async def bounced(services: Services, email: str, reason: SuppressionReason, at_ms: int = 7) -> None:
    new = Suppression(reason=reason, source=SuppressionSource.SMTP, at_ms=at_ms, status="5.1.1", detail="no such user")
    await services.book.change(email, lambda now: suppressed(now, new))


async def partner(operator: Api, name: str) -> Api:
    await operator.ask("PUT", f"/v1/partners/{name}", {"name": name, "admin_agents": AGENTS}, expect=201)
    made = await operator.ask("POST", f"/v1/partners/{name}/tokens", {}, expect=201)
    return operator.of(made["token"])


async def test_an_address_is_put_on_the_list_once_and_taken_off(operator: Api) -> None:
    note = {"email": "Aoi@Bücher.example", "note": "asked by phone"}
    made = await operator.ask("POST", "/v1/suppressions", note, expect=201)
    assert made == {
        "email": "aoi@xn--bcher-kva.example", "reason": "manual", "source": "operator", "at": made["at"], "status": None,
        "detail": "asked by phone", "delivery": None,
    }  # fmt: skip
    again = await operator.ask("POST", "/v1/suppressions", {"email": "AOI@bücher.example"}, expect=200)
    assert again == made
    assert (await operator.ask("GET", "/v1/suppressions"))["data"] == [made]
    assert (await operator.ask("GET", "/v1/suppressions?email=aoi@B%C3%BCcher.example"))["data"] == [made]
    assert (await operator.ask("GET", "/v1/suppressions?email=other@x.example"))["data"] == []
    await operator.ask("DELETE", "/v1/suppressions/aoi@xn--bcher-kva.example", expect=204)
    await operator.ask("DELETE", "/v1/suppressions/aoi@xn--bcher-kva.example", expect=404)
    assert (await operator.ask("GET", "/v1/suppressions"))["data"] == []
    # Put there again, it is there once.
    await operator.ask("POST", "/v1/suppressions", note, expect=201)
    assert len((await operator.ask("GET", "/v1/suppressions"))["data"]) == 1


async def test_the_list_has_pages_newest_first_and_a_filter(operator: Api, services: Services) -> None:
    for n in range(7):
        reason = SuppressionReason.COMPLAINT if n % 2 else SuppressionReason.HARD_BOUNCE
        await bounced(services, f"u{n}@x.example", reason, at_ms=1000 + n)
    seen: list[str] = []
    after = ""
    for _ in range(4):
        page = await operator.ask("GET", f"/v1/suppressions?limit=2{after}")
        seen += [one["email"] for one in page["data"]]
        after = f"&after={page['next']}"
    assert (seen, page["next"]) == ([f"u{n}@x.example" for n in range(6, -1, -1)], None)
    page = await operator.ask("GET", "/v1/suppressions?reason=complaint&limit=2")
    assert [one["email"] for one in page["data"]] == ["u5@x.example", "u3@x.example"]
    page = await operator.ask("GET", f"/v1/suppressions?reason=complaint&limit=2&after={page['next']}")
    assert ([one["email"] for one in page["data"]], page["next"]) == (["u1@x.example"], None)


async def test_a_partner_sees_and_lifts_what_bounced_of_its_own_people(operator: Api, services: Services) -> None:
    member = await partner(operator, "contoso")
    await bounced(services, "A0@contoso.example", SuppressionReason.HARD_BOUNCE)
    await bounced(services, "a1@contoso.example", SuppressionReason.COMPLAINT)
    await bounced(services, "else@contoso.example", SuppressionReason.HARD_BOUNCE)
    listed = await member.ask("GET", "/v1/partners/contoso/suppressions")
    assert [(one["email"], one["reason"]) for one in listed["data"]] == [
        ("a1@contoso.example", "complaint"), ("a0@contoso.example", "hard_bounce"),
    ]  # fmt: skip
    path = "/v1/partners/contoso/suppressions"
    await member.ask("DELETE", f"{path}/a0@contoso.example", expect=204)
    await member.ask("DELETE", f"{path}/a0@contoso.example", expect=404)
    await member.ask("DELETE", f"{path}/else@contoso.example", expect=404)
    await member.ask("DELETE", f"{path}/a1@contoso.example", expect=403)
    await operator.ask("DELETE", f"{path}/a1@contoso.example", expect=204)
    assert len((await operator.ask("GET", "/v1/suppressions"))["data"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/suppressions", 403),
        ("POST", "/v1/suppressions", 403),
        ("DELETE", "/v1/suppressions/a0@contoso.example", 403),
        ("GET", "/v1/partners/fabrikam/suppressions", 404),
        ("DELETE", "/v1/partners/fabrikam/suppressions/a0@contoso.example", 404),
    ],
)
async def test_the_rest_is_not_a_partners(operator: Api, method: str, path: str, status: int) -> None:
    member = await partner(operator, "contoso")
    await partner(operator, "fabrikam")
    body: Any = {"email": "a0@contoso.example"} if method == "POST" else None
    await member.ask(method, path, body, expect=status)


async def test_who_suppresses_at_once_suppresses_once(services: Services) -> None:
    await asyncio.gather(
        *(bounced(services, "a@x.example", SuppressionReason.HARD_BOUNCE, at_ms=n) for n in range(1, 9))
    )
    page = await services.book.suppressed(None, 50)
    assert [one.email for one in page.data] == ["a@x.example"]
