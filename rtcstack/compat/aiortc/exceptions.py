"""What calls raise. The first three are the W3C's errors, as the rest of this stack has them."""

from __future__ import annotations

from rtcstack.errors import InvalidAccessError, InvalidStateError, OperationError

__all__ = ["InternalError", "InvalidAccessError", "InvalidStateError", "OperationError"]


class InternalError(Exception):
    """An argument that is none: an unknown kind, or direction."""
