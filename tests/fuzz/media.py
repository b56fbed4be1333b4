"""Fuzz targets of audio and video: packets, payload formats, whole sessions, SRTP.

See targets.py. What reaches native decoders is fuzzed in a process of its own: decoders.py.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator

from rtcstack.codecs import registry
from rtcstack.codecs.payload.h264 import h264_frame_size
from rtcstack.codecs.payload.opus import OpusDepacketizer
from rtcstack.codecs.payload.red import RedDepacketizer
from rtcstack.codecs.payload.telephone_event import DtmfDetector
from rtcstack.codecs.payload.vp9 import vp9_frame_size
from rtcstack.dtls.cryptex import CryptexContext
from rtcstack.dtls.srtp import SrtpContext
from rtcstack.dtls.srtp_keys import SRTP_PROFILES, split_keys
from rtcstack.errors import ParseError
from rtcstack.rtp import extensions
from rtcstack.rtp.dependency import (
    MAX_DIFFERENCES,
    MAX_TEMPLATES,
    DependencyStructure,
    read_dependency_descriptor,
)
from rtcstack.rtp.extensions import Extension, ExtensionIds
from rtcstack.rtp.fec import Recovery
from rtcstack.rtp.frames import AudioDepacketizer, Depacketizer
from rtcstack.rtp.layers_allocation import read_layers_allocation, write_layers_allocation
from rtcstack.rtp.nack import MAX_MISSING
from rtcstack.rtp.packet import parse as parse_rtp
from rtcstack.rtp.parameters import Delivery, ReceiveCodec, ReceiveSection, SendParameters, Source
from rtcstack.rtp.received import MAX_STREAMS_PER_SECTION
from rtcstack.rtp.rtcp import parse as parse_rtcp
from rtcstack.rtp.session import RtpSession
from rtcstack.rtp.video import MAX_HELD_PACKETS
from tests.fuzz.closing import assert_silent

__all__ = ["TARGETS"]

VIDEO_CODECS = ("vp8", "vp9", "h264", "h265", "av1")


def pieces(data: bytes) -> Iterator[bytes]:
    """The input cut into pieces, each behind its length."""
    while data:
        size = data[0] + 1
        yield data[1:size]
        data = data[size:]


def rtp_packet(data: bytes) -> None:
    """An RTP packet is parts that lie within it, or a ParseError."""
    try:
        packet = parse_rtp(data)
    except ParseError:
        return
    assert packet.payload_bytes + packet.header_bytes <= len(data)
    assert len(packet.csrcs) == data[0] & 15
    for identifier, value in packet.extensions.items():
        assert packet.extension(identifier) == value
        assert len(value) <= 255
    assert packet.extension(0) is None


_READERS: tuple[Callable[[bytes | None], object], ...] = (
    extensions.read_name,
    extensions.read_audio_level,
    extensions.read_mixer_levels,
    extensions.read_abs_send_time,
    extensions.read_time_offset,
    extensions.read_video_orientation,
    extensions.read_playout_delay,
    extensions.read_abs_capture_time,
)


def header_extension(data: bytes) -> None:
    """The value of a header extension means something, or nothing; it never raises."""
    for read in _READERS:
        read(data)
    with contextlib.suppress(ParseError):
        allocation = read_layers_allocation(data)
        assert read_layers_allocation(write_layers_allocation(allocation)).layers == allocation.layers


def dependency_descriptors(data: bytes) -> None:
    """The descriptors of a stream are frames of some layer, within bounds, or a ParseError each."""
    structure: DependencyStructure | None = None
    for value in pieces(data):
        with contextlib.suppress(ParseError):
            descriptor = read_dependency_descriptor(value, structure)
            structure = descriptor.structure or structure
            assert structure is not None
            assert len(structure.templates) <= MAX_TEMPLATES
            assert len(descriptor.frame.differences) <= MAX_DIFFERENCES
            assert len(descriptor.frame.indications) == structure.decode_targets


def parity(data: bytes) -> None:
    """Of media and parity that come, packets of the stream are restored, and no more is kept than may be."""
    recovery = Recovery()
    for number, piece in enumerate(pieces(data), 1000):
        head = bytes((0x80, 96 if piece[:1] < b"\x80" else 123)) + (number & 0xFFFF).to_bytes(2, "big")
        with contextlib.suppress(ParseError):
            packet = parse_rtp(head + bytes(8) + piece[1:])
            packet.index = number
            if packet.payload_type == 96:
                recovery.keep(packet)
            else:
                recovery.add(packet)
        for restored in recovery.take(7, ExtensionIds()):
            assert restored.ssrc == 7
    assert recovery.discarded + recovery.recovered <= recovery.packets


def rtcp(data: bytes) -> None:
    """An RTCP datagram is packets that read as they were written, or a ParseError."""
    # as it is, and as packets of known types, each as long as it says
    for datagram in (data, b"".join(_rtcp_packet(p[0], p[1:]) for p in pieces(data) if p)):
        _rtcp_datagram(datagram)


def _rtcp_datagram(data: bytes) -> None:
    try:
        packets, malformed, _ = parse_rtcp(data)
    except ParseError:
        return
    assert len(packets) + malformed <= -(-len(data) // 4)
    for packet in packets:
        written = packet.to_bytes()
        again, bad, _ = parse_rtcp(written)
        assert not bad
        assert again == [packet] or again[0].to_bytes() == written


def _video_payloads(codec: str) -> Callable[[bytes], None]:
    read: Depacketizer = registry.video_depacketizer(codec)

    def target(data: bytes) -> None:
        parts = []
        for payload in pieces(data):
            with contextlib.suppress(ParseError):
                parts.append(read.depacketize(payload))
        for info in parts:
            assert len(info.data) <= 4 * len(data) + 16
            assert 0 <= info.temporal_id < 8
            assert 0 <= info.spatial_id < 8
        if parts:
            with contextlib.suppress(ParseError):
                assert len(read.assemble(parts)) <= 8 * len(data) + 16

    target.__name__ = f"{codec}_payloads"
    target.__doc__ = f"{codec.upper()} payloads are parts of a frame, or ParseErrors; none grows."
    return target


def _video_frames(codec: str) -> Callable[[bytes], None]:
    read = registry.video_depacketizer(codec)
    cutters = [registry.video_packetizer(codec, {"packetization-mode": "1"})]
    if codec == "h264":
        cutters.append(registry.video_packetizer(codec, {}))

    def target(data: bytes) -> None:
        for cut in cutters:
            for frame in (data, b"\0\0\0\1" + data):
                try:
                    payloads = cut.packetize(frame, key_frame=len(data) % 2 == 0, max_payload_bytes=100)
                except ParseError:
                    continue
                assert all(0 < len(payload) <= 100 for payload in payloads)
                with contextlib.suppress(ParseError):  # nonsense within the units
                    read.assemble([read.depacketize(payload) for payload in payloads])

    target.__name__ = f"{codec}_frames"
    target.__doc__ = f"{codec.upper()} frames of an application's making are cut within bounds, or refused."
    return target


def frame_sizes(data: bytes) -> None:
    """What bitstreams say of their pictures' size is a size, or None."""
    for size in (h264_frame_size(b"\x67" + data), vp9_frame_size(data)):
        assert size is None or (0 < size[0] <= 65_536 and 0 < size[1] <= 65_536)


_AUDIO: tuple[AudioDepacketizer, ...] = (
    OpusDepacketizer(),
    registry.audio_depacketizer("pcmu"),
    RedDepacketizer(111, OpusDepacketizer()),
)


def audio_payloads(data: bytes) -> None:
    """Audio payloads are units with a duration, or ParseErrors."""
    for read in _AUDIO:
        try:
            units = read.split(data)
        except ParseError:
            continue
        assert len(units) <= 64
        assert all(unit.duration >= 0 for unit in units)
        assert sum(len(unit.data) for unit in units) <= len(data)


def telephone_events(data: bytes) -> None:
    """Telephone events begin and end; what is told is bounded by what came."""
    detector = DtmfDetector()
    tones = 0
    for i, payload in enumerate(pieces(data)):
        with contextlib.suppress(ParseError):
            tones += len(detector.receive(payload, i * 160))
    assert tones <= len(data)


# -- whole sessions -------------------------------------------------------------------------------

_IDS: dict[str, int] = {
    Extension.MID: 1,
    Extension.RID: 2,
    Extension.REPAIRED_RID: 3,
    Extension.ABS_SEND_TIME: 4,
    Extension.AUDIO_LEVEL: 6,
    Extension.VIDEO_ORIENTATION: 7,
    Extension.ABS_CAPTURE_TIME: 8,
    Extension.MIXER_LEVELS: 9,
    Extension.DEPENDENCY_DESCRIPTOR: 10,
    Extension.VIDEO_LAYERS_ALLOCATION: 11,
}
_TYPES = (96, 98, 100, 102, 104, 97, 99, 101, 103, 105, 111, 63, 0, 110, 106, 106)


def _session(*, remb: bool) -> RtpSession:
    engine = RtpSession(rng=random.Random(1), ntp_offset_s=3.9e9)
    ids = dict(_IDS) if remb else {**_IDS, Extension.TRANSPORT_CC: 5}
    codecs = [
        ReceiveCodec(96 + 2 * i, 90_000, registry.video_depacketizer(name), nack=True, pli=True)
        for i, name in enumerate(VIDEO_CODECS)
    ]
    codecs += [ReceiveCodec(97 + 2 * i, 90_000, apt=96 + 2 * i) for i in range(len(VIDEO_CODECS))]
    codecs += [ReceiveCodec(number, 90_000) for number in (106, 107)]  # RED and parity
    opus = registry.audio_depacketizer("opus")
    engine.set_receive_section(
        ReceiveSection(
            mid="v",
            kind="video",
            codecs=tuple(codecs),
            extensions=ids,
            rids=("a", "b"),
            sources=(Source(1, 2),),
            delivery=Delivery.FRAMES | Delivery.PACKETS,
            transport_cc=not remb,
            remb=True,
            reduced_size=True,
            receiver_time=True,
            red_type=106,
            parity_type=107,
        )
    )
    engine.set_receive_section(
        ReceiveSection(
            mid="s",
            kind="audio",
            codecs=(
                ReceiveCodec(111, 48_000, opus),
                ReceiveCodec(63, 48_000, RedDepacketizer(111, opus)),
                ReceiveCodec(0, 8_000, registry.audio_depacketizer("pcmu")),
                ReceiveCodec(110, 48_000),
            ),
            extensions=ids,
            sources=(Source(3),),
            delivery=Delivery.FRAMES | Delivery.PLAYOUT,
            transport_cc=not remb,
        )
    )
    sender = engine.add_send_stream(
        SendParameters(
            mid="v",
            kind="video",
            ssrc=1001,
            payload_type=96,
            clock_rate=90_000,
            cname="somebody",
            rtx_ssrc=1002,
            rtx_payload_type=97,
            extensions=ids,
            nack=True,
            transport_cc=not remb,
            remb=True,
        )
    )
    engine.start(1000.0)
    for i in range(4):
        sender.send([bytes(500)] * 3, i * 3000, 1000.0, key_frame=i == 0)
    engine.drain(1000.0)
    return engine


def _rtcp_packet(kind: int, body: bytes) -> bytes:
    """A packet of one of the known types and formats."""
    body += bytes(-len(body) % 4)
    return bytes((0x80 | kind & 0x1F, 200 + kind % 8)) + (len(body) // 4).to_bytes(2, "big") + body


def _datagram(piece: bytes) -> bytes:
    """A datagram that gets past the first checks, made of a few bytes: see the branches."""
    if len(piece) < 4:
        return piece
    kind, second, low, rest = piece[0], piece[1], piece[2], piece[3:]
    if kind & 3 == 0:
        return rest
    if kind & 3 == 1:  # RTCP of each type, of the length that it says
        return _rtcp_packet(second, rest)
    # RTP: of a known type, with near numbers
    payload_type = _TYPES[second % len(_TYPES)]
    source = (kind >> 2 & 3) + 1
    has_extension = bool(kind & 0x10)
    head = bytes((0x80 | has_extension << 4, payload_type | (kind & 0x80)))
    head += low.to_bytes(2, "big") + (low // 3 * 3000).to_bytes(4, "big") + source.to_bytes(4, "big")
    if has_extension and rest:
        words = min(rest[0] & 3, (len(rest) - 1) // 4)
        head += b"\xbe\xde" + words.to_bytes(2, "big") + rest[1 : 1 + 4 * words]
        rest = rest[1 + 4 * words :]
    return head + rest


def _hostile_session(data: bytes, *, remb: bool) -> None:
    engine = _session(remb=remb)
    now = 1000.0
    for piece in pieces(data):
        engine.receive([_datagram(piece)], now)
        now += 0.001 if len(piece) % 5 else 0.3
        for _ in range(20):
            due = engine.next_timeout()
            if due is None or due > now:
                break
            engine.handle_timeout(now)
            engine.drain(now)
        else:
            raise AssertionError("deadlines without end")
        engine.drain(now)
        engine.events()
        streams = engine.receive_streams
        assert len(streams) <= 4 * MAX_STREAMS_PER_SECTION
        for stream in streams:
            assert len(stream.nack) <= MAX_MISSING
            if stream.assembler is not None:
                assert stream.assembler.held_packets <= MAX_HELD_PACKETS + 1
            if stream.playout is not None:
                stream.playout.pop(now)
    estimate = engine.sending.estimate_bps
    assert estimate is None or 0 < estimate <= 20_000_000
    engine.close(now, "over")
    engine.drain(now)
    engine.events()
    assert_silent(engine, [], now)  # its transport gives it nothing any more


def rtp_session(data: bytes) -> None:
    """A session under whatever comes: counted, dropped or believed; bounded, and never an exception."""
    _hostile_session(data, remb=False)


def rtp_session_remb(data: bytes) -> None:
    """The same with a peer that knows REMB only."""
    _hostile_session(data, remb=True)


# -- SRTP -----------------------------------------------------------------------------------------

_MATERIAL = random.Random(1).randbytes(200)


def srtp(data: bytes) -> None:
    """Forged packets of every profile: counted and dropped, and the next good one is taken."""
    _forged(data, SrtpContext)


def cryptex(data: bytes) -> None:
    """The same where header extensions are encrypted."""
    _forged(data, CryptexContext)


def _forged(data: bytes, kind: type[SrtpContext] | type[CryptexContext]) -> None:
    extension = b"\xbe\xde\0\1" + bytes(4) if kind is CryptexContext else b""
    first = b"\x90" if extension else b"\x80"
    for name, profile in SRTP_PROFILES.items():
        if (kind, name) not in _CONTEXTS:
            material = _MATERIAL[: profile.material_bytes]
            _CONTEXTS[kind, name] = (
                kind(split_keys(profile, material, is_client=True)),
                kind(split_keys(profile, material, is_client=False)),
                [0],
            )
        ours, theirs, count = _CONTEXTS[kind, name]
        forged = [piece for piece in pieces(data) if piece]
        assert theirs.unprotect(forged) == []
        number = count[0] = count[0] + 1
        head = first + b"\x60" + (number & 0xFFFF).to_bytes(2, "big") + bytes(4) + b"\0\0\0\7"
        good = head + extension + b"payload"
        (sealed,) = ours.protect([good])
        damaged = bytearray(sealed)
        damaged[(len(data) * 7) % len(damaged)] ^= 1 + len(data) % 255
        assert theirs.unprotect([bytes(damaged)]) == []
        assert theirs.unprotect([sealed]) == [good]


_Contexts = tuple[SrtpContext | CryptexContext, SrtpContext | CryptexContext, list[int]]
_CONTEXTS: dict[tuple[type, str], _Contexts] = {}

TARGETS: tuple[Callable[[bytes], None], ...] = (
    rtp_packet,
    header_extension,
    dependency_descriptors,
    parity,
    rtcp,
    *map(_video_payloads, VIDEO_CODECS),
    *map(_video_frames, VIDEO_CODECS),
    frame_sizes,
    audio_payloads,
    telephone_events,
    rtp_session,
    rtp_session_remb,
    srtp,
    cryptex,
)
