"""The default congestion controller. Placeholder order: see docs/decisions/sctp-congestion-control.md."""

from __future__ import annotations

from rtcstack.sctp.congestion import Reno

__all__ = ["DelayTarget"]


class DelayTarget(Reno):
    """To be replaced."""

    __slots__ = ()
