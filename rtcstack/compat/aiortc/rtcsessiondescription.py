"""RTCSessionDescription: a text and what it is for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RTCSessionDescription"]

_TYPES = ("offer", "pranswer", "answer", "rollback")


@dataclass
class RTCSessionDescription:
    """A session description.

    Attributes:
        sdp: the text.
        type: "offer", "pranswer", "answer" or "rollback".

    Raises:
        ValueError: another type.
    """

    sdp: str
    type: str

    def __post_init__(self) -> None:
        if self.type not in _TYPES:
            raise ValueError(f"'type' must be one of {', '.join(_TYPES)}, not {self.type!r}")
