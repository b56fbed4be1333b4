"""What a recorder tells."""

from __future__ import annotations

from typing import Any

from rtcstack.events import Event

__all__ = ["MediaRecorderErrorEvent", "RecordedFileEvent"]


class MediaRecorderErrorEvent(Event):
    """A recording has failed.

    Attributes:
        error: why, an OperationError. What had been written is kept.
    """

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        super().__init__("error")
        self.error = error


class RecordedFileEvent(Event):
    """A file is complete and closed.

    Attributes:
        file: its path, or the object that was written to.
    """

    __slots__ = ("file",)

    def __init__(self, file: str | Any) -> None:
        super().__init__("file")
        self.file = file
