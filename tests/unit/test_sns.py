"""What is a message of SNS, where is its certificate, and what does SES's word for a bounce mean?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.bounces import Severity
from relay.config import load
from relay.errors import ConfigError
from relay.mail import sns
from relay.mail.providers import ses
from relay.sources.signature import Forged

FIELDS = ("Type", "MessageId", "TopicArn", "Message", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL", "Subject")


@pytest.mark.parametrize(
    ("topic", "folder"),
    [
        ("arn:aws:sns:eu-west-1:123456789012:a", "https://sns.eu-west-1.amazonaws.com/"),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:a", "https://sns.us-gov-west-1.amazonaws.com/"),
        ("arn:aws-cn:sns:cn-north-1:123456789012:a", "https://sns.cn-north-1.amazonaws.com.cn/"),
    ],
)
def test_a_topics_certificates_are_at_its_own_host(topic: str, folder: str) -> None:
    config = load(None, {"RELAY_BOUNCES__SES_TOPICS": json.dumps([topic])})
    assert config.bounces.ses_topics == (topic,)
    assert sns.folder_of(topic) == folder


@pytest.mark.parametrize(
    "topic",
    ["", "bounces", "arn:aws:sns:eu-west-1:123456789012:a.fifo", "arn:aws:sns:evil.example/:123456789012:a", "arn:aws:sqs:eu-west-1:123456789012:a"],
)
def test_what_is_no_topic_is_told_at_the_start(topic: str) -> None:
    with pytest.raises(ConfigError, match="ses_topics"):
        load(None, {"RELAY_BOUNCES__SES_TOPICS": json.dumps([topic])})


_VALUES = st.sampled_from(["", "2", "Notification", "SubscriptionConfirmation", "2026-11-21T05:05:00Z", "é", 1, None, [], {}])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=64) | st.dictionaries(st.sampled_from(FIELDS), _VALUES).map(
    lambda fields: json.dumps({**dict.fromkeys(FIELDS, "x"), "Type": "Notification", **fields}).encode()
))  # fmt: skip
def test_whatever_comes_is_a_message_or_refused(raw: bytes) -> None:
    try:
        message = sns.read(raw)
        sns.check(message, "https://sns.eu-west-1.amazonaws.com/", 0, sha1=True)
    except Forged:
        pass


def test_the_documented_fields_are_signed_in_order() -> None:
    whole = {name: f"<{name}>" for name in (*FIELDS, "SubscribeURL", "Token", "UnsubscribeURL")}
    named = {"Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
             "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")}  # fmt: skip
    for type_, names in named.items():
        fields = {**whole, "Type": type_}
        signed = sns.read(json.dumps(fields).encode()).signed.decode()
        assert signed == "".join(f"{name}\n{fields[name]}\n" for name in names)
    del whole["Subject"]
    assert "Subject" not in sns.read(json.dumps({**whole, "Type": "Notification"}).encode()).signed.decode()


@pytest.mark.parametrize(
    ("type_", "subtype", "status", "severity"),
    [
        ("Permanent", "General", "5.1.1", Severity.HARD),
        ("Permanent", "NoEmail", "", Severity.HARD),
        ("Permanent", "General", "5.4.4", Severity.HARD),
        ("Permanent", "General", "5.7.1", Severity.NONE),
        ("Permanent", "OnAccountSuppressionList", "5.7.1", Severity.HARD),
        ("Permanent", "Suppressed", "", Severity.HARD),
        ("Permanent", "UnsubscribedRecipient", "", Severity.NONE),
        ("Transient", "General", "4.4.7", Severity.SOFT),
        ("Transient", "General", "", Severity.NONE),
        ("Transient", "MailboxFull", "", Severity.SOFT),
        ("Transient", "ContentRejected", "5.0.0", Severity.NONE),
        ("Transient", "General", "4.7.1", Severity.NONE),
        ("Undetermined", "Undetermined", "", Severity.SOFT),
        ("Undetermined", "Undetermined", "5.1.1", Severity.SOFT),
        ("", "", "", Severity.NONE),
    ],
)
def test_a_bounce_means(type_: str, subtype: str, status: str, severity: Severity) -> None:
    recipient = {"emailAddress": "Aoi <aoi@contoso.example>", **({"status": status} if status else {})}
    bounce = {"bounceType": type_, "bounceSubType": subtype, "bouncedRecipients": [recipient], "feedbackId": "f"}
    for kind in ("notificationType", "eventType"):
        (report,) = ses({kind: "Bounce", "bounce": bounce}, "m")
        assert (report.id, report.email, report.severity) == ("ses:f", "aoi@contoso.example", severity)


@pytest.mark.parametrize(
    "event",
    [None, [], {}, {"notificationType": "Bounce"}, {"notificationType": "Bounce", "bounce": {"bouncedRecipients": [None, {}, "x"]}},
     {"eventType": "Complaint", "complaint": {"complainedRecipients": "x"}}, {"eventType": "Open"}],
)  # fmt: skip
def test_what_names_nobody_reports_nothing(event: Any) -> None:
    assert list(ses(event, "m")) == []
