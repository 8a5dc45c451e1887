"""What does Partner Center look like from outside, and what if it misbehaves?

A real HTTP server on a free port of loopback that plays the token endpoint, the transfers API, the webhook
registration and the host of the signer's certificate, and that signs callbacks with that certificate. It
keeps every request; whatever is asked of a path may be scripted.

    async with PartnerCenter() as upstream:
        upstream.put(transfer)                       # what GET answers
        upstream.script("/v1/customers", 429, {"Retry-After": "7"})
        await upstream.call(http, url, upstream.callback("create-transfer", transfer))
"""

from __future__ import annotations

import base64
import json
import secrets
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from aiohttp import ClientSession, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.ports import free_port

SOURCE, TARGET = "11111111-aaaa-4aaa-8aaa-000000000001", "22222222-bbbb-4bbb-8bbb-000000000002"
CUSTOMER = "4cfba01c-47d4-4b91-9559-740129e7352b"
_EPOCH_TICKS = 621_355_968_000_000_000
EVENTS = ["create-transfer", "update-transfer", "complete-transfer", "fail-transfer", "expire-transfer",
          "subscription-updated", "test-created"]  # fmt: skip


@dataclass(frozen=True)
class Signer:
    """A certificate with its key, and who issued it."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    root: x509.Certificate
    root_key: rsa.RSAPrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def root_pem(self) -> str:
        return self.root.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, raw: bytes, algorithm: hashes.HashAlgorithm | None = None) -> str:
        signature = self.key.sign(raw, padding.PKCS1v15(), algorithm or hashes.SHA256())
        return "Signature " + base64.b64encode(signature).decode()


def _name(common: str, organisation: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, common), x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)]
    )


def make_signer(
    *,
    organisation: str = "Microsoft Corporation",
    by: Signer | None = None,
    bits: int = 2048,
    days: tuple[int, int] = (-1, 3650),
    ca: bool = True,
    issuer_organisation: str = "Example Trust",
) -> Signer:
    """A signer under a root of its own, or under the root of another one."""
    now = datetime.now(UTC)
    start, end = now + timedelta(days=days[0]), now + timedelta(days=days[1])
    root_key = by.root_key if by is not None else rsa.generate_private_key(65537, 2048)
    issuer = by.root.subject if by is not None else _name("Example Root", issuer_organisation)
    root = (
        by.root
        if by is not None
        else x509.CertificateBuilder()
        .subject_name(issuer).issuer_name(issuer).public_key(root_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2)).not_valid_after(now + timedelta(days=9999))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(root_key, hashes.SHA256())
    )  # fmt: skip
    key = rsa.generate_private_key(65537, bits)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(_name("pcnotifications.example", organisation)).issuer_name(issuer)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(start).not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(root_key, hashes.SHA256())
    )  # fmt: skip
    return Signer(key, leaf, root, root_key)


def ticks(time: str) -> int:
    """.NET ticks of an RFC 3339 time with up to seven fractional digits."""
    whole, _, rest = time.partition(".")
    fraction = "".join(c for c in rest.split("+")[0].split("Z")[0] if c.isdigit())
    seconds = datetime.fromisoformat(whole.removesuffix("Z")[:19] + "+00:00").timestamp()
    return _EPOCH_TICKS + int(seconds) * 10_000_000 + int((fraction + "0000000")[:7])


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class PartnerCenter:
    """The scripted upstream, as an async context manager."""

    signer: Signer = field(default_factory=make_signer)
    requests: list[Asked] = field(default_factory=list)
    transfers: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    registrations: dict[str, dict[str, Any]] = field(default_factory=dict)
    certificates: dict[str, bytes] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    tenants: dict[str, str] = field(default_factory=dict)
    lasts_s: int = 3600
    validations: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._scripts: defaultdict[str, deque[tuple[int, dict[str, str]]]] = defaultdict(deque)
        self._always: dict[str, tuple[int, dict[str, str]]] = {}
        self.certificates["pcnotifications-dispatch.microsoft.com.cer"] = self.signer.der
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.down()

    async def up(self) -> None:
        """Listen, on the same port each time."""
        app = web.Application()
        app.router.add_get("/cert/{name}", self._certificate)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)
        app.router.add_get("/v1/customers/{customer}/transfers/{transfer}", self._transfer)
        app.router.add_get("/webhooks/v1/registration/events", self._events)
        app.router.add_post("/webhooks/v1/registration/validationEvents", self._validate)
        app.router.add_get("/webhooks/v1/registration/validationEvents/{id}", self._validated)
        app.router.add_route("*", "/webhooks/v1/registration", self._registration)
        app.router.add_route("*", "/{rest:.*}", self._nothing)
        app.middlewares.append(self._kept)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def down(self) -> None:
        """Answer nobody any more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def certificate_url(self) -> str:
        return f"{self.url}/cert/pcnotifications-dispatch.microsoft.com.cer"

    def settings(self, roots_file: str, *tenants: dict[str, str], **more: str) -> dict[str, str]:
        """What an operator sets to listen to this upstream."""
        prefix = "RELAY_SOURCES__PARTNER_CENTER__"
        return {
            f"{prefix}TENANTS": json.dumps(list(tenants)),
            f"{prefix}API_URL": self.url,
            f"{prefix}LOGIN_URL": self.url,
            f"{prefix}CERTIFICATES": json.dumps([f"{self.url}/cert/"]),
            f"{prefix}ROOTS_FILE": roots_file,
        } | {prefix + name.upper(): value for name, value in more.items()}

    def script(self, prefix: str, status: int, headers: dict[str, str] | None = None, times: int = 1) -> None:
        """What the next requests to a path that begins so are answered."""
        self._scripts[prefix].extend([(status, headers or {})] * times)

    def always(self, prefix: str, status: int | None, headers: dict[str, str] | None = None) -> None:
        """What all requests to such a path are answered; None: what they should be."""
        if status is None:
            self._always.pop(prefix, None)
        else:
            self._always[prefix] = (status, headers or {})

    def asked(self, prefix: str) -> list[Asked]:
        """The requests to such a path."""
        return [one for one in self.requests if one.path.startswith(prefix)]

    # --- transfers and callbacks ------------------------------------------------------------------------

    def put(self, transfer: dict[str, Any], tenant: str = "") -> None:
        """What a GET answers, to everybody or (with `tenant`, its name in the tests) to that tenant only."""
        self.transfers[tenant, transfer["id"].lower()] = transfer

    def callback(self, name: str, transfer: dict[str, Any], at: str, *, partner: str = TARGET) -> dict[str, Any]:
        """A callback as it really is: the transfer's id in the audit URI only."""
        operation = name.replace("-", "")
        audit = f"{partner}_{transfer['customerTenantId']}_{transfer['id']}_{operation}_{ticks(at)}"
        return {
            "EventName": name,
            "ResourceUri": f"https://api.partnercenter.microsoft.com/v1/customers/{transfer['customerTenantId']}",
            "ResourceName": "Transfer",
            "AuditUri": f"https://api.partnercenter.microsoft.com/auditactivity/v1/auditrecords/{audit}",
            "ResourceChangeUtcDate": at.replace("Z", "+00:00"),
        }

    def signed(self, raw: bytes, **changes: str) -> dict[str, str]:
        """The headers of a callback."""
        return {
            "Content-Type": "application/json",
            "Authorization": self.signer.sign(raw),
            "X-MS-Certificate-Url": self.certificate_url,
            "X-MS-Signature-Algorithm": "rsa-sha256",
        } | changes

    async def call(self, http: ClientSession, url: str, body: dict[str, Any] | bytes) -> int:
        """Send a signed callback; the status of the answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with http.post(url, data=raw, headers=self.signed(raw)) as answer:
            await answer.read()
            return answer.status

    # --- the routes -------------------------------------------------------------------------------------

    @web.middleware
    async def _kept(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(Asked(request.method, request.path, dict(request.headers), await request.read()))
        for prefix in [*self._scripts, *self._always]:
            if not request.path.startswith(prefix):
                continue
            if self._scripts[prefix]:
                status, headers = self._scripts[prefix].popleft()
                return web.json_response({"code": "900104", "description": "x"}, status=status, headers=headers)
            if prefix in self._always:
                status, headers = self._always[prefix]
                return web.json_response({"error": "invalid_client"}, status=status, headers=headers)
        return await handler(request)  # type: ignore[no-any-return]

    def _tenant_of(self, request: web.Request) -> str:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            raise web.HTTPUnauthorized
        return self.tokens[token]

    async def _certificate(self, request: web.Request) -> web.Response:
        raw = self.certificates.get(request.match_info["name"])
        if raw is None:
            raise web.HTTPNotFound
        return web.Response(body=raw, content_type="application/octet-stream")

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        token = secrets.token_hex(8)
        self.tokens[token] = request.match_info["tenant"].lower()
        answer = {"access_token": token, "expires_in": self.lasts_s, "token_type": "Bearer"}
        if form["grant_type"] == "refresh_token":
            answer["refresh_token"] = f"{str(form['refresh_token']).split('~')[0]}~{len(self.tokens)}"
        return web.json_response(answer)

    async def _transfer(self, request: web.Request) -> web.Response:
        tenant, id_ = self._tenant_of(request), request.match_info["transfer"].lower()
        found = self.transfers.get((tenant, id_)) or self.transfers.get(("", id_))
        if found is None:
            return web.json_response({"code": "900100", "description": "Transfer request not found"}, status=404)
        return web.json_response(found)

    async def _events(self, request: web.Request) -> web.Response:
        self._tenant_of(request)
        return web.json_response(EVENTS)

    async def _registration(self, request: web.Request) -> web.Response:
        tenant = self._tenant_of(request)
        known = self.registrations.get(tenant)
        if request.method == "GET":
            return web.json_response(known) if known else web.json_response({}, status=404)
        if request.method == "POST" and known:
            return web.json_response({"code": 409}, status=409)
        self.registrations[tenant] = json.loads(await request.read())
        return web.json_response({**self.registrations[tenant], "SubscriberId": "e82cac64"})

    async def _validate(self, request: web.Request) -> web.Response:
        tenant = self._tenant_of(request)
        id_ = secrets.token_hex(8)
        self.validations.append(self.registrations[tenant]["WebhookUrl"])
        return web.json_response({"correlationId": id_})

    async def _validated(self, request: web.Request) -> web.Response:
        return web.json_response({"correlationId": request.match_info["id"], "status": "completed", "results": []})

    async def _nothing(self, request: web.Request) -> web.Response:
        raise web.HTTPNotFound


def transfer(status: str = "Active", **changes: Any) -> dict[str, Any]:
    """A TransferEntity as the API has it."""
    return {
        "id": "bf8c56ab-7094-4429-847e-73f019e4ab7c",
        "status": status,
        "transferType": 3,
        "customerEmailId": "it@relecloud.example",
        "createdTime": "2024-12-12T14:44:18.6278540Z",
        "lastModifiedTime": "2024-12-12T14:44:19Z",
        "expirationTime": "2025-01-11T14:44:18Z",
        "customerName": "Relecloud",
        "customerTenantId": CUSTOMER,
        "partnertenantid": TARGET,
        "sourcePartnerName": "Contoso",
        "sourcePartnerTenantId": SOURCE,
        "targetPartnerName": "Fabrikam",
        "targetPartnerTenantId": TARGET,
        "targetProductTypes": ["OnlineServicesNCE", "SaaS"],
        "lineItems": [],
        "attributes": {"objectType": "TransferEntity"},
        **changes,
    }


def line(number: int, status: str = "InProgress", **changes: Any) -> dict[str, Any]:
    """A line item of the source's view."""
    return {
        "id": number, "subscriptionId": f"{number:08d}-AAAA-4AAA-8AAA-00000000000A", "friendlyName": f"Product {number}",
        "quantity": 5, "productType": "OnlineServicesNCE", "status": status, "addonItems": [], **changes,
    }  # fmt: skip
