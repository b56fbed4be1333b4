"""MessageEvent.

Spec: HTML, section 9.1.
"""

from __future__ import annotations

from rtcstack.events import Event

__all__ = ["MessageEvent"]


class MessageEvent(Event):
    """A message arrived.

    Attributes:
        data: str for text, bytes for binary (`Blob` when ``binaryType`` is "blob").

    Spec: HTML, section 9.1.
    """

    __slots__ = ("data",)

    def __init__(self, type: str, data: object) -> None:  # noqa: A002
        super().__init__(type)
        self.data = data
