"""Where chance comes from: the system, or, for `rtcstack.testing` alone, a seed."""

from __future__ import annotations

import base64
import os
import random
import secrets
import uuid

from rtcstack.platform.current import installed
from rtcstack.platform.values import Entropy

__all__ = ["SystemEntropy", "entropy", "random_bytes", "random_hex", "random_token", "random_uuid"]


class SystemEntropy:
    """What the system draws; see `rtcstack.platform.Entropy`."""

    is_seeded = False

    def __init__(self) -> None:
        self.random: random.Random = secrets.SystemRandom()

    bytes = staticmethod(os.urandom)


_system = SystemEntropy()  # one for all: each generator would carry unused state


def entropy() -> Entropy:
    """The running loop's; the system's, if that has none of its own or there is no loop."""
    own = installed()
    return _system if own is None or own.entropy is None else own.entropy


def random_bytes(count: int) -> bytes:
    """So many random bytes."""
    return entropy().bytes(count)


def random_hex(count: int) -> str:
    """So many random bytes in hexadecimal."""
    return entropy().bytes(count).hex()


def random_token(count: int) -> str:
    """So many random bytes as letters, digits, "-" and "_"."""
    return base64.urlsafe_b64encode(entropy().bytes(count)).rstrip(b"=").decode("ascii")


def random_uuid() -> str:
    """A UUID of version 4 (RFC 9562, section 5.4)."""
    return str(uuid.UUID(bytes=entropy().bytes(16), version=4))
