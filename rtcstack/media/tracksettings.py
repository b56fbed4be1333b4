"""The constraints of one track, the settings that were chosen for them, and what these do to frames.

Spec: mediacapture-streams, section 11.1 (ConstrainablePattern); mst-content-hint, section 4.1.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import av

from rtcstack.errors import OverconstrainedError
from rtcstack.media.constraints import (
    MediaTrackCapabilities,
    MediaTrackConstraints,
    MediaTrackSettings,
    Value,
    VideoResizeModeEnum,
    WantedSettings,
    wanted_settings,
)
from rtcstack.media.feed import Feed
from rtcstack.media.form import Form
from rtcstack.media.frames import Frame
from rtcstack.media.selecting import Space, failed_constraint, select
from rtcstack.media.shaping import LAYOUTS, CropScaler, Decimator, SoundShaper

__all__ = ["MAX_FRAME_RATE", "MAX_SIDE", "TrackSettings", "read"]

MAX_SIDE = 16_384
"""Pixels of a side that a picture may have."""

MAX_FRAME_RATE = 1000.0
"""Pictures a second, of a source that does not say its own."""

_MIN_SAMPLE_RATE = 8_000
_MAX_SAMPLE_RATE = 384_000
_SAMPLE_SIZES = (8, 64)
_MAX_LATENCY_S = 10.0

_REMOTE = ("width", "height", "frameRate", "aspectRatio")
"""What tracks of a peer have settings for, and take no constraints of (webrtc-pc, section 9.4)."""

_HUMAN = ("echoCancellation", "autoGainControl", "noiseSuppression")
_PROCESSING = (*_HUMAN, "voiceIsolation")

_HINTED: Mapping[str, Mapping[str, bool]] = {
    "music": dict.fromkeys(_HUMAN, False),
    "speech": {"echoCancellation": True, "autoGainControl": True},
    "speech-recognition": dict.fromkeys(_HUMAN, False),
}
"""Defaults that a content hint gives (mst-content-hint, section 4.1)."""


class TrackSettings:
    """What was asked of a track, and what it gives.

    Args:
        origin: where its frames come from.
    """

    def __init__(self, origin: Feed[Any]) -> None:
        self._origin = origin
        self._constraints: Mapping[str, Any] = {}
        self._wanted = WantedSettings({})
        self._hinted: Mapping[str, bool] = {}
        self._form: Form | None = None  # of the frames that the settings were chosen for
        self._chosen: dict[str, Value] | None = None
        self._scaler: CropScaler | None = None
        self._decimator: Decimator | None = None
        self._sound: SoundShaper | None = None
        self.shapes = False
        """Whether frames have to pass `shape`."""

    def copied(self) -> TrackSettings:
        """The same, for a clone: independent of this from now on."""
        made = TrackSettings(self._origin)
        made._constraints = copy.deepcopy(self._constraints)
        made._wanted, made._hinted = self._wanted, self._hinted
        if self._chosen is not None:
            made._choose(self._origin.form)
        return made

    # -- what is asked ----------------------------------------------------------------------------

    def constraints(self) -> MediaTrackConstraints:
        """What was asked last."""
        return cast(MediaTrackConstraints, copy.deepcopy(self._constraints))

    def apply(self, constraints: Mapping[str, Any], wanted: WantedSettings) -> None:
        """Ask for other settings.

        Args:
            constraints: as they were given; a copy.
            wanted: the same, read.

        Raises:
            OverconstrainedError: they cannot be met; nothing has changed.
        """
        spaces = self._spaces(self._origin.form)
        if self._origin.is_remote:
            refused = next((name for name in wanted.basic if name in _REMOTE), None)
            refused = refused or next(
                (name for each in wanted.advanced for name in each if name in _REMOTE), None
            )
            if refused is not None:
                raise OverconstrainedError(refused, "tracks of a peer are as the peer sends them")
        if select(spaces, wanted) is None:
            failed = failed_constraint(spaces, wanted)
            what = f"{failed}: {wanted.basic[failed]}" if failed else "what is required together"
            raise OverconstrainedError(failed, f"the track cannot meet {what}")
        self._constraints, self._wanted = constraints, wanted
        self._choose(self._origin.form)

    def hint(self, content_hint: str) -> None:
        """Let a content hint choose where constraints leave it open."""
        self._hinted = _HINTED.get(content_hint, {})
        if not self._origin.is_remote:
            self._choose(self._origin.form)

    # -- what there is ----------------------------------------------------------------------------

    def capabilities(self) -> MediaTrackCapabilities:
        """What the settings may be; nothing for tracks of a peer."""
        if self._origin.is_remote:
            return {}
        spaces = self._spaces(self._origin.form)
        found: dict[str, Any] = dict(self._origin.identity)
        widest = spaces[-1]
        for name, (low, high) in widest.ranges.items():
            found[name] = {"min": low, "max": high}
        for name in widest.choices:
            if name not in found:
                found[name] = list(dict.fromkeys(each for space in spaces for each in space.choices[name]))
        return cast(MediaTrackCapabilities, found)

    def settings(self, *, ended: bool) -> MediaTrackSettings:
        """What the frames are like, as far as that is known.

        Args:
            ended: of a track that is over only what is its source's for ever is told.
        """
        origin, form = self._origin, self._origin.form
        if origin.is_remote:
            return cast(MediaTrackSettings, {} if ended else self._observed(form))
        found: dict[str, Any] = dict(origin.identity)
        if ended:
            return cast(MediaTrackSettings, found)
        if self._chosen is None or not _are_alike(form, self._form):
            self._choose(form)
        assert self._chosen is not None
        if form is None:  # sizes are told when there are any
            found |= {n: v for n, v in self._chosen.items() if n in ("resizeMode", *_PROCESSING)}
            return cast(MediaTrackSettings, found)
        found |= self._chosen
        if origin.kind == "video":
            rate = found.pop("frameRate", MAX_FRAME_RATE)
            if form.frame_rate:
                found["frameRate"] = round(min(rate, form.frame_rate), 3)
        return cast(MediaTrackSettings, found)

    def _observed(self, form: Form | None) -> dict[str, Any]:
        if form is None:
            return {}
        if self._origin.kind == "audio":
            return {
                "sampleRate": form.sample_rate,
                "channelCount": form.channels,
                "sampleSize": form.sample_bits,
            }
        found: dict[str, Any] = {
            "width": form.width,
            "height": form.height,
            "aspectRatio": round(form.width / form.height, 10),
        }
        if form.frame_rate:
            found["frameRate"] = round(form.frame_rate, 3)
        return found

    # -- choosing ---------------------------------------------------------------------------------

    def _spaces(self, form: Form | None) -> list[Space]:
        origin = self._origin
        own = {name: (value,) for name, value in origin.identity.items()}
        if origin.kind == "audio":
            return [self._sound_space(form, own)]
        rate = form.frame_rate if form is not None and form.is_declared else MAX_FRAME_RATE
        # what comes is not known before, of a source that does not say: it could have any size
        known = form is not None and (form.is_declared or not origin.can_be_shaped)
        width, height = (form.width, form.height) if form is not None else (MAX_SIDE, MAX_SIDE)
        most_w, most_h = (width, height) if known else (MAX_SIDE, MAX_SIDE)
        defaults = {"width": width, "height": height, "frameRate": rate}
        point: dict[str, tuple[float, float]] = {
            "width": (width, width),
            "height": (height, height),
            "aspectRatio": (width / height, width / height),
            "frameRate": (rate, rate),
        }
        box: dict[str, tuple[float, float]] = {
            "width": (1, most_w),
            "height": (1, most_h),
            "aspectRatio": (1 / most_h, most_w),
            "frameRate": (0.0, rate),
        }
        if not origin.can_be_shaped:
            del point["frameRate"], box["frameRate"]
        as_it_is = own | {"resizeMode": (str(VideoResizeModeEnum.NONE),)}
        native = Space(point if form is not None else box, as_it_is, defaults, is_point=form is not None)
        if not origin.can_be_shaped:
            return [native]
        return [
            native,
            Space(box, own | {"resizeMode": (str(VideoResizeModeEnum.CROP_AND_SCALE),)}, defaults),
        ]

    def _sound_space(self, form: Form | None, own: Mapping[str, tuple[Value, ...]]) -> Space:
        if form is None:
            ranges: dict[str, tuple[float, float]] = {
                "sampleRate": (_MIN_SAMPLE_RATE, _MAX_SAMPLE_RATE),
                "channelCount": (1, len(LAYOUTS)),
                "sampleSize": _SAMPLE_SIZES,
                "latency": (0.0, _MAX_LATENCY_S),
            }
        else:
            rate, channels, bits = form.sample_rate, form.channels, form.sample_bits
            shaped = self._origin.can_be_shaped and channels <= len(LAYOUTS)
            ranges = {
                "sampleRate": (min(_MIN_SAMPLE_RATE, rate) if shaped else rate, rate),
                "channelCount": (1 if shaped else channels, channels),
                "sampleSize": (bits, bits),
                "latency": (form.latency_s, form.latency_s),
            }
        processing = {name: tuple(self._origin.processing.get(name, (False,))) for name in _PROCESSING}
        defaults: dict[str, Value] = {name: values[0] for name, values in processing.items()}
        return Space(ranges, {**own, **processing}, defaults | dict(self._hinted))

    def _choose(self, form: Form | None) -> None:
        """Settings for what comes now, and what makes frames so."""
        self._form = form
        chosen = select(self._known_spaces(form), self._wanted, as_far_as_possible=True)
        assert chosen is not None
        self._chosen = chosen
        is_constrained = bool(self._wanted.basic or self._wanted.advanced)
        self.shapes = is_constrained and self._origin.can_be_shaped and not self._origin.is_remote
        if not self.shapes:
            self._scaler = self._decimator = self._sound = None
            return
        self._make_tools(form, chosen)

    def _known_spaces(self, form: Form | None) -> Sequence[Space]:
        """What can be made of the frames that come: nothing larger than they are."""
        if form is None or form.is_declared:
            return self._spaces(form)
        return self._spaces(form.as_declared(MAX_FRAME_RATE))

    def _make_tools(self, form: Form | None, chosen: Mapping[str, Value]) -> None:
        if self._origin.kind == "audio":
            if form is not None:
                self._sound = SoundShaper(int(chosen["sampleRate"]), int(chosen["channelCount"]))
            return
        rate = float(chosen["frameRate"])
        native = form.frame_rate if form is not None and form.is_declared else MAX_FRAME_RATE
        if rate >= native:
            self._decimator = None
        elif self._decimator is None or self._decimator.frame_rate != rate:
            self._decimator = Decimator(rate)
        self._scaler = None
        if form is not None and (chosen["width"], chosen["height"]) != (form.width, form.height):
            self._scaler = CropScaler(int(chosen["width"]), int(chosen["height"]))

    # -- frames -----------------------------------------------------------------------------------

    def wants(self, frame: Frame) -> bool:
        """Whether a frame is given out: not those that come faster than was asked for."""
        form = self._origin.form
        if not _are_alike(form, self._form):
            self._choose(form)
        decimator = self._decimator
        return decimator is None or not isinstance(frame, av.VideoFrame) or decimator.passes(frame)

    def shape(self, frame: Frame) -> Sequence[Frame]:
        """What a frame that is wanted becomes: one, or (sound) none or several."""
        if isinstance(frame, av.VideoFrame):
            return (frame if self._scaler is None else self._scaler.fit(frame),)
        if isinstance(frame, av.AudioFrame) and self._sound is not None:
            return self._sound.shape(frame)
        return (frame,)


def _are_alike(form: Form | None, other: Form | None) -> bool:
    return form is other or (form is not None and other is not None and form.has_size_of(other))


def read(constraints: object) -> tuple[Mapping[str, Any], WantedSettings]:
    """Constraints as they were given (a copy), and what they mean.

    Raises:
        TypeError: they are none.
    """
    given = {} if constraints is None else constraints
    wanted = wanted_settings(given)  # type: ignore[arg-type]
    return copy.deepcopy(dict(cast(Mapping[str, Any], given))), wanted
