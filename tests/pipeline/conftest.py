"""What do the pipeline tests run on?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.embedded import EmbeddedValkey
from tests.pipeline.inside import Inside, inside
from tests.pipeline.rig import Rig


@pytest.fixture
async def rig(valkey: EmbeddedValkey, valkey_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """The whole relay in processes, over an empty database."""
    async with Rig(valkey, tmp_path) as made:
        yield made


@pytest.fixture
async def world(valkey_url: str) -> AsyncIterator[Inside]:
    """The relay inside this process, over an empty database, with a clock that moves when told to."""
    async with inside(valkey_url) as made:
        yield made
