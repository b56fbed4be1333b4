"""Whatever the application sets for its encodings: pictures, the pace and time go on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.api.encodings import MAX_BITRATE_BPS, changed_encodings, new_encodings
from rtcstack.api.parameters import RTCRtpEncodingParameters
from rtcstack.connection.encodings import Encoding
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.frames import VIDEO_TIME_BASE
from rtcstack.media.pipeline.outbound import Layer
from rtcstack.media.pipeline.transport import MediaTransport
from rtcstack.media.pipeline.video_out import VideoOutbound
from rtcstack.media.testsources import test_picture
from rtcstack.rtp.session import RtpSession
from tests.unit.rtp.media import session, video_parameters


class Jobs:
    """Takes pictures and never has them encoded."""

    dropped = 0

    def __init__(self) -> None:
        self.taken = 0

    def submit(self, frame: object) -> bool:
        self.taken += 1
        return True

    def close(self) -> None: ...


class Pool:
    def stream(self, *_: object, **__: object) -> Jobs:
        return Jobs()


class Track:
    contentHint = ""
    source = None


def layer(i: int, encoding: Encoding) -> Layer:
    """As `send_layers` makes it, as far as bounds go."""
    least = (400_000, 150_000, 30_000)[i]
    bound = encoding.max_bitrate_bps
    send = video_parameters(
        mid="v",
        rid=f"r{i}",
        ssrc=100 + i,
        rtx_ssrc=200 + i,
        transport_cc=True,
        min_bitrate_bps=least if bound is None else min(least, bound),
        max_bitrate_bps=bound,
    )
    return Layer(
        send=send,
        codec="vp8",
        mime_type="video/VP8",
        active=encoding.active,
        max_bitrate_bps=bound,
        max_frame_rate=encoding.max_frame_rate,
        scale_down_by=encoding.scale_down_by,
    )


def outbound_of(layers: list[Layer]) -> tuple[VideoOutbound, RtpSession]:
    engine = session()
    transport = MediaTransport(engine, lambda: None)
    out = VideoOutbound(transport, Pool(), layers, lambda error: None)  # type: ignore[arg-type]
    out.track = Track()  # type: ignore[assignment]
    out.set_sending(True)
    engine.start(10.0)
    return out, engine


encodings = st.builds(
    RTCRtpEncodingParameters,
    rid=st.none(),
    active=st.booleans(),
    maxBitrate=st.none() | st.sampled_from([0, 1, 30, 1000, 10**5, 10**7, 2**32, 10**30]),
    maxFramerate=st.none() | st.sampled_from([0.0, 5e-324, 0.1, 30.0, 1e308, float("inf")]),
    scaleResolutionDownBy=st.none() | st.sampled_from([1.0, 1.0000001, 3.5, 1e4, 1e308, float("inf")]),
)


@given(st.lists(st.lists(encodings, min_size=3, max_size=3), min_size=1, max_size=5), st.booleans())
def test_any_settings(changes: list[list[RTCRtpEncodingParameters]], raw: bool) -> None:
    frame: Any = av.VideoFrame(64, 48, "yuv420p")
    outbound: VideoOutbound | None = None
    now, count = 10.0, 0
    for wanted in changes:
        named = [replace(each, rid=f"r{i}") for i, each in enumerate(wanted)]
        layers = [layer(i, each) for i, each in enumerate(changed_encodings("video", named))]
        if outbound is None:
            outbound, engine = outbound_of(layers)
        else:
            outbound.update(layers)
        for _ in range(5):
            count += 1
            if raw:
                frame.pts, frame.time_base = count * 3000, VIDEO_TIME_BASE
                outbound.deliver(frame)
            else:
                data = bytes(3000)
                media = EncodedMedia(
                    "video/VP8", data, count * 3000, VIDEO_TIME_BASE, key_frame=count % 3 == 1
                )
                outbound.deliver(media)
            end = now + 0.3
            for _ in range(2000):
                engine.drain(now)
                outbound.transport.dispatch(engine.events(), now)
                due = engine.next_timeout()
                if due is None or due > end:
                    break
                now = max(now, due)
                engine.handle_timeout(now)
            else:
                raise AssertionError("deadlines without end")
            now = end
        for each in outbound.layers:
            assert each.target_bps >= 0
            assert each.limited_by in ("none", "bandwidth", "cpu")
            bound = each.layer.max_bitrate_bps
            assert bound is None or each.target_bps <= bound


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "1000", [1]])
def test_bit_rates_that_are_none(value: object) -> None:
    with pytest.raises(TypeError, match="maxBitrate"):
        new_encodings("video", [{"maxBitrate": value}])


def test_bit_rates_fit_what_the_standard_has_for_them() -> None:
    assert new_encodings("video", [{"maxBitrate": 10**30}])[0].max_bitrate_bps == MAX_BITRATE_BPS
    assert new_encodings("audio", [{"maxBitrate": 0}])[0].max_bitrate_bps == 0


def test_a_rate_of_no_pictures_sends_none() -> None:
    out, _ = outbound_of([layer(0, Encoding(max_frame_rate=0.0))])
    frame = av.VideoFrame(64, 48, "yuv420p")
    out.deliver(frame)
    assert out.layers[0]._jobs is None
    out.update([layer(0, Encoding(max_frame_rate=30.0))])
    out.deliver(frame)
    jobs: Any = out.layers[0]._jobs
    assert jobs.taken == 1


def test_encoded_frames_of_a_layer_that_paused_begin_again_with_a_key_frame() -> None:
    out, _ = outbound_of([layer(0, Encoding())])
    (each,) = out.layers
    sent = []

    def deliver(key: bool) -> None:
        out.deliver(EncodedMedia("video/VP8", bytes(100), 3000 * len(sent), VIDEO_TIME_BASE, key_frame=key))
        sent.append(each.stream.frames_sent)

    each.on_bitrate(500_000)
    deliver(True)
    each.on_bitrate(0)
    deliver(True)
    each.on_bitrate(500_000)
    deliver(False)
    deliver(True)
    deliver(False)
    assert sent == [1, 1, 1, 2, 3]


def test_the_content_says_what_is_given_up() -> None:
    """mst-content-hint, section 4.3: at once, and only where the application has said nothing."""
    out, _ = outbound_of([layer(0, Encoding())])
    one = out.layers[0]
    assert out.track is not None

    def preference(hint: str) -> str:
        out.track.contentHint = hint  # type: ignore[union-attr]
        one.encode(test_picture(0, 64, 64), 10.0)
        return one.adaptation.preference

    assert preference("") == "balanced"
    assert preference("detail") == preference("text") == "maintain-resolution"
    assert preference("motion") == "maintain-framerate"
    out.update([replace(one.layer, degradation="balanced")])
    assert preference("text") == "balanced"
    out.close()
