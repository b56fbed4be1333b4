"""Where a source stands in libsrtp: its newest packet's index, which libsrtp does not tell.

It is found out by asking for packets that nobody has sent: libsrtp says of one whether it is too
old, before it looks whether it is authentic. So sixteen halvings find the newest sequence number.
Then probes in our own seal, one for each lap, find the rollover counter: the right one is taken.

Spec: RFC 3711, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack

from rtcstack.dtls.srtp_cipher import SrtpCipher

__all__ = ["MAX_LAPS", "NoIndexError", "newest_index"]

MAX_LAPS = 65_536
"""Values of the rollover counter that are tried: more than four thousand million packets."""

_REPLAYED, _TOO_OLD = 9, 10
"""srtp_err_status_replay_fail and _replay_old of libsrtp's srtp.h."""

_QUARTERS = (0, 0x4000, 0x8000, 0xC000)


class NoIndexError(Exception):
    """The source has sent packets, and their index was not found."""


def newest_index(probe: Callable[[bytes], int], cipher: SrtpCipher, ssrc: bytes, window: int) -> int | None:
    """The index of the newest packet that libsrtp knows of a source; None where it knows none.

    Args:
        probe: libsrtp's status for a protected packet; see `SrtpContext.probe`.
        cipher: of the same keys.
        ssrc: of the source.
        window: how many packets libsrtp tells replays of, less than 0x4000.

    Raises:
        NoIndexError: it knows some, but is further than `MAX_LAPS`.
    """
    number = _newest_number(lambda number: probe(_header(number, ssrc) + bytes(cipher.tag_bytes)), window)
    if number is None:
        return None
    source = cipher.source(ssrc)
    for lap in range(MAX_LAPS):
        index = lap << 16 | number
        following = index + 1
        if probe(cipher.seal(source, following, _header(following & 0xFFFF, ssrc), b"")) == 0:
            return index
    raise NoIndexError(f"source {ssrc.hex()} has come further than {MAX_LAPS} laps")


def _newest_number(status: Callable[[int], int], window: int) -> int | None:
    """The sequence number behind which there are `window` ones that are not too old yet."""
    too_old = [status(number) == _TOO_OLD for number in _QUARTERS]
    for quarter, number in enumerate(_QUARTERS):
        if too_old[quarter] and not too_old[(quarter + 1) % 4]:
            old, young = number, number + 0x4000
            while young - old > 1:
                middle = (old + young) // 2
                if status(middle & 0xFFFF) == _TOO_OLD:
                    old = middle
                else:
                    young = middle
            return (old + window) & 0xFFFF
    # on the first lap nothing is too old before the window has been filled
    return next((n for n in reversed(range(window)) if status(n) == _REPLAYED), None)


def _header(number: int, ssrc: bytes) -> bytes:
    return pack("!BBHI", 0x80, 0, number, 0) + ssrc
