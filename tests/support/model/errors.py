"""What the model refuses."""

from __future__ import annotations

__all__ = ["DivergenceError", "RefusedError"]


class RefusedError(Exception):
    """An algorithm throws, or rejects its promise.

    Args:
        name: of the DOMException, or of the ECMAScript error ("TypeError", "RangeError").
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class DivergenceError(AssertionError):
    """The connection did what the model says it must not."""
