"""Which changes of a description of ours are taken: what it says of codecs, mids and directions.

The W3C forbids any (webrtc-pc, section 4.4.2, setLocalDescription); other stacks, and programs that were
written for them, do without the prohibition.
"""

from __future__ import annotations

from dataclasses import replace

from rtcstack.errors import InvalidModificationError
from rtcstack.jsep.negotiation import Description

__all__ = ["take_altered"]


def take_altered(made: Description, text: str) -> Description:
    """A description of ours after the application has changed its text.

    Args:
        made: as it was created.
        text: as it is to be set.

    Raises:
        RTCError: it is no SDP any longer.
        InvalidModificationError: it has other sections, a section without a mid, or says something else of a
            transport than what that is.
    """
    given = Description.parse(made.type, text)
    assert made.parsed is not None
    assert given.parsed is not None
    if [each.kind for each in given.parsed.media] != [each.kind for each in made.parsed.media]:
        raise InvalidModificationError("setLocalDescription: the description has lost or won sections")
    for theirs, ours in zip(given.parsed.media, made.parsed.media, strict=True):
        if theirs.mid is None:
            raise InvalidModificationError("setLocalDescription: a section has no mid")
        if (theirs.ice_ufrag, theirs.ice_pwd, theirs.fingerprints) != (
            ours.ice_ufrag,
            ours.ice_pwd,
            ours.fingerprints,
        ):
            raise InvalidModificationError(
                f"setLocalDescription: credentials or fingerprint of section {theirs.mid!r} are not ours"
            )
    return replace(given, transceivers=made.transceivers)
