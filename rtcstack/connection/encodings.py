"""The streams of a sender: what they are to be, and the sources that carry them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtcstack.entropy import entropy
from rtcstack.jsep import CodecFormat

__all__ = ["Encoding", "SsrcPair", "halves", "new_ssrcs", "proposed_encodings"]


@dataclass(frozen=True, slots=True)
class Encoding:
    """One stream of a sender, as it is wanted ([[SendEncodings]]).

    Attributes:
        rid: its name in simulcast, or None.
        active: whether it is sent.
        max_bitrate_bps: at most, or None.
        max_frame_rate: pictures a second at most, or None.
        scale_down_by: 1.0 or more; 1.0 for sound.
        priority, network_priority: "very-low", "low", "medium" or "high"; of DSCP, or None.
        codec: what to send with; None for the first that was agreed.
        any_parameters: whether `codec` stands for it with whatever parameters.
        scalability_mode: of webrtc-svc, or None.
        adaptive_ptime: let the packet time follow the network.
        scale_down_to: width and height that pictures have at most, in place of `scale_down_by`; or None.
        ptime_ms: sound in a packet that is preferred, or None.
    """

    rid: str | None = None
    active: bool = True
    max_bitrate_bps: int | None = None
    max_frame_rate: float | None = None
    scale_down_by: float = 1.0
    priority: str = "low"
    network_priority: str | None = None
    codec: CodecFormat | None = None
    any_parameters: bool = False
    scalability_mode: str | None = None
    adaptive_ptime: bool = False
    scale_down_to: tuple[int, int] | None = None
    ptime_ms: int | None = None


def proposed_encodings(rids: Sequence[str]) -> tuple[Encoding, ...]:
    """Streams that a peer's offer asks for, each of half the size of the next; one where it names none.

    Spec: webrtc-pc, section 4.4.1.5 (set the session description, proposedSendEncodings).
    """
    if not rids:
        return (Encoding(),)
    return tuple(
        Encoding(rid, scale_down_by=scale) for rid, scale in zip(rids, halves(len(rids)), strict=True)
    )


def halves(count: int) -> list[float]:
    """How streams are scaled down whose sizes nobody chose: the last is whole, each the half of the next."""
    return [float(1 << each) for each in reversed(range(count))]


@dataclass(frozen=True, slots=True)
class SsrcPair:
    """The sources of one encoding."""

    ssrc: int
    rtx_ssrc: int | None


def new_ssrcs(count: int) -> list[SsrcPair]:
    """Random sources, for each of so many encodings; 0 is left out, for it stands for none in feedback."""
    draw = entropy().random.randrange
    return [SsrcPair(draw(1, 0xFFFF_FFFF), draw(1, 0xFFFF_FFFF)) for _ in range(count)]
