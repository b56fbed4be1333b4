"""Why a frame cannot be opened."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["SFrameError", "SFrameFault"]


class SFrameFault(StrEnum):
    """What is wrong with a frame, as webrtc-encoded-transform calls it (SFrameTransformErrorEventType)."""

    AUTHENTICATION = "authentication"
    KEY_ID = "keyID"
    SYNTAX = "syntax"


class SFrameError(Exception):
    """A frame that cannot be opened.

    Args:
        fault: of which kind.
        message: what was found.
        key_id: of its header, where it has one.
    """

    def __init__(self, fault: SFrameFault, message: str, key_id: int | None = None) -> None:
        super().__init__(message)
        self.fault = fault
        self.key_id = key_id
