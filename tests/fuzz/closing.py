"""What must hold after a close, of every engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["assert_silent"]


def assert_silent(engine: Any, packets: Sequence[Any], now: float, *, answers: bool = False) -> None:
    """An engine that was closed, and has said what it had to say, wants, tells and sends nothing more.

    Args:
        engine: the engine.
        packets: what may still come.
        now: the time.
        answers: whether it may answer each packet, as SCTP does to a peer that has not heard of the end.
    """
    engine.receive(packets, now)
    engine.handle_timeout(now + 100)
    assert engine.next_timeout() is None
    assert not engine.events()
    assert len(engine.drain(now + 100)) <= (len(packets) if answers else 0)
    assert not engine.drain(now + 100)
