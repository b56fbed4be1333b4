"""The transceivers of a connection: what each is to be, making, finding and stopping them.

Spec: webrtc-pc, sections 5.1 (addTrack, removeTrack, addTransceiver) and 5.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtcstack.config import MediaSettings
from rtcstack.connection.capabilities import our_capabilities
from rtcstack.connection.encodings import Encoding, proposed_encodings
from rtcstack.connection.state import NegotiationState
from rtcstack.entropy import random_token
from rtcstack.jsep.intents import SendEncoding, TransceiverIntent
from rtcstack.jsep.numbers import with_layers
from rtcstack.jsep.session import CodecFormat, HeaderExtension, Section
from rtcstack.sdp import Direction

if TYPE_CHECKING:
    from rtcstack.codecs.coders.limits import DecoderLimits
    from rtcstack.connection.receiving import Receiver
    from rtcstack.connection.sending import Sender
    from rtcstack.media.track import MediaStreamTrack

__all__ = ["Transceiver", "TransceiverSet"]


class Transceiver:
    """A sender and a receiver that share a media section.

    Args:
        state: where the negotiation stands.
        key: names it for its whole life.
        kind: "audio" or "video".
        sender, receiver: its halves.
        direction: what the application wants.
        created_by_add_track: addTrack made it.

    Attributes:
        direction: what the application wants; negotiated with the next offer or answer.
        preferences: the codecs to be negotiated, in order; None for the default.
        extensions: the header extensions likewise, with directions.
        used_by_add_track: addTrack attached a track to it.
        fits_any_offer: remote offers may take it in any case; see `TransceiverIntent`.
        fired_direction: the direction for which events of its track were fired last.
        has_sent: whether it was ever agreed that it sends.
        stopping: stop() was called ([[Stopping]]).
        stopped: it has come to an end ([[Stopped]]).
    """

    def __init__(
        self,
        state: NegotiationState,
        key: int,
        kind: str,
        sender: Sender,
        receiver: Receiver,
        direction: Direction,
        *,
        created_by_add_track: bool = False,
    ) -> None:
        self.key = key
        self.kind = kind
        self.sender = sender
        self.receiver = receiver
        self.direction = direction
        self.preferences: tuple[CodecFormat, ...] | None = None
        self.extensions: tuple[HeaderExtension, ...] | None = None
        self.created_by_add_track = created_by_add_track
        self.used_by_add_track = created_by_add_track
        self.fits_any_offer = False
        self.fired_direction: Direction | None = None
        self.has_sent = False
        self.stopping = False
        self.stopped = False
        self._state = state

    @property
    def mid(self) -> str | None:
        """The tag of its media section; None before it has one, and when it has stopped."""
        return None if self.stopped else self._state.negotiation.mid_of(self.key)

    @property
    def section(self) -> Section | None:
        """Its media section, as far as it was described."""
        return self._state.negotiation.section_of(self.key)

    @property
    def known_extensions(self) -> tuple[HeaderExtension, ...]:
        """The header extensions to be negotiated, and those that are left out."""
        if self.extensions is not None:
            return self.extensions
        known = our_capabilities().of(self.kind).header_extensions
        return with_layers(known) if self.sender.is_layered else known

    def intent(self) -> TransceiverIntent:
        """What the negotiation has to know."""
        sender = self.sender
        encodings = sender.encodings
        simulcast = len(encodings) > 1
        return TransceiverIntent(
            key=self.key,
            kind=self.kind,
            direction=Direction.INACTIVE if self.stopping else self.direction,
            codec_preferences=self.preferences,
            codecs_brought=sender.codecs_brought,
            header_extensions=self.extensions,
            layered=sender.is_layered,
            msids=sender.msids,
            send_encodings=tuple(
                SendEncoding(e.rid)
                if simulcast
                else SendEncoding(None, pair.ssrc, pair.rtx_ssrc if self.kind == "video" else None)
                for e, pair in zip(encodings, sender.ssrcs, strict=True)
            ),
            cname=sender.cname,
            stopping=self.stopping,
            stopped=self.stopped,
            created_by_add_track=self.created_by_add_track,
            used_by_add_track=self.used_by_add_track,
            fits_any_offer=self.fits_any_offer,
        )

    def stop(self) -> None:
        """Send and receive nothing any more; negotiated with the next offer.

        The receiver's track is to be ended by who calls this, in a task of its own.
        """
        if self.stopping:
            return
        self.stopping = True
        self.sender.stop()
        self.receiver.stop()
        self.direction = Direction.INACTIVE

    def finish(self) -> None:
        """It is stopped, here and in what was negotiated; see `stop`."""
        self.stop()
        self.stopped = True


class TransceiverSet:
    """Transceivers in the order in which they were made.

    Args:
        state: where the negotiation stands.
        settings: of the connection's media.

    Attributes:
        next_key: what the next one is named by.
    """

    __slots__ = (
        "_all",
        "_by_key",
        "_cname",
        "_limits",
        "_settings",
        "_state",
        "next_key",
    )

    def __init__(self, state: NegotiationState, settings: MediaSettings) -> None:
        self._state = state
        self._settings = settings
        self._all: list[Transceiver] = []
        self._by_key: dict[int, Transceiver] = {}
        self._cname = random_token(12)
        self._limits: DecoderLimits | None = None
        self.next_key = 0

    @property
    def all(self) -> list[Transceiver]:
        """All that are not gone."""
        return list(self._all)

    def get(self, key: int | None) -> Transceiver | None:
        """The transceiver with this key."""
        return None if key is None else self._by_key.get(key)

    def intents(self) -> tuple[TransceiverIntent, ...]:
        """What the negotiation has to know of them."""
        return tuple(t.intent() for t in self._all)

    # -- the application's ------------------------------------------------------------------------

    def add(
        self,
        kind: str,
        direction: Direction,
        *,
        track: MediaStreamTrack | None = None,
        streams: Sequence[str] = (),
        encodings: Sequence[Encoding] = (Encoding(),),
        by_add_track: bool = False,
    ) -> Transceiver:
        """Make one.

        Args:
            kind: "audio" or "video".
            direction: what is wanted.
            track: what to send, or None.
            streams: ids of the streams that it belongs to.
            encodings: of its sender, checked.
            by_add_track: whether addTrack makes it.
        """
        from rtcstack.connection.receiving import Receiver
        from rtcstack.connection.sending import Sender

        sender = Sender(kind, track, streams, encodings, cname=self._cname, settings=self._settings)
        transceiver = Transceiver(
            self._state,
            self.next_key,
            kind,
            sender,
            Receiver(kind, self._decoder_limits()),
            direction,
            created_by_add_track=by_add_track,
        )
        self._by_key[self.next_key] = transceiver
        self.next_key += 1
        self._all.append(transceiver)
        return transceiver

    def _decoder_limits(self) -> DecoderLimits:
        """What decoders may use: one budget for all of the connection."""
        if self._limits is None:
            from rtcstack.codecs.coders.limits import DecoderLimits, PictureBudget

            media = self._settings
            self._limits = DecoderLimits(media.max_decoded_pixels, PictureBudget(media.max_decoder_bytes))
        return self._limits

    def is_sent(self, track: MediaStreamTrack) -> bool:
        """Whether a sender has the track."""
        return any(t.sender.track is track and not t.stopped for t in self._all)

    def add_track(self, track: MediaStreamTrack, streams: Sequence[str]) -> Transceiver:
        """Give the track to a sender that never sent, or make one."""
        for transceiver in self._all:
            sender = transceiver.sender
            if (
                sender.track is None
                and transceiver.kind == track.kind
                and not transceiver.stopping
                and not transceiver.has_sent
            ):
                sender.set_track(track, as_new=True)
                sender.set_streams(streams)
                transceiver.used_by_add_track = True
                transceiver.direction = Direction.of(send=True, recv=transceiver.direction.recv)
                return transceiver
        return self.add(track.kind, Direction.SENDRECV, track=track, streams=streams, by_add_track=True)

    @staticmethod
    def remove_track(transceiver: Transceiver) -> bool:
        """Stop sending its track, keep receiving.

        Returns:
            Whether anything changed.
        """
        if transceiver.stopping or transceiver.sender.track is None:
            return False
        transceiver.sender.set_track(None)
        transceiver.direction = Direction.of(send=False, recv=transceiver.direction.recv)
        return True

    # -- the negotiation's ------------------------------------------------------------------------

    def create_remote(self, key: int, kind: str, rids: Sequence[str]) -> None:
        """A remote offer has a section that no transceiver fits.

        Args:
            key: names it.
            kind: "audio" or "video".
            rids: the simulcast streams that the offer asks for; none is one stream.
        """
        self.next_key = key
        self.add(kind, Direction.RECVONLY, encodings=proposed_encodings(rids))

    def forget(self, key: int) -> None:
        """The remote offer that made it was rolled back."""
        transceiver = self.get(key)
        if transceiver is not None:
            self._all.remove(transceiver)
            del self._by_key[key]

    def drop_stopped(self) -> None:
        """Remove those that are stopped and whose sections are out of use."""
        self._all = [t for t in self._all if not t.stopped]
        self._by_key = {t.key: t for t in self._all}
