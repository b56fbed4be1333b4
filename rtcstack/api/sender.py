"""RTCRtpSender.

Spec: webrtc-pc, section 5.2.
"""

from __future__ import annotations

import asyncio
import copy
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rtcstack.api.capabilities import capabilities
from rtcstack.api.dictionaries import as_dictionary
from rtcstack.api.operations import Operation
from rtcstack.api.parameters import (
    RTCRtcpParameters,
    RTCRtpCapabilities,
    RTCRtpEncodingParameters,
    RTCRtpSendParameters,
)
from rtcstack.api.receiver import codec_parameters, extension_parameters
from rtcstack.errors import InvalidModificationError, InvalidStateError
from rtcstack.media.stream import MediaStream
from rtcstack.media.track import MediaStreamTrack

if TYPE_CHECKING:
    from rtcstack.api.dtlstransport import RTCDtlsTransport
    from rtcstack.jsep.session import Section

__all__ = ["MAX_ENCODINGS", "RTCRtpSender", "check_encodings"]

MAX_ENCODINGS = 8
"""Simulcast streams of one sender; more are cut off (webrtc-pc, section 5.2, addTransceiver)."""

MAX_RID_LENGTH = 255


def check_encodings(kind: str, encodings: Sequence[object]) -> list[RTCRtpEncodingParameters]:
    """The encodings of addTransceiver or setParameters, checked.

    Raises:
        TypeError: a rid is missing, malformed or doubled, or a value is not allowed for the kind.
        ValueError: scaleResolutionDownBy below 1 or a negative maxFramerate (RangeError).
    """
    result = [copy.copy(as_dictionary(RTCRtpEncodingParameters, e)) for e in encodings]
    rids = [e.rid for e in result]
    if len(result) > 1 and None in rids:
        raise TypeError("each of several encodings needs a rid")
    for rid in rids:
        if rid is not None and not (0 < len(rid) <= MAX_RID_LENGTH and rid.isascii() and rid.isalnum()):
            raise TypeError(f"rid {rid!r} must be 1 to {MAX_RID_LENGTH} letters or digits")
    if len(set(rids)) != len(rids):
        raise TypeError("two encodings have the same rid")
    for encoding in result:
        scale, rate = encoding.scaleResolutionDownBy, encoding.maxFramerate
        if kind == "audio":
            encoding.scaleResolutionDownBy = encoding.maxFramerate = None
            continue
        if scale is not None and not scale >= 1.0:
            raise ValueError(f"scaleResolutionDownBy must be 1.0 or more, not {scale}")
        if rate is not None and not rate >= 0.0:
            raise ValueError(f"maxFramerate must be 0 or more, not {rate}")
    del result[MAX_ENCODINGS:]
    if kind == "video" and all(e.scaleResolutionDownBy is None for e in result):
        for i, encoding in enumerate(result):
            encoding.scaleResolutionDownBy = float(2 ** (len(result) - i - 1))
    elif kind == "video":
        for encoding in result:
            if encoding.scaleResolutionDownBy is None:
                encoding.scaleResolutionDownBy = 1.0
    if len(result) == 1:
        result[0].rid = None if not encodings else result[0].rid
    return result


class RTCRtpSender:
    """Sends one track.

    Spec: webrtc-pc, section 5.2.
    """

    def __init__(
        self,
        kind: str,
        track: MediaStreamTrack | None,
        streams: Sequence[MediaStream],
        encodings: Sequence[object],
        on_changed: Callable[[], None],
    ) -> None:
        self.kind = kind
        self._track = track
        self._streams = {s.id: s for s in streams}
        self._encodings = check_encodings(kind, encodings or [RTCRtpEncodingParameters()])
        self._on_changed = on_changed
        self._transport: RTCDtlsTransport | None = None
        self._section: Section | None = None
        self._transaction: str | None = None
        self.stopped = False
        # Written in descriptions while there is no track, so that an offer names the same track
        # before and after replaceTrack.
        self._track_id = track.id if track is not None else secrets.token_hex(16)

    @property
    def track(self) -> MediaStreamTrack | None:
        """What is sent, or None."""
        return self._track

    @property
    def transport(self) -> RTCDtlsTransport | None:
        """What it is sent over; None before negotiation."""
        return self._transport

    @property
    def encodings(self) -> list[RTCRtpEncodingParameters]:
        """The streams."""
        return self._encodings

    @property
    def msids(self) -> tuple[tuple[str, str], ...]:
        """(stream id, track id) pairs for a=msid (RFC 8830)."""
        return tuple((stream, self._track_id) for stream in self._streams) or (("-", self._track_id),)

    @staticmethod
    def getCapabilities(kind: str) -> RTCRtpCapabilities | None:
        """What can be sent.

        Args:
            kind: "audio" or "video"; None is returned for anything else.
        """
        return capabilities(kind, send=True)

    def getParameters(self) -> RTCRtpSendParameters:
        """A copy of how it is set, to be changed and given to `setParameters` in the same turn."""
        if self._transaction is None:
            self._transaction = secrets.token_hex(8)
            asyncio.get_running_loop().call_soon(self._forget_transaction)
        section = self._section
        return RTCRtpSendParameters(
            codecs=() if section is None else codec_parameters(section.send_codecs),
            headerExtensions=() if section is None else extension_parameters(section.send_extensions),
            rtcp=RTCRtcpParameters(reducedSize=section is not None and section.rtcp_rsize),
            transactionId=self._transaction,
            encodings=[copy.copy(e) for e in self._encodings],
        )

    def _forget_transaction(self) -> None:
        self._transaction = None

    def setParameters(self, parameters: RTCRtpSendParameters) -> Operation[None]:
        """Change how it sends; needs no negotiation.

        Raises:
            InvalidStateError: stopped, or `getParameters` was not called in this turn.
            InvalidModificationError: the number or the names of the encodings, or something that
                was negotiated, differ.
            TypeError, ValueError: see `check_encodings`.
        """
        return Operation.of(lambda: self._set_parameters(parameters))

    def _set_parameters(self, parameters: RTCRtpSendParameters) -> None:
        if self.stopped:
            raise InvalidStateError("setParameters on a sender that is stopped")
        if self._transaction is None:
            raise InvalidStateError("setParameters needs getParameters in the same turn of the loop")
        current = self.getParameters()
        if parameters.transactionId != current.transactionId:
            raise InvalidModificationError("the transactionId is not that of the last getParameters")
        for name in ("codecs", "headerExtensions", "rtcp"):
            if getattr(parameters, name) != getattr(current, name):
                raise InvalidModificationError(f"{name} cannot be changed")
        if [e.rid for e in parameters.encodings] != [e.rid for e in self._encodings]:
            raise InvalidModificationError("encodings cannot be added, removed, renamed or reordered")
        self._encodings = check_encodings(self.kind, parameters.encodings)
        self._transaction = None

    def replaceTrack(self, withTrack: MediaStreamTrack | None) -> Operation[None]:
        """Send another track, or none, without negotiation.

        Args:
            withTrack: of the same kind, or None.

        Raises:
            TypeError: another kind.
            InvalidStateError: the transceiver is stopped.
        """
        return Operation.of(lambda: self._replace_track(withTrack))

    def _replace_track(self, track: MediaStreamTrack | None) -> None:
        if track is not None and track.kind != self.kind:
            raise TypeError(f"replaceTrack of a {self.kind} sender with a {track.kind} track")
        if self.stopped:
            raise InvalidStateError("replaceTrack on a sender that is stopped")
        self._track = track

    def setStreams(self, *streams: MediaStream) -> None:
        """Say which streams the track belongs to; needs negotiation to reach the peer.

        Raises:
            InvalidStateError: the transceiver is stopped.
        """
        if self.stopped:
            raise InvalidStateError("setStreams on a sender that is stopped")
        self._streams = {s.id: s for s in streams}
        self._on_changed()

    def set_track(self, track: MediaStreamTrack | None) -> None:
        """For addTrack and removeTrack."""
        self._track = track
        if track is not None:
            self._track_id = track.id

    def set_streams(self, streams: Sequence[MediaStream]) -> None:
        """For addTrack: no check, no negotiation of its own."""
        self._streams = {s.id: s for s in streams}

    def bind(self, section: Section | None, transport: RTCDtlsTransport | None) -> None:
        """Take over what has been agreed."""
        self._section = section
        self._transport = transport
