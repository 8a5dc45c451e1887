"""With which error does SORACOM refuse?

An error is `{"code", "message"}` with a 4xx. Of the three calls about transfer tokens the API definition
documents one refusal, 404 of the deletion with its message; which codes the others have is written nowhere,
so the sandbox's begin with `SBX` and are nobody's to rely on. Pure.
"""

from __future__ import annotations

from enum import Enum

from relay.sandbox.system import Answer, Refusal


class Code(Enum):
    """Every error: its HTTP status, its code and its message."""

    INVALID = (400, "SBX0001", "Invalid request.")
    UNAUTHORIZED = (401, "SBX0002", "The API key or the token is invalid or has expired.")
    NO_TOKEN = (404, "SBX0003", "Transfer token does not exist.")
    NO_SIM = (404, "SBX0004", "The SIM does not exist.")
    NO_OPERATOR = (404, "SBX0005", "The operator does not exist.")
    NOT_READY = (400, "SBX0006", "Only SIMs whose status is ready can be transferred.")
    IN_TRANSFER = (400, "SBX0007", "The SIM is being transferred already.")
    NO_MATCH = (400, "SBX0008", "The e-mail address and the id of the destination operator do not match.")
    SAME_OPERATOR = (400, "SBX0009", "The destination is the operator that the SIMs belong to.")
    OTHER_COVERAGE = (400, "SBX0010", "SIMs cannot be transferred between these operators.")
    NO_PAYMENT = (400, "SBX0011", "Set a payment method before you accept SIMs.")
    NOT_YOURS = (403, "SBX0012", "The token is for another operator.")
    ALL_VOID = (400, "SBX0013", "No SIM of this transfer is ready any more.")
    TERMINATED = (400, "SBX0014", "A terminated SIM can neither be used nor transferred.")
    PROTECTED = (400, "SBX0015", "The SIM is protected from termination.")
    NOT_AGAIN = (400, "SBX0016", "The status of a SIM cannot become ready again.")
    STILL_READY = (400, "SBX0017", "A SIM that is ready is transferred by a token.")
    NO_APPLICATION = (404, "SBX0018", "There is no such application.")

    def refuse(self, why: str = "", about: str = "") -> Refusal:
        """The refusal, to raise; `why` follows the message."""
        status, code, message = self.value
        text = f"{message} {why}".strip()[:1024]
        return Refusal(Answer(status, {"code": code, "message": text}), f"{status}, code {code}: {text}", about)
