"""Is what the database answers told as what it is: away, full, or a fault of ours?"""

from __future__ import annotations

import pytest
from redis.asyncio.connection import DefaultParser

from relay.errors import StoreError, StoreFull, StoreUnavailable
from relay.store.client import translated

AWAY = [
    "CLUSTERDOWN The cluster is down", "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "TRYAGAIN Multiple keys request during rehashing of slot", "LOADING Valkey is loading the dataset in memory",
    "READONLY You can't write against a read only replica.", "NOREPLICAS Not enough good replicas to write.",
    "BUSY Valkey is busy running a script.", "MOVED 3999 127.0.0.1:6381", "ASK 3999 127.0.0.1:6381",
]  # fmt: skip
FULL = ["OOM command not allowed when used memory > 'maxmemory'.", "MISCONF Errors writing to the AOF file: No space left on device"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(reply, StoreUnavailable) for reply in AWAY] + [(reply, StoreFull) for reply in FULL] + [("ERR unknown command", StoreError)],
)
def test_each_answer_is_told_as_what_it_is(reply: str, kind: type[StoreError]) -> None:
    assert type(translated(DefaultParser.parse_error(reply))) is kind
