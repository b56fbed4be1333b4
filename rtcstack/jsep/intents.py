"""What the application wants, as a frozen snapshot that the negotiation reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from rtcstack.jsep.session import Codec, CodecFormat, HeaderExtension
from rtcstack.sdp import Candidate, Direction, Fingerprint

__all__ = [
    "BundlePolicy",
    "Capabilities",
    "Intents",
    "LocalTransport",
    "MediaCapabilities",
    "SendEncoding",
    "TransceiverIntent",
]


class BundlePolicy(StrEnum):
    """How to treat peers that do not bundle. Spec: RFC 9429, section 4.1.1.

    "max-bundle" is what RFC 9429 calls must-bundle.
    """

    BALANCED = "balanced"
    MAX_COMPAT = "max-compat"
    MAX_BUNDLE = "max-bundle"


@dataclass(frozen=True, slots=True)
class SendEncoding:
    """One entry of RTCRtpSendParameters.encodings, as far as descriptions show it.

    Attributes:
        rid: None for the lone encoding of a sender without simulcast.
        ssrc, rtx_ssrc: written as ``a=ssrc`` lines when given, for peers that route by them.
    """

    rid: str | None = None
    ssrc: int | None = None
    rtx_ssrc: int | None = None


@dataclass(frozen=True, slots=True)
class TransceiverIntent:
    """What the application wants of one transceiver.

    Attributes:
        key: names the transceiver for its whole life.
        kind: "audio" or "video".
        direction: as the application set it ("inactive" once it is stopping).
        codec_preferences: None or empty for the default; payload types are not looked at.
        codecs_brought: lower-case names of those that the track is encoded with already, which come first
            where the application has no preferences.
        header_extensions: the ones to offer and to accept; None for the capabilities'. The
            direction "inactive" leaves one out.
        layered: it sends several encodings, or one in layers.
        msids: (stream id, track id) of the sender; ("-", track id) when it has no stream.
        send_encodings: more than one makes simulcast.
        cname: canonical name for the ``a=ssrc`` lines.
        stopping: stop() was called.
        stopped: it has come to an end.
        created_by_add_track: addTrack made it, so that remote offers may take it.
        fits_any_offer: remote offers may take it whoever made it, and whether or not the peer receives.
        used_by_add_track: addTrack attached a track to it, so that it survives a rollback.
    """

    key: int
    kind: str
    direction: Direction = Direction.SENDRECV
    codec_preferences: tuple[CodecFormat, ...] | None = None
    codecs_brought: tuple[str, ...] = ()
    header_extensions: tuple[HeaderExtension, ...] | None = None
    layered: bool = False
    msids: tuple[tuple[str, str], ...] = ()
    send_encodings: tuple[SendEncoding, ...] = ()
    cname: str | None = None
    stopping: bool = False
    stopped: bool = False
    created_by_add_track: bool = False
    used_by_add_track: bool = False
    fits_any_offer: bool = False


@dataclass(frozen=True, slots=True)
class MediaCapabilities:
    """What this end can do for one kind of media.

    Attributes:
        send, receive: codecs in order of preference. The payload types are proposals; an RTX
            format stands behind the codec that it repairs, with its ``apt``.
        header_extensions: with proposed numbers; "inactive" ones are known but not offered.
    """

    send: tuple[Codec, ...] = ()
    receive: tuple[Codec, ...] = ()
    header_extensions: tuple[HeaderExtension, ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this end can do.

    Attributes:
        media: by kind.
        receive_simulcast: accept simulcast that a peer offers to send.
        max_simulcast_streams: how many streams a sender may be asked for.
    """

    media: Mapping[str, MediaCapabilities] = field(default_factory=dict)
    receive_simulcast: bool = True
    max_simulcast_streams: int = 8

    def of(self, kind: str) -> MediaCapabilities:
        """The capabilities for a kind; empty ones for a kind that is not known."""
        return self.media.get(kind) or MediaCapabilities()


@dataclass(frozen=True, slots=True)
class Intents:
    """Everything the application wants of a connection.

    Attributes:
        capabilities: see `rtcstack.jsep.defaults.default_capabilities`.
        transceivers: in the order in which they were made, without those that are gone.
        next_transceiver: key of the next transceiver that a remote offer makes; further ones
            count up from it.
        data_channel: an application section is wanted.
        always_negotiate_data_channels: it is wanted in any case, and in front of all others.
        bundle_policy: see `BundlePolicy`.
        max_message_size: the largest message that we take, in bytes; 0 is any.
        sctp_port: ours.
        sctp_init: our INIT chunk, base64 (SNAP), or None to leave it out.
        ice_lite: we only answer connectivity checks.
        ice_options: of ICE, that we offer.
        requires_cryptex: descriptions of a peer that does not encrypt header extensions are refused.
    """

    capabilities: Capabilities
    transceivers: tuple[TransceiverIntent, ...] = ()
    next_transceiver: int = 0
    data_channel: bool = False
    always_negotiate_data_channels: bool = False
    bundle_policy: BundlePolicy = BundlePolicy.BALANCED
    max_message_size: int = 262_144
    sctp_port: int = 5000
    sctp_init: str | None = None
    ice_lite: bool = False
    ice_options: tuple[str, ...] = ("trickle", "ice2")
    requires_cryptex: bool = False
    _by_key: dict[int, TransceiverIntent] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_key", {each.key: each for each in self.transceivers})

    def transceiver(self, key: int | None) -> TransceiverIntent | None:
        """The transceiver with this key, if it is still there."""
        return None if key is None else self._by_key.get(key)


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """What our end of a transport has to write into descriptions.

    All transports of a connection should start with the same credentials, as they do in browsers.
    libwebrtc and Firefox watch the credentials of each section, and bundling replaces those of
    every section but one: where they differ from the start, Firefox takes the next offer for half
    an ICE restart and refuses it.

    Attributes:
        ufrag, pwd: of the generation that the next description is to start or continue.
        fingerprints: of our certificates.
        tls_id: name of our DTLS association, or None to leave it out.
        candidates: gathered so far for this `ufrag`.
        end_of_candidates: gathering is complete.
    """

    ufrag: str
    pwd: str = field(repr=False)
    fingerprints: tuple[Fingerprint, ...]
    tls_id: str | None = None
    candidates: tuple[Candidate, ...] = ()
    end_of_candidates: bool = False
