"""Text to values: line by line, in one pass, with every known attribute checked on the way.

JSEP asks for strictness (a line that is not well formed refuses the description, even where its
value is of no use); unknown attributes are kept as they are. Two liberties are taken, because
peers and applications take them: lines may end in a bare LF, and within a section ``c=`` and
``b=`` may also follow attributes.

Spec: RFC 8866, section 5; RFC 9429, section 5.8.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

from rtcstack.errors import ParseError
from rtcstack.sdp.attributes import (
    Attribute,
    AttributeValue,
    Direction,
    Fingerprint,
    Group,
    IceOptions,
    IcePwd,
    IceUfrag,
    MaxMessageSize,
    Mid,
    SctpMap,
    SctpPort,
    Setup,
    TlsId,
)
from rtcstack.sdp.candidate import Candidate
from rtcstack.sdp.formats import (
    MAX_PAYLOAD_TYPE,
    ExtMap,
    Fmtp,
    MaxPtime,
    Msid,
    Ptime,
    Rid,
    RtcpAddress,
    RtcpFeedback,
    RtpMap,
    Simulcast,
    Ssrc,
    SsrcGroup,
)
from rtcstack.sdp.grammar import MAX_UINT64, is_token, shorten, token, uint
from rtcstack.sdp.model import Bandwidth, Connection, MediaDescription, Origin, SessionDescription, Timing

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_CANDIDATES",
    "MAX_LINE_LENGTH",
    "MAX_MEDIA_SECTIONS",
    "MAX_SDP_LENGTH",
    "parse_session",
]

MAX_SDP_LENGTH = 4 << 20
"""Characters of a description. One of 1,024 sections with all codecs and both sources is below it."""
MAX_LINE_LENGTH = 32_768
"""Characters of one line. Identity assertions are the longest, at a few thousand."""
MAX_ORIGIN_DIGITS = 1024
"""Digits of a session id or version; of 64 bits there are 20."""
MAX_MEDIA_SECTIONS = 1024
"""``m=`` lines of a description."""
MAX_ATTRIBUTES = 4096
"""Attributes of one section, or of the session level."""
MAX_CANDIDATES = 512
"""Candidates of one section."""
MAX_REPEATED_LINES = 64
"""Lines of any other type that may repeat (``e= p= b= t= r= c=``) in one section."""
MAX_FORMATS = 512
"""Formats of one ``m=`` line; RTP has 128 payload types."""

L = TypeVar("L")

_KINDS: dict[str, type[AttributeValue]] = {
    kind.NAME: kind
    for kind in (
        Candidate,
        ExtMap,
        Fingerprint,
        Fmtp,
        Group,
        IceOptions,
        IcePwd,
        IceUfrag,
        MaxMessageSize,
        MaxPtime,
        Mid,
        Msid,
        Ptime,
        Rid,
        RtcpAddress,
        RtcpFeedback,
        RtpMap,
        SctpMap,
        SctpPort,
        Setup,
        Simulcast,
        Ssrc,
        SsrcGroup,
        TlsId,
    )
}
_FLAGS = frozenset(
    (
        *Direction,
        "bundle-only",
        "cryptex",
        "end-of-candidates",
        "ice-lite",
        "rtcp-mux",
        "rtcp-mux-only",
        "rtcp-rsize",
    )
)
"""Attributes that stand without a value. extmap-allow-mixed is not here: some peers give it one."""
_DISPENSABLE = frozenset(("candidate", "maxptime", "ptime", "rtcp", "rtcp-fb", "tls-id"))
"""Attributes that are left out where they cannot be read, for a call can do without: cameras and
gateways write ports that are missing, feedback without a type, packet times of 0."""
_SINGLE = frozenset(
    ("ice-pwd", "ice-ufrag", "max-message-size", "mid", "sctp-port", "setup", "simulcast", "tls-id")
)
"""Attributes that a section may not have twice with different values."""

_SESSION_ORDER = {letter: place for place, letter in enumerate("vosiuepcbtzka")}
_SESSION_ORDER["r"] = _SESSION_ORDER["t"]
_MEDIA_ORDER = {"i": 1, "c": 1, "b": 1, "k": 1, "a": 1}


def parse_session(text: str) -> SessionDescription:
    """Read a session description.

    Args:
        text: the description; lines end in CRLF or LF.

    Raises:
        ParseError: a line is malformed, out of order or missing, or a limit is passed.
            `ParseError.line` is its 1-based number.
    """
    if len(text) > MAX_SDP_LENGTH:
        raise ParseError(f"description is longer than {MAX_SDP_LENGTH} characters", line=1)
    lines = text.split("\n")
    while lines and lines[-1] in ("", "\r"):
        lines.pop()
    if not lines:
        raise ParseError("description is empty", line=1)
    reader = _Reader(_Section())
    number = 0
    try:
        for number, line in enumerate(lines, 1):  # noqa: B007 - the error needs it
            reader.line(line.removesuffix("\r"))
        return reader.finish()
    except ParseError as error:
        raise ParseError(error.reason, line=number) from None


@dataclass(slots=True)
class _Section:
    """What has been read of the session level (media is None) or of one section."""

    media: MediaDescription | None = None
    attributes: list[Attribute] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    bandwidths: list[Bandwidth] = field(default_factory=list)
    information: str | None = None
    key: str | None = None
    candidates: int = 0
    singles: dict[str, str] = field(default_factory=dict)
    place: int = 0


@dataclass(slots=True)
class _Reader:
    """The parser's state between two lines."""

    section: _Section
    version: bool = False
    origin: Origin | None = None
    name: str | None = None
    uri: str | None = None
    zones: str | None = None
    emails: list[str] = field(default_factory=list)
    phones: list[str] = field(default_factory=list)
    times: list[Timing] = field(default_factory=list)
    media: list[MediaDescription] = field(default_factory=list)
    session: _Section = field(init=False)

    def __post_init__(self) -> None:
        self.session = self.section

    def line(self, line: str) -> None:
        if len(line) > MAX_LINE_LENGTH:
            raise ParseError(f"line is longer than {MAX_LINE_LENGTH} characters")
        letter, value = line[:1], line[2:]
        if line[1:2] != "=":
            raise ParseError(f"line is not <type>=<value>: {shorten(line)}")
        if "\r" in value or "\0" in value:
            raise ParseError("line holds a CR or NUL")
        section = self.section
        if letter == "a":
            if section.media is None:
                self._need_times()
                section.place = _SESSION_ORDER["a"]
            self._attribute(section, value)
        elif letter == "m":
            self._need_times()
            self._open(value)
        elif section.media is None:
            self._session_line(section, letter, value)
        else:
            self._media_line(section, letter, value)

    def finish(self) -> SessionDescription:
        self._need_times()
        assert self.origin is not None
        assert self.name is not None
        self._close()
        session = self.session
        return SessionDescription(
            origin=self.origin,
            name=self.name,
            attributes=tuple(session.attributes),
            media=tuple(self.media),
            information=session.information,
            uri=self.uri,
            emails=tuple(self.emails),
            phones=tuple(self.phones),
            connection=session.connections[0] if session.connections else None,
            bandwidths=tuple(session.bandwidths),
            times=tuple(self.times),
            time_zones=self.zones,
            key=session.key,
        )

    def _need_times(self) -> None:
        if not self.times:
            present = {"v": self.version, "o": self.origin, "s": self.name is not None, "t": self.times}
            missing = next(letter for letter, found in present.items() if not found)
            raise ParseError(f"{missing}= line is missing")

    def _open(self, value: str) -> None:
        self._close()
        if len(self.media) == MAX_MEDIA_SECTIONS:
            raise ParseError(f"description has more than {MAX_MEDIA_SECTIONS} m= lines")
        self.section = _Section(_media(value))

    def _close(self) -> None:
        section = self.section
        if section.media is None:
            return
        self.media.append(
            replace(
                section.media,
                attributes=tuple(section.attributes),
                information=section.information,
                connections=tuple(section.connections),
                bandwidths=tuple(section.bandwidths),
                key=section.key,
            )
        )

    def _session_line(self, section: _Section, letter: str, value: str) -> None:
        place = _SESSION_ORDER.get(letter)
        if place is None:
            raise ParseError(f"line type {letter!r} is unknown")
        if place < section.place:
            raise ParseError(f"{letter}= line is out of order")
        section.place = place
        if letter == "v":
            if value != "0" or self.version:
                raise ParseError(f"version is not 0: {shorten(value)}" if value != "0" else "second v= line")
            self.version = True
        elif not self.version:
            raise ParseError("v= line is missing")
        elif letter == "o":
            self._once(self.origin, letter)
            self.origin = _origin(value)
        elif self.origin is None:
            raise ParseError("o= line is missing")
        elif letter == "s":
            self._once(self.name, letter)
            # RFC 8866 forbids an empty name, peers write one all the same
            self.name = value
        elif self.name is None:
            raise ParseError("s= line is missing")
        elif letter == "u":
            self._once(self.uri, letter)
            self.uri = _text(value, "u=")
        elif letter == "e":
            _append(self.emails, _text(value, "e="))
        elif letter == "p":
            _append(self.phones, _text(value, "p="))
        elif letter == "t":
            _append(self.times, _timing(value))
        elif letter == "r":
            self._repeat(value)
        elif letter == "z":
            self._once(self.zones, letter)
            self._need_times()
            self.zones = _text(value, "z=")
        else:
            self._common_line(section, letter, value)

    def _repeat(self, value: str) -> None:
        self._need_times()
        timing = self.times[-1]
        if len(timing.repeats) == MAX_REPEATED_LINES:
            raise ParseError(f"more than {MAX_REPEATED_LINES} r= lines")
        self.times[-1] = replace(timing, repeats=(*timing.repeats, _text(value, "r=")))

    def _media_line(self, section: _Section, letter: str, value: str) -> None:
        place = _MEDIA_ORDER.get(letter)
        if place is None:
            raise ParseError(f"line type {letter!r} may not stand in a section")
        if place < section.place:
            raise ParseError(f"{letter}= line is out of order")
        section.place = place
        self._common_line(section, letter, value)

    def _common_line(self, section: _Section, letter: str, value: str) -> None:
        if letter == "i":
            self._once(section.information, letter)
            section.information = _text(value, "i=")
        elif letter == "c":
            if section.media is None and section.connections:
                raise ParseError("second c= line")
            _append(section.connections, _connection(value))
        elif letter == "b":
            _append(section.bandwidths, _bandwidth(value))
        else:
            self._once(section.key, letter)
            section.key = _text(value, "k=")

    def _attribute(self, section: _Section, value: str) -> None:
        if len(section.attributes) == MAX_ATTRIBUTES:
            raise ParseError(f"more than {MAX_ATTRIBUTES} attributes")
        name, colon, text = value.partition(":")
        name = name.strip()  # some peers put a space behind it, or behind the colon
        kind = _KINDS.get(name)
        if kind is not None:
            try:
                parsed = kind.parse(text.strip())
            except ParseError:
                if name in _DISPENSABLE:
                    return
                raise
            attribute = Attribute(name, text, parsed)
            if name in _SINGLE and section.singles.setdefault(name, text) != text:
                raise ParseError(f"second, different a={name} line")
            if kind is Candidate:
                section.candidates += 1
                if section.candidates > MAX_CANDIDATES:
                    raise ParseError(f"more than {MAX_CANDIDATES} candidates")
        elif not is_token(name):
            return  # whatever it is, a call can do without it
        elif colon and name in _FLAGS:
            raise ParseError(f"a={name} takes no value")
        else:
            attribute = Attribute(name, text if colon else None)
        section.attributes.append(attribute)
        section.place = max(section.place, 1)

    @staticmethod
    def _once(present: object, letter: str) -> None:
        if present is not None:
            raise ParseError(f"second {letter}= line")


def _append(lines: list[L], item: L) -> None:
    if len(lines) == MAX_REPEATED_LINES:
        raise ParseError(f"more than {MAX_REPEATED_LINES} lines of one type")
    lines.append(item)


def _origin_number(text: str, what: str) -> int:
    """Digits of any number (RFC 8866, section 9), and the sign that some peers write."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= MAX_ORIGIN_DIGITS):
        raise ParseError(f"{what} is not a number: {shorten(text)}")
    return int(text)


def _text(value: str, what: str) -> str:
    if not value:
        raise ParseError(f"{what} line is empty")
    return value


def _fields(value: str, count: int, what: str) -> list[str]:
    parts = value.split()
    if len(parts) != count:
        raise ParseError(f"{what} line has {len(parts)} fields, not {count}: {shorten(value)}")
    return parts


def _origin(value: str) -> Origin:
    username, session_id, version, *address = _fields(value, 6, "o=")
    return Origin(
        _origin_number(session_id, "session id"),
        _origin_number(version, "session version"),
        username,
        *address,
    )


def _connection(value: str) -> Connection:
    network, address_type, address = _fields(value, 3, "c=")
    return Connection(token(network, "network type"), token(address_type, "address type"), address)


def _bandwidth(value: str) -> Bandwidth:
    kind, colon, number = value.partition(":")
    if not colon:
        raise ParseError(f"b= line is malformed: {shorten(value)}")
    return Bandwidth(token(kind, "bandwidth type"), uint(number, "bandwidth", MAX_UINT64))


def _timing(value: str) -> Timing:
    start, stop = _fields(value, 2, "t=")
    return Timing(uint(start, "start time", MAX_UINT64), uint(stop, "stop time", MAX_UINT64))


def _media(value: str) -> MediaDescription:
    parts = value.split()
    if len(parts) < 4:
        raise ParseError(f"m= line has {len(parts)} fields, needs at least 4: {shorten(value)}")
    kind, port, protocol, *formats = parts
    if len(formats) > MAX_FORMATS:
        raise ParseError(f"m= line has more than {MAX_FORMATS} formats")
    number, slash, count = port.partition("/")
    for part in protocol.split("/"):
        token(part, "protocol")
    media = MediaDescription(
        kind=token(kind, "media type"),
        port=uint(number, "port", 65535),
        protocol=protocol,
        formats=tuple(token(each, "format") for each in formats),
        port_count=uint(count, "number of ports", 65535, 1) if slash else None,
    )
    if media.is_rtp:
        for each in formats:
            uint(each, "payload type", MAX_PAYLOAD_TYPE)
    return media
