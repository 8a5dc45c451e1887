"""What may be asked about the people behind addresses, by whom, and who answers?

A part of the API's one table of routes (`relay.api.routes`).
"""

from __future__ import annotations

from relay.api import suppressions
from relay.api.route import GONE, PAGE, Access, Answer, Param, Route, one_of
from relay.closed import SuppressionReason

_PARTNER = "/v1/partners/{partner}"

MAIL: tuple[Route, ...] = (
    Route("GET", "/v1/suppressions", "listSuppressions", "Mail", Access.OPERATOR,
          "List the addresses that nothing is mailed to", suppressions.list_,
          (Answer(200, "A page of addresses, newest first.", suppressions.SuppressionShape, many=True),),
          query=(Param("reason", one_of(SuppressionReason), "Only those for this reason."),
                 Param("email", {"type": "string"}, "Only this address."), *PAGE)),
    Route("POST", "/v1/suppressions", "addSuppression", "Mail", Access.OPERATOR,
          "Have nothing more mailed to an address", suppressions.add,
          (Answer(200, "It is on the list already.", suppressions.SuppressionShape),
           Answer(201, "It is on the list.", suppressions.SuppressionShape)), body=suppressions.SuppressionBody),
    Route("DELETE", "/v1/suppressions/{email}", "removeSuppression", "Mail", Access.OPERATOR,
          "Take an address off the list", suppressions.remove, (GONE,)),
    Route("GET", _PARTNER + "/suppressions", "listPartnerSuppressions", "Mail", Access.PARTNER,
          "List which of a partner's admin agents nothing is mailed to", suppressions.of_partner,
          (Answer(200, "A page of addresses.", suppressions.SuppressionShape, many=True),), query=PAGE),
    Route("DELETE", _PARTNER + "/suppressions/{email}", "removePartnerSuppression", "Mail", Access.PARTNER,
          "Take one of a partner's admin agents off the list", suppressions.remove_of_partner, (GONE,),
          refuses=(403,),
          about="A partner takes off who is there because mail bounced; of complaints, and of those that the "
                "operator put there, only the operator."),
)  # fmt: skip
"""What needs a bearer token."""
