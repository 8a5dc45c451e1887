"""Does every mail come through a real mail server as it was meant?

`python -m tools.check_mail`, as root: first each message in each language, handed to Postfix by the relay's own
sender over STARTTLS; then whole transfers through a running relay, posted as a producer does, to readers of each
language. What Postfix delivered is read by fast-mail-parser, a parser in Rust that shares nothing with what built it:
each mail once, byte for byte, with both parts, the same links in both, and no line above 998.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fast_mail_parser import ParseError, parse_email

from relay.data import templates_dir
from relay.embedded import EmbeddedValkey
from relay.mail.compose import Composed, Composer
from relay.mail.samples import DATE_MS, samples
from relay.mail.send import Mailer
from relay.mail.settings import PlainMailSettings
from relay.model import Attempt, Outcome
from tests.pipeline.caller import eventually
from tests.pipeline.events import sample, sample_names, step
from tests.pipeline.rig import Rig
from tools.postfix import Postfix, PostfixError, postfix

_WITHIN_S = 180.0
_LONGEST = 998
_LINK = re.compile(r"https?://[^\s\"'<>)\]]+")
_HREF = re.compile(r"href=\"(https?://[^\"]+)\"")
_TYPES = ("created", "updated", "completed", "partially_completed", "failed", "expired", "canceled")
_PARTNERS = ("kaiyo-cloud", "fabrikam", "contoso", "OP0012345678", "OP0087654321")


def parsed(raw: bytes, problems: list[str]) -> Any | None:
    """A message as the other parser reads it; what is wrong with any message is noted."""
    try:
        mail = parse_email(raw)
    except ParseError as problem:
        problems.append(f"cannot be parsed: {problem}")
        return None
    named = mail.headers.get("Message-ID", ["without a Message-ID"])[0]
    found = [str(warning) for warning in mail.warnings]
    if (len(mail.text_plain), len(mail.text_html)) != (1, 1):
        found.append(f"{len(mail.text_plain)} parts of text and {len(mail.text_html)} of HTML")
    elif missing := set(map(_plain, _HREF.findall(mail.text_html[0]))) - set(_links(mail.text_plain[0])):
        found.append(f"links of the HTML that the text has not: {sorted(missing)}")
    if (longest := max(map(len, raw.split(b"\n")))) > _LONGEST:
        found.append(f"a line of {longest} bytes")
    for header in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Language"):
        if len(mail.headers.get(header, [])) != 1 or not mail.headers[header][0].strip():
            found.append(f"not one {header}")
    problems += [f"{named}: {one}" for one in found]
    return mail


def _plain(link: str) -> str:
    return link.replace("&amp;", "&")


def _links(text: str) -> Iterable[str]:
    """The links of a text part; format=flowed never breaks one."""
    return (link.rstrip(".,。") for link in _LINK.findall(text))


def _squeezed(text: str) -> str:
    return text.replace("\r\n", "\n").rstrip("\n")


async def _delivered(server: Postfix, count: int) -> list[bytes]:
    async def look() -> list[bytes] | None:
        found = list(server.delivered().values())
        return found if len(found) >= count else None

    return await eventually(look, f"{count} mails; {len(server.delivered())} came", _WITHIN_S)


async def by_the_sender(server: Postfix) -> tuple[int, list[str]]:
    """Every message in every language, built and sent by the relay's own parts."""
    settings = PlainMailSettings(
        url=server.url, ca_file=str(server.authority), from_address="transfers@relay.example", connections=8
    )
    composer, mailer = Composer(settings, templates_dir()), Mailer(settings)
    sent: dict[str, Composed] = {}
    for locale in composer.locales:
        for one in samples():
            token = f"check-{locale}-{one.name}"
            sent[f"<{token}@relay.example>"] = composer.compose(
                body=one.body, recipient=one.recipient, delivery_id=token, event_id=token, transfer_key="check",
                date_ms=DATE_MS, acceptance_url=one.url, locale=locale,
            )  # fmt: skip
    attempts = await asyncio.gather(*(mailer.attempt(number=1, message=m, now_ms=DATE_MS) for m in sent.values()))
    await mailer.close()
    problems = [
        f"{name}: {attempt}"
        for name, attempt in zip(sent, attempts, strict=True)
        if not isinstance(attempt, Attempt) or attempt.outcome is not Outcome.ACCEPTED
    ]
    if problems:
        return len(sent), problems
    came: Counter[str] = Counter()
    for raw in await _delivered(server, len(sent)):
        mail = parsed(raw, problems)
        if mail is None:
            continue
        name = mail.headers["Message-ID"][0]
        came[name] += 1
        meant = sent.get(name)
        if meant is None:
            problems.append(f"{name}: nobody sent that")
            continue
        if not raw.endswith(meant.raw.replace(b"\r\n", b"\n")):
            problems.append(f"{name}: other bytes than were built")
        if (mail.subject, _squeezed(mail.text_plain[0]), _squeezed(mail.text_html[0])) != (
            meant.subject, _squeezed(meant.text), _squeezed(meant.html),
        ):  # fmt: skip
            problems.append(f"{name}: the subject or a part reads otherwise than it was meant")
        if mail.headers["Content-Language"] != [meant.locale]:
            problems.append(f"{name}: {mail.headers['Content-Language']} is not its language")
    problems += [f"{name}: came {came[name]} times" for name in sent if came[name] != 1]
    return len(sent), problems


def _settings(server: Postfix) -> dict[str, str]:
    """Everybody is told everything by e-mail."""
    everybody = json.dumps(["source", "target", "customer"])
    parties = json.dumps(["source", "target"])
    rows = {f"RELAY_NOTIFY__SUBSCRIPTION__{type_.upper()}__EMAIL": everybody for type_ in _TYPES}
    rows |= {f"RELAY_NOTIFY__SIM__{type_.upper()}__EMAIL": parties for type_ in _TYPES}
    return rows | {
        "RELAY_MAIL__URL": server.url,
        "RELAY_MAIL__START_TLS": "required",
        "RELAY_MAIL__CA_FILE": str(server.authority),
        "RELAY_SERVER__PUBLIC_URL": "https://relay.example",
    }


def _lives() -> list[list[dict[str, Any]]]:
    contact = [step("check-failed", name, n) for n, name in enumerate(("created", "updated", "failed"), 1)]
    return [sample(name) for name in sample_names()] + [contact]


async def by_a_running_relay(server: Postfix, locales: Iterable[str]) -> tuple[int, list[str]]:
    """Whole transfers, told to readers of every language by the web process and the worker of the Procfile."""
    people = list(locales)
    problems: list[str] = []
    before = set(server.delivered())
    with TemporaryDirectory() as name, EmbeddedValkey.start(Path(name) / "data") as valkey:
        async with Rig(valkey, Path(name), **_settings(server)) as rig:
            for partner in _PARTNERS:
                agents = [
                    {"email": f"agent-{locale}@{partner.lower()}.example", "name": "森 葵", "locale": locale}
                    for locale in people
                ]
                await rig.api.register(partner, admin_agents=agents)
            for life in _lives():
                for event in life:
                    if event["transfer"]["kind"] == "subscription":
                        event["transfer"]["customer"]["contacts"] = [
                            {"email": f"buyer-{locale}@relecloud.example", "name": "Buyer", "locale": locale}
                            for locale in people
                        ]
                    await rig.api.post(event)

            async def settled() -> list[Any] | None:
                found = await rig.api.all("/v1/deliveries?channel=email")
                return found if found and all(one["status"] != "pending" for one in found) else None

            await asyncio.gather(*(rig.api.planned(life[0]["transfer"]["id"]) for life in _lives()))
            deliveries = await eventually(settled, "every mail has settled", _WITHIN_S)
    problems += [f"{one['id']}: {one['status']}" for one in deliveries if one["status"] != "delivered"]
    await _delivered(server, len(before) + len(deliveries))
    owed = {one["id"]: one for one in deliveries}
    came: Counter[str] = Counter()
    for raw in (raw for file, raw in server.delivered().items() if file not in before):
        mail = parsed(raw, problems)
        if mail is None:
            continue
        id_ = mail.headers["Message-ID"][0].strip("<>").rpartition("@")[0]
        came[id_] += 1
        if id_ not in owed:
            problems.append(f"{id_}: nobody owed that")
            continue
        problems += _misread(mail, owed[id_])
    problems += [f"{id_}: came {came[id_]} times" for id_ in owed if came[id_] != 1]
    return len(deliveries), problems


def _misread(mail: Any, owed: Any) -> list[str]:
    """Whether its reader, language and transfer are those of the delivery."""
    found = []
    to = mail.headers["To"][0]
    if owed["email"] not in to:
        found.append(f"{owed['id']}: to {to}, not {owed['email']}")
    locale = owed["email"].partition("@")[0].partition("-")[2]
    if locale and mail.headers["Content-Language"] != [locale]:
        found.append(f"{owed['id']}: {mail.headers['Content-Language']} for a reader of {locale}")
    for part in (mail.text_plain[0], mail.text_html[0]):
        if owed["transfer"].lower() not in part.lower():
            found.append(f"{owed['id']}: a part does not name the transfer {owed['transfer']}")
    return found


async def check(server: Postfix) -> list[str]:
    """All that is wrong."""
    count, problems = await by_the_sender(server)
    print(f"{count} messages by the sender, each in every language: {len(problems) or 'no'} findings")
    locales = list(Composer(PlainMailSettings(), templates_dir()).locales)
    with redirect_stdout(io.StringIO()) as said:  # the logs of its processes
        try:
            more, others = await by_a_running_relay(server, locales)
        except BaseException:
            print(said.getvalue(), file=sys.stderr)
            raise
    print(f"{more} mails of whole transfers through a running relay: {len(others) or 'no'} findings")
    return problems + others


def main() -> int:
    """The exit code."""
    try:
        with postfix() as server:
            problems = asyncio.run(check(server))
            if problems:
                print(server.log()[-4000:])
    except (PostfixError, AssertionError) as problem:
        print(problem)
        return 1
    print("\n".join(problems[:50]))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
