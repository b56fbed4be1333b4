"""Session descriptions as objects that can be changed, and candidates as lines."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from rtcstack.compat.aiortc.candidates import (
    RTCIceCandidate,
    RTCIceParameters,
    candidate_from_sdp,
    candidate_to_sdp,
)
from rtcstack.compat.aiortc.dtlsparameters import RTCDtlsFingerprint, RTCDtlsParameters
from rtcstack.compat.aiortc.h264profiles import H264Level, H264Profile, parse_h264_profile_level_id
from rtcstack.compat.aiortc.rtcrtpparameters import (
    DIRECTIONS,
    ParametersDict,
    RTCRtcpFeedback,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpParameters,
)
from rtcstack.compat.aiortc.sctpcapabilities import RTCSctpCapabilities
from rtcstack.errors import ParseError
from rtcstack.sdp import parse_session
from rtcstack.sdp.model import MediaDescription as NativeMedia

__all__ = [
    "DIRECTIONS",
    "GroupDescription",
    "H264Level",
    "H264Profile",
    "MediaDescription",
    "SessionDescription",
    "SsrcDescription",
    "candidate_from_sdp",
    "candidate_to_sdp",
    "codecs_from_native",
    "parameters_from_sdp",
    "parameters_to_sdp",
    "parse_h264_profile_level_id",
]

_ROLES = {"actpass": "auto", "active": "client", "passive": "server"}
_SETUPS = {role: setup for setup, role in _ROLES.items()}
_NUMBERS = frozenset(("apt", "max-fr", "max-fs", "maxplaybackrate", "minptime", "stereo", "useinbandfec"))
"""Format parameters whose values are numbers."""

_STATIC = {
    0: ("PCMU", 8_000, 1),
    8: ("PCMA", 8_000, 1),
    9: ("G722", 8_000, 1),
}
"""Payload types that need no rtpmap (RFC 3551, section 6)."""


def parameters_from_sdp(sdp: str) -> ParametersDict:
    """Format parameters by name, from the text of a line."""
    parameters: ParametersDict = {}
    for part in sdp.split(";"):
        name, equals, value = part.strip().partition("=")
        if not equals:
            parameters[name] = None
        else:
            parameters[name] = int(value) if name in _NUMBERS else value
    return parameters


def parameters_to_sdp(parameters: ParametersDict) -> str:
    """The text of a line of format parameters."""
    return ";".join(name if value is None else f"{name}={value}" for name, value in parameters.items())


@dataclass
class GroupDescription:
    """Sections, or sources, that belong together, and how."""

    semantic: str
    items: list[int | str]

    def __str__(self) -> str:
        return f"{self.semantic} {' '.join(map(str, self.items))}"


@dataclass
class SsrcDescription:
    """A source and what is said of it."""

    ssrc: int
    cname: str | None = None
    msid: str | None = None
    mslabel: str | None = None
    label: str | None = None


_SOURCE_ATTRIBUTES = ("cname", "msid", "mslabel", "label")


def _address_line(address: str) -> str:
    return f"IN IP{ipaddress.ip_address(address).version} {address}"


class MediaDescription:
    """A section; its attributes are what the lines say, and may be changed.

    Args:
        kind: "audio", "video" or "application".
        port: 0 when it is rejected.
        profile: "UDP/TLS/RTP/SAVPF", for example.
        fmt: payload types, or "webrtc-datachannel".
    """

    def __init__(self, kind: str, port: int, profile: str, fmt: list[Any]) -> None:
        self.kind = kind
        self.port = port
        self.host: str | None = None
        self.profile = profile
        self.direction: str | None = None
        self.msid: str | None = None
        self.rtcp_port: int | None = None
        self.rtcp_host: str | None = None
        self.rtcp_mux = False
        self.ssrc: list[SsrcDescription] = []
        self.ssrc_group: list[GroupDescription] = []
        self.fmt = fmt
        self.rtp = RTCRtpParameters()
        self.sctpCapabilities: RTCSctpCapabilities | None = None
        self.sctpmap: dict[int, str] = {}
        self.sctp_port: int | None = None
        self.dtls: RTCDtlsParameters | None = None
        self.ice: RTCIceParameters | None = None
        self.ice_candidates: list[RTCIceCandidate] = []
        self.ice_candidates_complete = False
        self.ice_options: str | None = None

    def __str__(self) -> str:
        lines = [f"m={self.kind} {self.port} {self.profile} {' '.join(map(str, self.fmt))}"]
        if self.host is not None:
            lines.append(f"c={_address_line(self.host)}")
        lines += [f"a={line}" for line in self._attributes()]
        return "\r\n".join(lines) + "\r\n"

    def _attributes(self) -> list[str]:
        lines = [] if self.direction is None else [self.direction]
        lines += [f"extmap:{each.id} {each.uri}" for each in self.rtp.headerExtensions]
        if self.rtp.muxId:
            lines.append(f"mid:{self.rtp.muxId}")
        if self.msid:
            lines.append(f"msid:{self.msid}")
        if self.rtcp_port is not None and self.rtcp_host is not None:
            lines.append(f"rtcp:{self.rtcp_port} {_address_line(self.rtcp_host)}")
            if self.rtcp_mux:
                lines.append("rtcp-mux")
        lines += [f"ssrc-group:{group}" for group in self.ssrc_group]
        for source in self.ssrc:
            for name in _SOURCE_ATTRIBUTES:
                if getattr(source, name) is not None:
                    lines.append(f"ssrc:{source.ssrc} {name}:{getattr(source, name)}")
        for codec in self.rtp.codecs:
            lines.append(f"rtpmap:{codec.payloadType} {codec}")
            for feedback in codec.rtcpFeedback:
                parameter = f" {feedback.parameter}" if feedback.parameter else ""
                lines.append(f"rtcp-fb:{codec.payloadType} {feedback.type}{parameter}")
            if codec.parameters:
                lines.append(f"fmtp:{codec.payloadType} {parameters_to_sdp(codec.parameters)}")
        lines += [f"sctpmap:{port} {text}" for port, text in self.sctpmap.items()]
        if self.sctp_port is not None:
            lines.append(f"sctp-port:{self.sctp_port}")
        if self.sctpCapabilities is not None:
            lines.append(f"max-message-size:{self.sctpCapabilities.maxMessageSize}")
        lines += [f"candidate:{candidate_to_sdp(each)}" for each in self.ice_candidates]
        if self.ice_candidates_complete:
            lines.append("end-of-candidates")
        if self.ice is not None:
            if self.ice.usernameFragment is not None:
                lines.append(f"ice-ufrag:{self.ice.usernameFragment}")
            if self.ice.password is not None:
                lines.append(f"ice-pwd:{self.ice.password}")
        if self.ice_options is not None:
            lines.append(f"ice-options:{self.ice_options}")
        if self.dtls is not None:
            lines += [f"fingerprint:{each.algorithm} {each.value}" for each in self.dtls.fingerprints]
            lines.append(f"setup:{_SETUPS[self.dtls.role]}")
        return lines


class SessionDescription:
    """A whole description."""

    def __init__(self) -> None:
        self.version = 0
        self.origin: str | None = None
        self.name = "-"
        self.time = "0 0"
        self.host: str | None = None
        self.group: list[GroupDescription] = []
        self.msid_semantic: list[GroupDescription] = []
        self.media: list[MediaDescription] = []
        self.type: str | None = None

    @classmethod
    def parse(cls, sdp: str) -> SessionDescription:
        """A description from its text.

        Raises:
            ValueError: it cannot be read.
        """
        try:
            parsed = parse_session(sdp)
        except ParseError as exc:
            raise ValueError(str(exc)) from None
        result = cls()
        origin = parsed.origin
        result.origin = (
            f"{origin.username} {origin.session_id} {origin.session_version} "
            f"{origin.network_type} {origin.address_type} {origin.address}"
        )
        result.name = parsed.name
        result.time = f"{parsed.times[0].start} {parsed.times[0].stop}"
        result.host = None if parsed.connection is None else parsed.connection.address
        result.group = _groups(parsed.values("group"))
        result.msid_semantic = _groups(parsed.values("msid-semantic"))
        result.media = [_section(media, ice_lite=parsed.ice_lite or media.ice_lite) for media in parsed.media]
        return result

    def webrtc_track_id(self, media: MediaDescription) -> str | None:
        """The id of the track that a section describes, where it names one."""
        assert media in self.media
        if media.msid is not None and " " in media.msid:
            return media.msid.split()[1]
        for source in media.ssrc:
            if source.msid is not None and " " in source.msid:
                return source.msid.split()[1]
        return None

    def __str__(self) -> str:
        lines = [f"v={self.version}", f"o={self.origin}", f"s={self.name}"]
        if self.host is not None:
            lines.append(f"c={_address_line(self.host)}")
        lines.append(f"t={self.time}")
        if any(media.ice is not None and media.ice.iceLite for media in self.media):
            lines.append("a=ice-lite")
        lines += [f"a=group:{group}" for group in self.group]
        lines += [f"a=msid-semantic:{group}" for group in self.msid_semantic]
        return "\r\n".join(lines) + "\r\n" + "".join(map(str, self.media))


def _groups(texts: tuple[str, ...]) -> list[GroupDescription]:
    return [GroupDescription(words[0], list(words[1:])) for text in texts if (words := text.split())]


def _section(native: NativeMedia, *, ice_lite: bool) -> MediaDescription:
    fmt: list[Any] = list(native.payload_types) if native.is_rtp else list(native.formats)
    media = MediaDescription(native.kind, native.port, native.protocol, fmt)
    if native.connections:
        media.host = native.connections[0].address
    media.direction = str(native.direction) if native.is_rtp else None
    msids = native.values("msid")
    media.msid = msids[0] if msids else None
    rtcp = (native.value("rtcp") or "").split()
    if rtcp and rtcp[0].isdigit():
        media.rtcp_port = int(rtcp[0])
        media.rtcp_host = rtcp[3] if len(rtcp) > 3 else None
    media.rtcp_mux = native.rtcp_mux
    _read_sources(native, media)
    media.rtp = RTCRtpParameters(
        codecs=codecs_from_native(native) if native.is_rtp else [],
        headerExtensions=[RTCRtpHeaderExtensionParameters(each.id, each.uri) for each in native.extmaps],
        muxId=native.mid or "",
    )
    if native.is_sctp:
        media.sctp_port = native.sctp_port if native.has("sctp-port") else None
        media.sctpmap = {
            int(port): rest
            for text in native.values("sctpmap")
            for port, _, rest in [text.partition(" ")]
            if port.isdigit()
        }
        if native.max_message_size is not None:
            media.sctpCapabilities = RTCSctpCapabilities(native.max_message_size)
    if native.fingerprints:
        role = "auto" if native.setup is None else _ROLES.get(str(native.setup), "auto")
        prints = [RTCDtlsFingerprint(each.algorithm, each.value) for each in native.fingerprints]
        media.dtls = RTCDtlsParameters(prints, role)
    media.ice = RTCIceParameters(native.ice_ufrag, native.ice_pwd, ice_lite)
    media.ice_candidates = [candidate_from_sdp(str(each)) for each in native.candidates]
    media.ice_candidates_complete = native.end_of_candidates
    media.ice_options = " ".join(native.ice_options) or None
    return media


def _read_sources(native: NativeMedia, media: MediaDescription) -> None:
    media.ssrc_group = [
        GroupDescription(words[0], [int(word) for word in words[1:] if word.isdigit()])
        for text in native.values("ssrc-group")
        if (words := text.split())
    ]
    sources: dict[int, SsrcDescription] = {}
    for text in native.values("ssrc"):
        number, _, rest = text.partition(" ")
        name, _, value = rest.partition(":")
        if number.isdigit():
            source = sources.setdefault(int(number), SsrcDescription(int(number)))
            if name in _SOURCE_ATTRIBUTES:
                setattr(source, name, value)
    media.ssrc = list(sources.values())


def codecs_from_native(native: NativeMedia) -> list[RTCRtpCodecParameters]:
    """The codecs of a section, in its order."""
    maps = {each.payload_type: each for each in native.rtpmaps}
    parameters = {each.format: each.parameters for each in native.fmtps}
    result: list[RTCRtpCodecParameters] = []
    for number in native.payload_types:
        mapped = maps.get(number)
        if mapped is not None:
            channels = mapped.channels or (1 if native.kind == "audio" else None)
            name, rate = mapped.encoding, mapped.clock_rate
        elif number in _STATIC:
            name, rate, channels = _STATIC[number]
        else:
            continue
        result.append(
            RTCRtpCodecParameters(
                f"{native.kind}/{name}",
                rate,
                channels=channels,
                payloadType=number,
                rtcpFeedback=[
                    RTCRtcpFeedback(each.type, each.parameter or None)
                    for each in native.rtcp_feedbacks
                    if each.payload_type in (number, None)
                ],
                parameters=parameters_from_sdp(parameters[str(number)]) if str(number) in parameters else {},
            )
        )
    return result
