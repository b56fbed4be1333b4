"""The input as a script of what a hostile peer, or a hostile network, does to good packets."""

from __future__ import annotations

from collections import deque

__all__ = ["MAX_PACKET_BYTES", "Mutator", "Script"]

MAX_PACKET_BYTES = 4000
"""Longest packet that is made of others."""

REMEMBERED = 16
"""Packets that may come again, or whose parts may."""

_EDGES = (b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"\0\0", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff")


class Script:
    """Bytes that are read one after the other; when they are used up, zeros: nothing is done then."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        """Whether all has been read."""
        return self._at >= len(self._data)

    def byte(self) -> int:
        """The next byte."""
        if self._at >= len(self._data):
            return 0
        self._at += 1
        return self._data[self._at - 1]

    def number(self) -> int:
        """The next two bytes as one number."""
        return self.byte() << 8 | self.byte()

    def take(self, count: int) -> bytes:
        """The next bytes, at most so many."""
        piece = self._data[self._at : self._at + count]
        self._at += len(piece)
        return piece

    def piece(self) -> bytes:
        """Bytes behind their length."""
        return self.take(self.byte())


class Mutator:
    """What becomes of each packet that passes.

    Attributes:
        seen: the last good ones.
        changed: how many were not passed on as they were.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: deque[bytes] = deque(maxlen=REMEMBERED)
        self.changed = 0
        self._held: list[bytes] = []

    def pass_on(self, packets: list[bytes]) -> list[bytes]:
        """The packets as they arrive."""
        out: list[bytes] = []
        for packet in packets:
            self.seen.append(packet)
            out += self._one(packet)
        if self._held and self.script.is_over:
            out += self._held
            self._held.clear()
        return out

    def _one(self, packet: bytes) -> list[bytes]:
        script = self.script
        action = script.byte() % 16
        if action < 4:
            return [packet]
        self.changed += 1
        match action:
            case 4:
                return []
            case 5:
                return [packet, self._earlier()]
            case 6:  # late
                self._held.append(packet)
                return []
            case 7:
                held, self._held = self._held, []
                return [packet, *held[::-1]]
            case 8:
                return [self.damage(packet), packet]
            case 9:
                return [packet, script.piece()]
        return [self.damage(packet)]

    def _earlier(self) -> bytes:
        return self.seen[self.script.byte() % len(self.seen)]

    def damage(self, packet: bytes) -> bytes:
        """A packet with something done to it, up to four times."""
        script = self.script
        data = bytearray(packet)
        for _ in range(script.byte() % 4 + 1):
            at = script.number() % (len(data) + 1)
            match script.byte() % 8:
                case 0 if at < len(data):
                    data[at] = script.byte()
                case 1:
                    edge = _EDGES[script.byte() % len(_EDGES)]
                    data[at : at + len(edge)] = edge
                case 2:
                    del data[at:]
                case 3:
                    del data[at : at + script.byte()]
                case 4:
                    data[at:at] = script.piece()
                case 5 if self.seen:  # spliced
                    data[at:] = self._earlier()[at:]
                case 6:
                    piece = data[at : at + script.byte()]
                    data[at:at] = piece * (script.byte() % 8)
                case _:
                    data[at : at + 4] = script.take(4)
        return bytes(data[:MAX_PACKET_BYTES])
