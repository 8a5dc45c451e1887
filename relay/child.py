"""How does a process that we start end when we do?

The kernel is asked to kill it when its parent dies, however that dies; on systems without that, whoever
starts next finds it by what it left behind. A child has a process group of its own, so that Ctrl-C
reaches only the parent, which stops its children in order.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def dying_with_parent() -> Callable[[], None] | None:
    """A `preexec_fn` for a child; None where the system offers nothing of the kind.

    The signal comes when the *thread* that started the child ends, so start it from the main thread.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: nothing may be imported after it
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel was asked
            os._exit(1)

    return ask
