"""Lexical rules that SDP's fields and attributes share.

Spec: RFC 8866, section 9 (SDP Grammar).
"""

from __future__ import annotations

import re

from rtcstack.errors import ParseError

__all__ = ["MAX_UINT64", "is_token", "token", "uint"]

MAX_UINT64 = (1 << 64) - 1
_MAX_DIGITS = 20
"""Decimal digits of the largest 64-bit integer: longer ones are refused before they are converted."""

_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+")
"""RFC 8866: token-char = %x21 / %x23-27 / %x2A-2B / %x2D-2E / %x30-39 / %x41-5A / %x5E-7E"""


def is_token(text: str) -> bool:
    """Whether `text` is a `token` of RFC 8866."""
    return _TOKEN.fullmatch(text) is not None


def token(text: str, what: str) -> str:
    """`text` itself if it is a `token`.

    Raises:
        ParseError: it is empty or holds a character that a token may not hold.
    """
    if _TOKEN.fullmatch(text) is None:
        raise ParseError(f"{what} is not a token: {shorten(text)}")
    return text


def uint(text: str, what: str, maximum: int, minimum: int = 0) -> int:
    """The decimal integer `text` within `minimum` and `maximum`, both included.

    Raises:
        ParseError: it is not made of ASCII digits alone, or out of range.
    """
    # isdigit() alone would let other scripts' digits through
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise ParseError(f"{what} is not a number: {shorten(text)}")
    value = int(text)
    if not minimum <= value <= maximum:
        raise ParseError(f"{what} {value} is not within {minimum} and {maximum}")
    return value


def shorten(text: str) -> str:
    """`text` quoted for an error message, never long."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
