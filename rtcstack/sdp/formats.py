"""Typed values of the attributes that describe RTP: formats, feedback, extensions, sources, rids."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from rtcstack.errors import ParseError
from rtcstack.sdp.attributes import AttributeValue, Direction
from rtcstack.sdp.grammar import shorten, token, uint

__all__ = [
    "ExtMap",
    "Fmtp",
    "MaxPtime",
    "Msid",
    "Ptime",
    "Rid",
    "RtcpAddress",
    "RtcpFeedback",
    "RtpMap",
    "Simulcast",
    "SimulcastRid",
    "Ssrc",
    "SsrcGroup",
]

MAX_PAYLOAD_TYPE = 127
MAX_EXTENSION_ID = 4351
"""RFC 8285, section 5: 1 to 255 on the wire, 4096 to 4351 for mappings yet to be given a number."""
MAX_LISTED = 128
"""Entries of one ssrc-group, rid or simulcast line. Nobody sends that many streams of one track."""
_MAX_UINT32 = 0xFFFF_FFFF
_RID = re.compile(r"[0-9A-Za-z_\-]{1,255}")


@dataclass(frozen=True, slots=True)
class RtpMap(AttributeValue):
    """``a=rtpmap:<payload type> <encoding>/<clock rate>[/<parameters>]``. Spec: RFC 8866, 6.6."""

    NAME: ClassVar[str] = "rtpmap"

    payload_type: int
    encoding: str
    clock_rate: int
    channels: int | None = None

    @classmethod
    def parse(cls, value: str) -> RtpMap:
        payload_type, _, rest = value.partition(" ")
        parts = rest.strip().split("/")
        if not 2 <= len(parts) <= 3:
            raise ParseError(f"rtpmap is malformed: {shorten(value)}")
        return cls(
            uint(payload_type, "payload type", MAX_PAYLOAD_TYPE),
            token(parts[0], "encoding name"),
            uint(parts[1], "clock rate", _MAX_UINT32, 1),
            uint(parts[2], "channels", 255) if len(parts) == 3 else None,
        )

    def __str__(self) -> str:
        text = f"{self.payload_type} {self.encoding}/{self.clock_rate}"
        return text if self.channels is None else f"{text}/{self.channels}"


@dataclass(frozen=True, slots=True)
class Fmtp(AttributeValue):
    """``a=fmtp:<format> <parameters>``. Spec: RFC 8866, section 6.15."""

    NAME: ClassVar[str] = "fmtp"

    format: str
    parameters: str

    @classmethod
    def parse(cls, value: str) -> Fmtp:
        name, _, parameters = value.partition(" ")
        return cls(token(name, "fmtp format"), parameters.strip())

    def __str__(self) -> str:
        return f"{self.format} {self.parameters}"


@dataclass(frozen=True, slots=True)
class RtcpFeedback(AttributeValue):
    """``a=rtcp-fb:<payload type | *> <type> [<parameter>]``. Spec: RFC 4585, section 4.2.

    Attributes:
        payload_type: None stands for ``*``, every format of the section.
    """

    NAME: ClassVar[str] = "rtcp-fb"

    payload_type: int | None
    type: str
    parameter: str = ""

    @classmethod
    def parse(cls, value: str) -> RtcpFeedback:
        target, _, rest = value.partition(" ")
        kind, _, parameter = rest.strip().partition(" ")
        payload_type = None if target == "*" else uint(target, "rtcp-fb payload type", MAX_PAYLOAD_TYPE)
        return cls(payload_type, token(kind, "rtcp-fb type"), parameter.strip())

    def __str__(self) -> str:
        target = "*" if self.payload_type is None else self.payload_type
        return f"{target} {self.feedback}"

    @property
    def feedback(self) -> str:
        """Type and parameter as one text, e.g. "nack pli"."""
        return f"{self.type} {self.parameter}" if self.parameter else self.type


@dataclass(frozen=True, slots=True)
class ExtMap(AttributeValue):
    """``a=extmap:<id>[/<direction>] <uri> [<attributes>]``. Spec: RFC 8285, section 5."""

    NAME: ClassVar[str] = "extmap"

    id: int
    uri: str
    direction: Direction | None = None
    attributes: str = ""

    @classmethod
    def parse(cls, value: str) -> ExtMap:
        parts = value.split(None, 2)
        if len(parts) < 2:
            raise ParseError(f"extmap is malformed: {shorten(value)}")
        number, slash, suffix = parts[0].partition("/")
        direction = None
        if slash:
            try:
                direction = Direction(suffix)
            except ValueError:
                raise ParseError(f"extmap direction is unknown: {shorten(suffix)}") from None
        attributes = parts[2].strip() if len(parts) == 3 else ""
        return cls(uint(number, "extmap id", MAX_EXTENSION_ID, 1), parts[1], direction, attributes)

    def __str__(self) -> str:
        suffix = "" if self.direction is None else f"/{self.direction}"
        tail = f" {self.attributes}" if self.attributes else ""
        return f"{self.id}{suffix} {self.uri}{tail}"


@dataclass(frozen=True, slots=True)
class Ssrc(AttributeValue):
    """``a=ssrc:<ssrc> <attribute>[:<value>]``. Spec: RFC 5576, section 4.1."""

    NAME: ClassVar[str] = "ssrc"

    ssrc: int
    name: str
    value: str | None = None

    @classmethod
    def parse(cls, value: str) -> Ssrc:
        number, _, rest = value.partition(" ")
        name, colon, text = rest.strip().partition(":")
        return cls(uint(number, "ssrc", _MAX_UINT32), name, text if colon else None)

    def __str__(self) -> str:
        text = f"{self.ssrc} {self.name}" if self.name else str(self.ssrc)
        return text if self.value is None else f"{text}:{self.value}"


@dataclass(frozen=True, slots=True)
class SsrcGroup(AttributeValue):
    """``a=ssrc-group:<semantics> *(SP <ssrc>)``. Spec: RFC 5576, section 4.2."""

    NAME: ClassVar[str] = "ssrc-group"

    semantics: str
    ssrcs: tuple[int, ...]

    @classmethod
    def parse(cls, value: str) -> SsrcGroup:
        semantics, *ssrcs = value.split(None, MAX_LISTED + 1) or [""]
        if len(ssrcs) > MAX_LISTED:
            raise ParseError(f"ssrc-group has more than {MAX_LISTED} sources")
        return cls(
            token(semantics, "ssrc-group semantics"), tuple(uint(ssrc, "ssrc", _MAX_UINT32) for ssrc in ssrcs)
        )

    def __str__(self) -> str:
        return " ".join((self.semantics, *map(str, self.ssrcs)))


@dataclass(frozen=True, slots=True)
class Msid(AttributeValue):
    """``a=msid:<stream id> [<track id>]``. Spec: RFC 8830, section 2.

    Attributes:
        stream_id: "-" means that the track belongs to no stream.
        track_id: the appdata field, which RFC 8830 asks to leave out and to ignore; "" when absent.
    """

    NAME: ClassVar[str] = "msid"

    stream_id: str
    track_id: str = ""

    @classmethod
    def parse(cls, value: str) -> Msid:
        parts = value.split()
        if not 1 <= len(parts) <= 2:
            raise ParseError(f"msid is malformed: {shorten(value)}")
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.stream_id} {self.track_id}" if self.track_id else self.stream_id


@dataclass(frozen=True, slots=True)
class Rid(AttributeValue):
    """``a=rid:<id> <send | recv> [pt=...;<restriction>=<value>;...]``. Spec: RFC 8851, section 10.

    Attributes:
        id: the RtpStreamId.
        direction: "send" or "recv", from the writer's point of view.
        payload_types: the formats that the stream may use; empty means any.
        restrictions: the other parameters, in order.
    """

    NAME: ClassVar[str] = "rid"

    id: str
    direction: str
    payload_types: tuple[int, ...] = ()
    restrictions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, value: str) -> Rid:
        parts = value.split(None, 2)
        if len(parts) < 2 or _RID.fullmatch(parts[0]) is None or parts[1] not in ("send", "recv"):
            raise ParseError(f"rid is malformed: {shorten(value)}")
        payload_types: tuple[int, ...] = ()
        restrictions: list[tuple[str, str]] = []
        for parameter in parts[2].split(";", MAX_LISTED) if len(parts) == 3 else ():
            if len(restrictions) == MAX_LISTED:
                raise ParseError(f"rid has more than {MAX_LISTED} restrictions")
            name, _, text = parameter.strip().partition("=")
            if name == "pt":
                payload_types = tuple(
                    uint(number, "rid payload type", MAX_PAYLOAD_TYPE) for number in text.split(",")
                )
            else:
                restrictions.append((token(name, "rid restriction"), text))
        return cls(parts[0], parts[1], payload_types, tuple(restrictions))

    def __str__(self) -> str:
        parameters = [f"{name}={text}" if text else name for name, text in self.restrictions]
        if self.payload_types:
            parameters.insert(0, "pt=" + ",".join(map(str, self.payload_types)))
        return " ".join(filter(None, (self.id, self.direction, ";".join(parameters))))


@dataclass(frozen=True, slots=True)
class SimulcastRid:
    """One rid of a simulcast list; "~" in front of it means that it starts paused."""

    rid: str
    paused: bool = False

    def __str__(self) -> str:
        return f"~{self.rid}" if self.paused else self.rid


SimulcastStreams = tuple[tuple[SimulcastRid, ...], ...]
"""Streams in order of preference, each a choice of alternatives in order of preference."""


@dataclass(frozen=True, slots=True)
class Simulcast(AttributeValue):
    """``a=simulcast:<send | recv> <streams> [<recv | send> <streams>]``. Spec: RFC 8853, section 5.1."""

    NAME: ClassVar[str] = "simulcast"

    send: SimulcastStreams = ()
    recv: SimulcastStreams = ()

    @classmethod
    def parse(cls, value: str) -> Simulcast:
        parts = value.split()
        lists = dict(zip(parts[::2], parts[1::2], strict=False))
        if (
            len(parts) % 2
            or len(lists) != len(parts) // 2
            or not lists
            or not lists.keys() <= {"send", "recv"}
        ):
            raise ParseError(f"simulcast is malformed: {shorten(value)}")
        return cls(cls._streams(lists.get("send", "")), cls._streams(lists.get("recv", "")))

    @staticmethod
    def _streams(text: str) -> SimulcastStreams:
        if text.count(";") + text.count(",") >= MAX_LISTED:
            raise ParseError(f"simulcast has more than {MAX_LISTED} rids")
        streams = []
        for stream in text.split(";") if text else ():
            alternatives = []
            for name in stream.split(","):
                rid = name.removeprefix("~")
                if _RID.fullmatch(rid) is None:
                    raise ParseError(f"simulcast rid is malformed: {shorten(name)}")
                alternatives.append(SimulcastRid(rid, name != rid))
            streams.append(tuple(alternatives))
        return tuple(streams)

    def __str__(self) -> str:
        parts = []
        for name, streams in (("send", self.send), ("recv", self.recv)):
            if streams:
                parts.append(name)
                parts.append(";".join(",".join(map(str, stream)) for stream in streams))
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class RtcpAddress(AttributeValue):
    """``a=rtcp:<port> [<nettype> <addrtype> <address>]``. Spec: RFC 3605, section 2.1."""

    NAME: ClassVar[str] = "rtcp"

    port: int
    address: str = ""

    @classmethod
    def parse(cls, value: str) -> RtcpAddress:
        port, _, address = value.partition(" ")
        return cls(uint(port, "rtcp port", 65535), address.strip())

    def __str__(self) -> str:
        return f"{self.port} {self.address}" if self.address else str(self.port)


@dataclass(frozen=True, slots=True)
class Ptime(AttributeValue):
    """``a=ptime:<milliseconds>``: media per packet. Spec: RFC 8866, section 6.4."""

    NAME: ClassVar[str] = "ptime"
    _NUMBER: ClassVar[re.Pattern[str]] = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?")

    duration_ms: float

    @classmethod
    def parse(cls, value: str) -> Ptime:
        if cls._NUMBER.fullmatch(value) is None or not float(value):
            raise ParseError(f"{cls.NAME} is malformed: {shorten(value)}")
        return cls(float(value))

    def __str__(self) -> str:
        return f"{self.duration_ms:.9f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class MaxPtime(Ptime):
    """``a=maxptime:<milliseconds>``. Spec: RFC 8866, section 6.5."""

    NAME: ClassVar[str] = "maxptime"
