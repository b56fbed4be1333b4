"""A source of encoded frames."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from rtcstack.codecs.payload.parametersets import ParameterSets, has_parameter_sets
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.form import Form
from rtcstack.media.frames import Frame
from rtcstack.media.source import TrackSource

if TYPE_CHECKING:
    import av

__all__ = ["EncodedSource"]


class EncodedSource(TrackSource):
    """A source of encoded frames.

    Args:
        codec: their MIME type, "video/VP8" for example.
        label: for people.
        on_key_frame_wanted: called, on the loop's thread, when somebody who takes the frames cannot
            go on without a key frame; may be called often, an encoder should limit how often it obeys.
    """

    can_be_shaped = False

    def __init__(
        self,
        codec: str,
        label: str = "",
        *,
        on_key_frame_wanted: Callable[[], None] | None = None,
        muted: bool = False,
    ) -> None:
        kind = codec.partition("/")[0].lower()
        super().__init__(kind, label or codec, muted=muted)
        self.codec = codec
        self._sets: ParameterSets | None = None
        self.on_key_frame_wanted = on_key_frame_wanted
        self.key_frames_wanted = 0

    @property
    def possible_codecs(self) -> tuple[str, ...]:
        """Names, in lower case, of the codecs that its frames may be of; () when nothing is known yet."""
        return (self.codec.partition("/")[2].lower(),)

    def request_key_frame(self) -> None:
        """Somebody needs a key frame."""
        self.key_frames_wanted += 1
        if self.on_key_frame_wanted is None:
            return
        try:
            self.on_key_frame_wanted()
        except Exception as exc:  # the application's, which must not harm the call
            context = {"message": "exception in on_key_frame_wanted", "exception": exc}
            asyncio.get_running_loop().call_exception_handler(context)

    @property
    def form(self) -> Form | None:
        """Of the pictures, once one told."""
        width, height = self._size
        return None if self.kind == "audio" or not width else Form(width, height)

    def push_packet(self, packet: av.Packet[Any]) -> None:
        """Give out PyAV's packet, as a demuxer or an encoder gives it.

        Raises:
            ValueError: the packet has no time.
        """
        self.push_encoded(EncodedMedia.from_packet(packet, self.codec))

    def push_encoded(self, frame: EncodedMedia) -> None:
        """Give out a frame. Whoever reads a track of this source expects such frames.

        H.264 and H.265: a key frame is given its parameter sets if it comes without, for some may
        begin to read with it.
        """
        if has_parameter_sets(frame.name):
            frame = self._completed(frame)
        self.push(cast(Frame, frame))

    def _completed(self, frame: EncodedMedia) -> EncodedMedia:
        sets = self._sets
        if sets is None or sets.codec != frame.name:
            sets = self._sets = ParameterSets(frame.name)
        data = frame.data
        has_sets = not sets.begins_with_picture(data)
        if not frame.key_frame and not has_sets:
            return frame
        data = sets.complete(data, key_frame=frame.key_frame, has_sets=has_sets)
        return frame if data is frame.data else replace(frame, data=data)

    def _observe(self, frame: Any) -> None:
        """Note what `getSettings` tells."""
        if frame.width and frame.height:
            self._size = frame.width, frame.height
