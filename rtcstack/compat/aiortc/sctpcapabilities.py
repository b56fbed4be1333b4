"""What descriptions say of SCTP."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RTCSctpCapabilities"]


@dataclass
class RTCSctpCapabilities:
    """The largest message that an end takes, in bytes; 0 for any."""

    maxMessageSize: int
