"""AV1 of pictures that are smaller than SVT-AV1's blocks: their own size, and what is in them."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from rtcstack.codecs.coders.video import VideoSettings
from rtcstack.codecs.registry import can_encode, video_decoder, video_encoder

pytestmark = pytest.mark.skipif(not can_encode("av1"), reason="no encoder of AV1")


def picture(width: int, height: int, index: int) -> av.VideoFrame:
    """The left half dark, the right half light, and a line that goes down."""
    luma = np.full((height, width), 60, np.uint8)
    luma[:, width // 2 :] = 190
    luma[index % height, :] = 120
    whole = np.concatenate(
        [luma.ravel(), np.full(((height + 1) // 2) * ((width + 1) // 2) * 2, 128, np.uint8)]
    )
    frame = av.VideoFrame.from_ndarray(whole.reshape(-1, width), format="yuv420p")
    frame.pts, frame.time_base = index, Fraction(1, 30)
    return frame


@pytest.mark.parametrize("size", [(62, 62), (48, 32), (16, 16), (8, 4), (160, 32), (4, 62)])
async def test_small_pictures_keep_their_size(size: tuple[int, int]) -> None:
    encoder = video_encoder("av1", VideoSettings(bitrate_bps=150_000))
    decoder = video_decoder("av1")
    made = []
    for i in range(12):
        for unit in encoder.encode(picture(*size, i), force_key_frame=i == 6):
            assert (unit.width, unit.height) == size
            assert unit.key_frame is (i in (0, 6))
            made += list(decoder.decode(unit.data, unit.timestamp, key_frame=unit.key_frame))
    assert len(made) >= 11
    last = made[-1].to_ndarray(format="gray")
    assert last.shape == (size[1], size[0])
    rows = [y for y in range(size[1]) if y != (len(made) - 1) % size[1]]
    assert np.median(last[rows, : size[0] // 2]) == pytest.approx(60, abs=25)
    assert np.median(last[rows, -(size[0] // 2) :]) == pytest.approx(190, abs=25)
    encoder.close()
    decoder.close()


async def test_few_bits_make_small_pictures_coarse() -> None:
    def size(bitrate_bps: int) -> int:
        encoder = video_encoder("av1", VideoSettings(bitrate_bps=bitrate_bps))
        rng = np.random.default_rng(1)
        total = 0
        for i in range(10):
            noise = rng.integers(0, 255, (48 * 3 // 2, 48), np.uint8)
            frame = av.VideoFrame.from_ndarray(noise, format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 30)
            total += sum(len(unit.data) for unit in encoder.encode(frame))
        encoder.close()
        return total

    assert size(10_000) < 0.5 * size(500_000)
