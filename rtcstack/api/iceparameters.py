"""RTCIceParameters.

Spec: webrtc-pc, section 5.6.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["RTCIceParameters"]


@dataclass(frozen=True, slots=True)
class RTCIceParameters:
    """ICE credentials.

    Attributes:
        usernameFragment: the ufrag.
        password: the password.
    """

    usernameFragment: str
    password: str = field(repr=False)
