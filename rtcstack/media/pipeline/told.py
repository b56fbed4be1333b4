"""Errors that a peer, or a source, could cause with every frame: each is told once."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["MAX_TOLD", "ToldOnce"]

MAX_TOLD = 16
"""Different errors that one sender or receiver tells; a peer must not be able to make events without end."""


class ToldOnce:
    """Hands an error on, unless one of the same words was handed on before.

    Args:
        on_error: gets it.
    """

    __slots__ = ("_on_error", "_told")

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        self._on_error = on_error
        self._told: set[str] = set()

    def __call__(self, error: Exception) -> None:
        text = str(error)
        if text not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(text)
            self._on_error(error)
