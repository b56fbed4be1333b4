"""What is received no more, though its packets may still be on the way.

A section that is put on hold, or stopped, goes from one moment to the next; the peer learns of it a
round trip later. What it sends until then is no fault of its, and must not be taken for media of
another section that happens to use its payload type.

Spec: RFC 9429, section 5.11 (a section that is inactive discards what comes); RFC 9143, section 9.2.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["MAX_RETIRED", "Retired"]

MAX_RETIRED = 1024
"""Sources, and sections, that are remembered; of more, the oldest is forgotten."""


class Retired:
    """Sources and sections of one session that were removed."""

    __slots__ = ("_mids", "_ssrcs")

    def __init__(self) -> None:
        self._ssrcs: dict[int, str] = {}
        self._mids: dict[str, None] = {}

    def retire(self, mid: str, ssrcs: Iterable[int]) -> None:
        """A section was removed, with these sources."""
        self._mids[mid] = None
        for ssrc in ssrcs:
            self._ssrcs.pop(ssrc, None)
            self._ssrcs[ssrc] = mid
        while len(self._mids) > MAX_RETIRED:
            del self._mids[next(iter(self._mids))]
        while len(self._ssrcs) > MAX_RETIRED:
            del self._ssrcs[next(iter(self._ssrcs))]

    def restore(self, mid: str) -> None:
        """The section is received again, from whatever source."""
        if mid in self._mids:
            del self._mids[mid]
            self._ssrcs = {ssrc: other for ssrc, other in self._ssrcs.items() if other != mid}

    def has(self, ssrc: int, mid: str | None) -> bool:
        """Whether a packet is of a source or section that was removed.

        Args:
            ssrc: of the packet.
            mid: the section that it names, if it does.
        """
        return ssrc in self._ssrcs if mid is None else mid in self._mids
