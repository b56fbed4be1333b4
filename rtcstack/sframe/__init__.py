"""SFrame: frames that nobody between the ends can read, whatever carries them.

Spec: RFC 9605.
"""

from rtcstack.sframe.cipher import CipherSuite, FrameKey
from rtcstack.sframe.errors import SFrameError, SFrameFault
from rtcstack.sframe.header import MAX_VALUE, parse_header, write_header
from rtcstack.sframe.keys import MAX_KEYS, Opener, Sealer

__all__ = [
    "MAX_KEYS",
    "MAX_VALUE",
    "CipherSuite",
    "FrameKey",
    "Opener",
    "SFrameError",
    "SFrameFault",
    "Sealer",
    "parse_header",
    "write_header",
]
