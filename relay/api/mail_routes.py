"""What may be asked about the people behind addresses, by whom, and who answers?

A part of the API's one table of routes (`relay.api.routes`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from relay.api import bounces, deliveries, provider_bounces, ses_bounces, suppressions
from relay.api.route import GONE, PAGE, Access, Answer, Param, Route, one_of
from relay.api.shapes import DeliveryShape, SuppressionShape
from relay.closed import SuppressionReason

_PARTNER = "/v1/partners/{partner}"

MAIL: tuple[Route, ...] = (
    Route("GET", "/v1/suppressions", "listSuppressions", "Mail", Access.OPERATOR,
          "List the addresses that nothing is mailed to", suppressions.list_,
          (Answer(200, "A page of addresses, newest first.", SuppressionShape, many=True),),
          query=(Param("reason", one_of(SuppressionReason), "Only those for this reason."),
                 Param("email", {"type": "string"}, "Only this address."), *PAGE)),
    Route("POST", "/v1/suppressions", "addSuppression", "Mail", Access.OPERATOR,
          "Have nothing more mailed to an address", suppressions.add,
          (Answer(200, "It is on the list already.", SuppressionShape),
           Answer(201, "It is on the list.", SuppressionShape)), body=suppressions.SuppressionBody),
    Route("DELETE", "/v1/suppressions/{email}", "removeSuppression", "Mail", Access.OPERATOR,
          "Take an address off the list", suppressions.remove, (GONE,)),
    Route("POST", "/v1/bounces", "takeBounce", "Mail", Access.OPERATOR,
          "Hand in a message that came to the bounce mailbox, as it is", bounces.take,
          (Answer(200, "What came of it.", bounces.ReturnedShape),),
          query=(Param("recipient", {"type": "string"}, "The address that it came to, where its headers do not have it."),),
          raw="message/rfc822", refuses=(409,),
          about="A delivery status notification (RFC 3464) or a complaint (RFC 5965), believed for the signed return "
                "path in it. A token with the scope `bounces` does this and nothing else."),
    Route("POST", "/v1/deliveries/{delivery}/correct", "correctDelivery", "Mail", Access.OPERATOR,
          "Mail somebody of a transfer at another address, after mail came back", deliveries.correct,
          (Answer(201, "The delivery to the right address.", DeliveryShape),), body=deliveries.CorrectionBody,
          refuses=(409,),
          about="For a customer's contact or a SIM target's root user whose address is on the suppression list. The same "
                "message goes to the right address, and so does what comes later for the wrong one in this transfer."),
    Route("GET", _PARTNER + "/suppressions", "listPartnerSuppressions", "Mail", Access.PARTNER,
          "List which of a partner's admin agents nothing is mailed to", suppressions.of_partner,
          (Answer(200, "A page of addresses.", SuppressionShape, many=True),), query=PAGE),
    Route("DELETE", _PARTNER + "/suppressions/{email}", "removePartnerSuppression", "Mail", Access.PARTNER,
          "Take one of a partner's admin agents off the list", suppressions.remove_of_partner, (GONE,),
          refuses=(403,),
          about="A partner takes off who is there because mail bounced; of complaints, and of those that the "
                "operator put there, only the operator."),
)  # fmt: skip
"""What needs a bearer token."""

_SET_UP = "Not there unless it is set up in `[bounces]`."
PROVIDERS: tuple[tuple[Route, Callable[[web.Request], Awaitable[web.StreamResponse]]], ...] = (
    (Route("POST", "/v1/bounces/postmark", "heardPostmark", "Mail", Access.PUBLIC,
           "Postmark's webhook: bounces and complaints", None,
           (Answer(200, "It is taken.", provider_bounces.HeardShape),), refuses=(401, 404, 408, 413, 422, 429, 503),
           about=f"Proven by the password in its URL (Basic). {_SET_UP}"), provider_bounces.postmark),
    (Route("POST", "/v1/bounces/sendgrid", "heardSendGrid", "Mail", Access.PUBLIC,
           "SendGrid's event webhook: bounces and complaints", None,
           (Answer(200, "It is taken.", provider_bounces.HeardShape),), refuses=(401, 404, 408, 413, 422, 429, 503),
           about=f"Proven by its signature (ECDSA). {_SET_UP}"), provider_bounces.sendgrid),
    (Route("POST", "/v1/bounces/ses", "heardSes", "Mail", Access.PUBLIC,
           "Amazon SES, by SNS: bounces and complaints", None,
           (Answer(200, "It is taken.", provider_bounces.HeardShape),), refuses=(401, 404, 408, 413, 429, 503),
           about="Proven by its signature (RSA), for the topics that are set up alone; their confirmation of the "
                 f"subscription is answered by itself. {_SET_UP}"), ses_bounces.ses),
)  # fmt: skip
"""What mail providers call."""
