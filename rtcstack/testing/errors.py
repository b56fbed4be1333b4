"""What a virtual internet says instead of waiting without end."""

from __future__ import annotations

__all__ = ["NothingHappensError", "RealWaitError", "TimeLimitError", "VirtualTimeError"]


class VirtualTimeError(RuntimeError):
    """The loop cannot go on. The message lists the tasks that wait, each with the line that it waits at."""


class NothingHappensError(VirtualTimeError):
    """No callback is ready, no timer is set and no packet is on its way: what is waited for never comes."""


class TimeLimitError(VirtualTimeError):
    """More virtual time has passed than `limit_s` allows, or time does not pass any more: some code
    calls itself again at once, without end."""


class RealWaitError(NotImplementedError):
    """Something asked for would wait for the real world (a thread, a process, a file descriptor, a name
    that the internet does not know), for which virtual time does not wait."""
