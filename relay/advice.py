"""What does a failed attempt mean, and what is to be done about it?

One or two plain sentences for the person who looks at it: what happened, then the cure. Of an attempt that
reached nobody the words follow from the outcome alone; they name no address, port or duration. CURES does the
same for what a receiver that verifies signatures does wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.mistakes import Mistake
from relay.model import Attempt, Outcome

_SIGNATURE = (
    "Most often its signature check fails: `verify-help` says why, given what it computed. If a gateway in front "
    "wants credentials of its own, add them to the endpoint's `headers`."
)
_LOG = "Look into the receiver's log at this time; answer 2xx as soon as the message is stored, and work afterwards."
_BY_STATUS: Mapping[int, str] = {
    400: "The receiver found something wrong with the request. Its answer usually says what; a failed signature "
    "check is often answered so too, and `verify-help` says why it failed.",
    401: f"The receiver does not believe who sent this. {_SIGNATURE}",
    402: "What stands in front of the receiver wants to be paid first: see to the plan of its hosting.",
    403: f"The receiver, or a firewall in front of it, does not let this in. {_SIGNATURE}",
    404: "The receiver has nothing at this path. Correct the endpoint's URL, or deploy the route.",
    405: "The receiver takes no POST at this path. Correct the URL, or let the route take POST.",
    406: "The receiver does not take this kind of message: it must accept application/json.",
    408: "The receiver waited too long for the request itself. Look for a slow gateway in front of it.",
    409: "The receiver sees a conflict. If it has had this `webhook-id` before, it should answer 2xx.",
    411: "The receiver wants a length that a gateway in front of it took away: let it pass Content-Length.",
    413: "The message is larger than the receiver takes. Raise its limit to 1 MiB.",
    415: "The receiver does not take this kind of message: it must accept application/json.",
    421: "The answer came from a server that does not serve this name. Check where the name leads.",
    422: "The receiver read the message and does not accept what is in it. Its answer usually says what: let it "
    "ignore what it does not know.",
    425: "The receiver does not want early data. It will be tried again.",
    431: "The receiver finds the headers too large. Register fewer or shorter `headers`.",
    451: "The receiver may not take this message for legal reasons.",
    500: f"The receiver's own code failed. {_LOG}",
    501: "The receiver does not know how to take a POST. Correct the URL, or let the route take POST.",
    502: "A gateway in front of the receiver got no usable answer from it. See whether the receiver is running.",
    503: "The receiver says that it is not available just now. It is tried again; nothing needs to be done unless "
    "this lasts.",
    504: "A gateway in front of the receiver waited for it in vain. Let it answer 2xx as soon as the message is "
    "stored, and work afterwards.",
    507: "The receiver has no room left. Free some.",
    511: "A network in front of the receiver wants somebody to sign in. Take the receiver out from behind it.",
}
_BY_OUTCOME: Mapping[Outcome, str] = {
    Outcome.REJECTED: "The receiver did not accept the message. Its answer may say why.",
    Outcome.GONE: "The receiver asks for no more messages: the endpoint is disabled, and nothing is lost. Enable it again when it wants them, or remove it.",
    Outcome.THROTTLED: "The receiver asks for fewer requests, and gets them: the relay waits as its Retry-After "
    "says. Set a `rate_limit` on the endpoint that it can bear.",
    Outcome.UNAVAILABLE: _BY_STATUS[503],
    Outcome.SERVER_ERROR: f"The receiver, or what stands in front of it, failed. {_LOG}",
    Outcome.REDIRECTED: "The receiver answered with a redirect, which is never followed. Register the URL that it "
    "leads to in the end.",
    Outcome.CONNECTION_REFUSED: "No connection could be made. See that the receiver is running, listens on the URL's "
    "port, and that its firewall lets the relay in.",
    Outcome.CONNECTION_LOST: "The connection was closed before an answer came. The receiver, or a gateway in front of "
    "it, crashed, restarted or cut the connection: look into its log.",
    Outcome.DNS_FAILED: "The URL's host name has no address. Check its spelling and its DNS records.",
    Outcome.TLS_FAILED: "No secure connection could be made. See that the certificate is valid for this host name, is "
    "sent with its intermediate certificates, and that TLS 1.2 or later is offered.",
    Outcome.TIMED_OUT: "No answer came in time. See that the receiver can be reached, answers 2xx as soon as the "
    "message is stored, and works afterwards. It may have taken the message: expect the same `webhook-id` again.",
    Outcome.BLOCKED: "The URL is not one that the relay may call, or leads to an address that it may not; nothing was "
    "sent. Give a URL on the public internet, or ask the relay's operator to allow its network.",
    Outcome.PROTOCOL_ERROR: "What came back is not an answer of the expected protocol. See what listens on that port.",
    Outcome.UNSENDABLE: "It could not be sent as it is registered. Rotate the endpoint's secret and set its headers "
    "anew, then resend; if that does not help, ask the relay's operator.",
    Outcome.DEFERRED: "The mail server put the message off. It is tried again; nothing needs to be done unless this lasts.",
    Outcome.BOUNCED: "The mail server does not deliver to this mailbox. Correct the address, then resend.",
    Outcome.REFUSED: "The mail server does not want this message. Its answer says why: often the sender's domain is not "
    "set up (SPF, DKIM, DMARC) or its address has a bad name.",
    Outcome.AMBIGUOUS: "The connection was lost just after the message was handed over, so it may have arrived. It is "
    "tried again with the same Message-ID, by which a mailbox can drop the second.",
    Outcome.TRANSPORT_DOWN: "The relay's own mail server or proxy failed. No attempt is spent; its operator is to mend it.",
    Outcome.ADDRESS_UNSUPPORTED: "The mail server takes no such address. Give one of ASCII characters.",
}


REACHED_NOBODY = frozenset(
    {Outcome.BLOCKED, Outcome.CONNECTION_REFUSED, Outcome.DNS_FAILED, Outcome.TIMED_OUT}
)


def reached_nobody(attempt: Attempt) -> bool:
    """Whether nobody was there, as far as is known: then a partner is told the outcome and nothing more. A
    time-out may be the connection's or the answer's, which is not told apart either."""
    return attempt.status is None and attempt.outcome in REACHED_NOBODY


def advise(attempt: Attempt, *, quiet: bool = False) -> str | None:
    """What happened and what to do; None when nothing failed. `quiet` leaves out what only an attempt
    that connected could know."""
    if attempt.outcome is Outcome.ACCEPTED:
        return None
    general = _BY_OUTCOME[attempt.outcome]
    if quiet:
        return general
    if attempt.outcome is Outcome.TLS_FAILED and "certificate" in attempt.detail:
        return attempt.detail
    if attempt.outcome in (Outcome.UNSENDABLE, Outcome.BLOCKED) and attempt.detail:
        return f"{attempt.detail} {general}"
    if attempt.outcome not in _BY_ANSWER or attempt.status is None:
        return general
    said = f"It answered {attempt.status}. "
    if attempt.outcome is Outcome.REDIRECTED:
        where = (value for name, value in attempt.answer_headers.items() if name.lower() == "location")
        said = f"It answered {attempt.status}, to {to}. " if (to := next(where, "")) else said
        return said + general
    return said + _BY_STATUS.get(attempt.status, general)


_BY_ANSWER = frozenset(
    {Outcome.REJECTED, Outcome.SERVER_ERROR, Outcome.UNAVAILABLE, Outcome.GONE, Outcome.THROTTLED, Outcome.REDIRECTED}
)

_KEY = "The key is what stands behind `whsec_`, base64-decoded"
_RAW = "sign the raw bytes of the request, before anything parses them"
CURES: Mapping[Mistake, str] = {
    Mistake.COMPARISON: "The signature is right. So the comparison is wrong: the header is a list, divided by spaces, of "
    "`v1,<base64>`; the message is genuine when any one of them is yours. Or its time was refused: give `clock`.",
    Mistake.KEY_UNDECODED: f"The secret was used as text. {_KEY}: 24 to 64 bytes.",
    Mistake.PREFIX_KEPT: f"The secret was used with its prefix `whsec_`. {_KEY}.",
    Mistake.KEY_MANGLED: f"The secret was changed on its way (a line end, quotes, hexadecimal or another base64 "
    f"alphabet). {_KEY}: standard base64, nothing around it.",
    Mistake.KEY_EMPTY: "The secret was empty: the receiver's setting is not set, or not read.",
    Mistake.OLD_KEY: "A previous secret was used. Take the current one (`…/secret`); while the old one is valid, the "
    "header carries its signature too: accept when any one matches.",
    Mistake.OTHER_KEY: "The secret of another of your endpoints was used. Each endpoint has its own.",
    Mistake.ID_MISSING: "The id was left out. What is signed is `{webhook-id}.{webhook-timestamp}.{body}`.",
    Mistake.TIMESTAMP_MISSING: "The timestamp was left out. What is signed is `{webhook-id}.{webhook-timestamp}.{body}`.",
    Mistake.BODY_ONLY: "Only the body was signed. What is signed is `{webhook-id}.{webhook-timestamp}.{body}`.",
    Mistake.BODY_MISSING: "The body was empty when it was signed: something had read it before. Read the raw body first.",
    Mistake.PARTS_SWAPPED: "The parts are in another order. It is `{webhook-id}.{webhook-timestamp}.{body}`.",
    Mistake.SEPARATOR: "The parts are joined otherwise. A full stop stands between them: `{webhook-id}.{webhook-timestamp}.{body}`.",
    Mistake.WRONG_ID: "Another id was signed. Take the header `webhook-id` as it came.",
    Mistake.WRONG_TIMESTAMP: "Another time was signed. Take the header `webhook-timestamp` of this same request as it "
    "came: a text of whole seconds, new for every attempt.",
    Mistake.JSON_RESERIALISED: f"The body was parsed and written again, which changes its bytes: {_RAW} "
    "(`await request.read()`, `express.raw()`, `php://input`, `io.ReadAll`).",
    Mistake.TRAILING_NEWLINE: f"A line end or a space was added to the body, or taken away: {_RAW}.",
    Mistake.WRONG_CHARSET: f"The body was decoded and encoded in another charset: {_RAW}, or read them as UTF-8.",
    Mistake.BODY_PRINTED: f"The body was printed by the language (as an object or with quotes): {_RAW}.",
    Mistake.BODY_ENCODED: "The body was still encoded by the gateway (base64, hexadecimal): decode it, then sign the bytes.",
    Mistake.PART_OF_BODY: f"Only a part of the body was signed: {_RAW}, all of them.",
    Mistake.OTHER_BODY: f"The body is not the one that was sent: {_RAW}, of this same request.",
    Mistake.HEX: "The signature was written in hexadecimal. In the header it is base64.",
    Mistake.BASE64URL: "The signature was written in the URL alphabet of base64, or without its `=`. In the header it is "
    "standard base64.",
    Mistake.ENCODED_TWICE: "The signature was encoded twice. Encode the raw digest once, in base64.",
    Mistake.WRONG_HASH: "Another hash was used. It is HMAC with SHA-256.",
    Mistake.NOT_HMAC: "A plain hash was used, or key and content are swapped. It is HMAC-SHA256(key, content).",
    Mistake.KEY_PAIR: "That is as long as a `v1a` signature, which is made with the key pair: verify it with the public "
    "key of the endpoint's key set. With the secret, compare with `v1`.",
    Mistake.NOT_A_SIGNATURE: "This is no signature: give what the receiver computed, in base64 (44 characters) or "
    "hexadecimal (64).",
    Mistake.CLOCK: "The receiver's clock is more than five minutes away from the time of the request: set it by NTP.",
}
