"""Whose certificate may the mail server show, and why was this one refused?

The system's authorities, and those of `mail.ca_file` besides: a relay beside its own mail server often
meets a self-signed certificate, and the cure is to name it, never to stop looking.
"""

from __future__ import annotations

import ssl

from relay.errors import ConfigError

_NO_AUTHORITY = frozenset({18, 19, 20, 21})
"""OpenSSL's verify codes (X509_V_ERR_…) for a chain that ends in no known authority."""
_OTHER_NAME = frozenset({62, 64})
"""… for a certificate of another host name or address."""


def trust_of(ca_file: str) -> ssl.SSLContext:
    """A client's context, names checked; ConfigError when `ca_file` is not a PEM file of certificates."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ValueError) as problem:  # an SSLError is an OSError: no certificate in it
            why = "is not a PEM file of certificates" if isinstance(problem, ssl.SSLError) else "cannot be read"
            raise ConfigError([f"mail.ca_file: {ca_file} {why}"]) from None
    return context


def why_insecure(error: ssl.SSLError) -> str:
    """What stood in the way of TLS, and the cure where the operator has one."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return "no secure connection to the mail server: TLS could not be agreed"
    if error.verify_code in _NO_AUTHORITY:
        cure = "name its authority, or the certificate itself, in mail.ca_file"
    elif error.verify_code in _OTHER_NAME:
        cure = "write the host in mail.url as the certificate has it"
    else:
        cure = "renew it"
    return f"the mail server's certificate is not accepted ({error.verify_message}): {cure}"
