"""Blob: immutable bytes with a type.

Spec: W3C File API, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Blob"]


class Blob:
    """Immutable raw data.

    Args:
        parts: bytes-like objects, str (encoded as UTF-8) or other blobs, joined.
        type: a MIME type, or "".
    """

    __slots__ = ("_data", "type")

    def __init__(
        self,
        parts: Iterable[bytes | bytearray | memoryview | str | Blob] = (),
        type: str = "",  # noqa: A002 - the W3C's name
    ) -> None:
        joined: list[bytes] = []
        for part in parts:
            if isinstance(part, Blob):
                joined.append(bytes(part))
            elif isinstance(part, str):
                joined.append(part.encode())
            else:
                joined.append(bytes(part))
        self._data: bytes = b"".join(joined)
        self.type = type.lower()

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self._data)

    def slice(self, start: int = 0, end: int | None = None, contentType: str = "") -> Blob:
        """A part of it; negative positions count from the end."""
        return Blob((self._data[start:end],), contentType)

    async def arrayBuffer(self) -> bytes:
        """The data."""
        return self._data

    async def text(self) -> str:
        """The data as UTF-8 text; malformed sequences become U+FFFD."""
        return self._data.decode("utf-8", "replace")

    def __bytes__(self) -> bytes:
        return self._data

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"<Blob {self.size} bytes {self.type}>"
