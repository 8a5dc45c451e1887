"""What is left to the collector of cycles?"""

from __future__ import annotations

import gc
import types
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def frames_left() -> Iterator[set[str]]:
    """The names of the functions whose frames, once the block has ended, wait for the collector."""
    left = set[str]()
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left |= {one.f_code.co_qualname for one in gc.garbage if isinstance(one, types.FrameType)}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
