"""Which addresses are this machine's own?

A relay with a public address could be asked to call itself, or what else listens beside it, by that
address. The kernel knows its addresses; one that a router in front translates is the operator's to name
(`[egress] deny_networks`).
"""

from __future__ import annotations

import re
from functools import cache
from ipaddress import IPv6Address
from pathlib import Path

_V4 = Path("/proc/net/fib_trie")
_V6 = Path("/proc/net/if_inet6")
# A leaf of the routing trie, and below it what the kernel does with the address.
_LOCAL = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")


@cache
def own_addresses() -> frozenset[str]:
    """Every address of every interface, as they were when first asked. Empty where the kernel does not show them in /proc."""
    return frozenset(_LOCAL.findall(_read(_V4))) | frozenset(
        str(IPv6Address(int(line.split()[0], 16))) for line in _read(_V6).splitlines()
    )


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError:
        # Another kernel than Linux, or IPv6 switched off: nothing to add to the tables.
        return ""
