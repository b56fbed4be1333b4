"""Attribute lines: the raw pair, and the typed values of transport and session attributes.

Every typed value parses itself from the text behind ``a=name:`` and writes itself back with
`str()`. The RTP ones stand in `rtcstack.sdp.formats`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Self

from rtcstack.errors import ParseError
from rtcstack.sdp.grammar import MAX_UINT64, is_token, shorten, token, uint

__all__ = [
    "Attribute",
    "AttributeValue",
    "Direction",
    "Fingerprint",
    "Group",
    "IceOptions",
    "IcePwd",
    "IceUfrag",
    "MaxMessageSize",
    "Mid",
    "SctpMap",
    "SctpPort",
    "Setup",
    "SetupRole",
    "TextValue",
    "TlsId",
]

_NAME = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+")


class AttributeValue:
    """Base of the typed values: they know their name, parse themselves and write themselves."""

    __slots__ = ()

    NAME: ClassVar[str]

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read what stands behind ``a=name:``.

        Raises:
            ParseError: the text does not follow the attribute's grammar.
        """
        raise NotImplementedError

    def attribute(self) -> Attribute:
        """The attribute line that carries this value."""
        return Attribute(self.NAME, str(self), self)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One ``a=`` line, as it was written.

    Attributes:
        name: what stands before the colon.
        value: what stands behind it; None for a property attribute (no colon at all).
        typed: the value's typed form, where the name is known and the line came through the parser.
    """

    name: str
    value: str | None = None
    typed: AttributeValue | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Attribute:
        """Split ``name[:value]``. The value is kept as it is, unchecked."""
        name, colon, value = text.partition(":")
        if not is_token(name):
            raise ParseError(f"attribute name is not a token: {shorten(name)}")
        return cls(name, value if colon else None)

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value}"


class Direction(StrEnum):
    """The direction attributes. Spec: RFC 8866, section 6.7."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, *, send: bool, recv: bool) -> Direction:
        """The direction that sends and receives as told."""
        if send:
            return cls.SENDRECV if recv else cls.SENDONLY
        return cls.RECVONLY if recv else cls.INACTIVE

    @property
    def send(self) -> bool:
        """Whether whoever wrote it sends."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def recv(self) -> bool:
        """Whether whoever wrote it receives."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def reversed(self) -> Direction:
        """The same, from the other side's point of view."""
        return Direction.of(send=self.recv, recv=self.send)

    def __and__(self, other: Direction) -> Direction:
        """What both permit."""
        return Direction.of(send=self.send and other.send, recv=self.recv and other.recv)


class SetupRole(StrEnum):
    """Who opens the DTLS association. Spec: RFC 4145, section 4; RFC 5763, section 5."""

    ACTIVE = "active"
    PASSIVE = "passive"
    ACTPASS = "actpass"
    HOLDCONN = "holdconn"


@dataclass(frozen=True, slots=True)
class TextValue(AttributeValue):
    """Base of attributes whose value is one piece of text with a pattern."""

    PATTERN: ClassVar[re.Pattern[str]] = re.compile(r".+")

    text: str

    @classmethod
    def parse(cls, value: str) -> Self:
        if cls.PATTERN.fullmatch(value) is None:
            raise ParseError(f"{cls.NAME} is malformed: {shorten(value)}")
        return cls(value)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Mid(TextValue):
    """``a=mid:<identification-tag>``. Spec: RFC 5888, section 4."""

    NAME: ClassVar[str] = "mid"
    PATTERN: ClassVar[re.Pattern[str]] = _NAME


@dataclass(frozen=True, slots=True)
class IceUfrag(TextValue):
    """``a=ice-ufrag``: 4 to 256 characters. Spec: RFC 8839, section 5.4.

    The RFC allows letters, digits, "+" and "/"; older peers use more, so any token character
    or "/" or "=" is taken.
    """

    NAME: ClassVar[str] = "ice-ufrag"
    PATTERN: ClassVar[re.Pattern[str]] = re.compile(r"[!-~]{4,256}")


@dataclass(frozen=True, slots=True)
class IcePwd(TextValue):
    """``a=ice-pwd``: 22 to 256 characters. Spec: RFC 8839, section 5.4."""

    NAME: ClassVar[str] = "ice-pwd"
    PATTERN: ClassVar[re.Pattern[str]] = re.compile(r"[!-~]{22,256}")


@dataclass(frozen=True, slots=True)
class TlsId(TextValue):
    """``a=tls-id``: names one DTLS association. Spec: RFC 8842, section 5."""

    NAME: ClassVar[str] = "tls-id"
    PATTERN: ClassVar[re.Pattern[str]] = re.compile(r"[0-9A-Za-z+/_\-]{20,255}")


@dataclass(frozen=True, slots=True)
class IceOptions(AttributeValue):
    """``a=ice-options:<tag> *(SP <tag>)``. Spec: RFC 8839, section 5.6."""

    NAME: ClassVar[str] = "ice-options"

    tags: tuple[str, ...]

    @classmethod
    def parse(cls, value: str) -> IceOptions:
        # the grammar wants spaces; libdatachannel writes commas
        tags = tuple(value.replace(",", " ").split())
        if not tags:
            raise ParseError("ice-options names no option")
        return cls(tags)

    def __str__(self) -> str:
        return " ".join(self.tags)


@dataclass(frozen=True, slots=True)
class Fingerprint(AttributeValue):
    """``a=fingerprint:<hash function> <hash>``. Spec: RFC 8122, section 5.

    Attributes:
        algorithm: lower case, e.g. "sha-256".
        value: upper case hexadecimal pairs with colons between them.
    """

    NAME: ClassVar[str] = "fingerprint"
    HASH_BYTES: ClassVar[dict[str, int]] = {
        "md5": 16,
        "sha-1": 20,
        "sha-224": 28,
        "sha-256": 32,
        "sha-384": 48,
        "sha-512": 64,
    }
    _HASH: ClassVar[re.Pattern[str]] = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){0,127}")

    algorithm: str
    value: str

    @classmethod
    def parse(cls, value: str) -> Fingerprint:
        algorithm, _, digest = value.partition(" ")
        algorithm = token(algorithm, "fingerprint algorithm").lower()
        digest = digest.strip()
        if cls._HASH.fullmatch(digest) is None:
            raise ParseError(f"fingerprint is malformed: {shorten(digest)}")
        expected = cls.HASH_BYTES.get(algorithm)
        if expected is not None and len(digest) != 3 * expected - 1:
            raise ParseError(f"{algorithm} fingerprint has {(len(digest) + 1) // 3} bytes, not {expected}")
        return cls(algorithm, digest.upper())

    def __str__(self) -> str:
        return f"{self.algorithm} {self.value}"


@dataclass(frozen=True, slots=True)
class Setup(AttributeValue):
    """``a=setup:<role>``. Spec: RFC 4145, section 4."""

    NAME: ClassVar[str] = "setup"

    role: SetupRole

    @classmethod
    def parse(cls, value: str) -> Setup:
        try:
            return cls(SetupRole(value))
        except ValueError:
            raise ParseError(f"setup role is unknown: {shorten(value)}") from None

    def __str__(self) -> str:
        return self.role.value


@dataclass(frozen=True, slots=True)
class Group(AttributeValue):
    """``a=group:<semantics> *(SP <mid>)``. Spec: RFC 5888, section 5; RFC 9143, section 5."""

    NAME: ClassVar[str] = "group"

    semantics: str
    mids: tuple[str, ...] = ()

    @classmethod
    def parse(cls, value: str) -> Group:
        semantics, *mids = value.split() or [""]
        return cls(
            token(semantics, "group semantics"), tuple(token(mid, "identification tag") for mid in mids)
        )

    def __str__(self) -> str:
        return " ".join((self.semantics, *self.mids))


@dataclass(frozen=True, slots=True)
class SctpPort(AttributeValue):
    """``a=sctp-port:<port>``; 0 closes the association. Spec: RFC 8841, section 5."""

    NAME: ClassVar[str] = "sctp-port"

    port: int

    @classmethod
    def parse(cls, value: str) -> SctpPort:
        return cls(uint(value, "sctp-port", 65535))

    def __str__(self) -> str:
        return str(self.port)


@dataclass(frozen=True, slots=True)
class SctpMap(AttributeValue):
    """``a=sctpmap:<port> <protocol> [<streams>]``, what stood before sctp-port.

    Spec: draft-ietf-mmusic-sctp-sdp-05, section 4.2 (expired; older peers still write it).
    """

    NAME: ClassVar[str] = "sctpmap"

    port: int
    protocol: str
    streams: int | None = None

    @classmethod
    def parse(cls, value: str) -> SctpMap:
        parts = value.split()
        if not 2 <= len(parts) <= 3:
            raise ParseError(f"sctpmap is malformed: {shorten(value)}")
        streams = uint(parts[2], "sctpmap streams", 65535) if len(parts) == 3 else None
        return cls(uint(parts[0], "sctpmap port", 65535), token(parts[1], "sctpmap protocol"), streams)

    def __str__(self) -> str:
        text = f"{self.port} {self.protocol}"
        return text if self.streams is None else f"{text} {self.streams}"


@dataclass(frozen=True, slots=True)
class MaxMessageSize(AttributeValue):
    """``a=max-message-size:<bytes>``; 0 means any size. Spec: RFC 8841, section 6."""

    NAME: ClassVar[str] = "max-message-size"
    DEFAULT: ClassVar[int] = 65536
    """What holds when the attribute is absent."""

    size_bytes: int

    @classmethod
    def parse(cls, value: str) -> MaxMessageSize:
        return cls(uint(value, "max-message-size", MAX_UINT64))

    def __str__(self) -> str:
        return str(self.size_bytes)


def flag(name: str) -> Attribute:
    """A property attribute (``a=name``)."""
    return Attribute(name)


def typed_value(kind: type[Any], attribute: Attribute) -> Any:
    """The typed form of `attribute`, parsed here when the parser did not."""
    if type(attribute.typed) is kind:
        return attribute.typed
    return kind.parse(attribute.value or "")
