"""What a session description says, as far as webrtc-pc's algorithms ask. Read line by line, leniently."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["AUXILIARY", "RECV", "SEND", "Media", "Text", "intersect", "reverse"]

SEND = {"sendrecv", "sendonly"}
RECV = {"sendrecv", "recvonly"}

AUXILIARY = {"rtx", "red", "ulpfec", "flexfec-03", "cn", "telephone-event"}
"""Formats that go with others, and carry no media by themselves."""

_REVERSED = {"sendonly": "recvonly", "recvonly": "sendonly"}


def reverse(direction: str) -> str:
    """A direction from the other side's point of view."""
    return _REVERSED.get(direction, direction)


def intersect(a: str, b: str) -> str:
    """The intersection of two directions (RFC 9429, section 5.3.1)."""
    send, recv = a in SEND and b in SEND, a in RECV and b in RECV
    return {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}.get(
        (send, recv), "inactive"
    )


@dataclass(slots=True)
class Media:
    """One media description."""

    kind: str
    port: int
    protocol: str
    mid: str = ""
    direction: str = "sendrecv"
    msids: list[str] = field(default_factory=list)
    bundle_only: bool = False
    ufrag: str | None = None
    pwd: str | None = None
    setup: str | None = None
    formats: list[str] = field(default_factory=list)
    """Payload types, in the order of the m= line."""
    named: dict[str, str] = field(default_factory=dict)
    """What a=rtpmap says of them."""
    send_rids: list[str] = field(default_factory=list)
    """Of a=simulcast; the first of alternatives."""
    recv_rids: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def rejected(self) -> bool:
        return self.port == 0 and not self.bundle_only

    @property
    def codecs(self) -> list[str]:
        """Names, clock rates and channels of the formats, in their order."""
        return [self.named[each] for each in self.formats if each in self.named]

    @property
    def media_codecs(self) -> list[str]:
        """Likewise of those that carry media by themselves, each once, whatever its parameters."""
        names = [each for each in self.codecs if each.split("/")[0] not in AUXILIARY]
        return list(dict.fromkeys(names))

    @property
    def streams(self) -> list[str]:
        """Ids of the streams, each once; "-" names none."""
        return [each for each in dict.fromkeys(self.msids) if each != "-"]

    def read(self, name: str, value: str) -> None:
        """Take one attribute in."""
        match name:
            case "mid":
                self.mid = value
            case "sendrecv" | "sendonly" | "recvonly" | "inactive":
                self.direction = name
            case "msid":
                self.msids.append(value.split(" ")[0])
            case "bundle-only":
                self.bundle_only = True
            case "ice-ufrag":
                self.ufrag = value
            case "ice-pwd":
                self.pwd = value
            case "setup":
                self.setup = value
            case "rtpmap":
                number, name = value.split(" ", 1)
                self.named[number] = name.lower()
            case "simulcast":
                words = value.split(" ")
                for way, streams in zip(words[::2], words[1::2], strict=True):
                    rids = [each.split(",")[0].lstrip("~") for each in streams.split(";")]
                    if way == "send":
                        self.send_rids = rids
                    else:
                        self.recv_rids = rids


class Text:
    """A session description.

    Attributes:
        sdp: the text.
        media: its media descriptions.
        bundle: mids of its bundle groups.
        trickles: whether it says that candidates may trickle.
        is_lite: whether it is of an ICE lite agent.
    """

    def __init__(self, sdp: str) -> None:
        self.sdp = sdp
        self.media: list[Media] = []
        self.bundle: list[list[str]] = []
        self.trickles = False
        self.is_lite = False
        for line in sdp.splitlines():
            if line.startswith("m="):
                kind, port, protocol, *formats = line[2:].split(" ")
                self.media.append(Media(kind, int(port.split("/")[0]), protocol, formats=formats))
            elif line.startswith("a="):
                name, _, value = line[2:].partition(":")
                if name == "ice-options" and "trickle" in value.split(" "):
                    self.trickles = True
                if self.media:
                    self.media[-1].read(name, value)
                elif name == "group" and value.startswith("BUNDLE"):
                    self.bundle.append(value.split(" ")[1:])
                elif name == "ice-lite":
                    self.is_lite = True

    def of_mid(self, mid: str | None) -> Media | None:
        """The media description of this mid."""
        return next((each for each in self.media if mid is not None and each.mid == mid), None)

    @property
    def data(self) -> Media | None:
        """The media description of the data channels."""
        return next((each for each in self.media if each.kind == "application"), None)

    @property
    def credentials(self) -> set[tuple[str | None, str | None]]:
        """All ICE credentials."""
        return {(each.ufrag, each.pwd) for each in self.media if not each.rejected and each.ufrag is not None}
