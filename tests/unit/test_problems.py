"""Is every failure answered as a problem, and none of them with more than the caller may know?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from relay.api.bodies import Body, parse, pointer_of
from relay.api.problems import Fault, Problem, invalid, problems
from relay.auth import NotAllowed, NotAuthenticated
from relay.errors import StoreError, StoreFull, StoreUnavailable, VaultError
from relay.store.registry import Contended, NoSuchPartner, RegistryFull

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]

CASES: list[tuple[Exception, int]] = [
    (Problem(409, "Taken."), 409),
    (invalid([Fault("/a", "wrong")]), 422),
    (NotAuthenticated(), 401),
    (NotAllowed("only the operator may do this"), 403),
    (NoSuchPartner(), 404),
    (RegistryFull(), 409),
    (Contended(), 503),
    (StoreUnavailable("10.1.2.3 is away"), 503),
    (StoreFull("no memory"), 503),
    (StoreError("planted"), 500),
    (VaultError("planted"), 500),
    (ValueError("planted"), 500),
    (web.HTTPRequestEntityTooLarge(1, 2), 413),
    (web.HTTPUnsupportedMediaType(), 415),
]


@pytest.mark.parametrize(("error", "status"), CASES, ids=lambda case: str(case)[:20])
async def test_what_is_raised_is_answered_as_a_problem(
    aiohttp_client: MakeClient, error: Exception, status: int
) -> None:
    async def fail(request: web.Request) -> web.Response:
        raise error

    app = web.Application(middlewares=[problems])
    app.router.add_get("/", fail)
    client = await aiohttp_client(app)
    response = await client.get("/")
    body = await response.json(content_type="application/problem+json")
    assert response.status == body["status"] == status
    assert {"type", "title", "status", "detail"} <= set(body)
    assert "planted" not in str(body)
    assert "10.1.2.3" not in str(body)
    assert "Traceback" not in str(body)
    assert ("Retry-After" in response.headers) == (status == 503)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


async def test_what_the_router_refuses_is_a_problem_too(aiohttp_client: MakeClient) -> None:
    async def fine(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(middlewares=[problems])
    app.router.add_get("/", fine)
    client = await aiohttp_client(app)
    absent = await client.get("/absent")
    assert (absent.status, absent.content_type) == (404, "application/problem+json")
    wrong = await client.delete("/")
    assert (wrong.status, wrong.content_type) == (405, "application/problem+json")
    assert "GET" in wrong.headers["Allow"]


@pytest.mark.parametrize(
    ("loc", "pointer"),
    [((), ""), (("a",), "/a"), (("a", 0, "b"), "/a/0/b"), (("x/y", "t~z"), "/x~1y/t~0z")],
)
def test_a_pointer_is_rfc_6901(loc: tuple[str | int, ...], pointer: str) -> None:
    assert pointer_of(loc) == pointer


class Sample(Body):
    name: str
    size: int = 1


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(Problem) as problem:
        parse(b'{"size": "x", "nmae": 1}', Sample)
    assert {fault.pointer for fault in problem.value.errors} == {"/name", "/size", "/nmae"}


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"7", b"null"])
def test_what_is_no_object_is_told_at_the_root(raw: bytes) -> None:
    with pytest.raises(Problem) as problem:
        parse(raw, Sample)
    assert [fault.pointer for fault in problem.value.errors] == [""]
