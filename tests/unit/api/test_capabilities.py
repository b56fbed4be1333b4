"""What is offered is what the coders at hand can do."""

from __future__ import annotations

import pytest

from rtcstack.api.capabilities import capabilities, our_capabilities
from rtcstack.codecs import registry
from rtcstack.codecs.coders.audio import AudioSettings
from rtcstack.codecs.coders.video import VideoSettings

WITHOUT_CODER = ("rtx", "red", "telephone-event")


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_every_codec_that_is_offered_has_its_coder(kind: str) -> None:
    media = our_capabilities().of(kind)
    for codec in media.send:
        if codec.name not in WITHOUT_CODER:
            if kind == "audio":
                registry.audio_encoder(codec.name, AudioSettings()).close()
            else:
                registry.video_encoder(codec.name, VideoSettings(parameters=codec.fmtp)).close()
                registry.video_packetizer(codec.name, codec.fmtp)
    for codec in media.receive:
        if codec.name not in WITHOUT_CODER:
            if kind == "audio":
                registry.audio_decoder(codec.name).close()
                registry.audio_depacketizer(codec.name)
            else:
                registry.video_decoder(codec.name)
                registry.video_depacketizer(codec.name)


def test_what_can_only_be_received_is_not_among_what_is_sent() -> None:
    send, receive = capabilities("video", send=True), capabilities("video", send=False)
    assert send is not None
    assert receive is not None
    lines = [{codec.sdpFmtpLine for codec in each.codecs} for each in (send, receive)]
    assert "profile-id=0" in lines[0] & lines[1]
    assert "profile-id=2" not in lines[0]
    assert ("profile-id=2" in lines[1]) is (registry.video_decoder("vp9").implementation == "vp9")
