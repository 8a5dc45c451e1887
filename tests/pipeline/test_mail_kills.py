"""A worker is killed at each step of sending a mail: is one lost, and does one come twice?

The Procfile's own processes, and a mail server that stops at a step so that the worker is killed just there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.embedded import EmbeddedValkey
from tests.fakes.mail_server import HANG, STEPS, MailServer
from tests.pipeline.caller import eventually
from tests.pipeline.events import step
from tests.pipeline.rig import Rig

pytestmark = pytest.mark.timeout(300)
KILLED_AT = [*(name for name in STEPS if name != "starttls"), "after the dot"]


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A server of its own, so that the worker's leases are nobody else's."""
    with EmbeddedValkey.start(tmp_path / "data") as made:
        yield made


async def test_a_worker_killed_at_any_step_loses_nothing_and_doubles_only_what_may_have_arrived(
    own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with (
        MailServer() as server,
        Rig(own_valkey, tmp_path, RELAY_WORKER__LEASE_SECONDS="2", RELAY_MAIL__URL=server.url) as rig,
    ):
        copies: dict[str, list[str]] = {}
        for n, killed_at in enumerate(KILLED_AT):
            taken = killed_at == "after the dot"
            name = "dot" if taken else killed_at
            address = f"kill-{n}@reader.example"
            server.hang_up()  # the next message begins with a connection
            server.will(name, dataclasses.replace(HANG, keep=taken))
            before = server.seen[name]
            customer = {"id": "relecloud", "name": "Relecloud", "contacts": [{"email": address}]}
            await rig.api.post(step(f"kill-{n}", "created", 1, customer=customer))
            await server.at(name, before + 1)
            rig.kill("worker")
            rig.bring_back("worker")

            async def arrived(transfer: str = f"kill-{n}") -> str | None:
                (one,) = await rig.api.all(f"/v1/transfers/{transfer}/deliveries?channel=email")
                return None if one["status"] == "pending" else str(one["status"])

            assert await eventually(arrived, f"the mail of {killed_at}") == "delivered"
            copies[killed_at] = [kept.message_id for kept in server.kept if kept.to == address]
    assert {killed_at: len(ids) for killed_at, ids in copies.items()} == {
        killed_at: 2 if killed_at == "after the dot" else 1 for killed_at in KILLED_AT
    }
    assert all(len(set(ids)) == 1 for ids in copies.values()), "a double is known by its Message-ID"
