"""What must hold after each pass of a transport; who looks on says so at once where it does not.

For tests of the stack itself: off unless a loop is made with them, or `enable` was called.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from rtcstack.testing.internet import Internet
from rtcstack.transport.transport import Transport

__all__ = ["InvariantError", "LooksOn", "are_enabled", "enable"]

MAX_IDLE_RINGS = 2
"""Passes that may ask for the same deadline, that has come, without sending anything."""

_CONTENTS_DIGEST_BYTES = 8


class InvariantError(AssertionError):
    """A pass has left something undone, or does the same without end."""


_enabled = False


def enable(on: bool = True) -> bool:
    """Have loops look on, that are made from now on and do not say otherwise.

    Returns:
        What was so before.
    """
    global _enabled
    before, _enabled = _enabled, on
    return before


def are_enabled() -> bool:
    """Whether loops look on that do not say otherwise."""
    return _enabled


@dataclass(slots=True)
class _Seen:
    now: float
    due: float
    sent: int
    rings: int = 0


class LooksOn:
    """Looks on while the transports of a loop work; see `rtcstack.platform.Inspector`.

    Args:
        internet: whose trace is told of what is sent, before it is encrypted.
        checks: whether the invariants are looked at.

    Attributes:
        checks: as given.
        passes: that were looked at.
    """

    def __init__(self, internet: Internet, *, checks: bool) -> None:
        self._internet = internet
        self.checks = checks
        self._seen: weakref.WeakKeyDictionary[Transport, _Seen] = weakref.WeakKeyDictionary()
        self.passes = 0

    def on_plain(self, name: str, packets: Sequence[bytes], now: float) -> None:
        """See `rtcstack.platform.Inspector`."""
        trace = self._internet.trace
        if trace is None or not trace.has_contents:
            return
        for packet in packets:
            digest = hashlib.blake2b(packet, digest_size=_CONTENTS_DIGEST_BYTES).digest()
            trace.note(now, (name, 0), ("plain", 0), len(packet), digest)

    def on_pass(self, transport: object, now: float) -> None:
        """See `rtcstack.platform.Inspector`.

        Raises:
            InvariantError: see there.
        """
        self.passes += 1
        if not self.checks or not isinstance(transport, Transport) or transport.closed:
            return
        due = transport.armed_for
        if due is not None and due <= now:
            self._assert_progress(transport, due, now)
            return
        self._seen.pop(transport, None)
        if not transport.is_flush_pending:
            self._assert_empty(transport, now)

    def _assert_empty(self, transport: Transport, now: float) -> None:
        """No pass follows at once, so what can be sent now has been sent: a second drain has nothing."""
        left: dict[str, int] = {}
        if transport.channels is not None:
            if transport.channels.has_news:
                raise InvariantError(f"{transport.ice.name}: a pass has left something untold")
            left["SCTP"] = len(transport.channels.drain(now))
        left["DTLS"] = len(transport.dtls.drain_runs(now))
        if transport.media is not None and transport.media.srtp is not None:
            left["RTP"] = len(transport.media.session.drain(now))
        if any(left.values()):
            raise InvariantError(f"{transport.ice.name}: a pass has left packets behind: {left}")

    def _assert_progress(self, transport: Transport, due: float, now: float) -> None:
        """A deadline that has come is not asked for again by passes that send nothing."""
        media = transport.media
        sent = transport.dtls.counters.packets_sent + (0 if media is None else media.packets_sent)
        seen = self._seen.get(transport)
        if seen is None or (seen.now, seen.due, seen.sent) != (now, due, sent):
            self._seen[transport] = _Seen(now, due, sent)
            return
        seen.rings += 1
        if seen.rings >= MAX_IDLE_RINGS:
            raise InvariantError(
                f"{transport.ice.name}: passes send nothing, and {self._who(transport)} asks for {due} again"
            )

    @staticmethod
    def _who(transport: Transport) -> str:
        """Which engine's deadline is the earliest."""
        deadlines = {"DTLS": transport.dtls.next_timeout()}
        if transport.channels is not None:
            deadlines["SCTP"] = transport.channels.next_timeout()
        if transport.media is not None:
            deadlines["RTP"] = transport.media.session.next_timeout()
        known = {name: due for name, due in deadlines.items() if due is not None}
        return min(known, key=lambda name: known[name]) if known else "nobody"
