"""Errors become outcomes by type, wherever in the chain they are; what is the relay's own is raised."""

import asyncio
import errno
import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from relay.dialer import BlockedAddress
from relay.egress import Verdict
from relay.model import Outcome
from relay.outcomes import explain, judge

KEY = ConnectionKey("hooks.contoso.com", 443, True, True, None, None, None)


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


TABLE: list[tuple[Exception, Outcome]] = [
    (TimeoutError(), Outcome.TIMED_OUT),
    (aiohttp.ConnectionTimeoutError(), Outcome.TIMED_OUT),
    (aiohttp.ClientConnectorError(KEY, TimeoutError(errno.ETIMEDOUT, "")), Outcome.TIMED_OUT),
    (aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(socket.EAI_NONAME, "")), Outcome.DNS_FAILED),
    (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "")), Outcome.CONNECTION_REFUSED),
    (aiohttp.ClientConnectorError(KEY, OSError(errno.EHOSTUNREACH, "")), Outcome.CONNECTION_REFUSED),
    (aiohttp.ClientConnectorError(KEY, OSError("Multiple exceptions: …")), Outcome.CONNECTION_REFUSED),
    (aiohttp.ClientConnectorError(KEY, ConnectionResetError(errno.ECONNRESET, "")), Outcome.CONNECTION_LOST),
    (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "")), Outcome.TLS_FAILED),
    (caused(aiohttp.ClientOSError(1, ""), ssl.SSLError(1, "")), Outcome.TLS_FAILED),
    (aiohttp.ServerDisconnectedError(), Outcome.CONNECTION_LOST),
    (aiohttp.ClientConnectionResetError(), Outcome.CONNECTION_LOST),
    (aiohttp.ClientOSError(errno.EPIPE, ""), Outcome.CONNECTION_LOST),
    (aiohttp.InvalidURL("x"), Outcome.UNSENDABLE),
    (BlockedAddress(Verdict.PRIVATE), Outcome.BLOCKED),
    (aiohttp.ClientConnectorDNSError(KEY, BlockedAddress(Verdict.PRIVATE)), Outcome.BLOCKED),
    (caused(TimeoutError(), caused(OSError("Multiple"), BlockedAddress(Verdict.LOOPBACK))), Outcome.BLOCKED),
]  # fmt: skip


@pytest.mark.parametrize(("failure", "outcome"), TABLE, ids=lambda value: repr(value)[:60])
def test_each_failure_has_its_outcome(failure: Exception, outcome: Outcome) -> None:
    found, detail = explain(failure)
    assert found is outcome
    assert detail.endswith(".")
    assert "contoso" not in detail


@pytest.mark.parametrize(
    "code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL]
)
def test_a_shortage_of_our_own_is_no_partners_fault(code: int) -> None:
    failure = aiohttp.ClientConnectorError(KEY, OSError(code, "Too many open files"))
    with pytest.raises(aiohttp.ClientConnectorError):
        explain(failure)


@pytest.mark.parametrize("failure", [KeyError("bug"), asyncio.CancelledError()])
def test_a_bug_is_raised(failure: BaseException) -> None:
    with pytest.raises(type(failure)):
        explain(failure)


def test_a_chain_that_turns_on_itself_ends() -> None:
    first, second = TimeoutError(), OSError()
    first.__cause__, second.__cause__ = second, first
    assert explain(first)[0] is Outcome.TIMED_OUT


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600, 1000])
def test_what_is_no_final_status_is_a_protocol_error(status: int) -> None:
    assert judge(status)[0] is Outcome.PROTOCOL_ERROR
