"""Keeps coders' threads at the priority that the program's have.

SVT-AV1 gives itself real-time priority wherever it is allowed to, as root or in a container that is: its own
threads, and the one that opens it. Threads with that policy run before everything else on the machine; two
pictures at once can make it stand still, event loops first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["ordinary_scheduling"]

_TASKS = "/proc/self/task"


def _threads() -> set[int]:
    """This process's threads, as the kernel numbers them; none where it does not tell."""
    try:
        return {int(name) for name in os.listdir(_TASKS)}
    except OSError:
        return set()


@contextlib.contextmanager
def ordinary_scheduling() -> Iterator[None]:
    """Undo what happens inside to the scheduling of this thread and of threads that are started there.

    Nothing is touched unless this thread's policy has changed.
    """
    if not hasattr(os, "sched_getscheduler"):  # neither Windows nor macOS has these policies
        yield
        return
    policy, parameters, before = os.sched_getscheduler(0), os.sched_getparam(0), _threads()
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            for thread in (0, *(_threads() - before)):
                with contextlib.suppress(OSError):  # it may have ended
                    os.sched_setscheduler(thread, policy, parameters)
