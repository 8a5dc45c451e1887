"""How does Amazon SNS speak, to a receiver that it cannot tell from a real one?

A topic's messages, signed over the documented fields by a certificate that it serves itself; it counts what it is asked.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import trustme
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

TOPIC = "arn:aws:sns:eu-west-1:123456789012:bounces"
PEM = "SimpleNotificationService-0123456789abcdef.pem"
DIGESTS: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}


@dataclass(frozen=True)
class SnsSigner:
    """A key, and its certificate in PEM."""

    key: RSAPrivateKey
    pem: bytes

    @classmethod
    def named(cls, name: str) -> SnsSigner:
        """A new one, of this common name."""
        made = trustme.CA().issue_cert("any.example", common_name=name, key_type=trustme.KeyType.RSA)
        key = serialization.load_pem_private_key(made.private_key_pem.bytes(), None)
        assert isinstance(key, RSAPrivateKey)
        return cls(key, made.cert_chain_pems[0].bytes())

    @property
    def certificate(self) -> x509.Certificate:
        """Its certificate."""
        return x509.load_pem_x509_certificate(self.pem)

    def sign(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields, with a signature of the version that they name."""
        asked = "Subject" if fields["Type"] == "Notification" else "SubscribeURL", "Token"
        names = sorted({"Message", "MessageId", "Timestamp", "TopicArn", "Type", *asked} & fields.keys())
        text = "".join(f"{name}\n{fields[name]}\n" for name in names).encode()
        signature = self.key.sign(text, padding.PKCS1v15(), DIGESTS[fields["SignatureVersion"]])
        return {**fields, "Signature": base64.b64encode(signature).decode()}


@dataclass
class Sns:
    """SNS's own host, as an async context manager. `status` is what it answers to a confirmation."""

    signer: SnsSigner
    status: int = 200
    pem_status: int = 200
    asked: list[str] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{name:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        if request.path.endswith(".pem"):
            return web.Response(status=self.pem_status, body=self.signer.pem)
        return web.Response(status=self.status, text="<ConfirmSubscriptionResponse/>")

    def fields(self, type_: str, text: object, **more: Any) -> dict[str, Any]:
        """A message's fields, not yet signed."""
        said: dict[str, Any] = {
            "Type": type_, "MessageId": secrets.token_hex(16), "TopicArn": TOPIC,
            "Message": text if isinstance(text, str) else json.dumps(text),
            "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "SignatureVersion": "2", "SigningCertURL": self.url + PEM,
        }  # fmt: skip
        if type_ == "Notification":
            said["UnsubscribeURL"] = f"{self.url}?Action=Unsubscribe&SubscriptionArn={TOPIC}:1"
        else:
            said["Token"] = "2336412f37"
            said["SubscribeURL"] = f"{self.url}?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
        return said | more

    def message(self, type_: str, text: object = "", **more: Any) -> dict[str, Any]:
        """A message, signed."""
        return self.signer.sign(self.fields(type_, text, **more))
