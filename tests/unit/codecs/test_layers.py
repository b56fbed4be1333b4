"""VP9 with spatial layers, as libvpx makes it: the highest layer is the picture, once a picture.

The files in ``data`` hold 15 pictures of `material.picture` in three layers of 80x46, 160x90 and
320x180: with prediction between layers, with it in key pictures only, and without.
"""

from __future__ import annotations

import struct
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.codecs.coders.video_decoder import VideoDecoder
from rtcstack.codecs.payload.superframe import (
    MAX_FRAMES,
    LayerChoice,
    is_vp9_key_frame,
    superframe,
    superframe_frames,
)
from rtcstack.codecs.payload.vp9 import Vp9Depacketizer, Vp9Packetizer
from rtcstack.errors import ParseError
from rtcstack.rtp.frames import EncodedFrame
from tests.unit.codecs.material import picture, psnr
from tests.unit.media.pipeline.receiving import Receiver, Sink
from tests.unit.rtp.test_video import Bench, packet

DATA = Path(__file__).parent / "data"
MODES = ("vp9_l3t1", "vp9_l3t1_key", "vp9_s3t1")
modes = pytest.mark.parametrize("mode", MODES)


def layers(mode: str) -> list[list[bytes]]:
    """The layer frames of each picture."""
    data = (DATA / f"{mode}.ivf").read_bytes()
    at, pictures = 32, []
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        pictures.append(superframe_frames(data[at + 12 : at + 12 + size]))
        at += 12 + size
    return pictures


def payloads(mode: str, number: int, frames: list[bytes], limit: int = 300) -> list[list[bytes]]:
    """Of each layer frame (RFC 9628, section 4.2)."""
    out = []
    for layer, frame in enumerate(frames):
        depends = bool(layer) and (mode == "vp9_l3t1" or (mode == "vp9_l3t1_key" and number == 0))
        pieces = [frame[i : i + limit] for i in range(0, len(frame), limit)]
        out.append([])
        for i, piece in enumerate(pieces):
            bits = 0x80 | 0x20 | (0x40 if number else 0)
            bits |= (0x08 if i == 0 else 0) | (0x04 if i == len(pieces) - 1 else 0)
            head = bytes((number & 0x7F, layer << 1 | depends, number & 0xFF))
            if not number and not layer and not i:
                bits |= 0x02
                head += bytes((2 << 5,))  # a structure of three layers
            out[-1].append(bytes((bits,)) + head + piece)
    return out


def received(mode: str, *, mark_layers: bool = False, layers_of: range | None = None) -> list[EncodedFrame]:
    bench = Bench(Vp9Depacketizer())
    index = 0
    for number, frames in enumerate(layers(mode)):
        if layers_of is not None and number in layers_of:
            frames = frames[:-1]
        cut = payloads(mode, number, frames)
        for layer, parts in enumerate(cut):
            for i, payload in enumerate(parts):
                ends_layer = i == len(parts) - 1
                mark = ends_layer and (mark_layers or layer == len(cut) - 1)
                bench.put(packet(index, number * 3000, payload, mark))
                index += 1
        bench.wait(0.033)
    bench.wait(1.0)
    return bench.frames


@modes
@pytest.mark.parametrize("mark_layers", [False, True], ids=["marked pictures", "marked layers"])
async def test_the_highest_layer_is_shown_once_a_picture(mode: str, mark_layers: bool) -> None:
    receiver = Receiver("vp9")
    seen, encoded = Sink(receiver.track), Sink(receiver.feed.encoded.track())
    for frame in received(mode, mark_layers=mark_layers):
        receiver.receive(frame.data, key_frame=frame.key_frame, timestamp=frame.timestamp)
    assert [frame.pts for frame in seen.frames] == [n * 3000 for n in range(15)]
    for number, shown in enumerate(seen.frames):
        assert (shown.width, shown.height) == (320, 180)
        assert psnr(shown, picture(number, 320, 180)) > 24
    assert receiver.feed.failures == 0
    # what is recorded or sent on is as good, for any decoder
    for name in ("vp9", "libvpx-vp9"):
        decoder = VideoDecoder("vp9", implementation=name)
        made = [decoder.decode(frame.data, frame.pts) for frame in encoded.frames]
        assert [len(frames) for frames in made] == [1] * 15
        assert all(psnr(f, picture(n, 320, 180)) > 24 for n, (f,) in enumerate(made))


@modes
async def test_without_the_highest_layer_what_can_be_shown_is(mode: str) -> None:
    receiver = Receiver("vp9")
    seen = Sink(receiver.track)
    asked = receiver.key_frames_asked
    for frame in received(mode, layers_of=range(5, 15)):
        receiver.receive(frame.data, key_frame=frame.key_frame, timestamp=frame.timestamp)
    if mode == "vp9_s3t1":  # the lower layers were not decoded: a key frame is needed
        assert len(seen.frames) == 5
        assert receiver.key_frames_asked > asked
    else:
        assert len(seen.frames) == 15
        assert {(frame.width, frame.height) for frame in seen.frames[5:]} == {(160, 90)}


@modes
def test_a_superframe_goes_through_our_own_packets(mode: str) -> None:
    packetizer, read = Vp9Packetizer(), Vp9Depacketizer()
    for number, frames in enumerate(layers(mode)):
        whole = superframe(frames)
        cut = packetizer.packetize(whole, key_frame=number == 0, max_payload_bytes=500)
        assert read.assemble([read.depacketize(payload) for payload in cut]) == whole


@given(
    st.lists(
        st.binary(min_size=1, max_size=70_000).filter(lambda b: b[-1] & 0xE0 != 0xC0), min_size=1, max_size=8
    )
)
def test_superframes_come_apart_as_they_were(frames: list[bytes]) -> None:
    assert superframe_frames(superframe(frames)) == frames


@given(st.binary(max_size=60))
def test_an_index_that_lies_is_none(data: bytes) -> None:
    assert b"".join(superframe_frames(data)) == data[: sum(map(len, superframe_frames(data)))]
    choice = LayerChoice()
    choice.choose(data, key_frame=True)
    choice.choose(data, key_frame=False)
    is_vp9_key_frame(data)


def test_more_layers_than_an_index_can_tell_are_malformed() -> None:
    with pytest.raises(ParseError):
        superframe([b"x"] * (MAX_FRAMES + 1))
    read = Vp9Depacketizer()
    infos = [read.depacketize(bytes((0x2C, i << 1 & 0xE, 0)) + b"xx") for i in range(MAX_FRAMES + 1)]
    with pytest.raises(ParseError):
        read.assemble(infos)


def test_hidden_frames_within_a_superframe_give_one_picture() -> None:
    """What libvpx makes with frames that are looked at ahead."""
    from tests.unit.media.pipeline.receiving import encode

    options = {"deadline": "good", "cpu-used": "8", "lag-in-frames": "16", "auto-alt-ref": "1"}
    decoder, choice = VideoDecoder("vp9"), LayerChoice()
    count = 0
    for number, data, key in encode("libvpx-vp9", 40, (160, 96), options):
        chosen = choice.choose(data, key_frame=key)
        assert chosen is data
        frames = decoder.decode(data, number)
        assert len(frames) == 1
        count += isinstance(frames[0], av.VideoFrame)
    assert count == 40
