"""One question: when does a recording go on in another file, and what is that called?"""

from __future__ import annotations

import os
from datetime import UTC, datetime

from rtcstack.clock import unix_time

__all__ = ["Rotation"]


class Rotation:
    """Files one after the other.

    Args:
        path: with the fields ``{number}`` and ``{time}`` (UTC) in Python's format syntax; without one of
            them the number is put before the ending.
        every_s: seconds that a file may last, or None.
        every_bytes: how large a file may become, or None.

    Raises:
        ValueError: one of them is none, or the path has another field.

    Attributes:
        path: of the present file.
        base_s: where it begins, in seconds since the beginning of the first.
        is_asked: a key frame has been asked for, to go on in another file with.
    """

    __slots__ = ("_every_bytes", "_every_s", "_named", "_number", "_pattern", "base_s", "is_asked", "path")

    def __init__(self, path: str, every_s: float | None, every_bytes: int | None) -> None:
        if every_s is not None and not every_s >= 1:
            raise ValueError(f"rotate_s must be at least 1, not {every_s}")
        if every_bytes is not None and not every_bytes >= 1:
            raise ValueError(f"rotate_bytes must be at least 1, not {every_bytes}")
        stem, ending = os.path.splitext(path)
        self._pattern = path if "{" in path else f"{stem}-{{number:04}}{ending}"
        self._every_s = every_s
        self._every_bytes = every_bytes
        self._number = 0
        self._named = ""
        self.base_s = 0.0
        self.is_asked = False
        self.path = ""
        try:
            self._name(1)
        except (KeyError, IndexError, ValueError) as exc:
            raise ValueError(f"{path!r} may have the fields {{number}} and {{time}} only: {exc!r}") from None

    def _name(self, number: int) -> str:
        return self._pattern.format(number=number, time=datetime.fromtimestamp(unix_time(), UTC))

    def next(self, base_s: float) -> str:
        """Go on in another file; its path, which no other of this recording has."""
        self._number += 1
        self.base_s = base_s
        self.is_asked = False
        before, self._named = self._named, self._name(self._number)
        self.path = self._named
        if self.path == before:  # two within a second, by the time alone
            stem, ending = os.path.splitext(self.path)
            self.path = f"{stem}-{self._number}{ending}"
        return self.path

    def is_due(self, end_s: float) -> bool:
        """Whether the present file has lasted long enough, or is large enough.

        Args:
            end_s: where the next frame will stand.
        """
        if self._every_s is not None and end_s - self.base_s >= self._every_s - 0.001:
            return True
        return self._every_bytes is not None and _size(self.path) >= self._every_bytes


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
