"""What pictures may take of memory: of one decoder, and of all decoders of a connection.

A few bytes of a header make a decoder allocate pictures of any size, and many of them. So sizes are read from
the headers, and what the pictures will take is reserved before the decoder is given them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from rtcstack.codecs.payload.sequence import Sequence

__all__ = [
    "DEFAULT_MAX_BYTES",
    "DEFAULT_MAX_PIXELS",
    "DecoderLimits",
    "PictureBudget",
    "needed_bytes",
]

DEFAULT_MAX_PIXELS = 4096 * 2304
"""Of one picture, unless the settings say more."""

DEFAULT_MAX_BYTES = 512 << 20
"""Of all pictures of a connection: references, and those that wait for their sound or for a reader."""

_LARGEST_REFERENCED = 8
"""Pictures of the largest size that may be referred to; more of smaller ones. VP9 and AV1 have so many slots,
whatever they use of them; H.265 is bound to 6 (section A.4.2), H.264 to fewer."""

_LARGEST_HELD = 6
"""Pictures of the largest size that may be held back to bring them in order; more of smaller ones."""

_IN_WORK = 3
"""Pictures that a decoder works on beside its references, and that are on their way."""

_UNREAD = 4
"""Pictures that readers have not taken: the newest ones, which all readers share."""


class PictureBudget:
    """Bytes that all decoders of a connection share. Used by any thread.

    Args:
        limit_bytes: together.
    """

    __slots__ = ("_lock", "_taken", "_used", "limit_bytes")

    def __init__(self, limit_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._taken: dict[int, int] = {}
        self._used = 0

    @property
    def used_bytes(self) -> int:
        """What is reserved."""
        return self._used

    @property
    def free_bytes(self) -> int:
        """What is not."""
        return self.limit_bytes - self._used

    def reserve(self, owner: object, wanted_bytes: int) -> bool:
        """Reserve so much for an owner, instead of what it had; whether there is room.

        An owner must `release` before it goes.
        """
        key = id(owner)
        with self._lock:
            used = self._used - self._taken.get(key, 0) + wanted_bytes
            if used > self.limit_bytes:
                return False
            self._taken[key] = wanted_bytes
            self._used = used
            return True

    def release(self, owner: object) -> None:
        """An owner needs nothing any more."""
        with self._lock:
            self._used -= self._taken.pop(id(owner), 0)


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """What a decoder may use.

    Attributes:
        max_pixels: of one picture.
        budget: that it shares with others; None for none.
    """

    max_pixels: int = DEFAULT_MAX_PIXELS
    budget: PictureBudget | None = None

    def objection(self, sequence: Sequence) -> str | None:
        """Why such pictures are not decoded; None when they are."""
        pixels = sequence.pixels
        size = f"{sequence.width}x{sequence.height}"
        if pixels > self.max_pixels:
            return f"pictures of {size} are larger than {self.max_pixels} pixels (max_decoded_pixels)"
        if sequence.references * pixels > _LARGEST_REFERENCED * self.max_pixels:
            return (
                f"pictures of {size} refer to {sequence.references} others: more than memory is granted for"
            )
        return None

    def max_held(self, pixels: int) -> int:
        """Pictures that a decoder may hold back to bring them in order."""
        return max(2, _LARGEST_HELD * self.max_pixels // max(1, pixels))


def needed_bytes(sequence: Sequence) -> int:
    """What a stream's pictures take: references, those in work, and those that nobody has read yet."""
    return sequence.picture_bytes * (sequence.references + _IN_WORK + _UNREAD)
