"""With which error does the system refuse?

The codes and their texts are the documented ones of Partner Center (REST error codes, 2020 and 2021); which
of them the current system uses for a rule that it has got since is inferred, and said so in docs/sources.md.
The body is `{"code", "description", "data", "source"}`. Pure.
"""

from __future__ import annotations

from enum import Enum

from relay.sandbox.system import Answer, Refusal

_SOURCE = "PartnerCenterSandbox"


class Code(Enum):
    """Every error: its HTTP status, its code and its text."""

    ACCESS_DENIED = (401, "400", "Access denied")
    NOT_ALLOWED = (403, "2032", "Access denied")
    TOKEN_MISSING = (401, "800001", "Partner Token missing in request context")
    INVALID = (400, "800002", "Invalid request input")
    NOT_FOUND = (404, "1000", "Not found")
    TENANT_NOT_FOUND = (404, "60003", "Tenant not found")
    NO_RELATIONSHIP = (403, "20002", "This partner has no commerce relationship with the customer")
    NO_AGREEMENT = (403, "13605", "The customer must accept the Microsoft Customer Agreement before you can complete this")
    NOT_A_RESELLER = (400, "800016", "MPN Id is not a valid Indirect Reseller")
    INVALID_SUBSCRIPTION = (400, "800078", "Transfer cannot be created with invalid subscription")
    NO_TRANSFER = (404, "900100", "Transfer request not found")
    IN_PROGRESS = (409, "900101", "This transfer is not allowed as original transfer {0} is in progress")
    CANNOT = (400, "900102", "Cannot process the transfer request for {1} transfer {0}")
    BUSY = (409, "900104", "Transfer {0} is being processed by another request")
    NO_AZURE_PLAN = (400, "900133", "The Azure plan is not purchased")
    SOURCE_MISSING = (400, "900136", "Source partner details are missing in the request")
    NOT_ENABLED = (403, "900137", "This partner is not enabled for transfers")
    THIRD_PARTY = (400, "900146", "Third-party marketplace products cannot be transferred")
    SAME_PARTNER = (400, "900148", "Source partner details matched with requesting partner")

    def refuse(self, *names: str, why: str = "", about: str = "") -> Refusal:
        """The refusal, to raise. `names` fill in the text, `why` follows it."""
        status, code, text = self.value
        for place, name in enumerate(names):
            text = text.replace(f"{{{place}}}", name)
        description = f"{text}: {why}" if why else text
        body = {"code": code, "description": description[:1024], "data": [], "source": _SOURCE}
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        return Refusal(Answer(status, body, headers), f"{status}, code {code}: {description}", about)
