"""Will an endpoint take what is sent to it?

Looks where its URL leads, then sends one signed ping, both through the guard of every delivery, and says in
a sentence each what is good, doubtful or wrong. The endpoint need not be stored. Nothing is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

from yarl import URL

from relay import findings
from relay.advice import REACHED_NOBODY, reached_nobody
from relay.findings import Check, Finding, Level, Seen
from relay.model import Attempt, Endpoint, Outcome
from relay.ping import Ping, ping
from relay.services import Services
from relay.survey import Survey, survey


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `ping` is None when it did not come to that. `unreached`: nobody was there, and an
    answer to a partner is not to tell how soon that was known."""

    findings: tuple[Finding, ...]
    ping: Ping | None = None
    unreached: bool = False

    @property
    def problems(self) -> list[Finding]:
        """What does not work."""
        return [finding for finding in self.findings if finding.level is Level.PROBLEM]


async def preflight(
    services: Services, endpoint: Endpoint, now_ms: int, *, for_operator: bool, forgery: bool = False
) -> Report:
    """Look at the endpoint and ping it; with `forgery` also send a ping with a false signature, which a
    receiver that verifies refuses."""
    url = services.sender.target(endpoint.url)
    if isinstance(url, str):
        return Report((Finding(Check.URL, Level.PROBLEM, url),))
    seen = await survey(services.sender.session, url, services.sender.timeout_s)
    found: list[Finding] = []
    if seen is None:
        words = "The relay calls through a proxy of its operator's, so name and certificate were not looked at."
        found.append(Finding(Check.CONNECT, Level.OK, words))
    else:
        what = _seen(url, seen)
        if seen.failed is not None:
            unreached = seen.failed in REACHED_NOBODY
            failure = Attempt(number=1, at_ms=now_ms, duration_ms=0, outcome=seen.failed, detail=seen.detail)
            said = findings.of_failure(failure, what, now_ms, quiet=unreached and not for_operator)
            return Report(tuple(said), unreached=unreached)
        found += findings.of_connection(what) + findings.of_certificate(what, now_ms)
    made = await ping(services, endpoint, now_ms)
    unreached = reached_nobody(made.attempt)
    quiet = unreached and not for_operator
    found += findings.of_ping(made.attempt, timeout_s=services.sender.timeout_s, quiet=quiet)
    if forgery and made.attempt.outcome is Outcome.ACCEPTED:
        forged = await ping(services, endpoint, now_ms, forged=True)
        found.append(findings.of_forgery(forged.attempt))
    if quiet:  # what the connection was like would tell more than the outcome does
        found = [one for one in found if one.level is Level.PROBLEM]
    return Report(tuple(found), made, unreached)


def _seen(url: URL, survey: Survey) -> Seen:
    shown = survey.certificate
    host, is_plain = url.raw_host or "", url.scheme == "http"
    if shown is None:
        return Seen(host, is_plain, survey.addresses, survey.connect_ms, survey.tls_version)
    return Seen(
        host,
        is_plain,
        survey.addresses,
        survey.connect_ms,
        survey.tls_version,
        shown.names,
        shown.issuer,
        shown.begins_ms,
        shown.ends_ms,
        shown.chain_ends_ms,
    )
