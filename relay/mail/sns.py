"""Did Amazon SNS send this message, lately, and of a topic that we listen to?

As SNS documents it: RSA (PKCS#1 v1.5) over named fields in a fixed order, with SHA-256 (SignatureVersion 2) or SHA-1
(version 1), by a certificate whose address is in the message. What a receiver must decide is decided here: the
certificate is fetched only from SNS's own host in the topic's region, by https, which is what proves it (SNS serves it
without the authorities in between); the topic is a configured one; and SHA-1 is taken only where the operator asks for
it, since collisions of it are made for money. Pure; the certificate is fetched by `relay.sources.certificates`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from relay.sources.signature import Forged, check_signer, is_pinned, read_signature, verify
from relay.times import to_ns

LONGEST_AGE_MS = 3_600_000
"""SNS gives up after an hour; so does who would play a message again."""
_MOST_AHEAD_MS = 300_000
_NAME = re.compile(r"sns[a-z0-9-]*(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?", re.ASCII)
_QUERY = re.compile(r"\?Action=ConfirmSubscription&[A-Za-z0-9._~%:=&-]{1,2048}", re.ASCII)
_DIGESTS: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303


class SnsType(StrEnum):
    """What SNS posts."""

    NOTIFICATION = "Notification"
    SUBSCRIBE = "SubscriptionConfirmation"
    UNSUBSCRIBE = "UnsubscribeConfirmation"


_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


@dataclass(frozen=True, slots=True)
class SnsMessage:
    """One message, not yet proven. `signed` is what the signature is over."""

    type: SnsType
    id: str
    topic: str
    text: str
    time: str
    subscribe_url: str
    version: str
    signature: str
    certificate_url: str
    signed: bytes


def read(raw: bytes) -> SnsMessage:
    """From a body. Raises Forged."""
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict) or not _is_text(fields, "Type") or fields["Type"] not in set(SnsType):
        raise Forged("this is no message of SNS; with raw message delivery nothing is signed: switch that off")
    type_ = SnsType(fields["Type"])
    names = _NOTIFICATION if type_ is SnsType.NOTIFICATION else _CONFIRMATION
    wanted = [name for name in names if name != "Subject" or fields.get(name) is not None]
    missing = [name for name in (*wanted, "SignatureVersion", "Signature", "SigningCertURL") if not _is_text(fields, name)]
    if missing:
        raise Forged(f"it lacks {', '.join(missing)}")
    return SnsMessage(
        type=type_,
        id=fields["MessageId"],
        topic=fields["TopicArn"],
        text=fields["Message"],
        time=fields["Timestamp"],
        subscribe_url="" if type_ is SnsType.NOTIFICATION else fields["SubscribeURL"],
        version=fields["SignatureVersion"],
        signature=fields["Signature"],
        certificate_url=fields["SigningCertURL"],
        signed="".join(f"{name}\n{fields[name]}\n" for name in wanted).encode(),
    )


def folder_of(topic: str) -> str:
    """Where SNS serves what belongs to a topic, by its well-formed ARN: its host in the topic's region."""
    _, partition, _, region, *_ = topic.split(":")
    return f"https://sns.{region}.amazonaws.com{'.cn' if partition == 'aws-cn' else ''}/"


def check(message: SnsMessage, folder: str, now_ms: int, *, sha1: bool) -> None:
    """Returns when the message may be genuine, so that its certificate is worth a request. Raises Forged."""
    if message.version not in _DIGESTS or (message.version == "1" and not sha1):
        raise Forged("its signature is not of version 2: set the topic's attribute SignatureVersion to 2")
    if not message.certificate_url.endswith(".pem") or not is_pinned(message.certificate_url, [folder]):
        raise Forged(f"its certificate is not at {folder}")
    if message.type is not SnsType.NOTIFICATION and not (
        message.subscribe_url.startswith(folder) and _QUERY.fullmatch(message.subscribe_url[len(folder) :])
    ):
        raise Forged(f"its confirmation is not at {folder}")
    try:
        age_ms = now_ms - to_ns(message.time) // 1_000_000
    except ValueError:
        raise Forged("its time is none") from None
    if not -_MOST_AHEAD_MS <= age_ms <= LONGEST_AGE_MS:
        raise Forged("it is older than an hour, or of a time to come")


def check_certificate(chain: Sequence[x509.Certificate], now: datetime) -> None:
    """Returns when the first of `chain` may sign for SNS: in its name, and valid at `now`. Raises Forged."""
    names = [str(one.value) for one in chain[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not any(_NAME.fullmatch(name) for name in names):
        raise Forged("the certificate is not one of SNS")
    check_signer(chain[0], now)


def prove(message: SnsMessage, signer: x509.Certificate) -> None:
    """Returns when the signer signed this message, which was checked. Raises Forged."""
    verify(message.signed, read_signature(message.signature), signer, _DIGESTS[message.version])


def _is_text(fields: dict[str, Any], name: str) -> bool:
    return isinstance(fields.get(name), str)
