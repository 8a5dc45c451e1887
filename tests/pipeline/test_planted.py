"""Is any secret anywhere that it was not handed out to?

Every kind of secret is made and used, well and badly, until each kind of error has been answered. Then each
answer, log, metric, byte on disk and argument of a job is searched for all of them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from typing import Any

from redis import Redis

from relay.embedded import EmbeddedValkey
from relay.signing import HmacKey, sign
from tests.pipeline.caller import OPERATOR, eventually
from tests.pipeline.events import life, step
from tests.pipeline.rig import KEYS, Rig
from tests.pipeline.test_secrecy import every_answer, files, not_in

KIND = re.compile(r"^[a-z]{3,5}_")
"""What says of a token or a secret of which kind it is, before what is random."""
HEADER = "HeaderValuePlanted0001"
BAD_HEADER = "HeaderValuePlanted0002"
LINK = "AcceptanceLinkPlanted0003"
BAD_LINK = "AcceptanceLinkPlanted0004"


async def test_no_secret_is_where_it_was_not_handed_out(rig: Rig, valkey: EmbeddedValkey) -> None:
    api = rig.api
    member = await api.register("contoso", rig.hooks, headers={"X-Api-Key": HEADER})
    at = f"/v1/partners/contoso/endpoints/{member.endpoint}"
    producer = await api.ask("POST", "/v1/producers", {"name": "Centre"}, expect=201)
    signed = await api.ask(
        "POST", "/v1/partners/contoso/endpoints", {"url": rig.hooks.url("/a"), "asymmetric": True}, expect=201
    )
    rig.hooks.expect(signed["secret"], "/a")
    rotated = (await api.ask("POST", f"{at}/secret/rotate", {}))["secret"]
    link = (await api.ask("POST", "/v1/partners/contoso/portal-links", {}, expect=201))["url"].rpartition("/")[2]
    async with api.http.get(f"{api.base}/portal/sign-in/{link}", allow_redirects=False) as answer:
        session = answer.cookies["relay_portal"].value
    planted = {
        OPERATOR, member.caller.token, producer["token"], producer["secret"], member.secret, signed["secret"], rotated,
        link, session, HEADER, BAD_HEADER, LINK, BAD_LINK, *json.loads(KEYS),
    }  # fmt: skip

    told = await everything_goes_wrong(rig, at, producer, member.caller.token, session)
    for event in life("tr-1"):
        await api.of(producer["token"]).post(event)
    sim = step("tr-sim", "created", 1, kind="sim", acceptance_url=f"https://a.example/?t={LINK}")
    sim["transfer"]["target"]["email"] = "root@fabrikam.example"
    await api.post(sim)
    await api.settled("tr-1")
    await api.settled("tr-sim")

    for where, text in told:
        not_in(planted, text, where)
    for caller in (api, member.caller):
        for path, _, text in await every_answer(api, caller, {"contoso": member}):
            if not path.endswith("/secret"):
                not_in(planted, text, f"GET {path}")
    for name in rig.processes:
        not_in(planted, rig.log(name).read_text("utf-8", "replace"), f"the log of {name}")
    with Redis.from_url(valkey.url) as redis:
        redis.save()
        kept = [redis.dump(key) or b"" for key in redis.scan_iter("*")]
    kept += [part.read_bytes() for part in files(valkey.folder)]
    assert any(b"tr-sim" in part for part in kept), "this is not where the database writes"
    for secret in planted:
        for spelled in (secret, KIND.sub("", secret), base64.b64encode(secret.encode()).decode()):
            assert not any(spelled.encode() in part for part in kept), f"{secret} is on disk"


async def everything_goes_wrong(
    rig: Rig, at: str, producer: dict[str, Any], token: str, session: str
) -> list[tuple[str, str]]:
    """What is answered to requests with secrets in them that cannot be done."""
    api, told = rig.api, []

    async def go(method: str, path: str, body: Any = None, who: str = OPERATOR, **headers: str) -> None:
        status, text = await api.raw(method, path, body, headers={"Authorization": f"Bearer {who}", **headers})
        assert 400 <= status < 500, (path, status, text)
        told.append((f"{method} {path}: {status}", text))

    for wrong in (token[:-1], token + "x", producer["token"][::-1], OPERATOR[1:], session):
        await go("GET", "/v1/transfers", who=wrong)
    for headers in ({"X-Key": f"{BAD_HEADER}\r\nx: y"}, {"Host": BAD_HEADER}, {"X": BAD_HEADER * 999}):
        await go("PATCH", at, {"headers": headers})
    await go("PATCH", at, {"url": f"https://user:{BAD_HEADER}@public.example/"})
    for link in (f"javascript:{BAD_LINK}", f"https://a.example/ {BAD_LINK}", [BAD_LINK], {"a": BAD_LINK}):
        event = step("tr-bad", "created", 1, kind="sim", acceptance_url=link)
        await go("POST", "/v1/events", event)
    await go("POST", "/v1/producers", {"name": "x", "secret": BAD_LINK})
    body = json.dumps(step("tr-bad", "created", 1)).encode()
    now = int(asyncio.get_running_loop().time())  # years off: refused as too old
    headers = {"webhook-id": "m", "webhook-timestamp": str(now)}
    headers["webhook-signature"] = sign("m", now, body, [HmacKey.parse(producer["secret"])])
    async with api.http.post(f"{api.base}/v1/events", data=body, headers=headers) as answer:
        assert answer.status == 401
        told.append(("a signature that is too old", await answer.text()))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.base.rpartition(":")[2]))
    writer.write(f"GET /v1/transfers HTTP/1.1\r\nAuthorization: Bearer {token}\x00\r\nHost: x\r\n\r\n".encode())
    told.append(("a header that is none", ""))
    await reader.read()  # it is answered, and the connection ends
    writer.close()

    async def look() -> bool | None:
        return True if rig.log("web").stat().st_size else None

    await eventually(look, "the web process logs")
    return told
