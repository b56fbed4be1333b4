"""Sound of any form, and of several one after the other, as frames of one form."""

from __future__ import annotations

import av

__all__ = ["Resampler"]


class Resampler:
    """Brings sound into one form, wherever it changes on the way.

    PyAV's own refuses a frame that is unlike the first: radio streams, joined files and broadcasts have
    such.

    Args:
        layout: "mono" or "stereo".
        sample_rate: in Hz.
        frame_samples: of a frame; what is left of one form may be a shorter one.
    """

    def __init__(self, layout: str, sample_rate: int, frame_samples: int) -> None:
        self._wanted = "s16", layout, sample_rate, frame_samples
        self._form: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None

    def resample(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
        """What is complete with this frame, with its times; None for the end."""
        out: list[av.AudioFrame] = []
        form = None if frame is None else (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form:
            if self._resampler is not None:
                out += self._resampler.resample(None)
            self._form = form
            self._resampler = None if form is None else av.AudioResampler(*self._wanted)
        if self._resampler is not None and frame is not None:
            out += self._resampler.resample(frame)
        return out
