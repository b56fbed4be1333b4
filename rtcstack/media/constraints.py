"""The dictionaries of constraints, settings and capabilities, and what a constraint asks for.

Spec: mediacapture-streams, sections 4.3.4 to 4.3.8 (the dictionaries) and 11.3 (constraint types).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypedDict

from rtcstack.slips import say_unknown

__all__ = [
    "SUPPORTED_CONSTRAINTS",
    "ConstrainBooleanOrDOMStringParameters",
    "ConstrainBooleanParameters",
    "ConstrainDOMStringParameters",
    "ConstrainDoubleRange",
    "ConstrainULongRange",
    "Constraint",
    "DoubleRange",
    "EchoCancellationModeEnum",
    "MediaTrackCapabilities",
    "MediaTrackConstraintSet",
    "MediaTrackConstraints",
    "MediaTrackSettings",
    "MediaTrackSupportedConstraints",
    "ULongRange",
    "VideoFacingModeEnum",
    "VideoResizeModeEnum",
    "WantedSet",
    "WantedSettings",
    "wanted_settings",
]

_MAX_ULONG = (1 << 32) - 1

MAX_ADVANCED = 64
"""Constraint sets in `advanced`; of more the last are left out."""


class VideoFacingModeEnum(StrEnum):
    """Where a camera looks, as its user sees it."""

    USER = "user"
    ENVIRONMENT = "environment"
    LEFT = "left"
    RIGHT = "right"


class VideoResizeModeEnum(StrEnum):
    """Whether a track's pictures are those of its source, or cut, scaled down or thinned out."""

    NONE = "none"
    CROP_AND_SCALE = "crop-and-scale"


class EchoCancellationModeEnum(StrEnum):
    """Whose sound is taken out of a microphone's."""

    ALL = "all"
    REMOTE_ONLY = "remote-only"


class ULongRange(TypedDict, total=False):
    """Least and largest value."""

    max: int
    min: int


class DoubleRange(TypedDict, total=False):
    """Least and largest value."""

    max: float
    min: float


class ConstrainULongRange(ULongRange, total=False):
    """What a number must or should be."""

    exact: int
    ideal: int


class ConstrainDoubleRange(DoubleRange, total=False):
    """What a number must or should be."""

    exact: float
    ideal: float


class ConstrainBooleanParameters(TypedDict, total=False):
    """What a switch must or should be."""

    exact: bool
    ideal: bool


class ConstrainDOMStringParameters(TypedDict, total=False):
    """What a name must or should be; of several any."""

    exact: str | Sequence[str]
    ideal: str | Sequence[str]


class ConstrainBooleanOrDOMStringParameters(TypedDict, total=False):
    """What a switch of several positions must or should be."""

    exact: bool | str
    ideal: bool | str


_ULong = int | ConstrainULongRange
_Double = float | ConstrainDoubleRange
_Boolean = bool | ConstrainBooleanParameters
_String = str | Sequence[str] | ConstrainDOMStringParameters


class MediaTrackConstraintSet(TypedDict, total=False):
    """What is asked of a track. A bare value is ideal; in `MediaTrackConstraints.advanced`, exact.

    Members: see `MediaTrackSettings`.
    """

    width: _ULong
    height: _ULong
    aspectRatio: _Double
    frameRate: _Double
    facingMode: _String
    resizeMode: _String
    sampleRate: _ULong
    sampleSize: _ULong
    echoCancellation: bool | str | ConstrainBooleanOrDOMStringParameters
    autoGainControl: _Boolean
    noiseSuppression: _Boolean
    latency: _Double
    channelCount: _ULong
    deviceId: _String
    groupId: _String
    backgroundBlur: _Boolean
    voiceIsolation: _Boolean


class MediaTrackConstraints(MediaTrackConstraintSet, total=False):
    """What is asked of a track, and further sets of it, which hold in their order as far as they can.

    Members:
        advanced: further sets.
    """

    advanced: Sequence[MediaTrackConstraintSet]


class MediaTrackSettings(TypedDict, total=False):
    """What a track gives.

    Members:
        width, height: pixels.
        aspectRatio: width by height, rounded to ten decimals.
        frameRate: pictures a second.
        facingMode: never there: sources here do not know.
        resizeMode: see `VideoResizeModeEnum`.
        sampleRate: Hz.
        sampleSize: bits.
        echoCancellation, autoGainControl, noiseSuppression, voiceIsolation: whether the source does it.
        latency: seconds of sound that come together.
        channelCount: of sound.
        deviceId, groupId: of the source.
        backgroundBlur: never there.
    """

    width: int
    height: int
    aspectRatio: float
    frameRate: float
    facingMode: str
    resizeMode: str
    sampleRate: int
    sampleSize: int
    echoCancellation: bool | str
    autoGainControl: bool
    noiseSuppression: bool
    latency: float
    channelCount: int
    deviceId: str
    groupId: str
    backgroundBlur: bool
    voiceIsolation: bool


class MediaTrackCapabilities(TypedDict, total=False):
    """What a track's settings may be: ranges, or lists of values. Members: see `MediaTrackSettings`."""

    width: ULongRange
    height: ULongRange
    aspectRatio: DoubleRange
    frameRate: DoubleRange
    facingMode: Sequence[str]
    resizeMode: Sequence[str]
    sampleRate: ULongRange
    sampleSize: ULongRange
    echoCancellation: Sequence[bool | str]
    autoGainControl: Sequence[bool]
    noiseSuppression: Sequence[bool]
    latency: DoubleRange
    channelCount: ULongRange
    deviceId: str
    groupId: str
    backgroundBlur: Sequence[bool]
    voiceIsolation: Sequence[bool]


class MediaTrackSupportedConstraints(TypedDict, total=False):
    """Which constraints are understood. Members: see `MediaTrackSettings`."""

    width: bool
    height: bool
    aspectRatio: bool
    frameRate: bool
    facingMode: bool
    resizeMode: bool
    sampleRate: bool
    sampleSize: bool
    echoCancellation: bool
    autoGainControl: bool
    noiseSuppression: bool
    latency: bool
    channelCount: bool
    deviceId: bool
    groupId: bool
    backgroundBlur: bool
    voiceIsolation: bool


_KINDS = {
    **dict.fromkeys(("width", "height", "sampleRate", "sampleSize", "channelCount"), "unsigned long"),
    **dict.fromkeys(("aspectRatio", "frameRate", "latency"), "double"),
    **dict.fromkeys(("facingMode", "resizeMode", "deviceId", "groupId"), "DOMString"),
    **dict.fromkeys(("autoGainControl", "noiseSuppression", "voiceIsolation", "backgroundBlur"), "boolean"),
    "echoCancellation": "boolean or DOMString",
}

SUPPORTED_CONSTRAINTS: MediaTrackSupportedConstraints = {
    "width": True,
    "height": True,
    "aspectRatio": True,
    "frameRate": True,
    "facingMode": True,
    "resizeMode": True,
    "sampleRate": True,
    "sampleSize": True,
    "echoCancellation": True,
    "autoGainControl": True,
    "noiseSuppression": True,
    "latency": True,
    "channelCount": True,
    "deviceId": True,
    "groupId": True,
    "backgroundBlur": True,
    "voiceIsolation": True,
}
"""What ``getSupportedConstraints()`` of a browser's `MediaDevices` would give."""

Value = float | str | bool


@dataclass(frozen=True, slots=True)
class Constraint:
    """What is asked of one setting.

    Attributes:
        exact: the values that it must have one of, or ().
        low, high: what it must be between.
        ideal: the values that it should have one of, or ().
    """

    exact: tuple[Value, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    ideal: tuple[Value, ...] = ()

    @property
    def is_required(self) -> bool:
        """Whether something must be met."""
        return bool(self.exact) or self.low != -math.inf or self.high != math.inf


WantedSet = Mapping[str, Constraint]


@dataclass(frozen=True, slots=True)
class WantedSettings:
    """`MediaTrackConstraints`, read.

    Attributes:
        basic: must all be met.
        advanced: are met in this order, each that can be met still.
    """

    basic: WantedSet
    advanced: tuple[WantedSet, ...] = ()


def wanted_settings(constraints: Mapping[str, Any] | None) -> WantedSettings:
    """Read what an application asks for, as Web IDL does: unknown members are ignored, and said once.

    Raises:
        TypeError: a member is of another type.
    """
    if constraints is None:
        return WantedSettings({})
    if not isinstance(constraints, Mapping):
        raise TypeError(f"constraints are a mapping, not {type(constraints).__name__}")
    advanced = constraints.get("advanced") or ()
    if isinstance(advanced, str | Mapping) or not isinstance(advanced, Iterable):
        raise TypeError("advanced constraints are a sequence of mappings")
    return WantedSettings(
        _set(constraints, bare_is_exact=False),
        tuple(_set(each, bare_is_exact=True) for each in list(advanced)[:MAX_ADVANCED]),
    )


def _set(given: object, *, bare_is_exact: bool) -> WantedSet:
    if not isinstance(given, Mapping):
        raise TypeError(f"a constraint set is a mapping, not {type(given).__name__}")
    found: dict[str, Constraint] = {}
    for name, value in given.items():
        kind = _KINDS.get(name)
        if kind is None:
            if name != "advanced":
                say_unknown("MediaTrackConstraints", "member", name, _KINDS)
            continue
        if value is None:
            continue
        constraint = _constraint(name, kind, value, bare_is_exact=bare_is_exact)
        if constraint.is_required or constraint.ideal:
            found[name] = constraint
    return found


def _constraint(name: str, kind: str, value: object, *, bare_is_exact: bool) -> Constraint:
    if not isinstance(value, Mapping):
        values = _values(name, kind, value)
        return Constraint(exact=values) if bare_is_exact else Constraint(ideal=values)
    low, high = -math.inf, math.inf
    if kind in ("unsigned long", "double"):
        if value.get("min") is not None:
            low = _number(name, kind, value["min"])
        if value.get("max") is not None:
            high = _number(name, kind, value["max"])
    exact, ideal = (
        () if (each := value.get(member)) is None else _values(name, kind, each)
        for member in ("exact", "ideal")
    )
    return Constraint(exact, low, high, ideal)


def _values(name: str, kind: str, value: object) -> tuple[Value, ...]:
    if kind in ("unsigned long", "double"):
        return (_number(name, kind, value),)
    if kind == "boolean":
        return (_boolean(name, value),)
    if isinstance(value, str):
        return (value,)
    if kind != "DOMString":
        return (_boolean(name, value),)
    if isinstance(value, Iterable):
        values = tuple(value)
        if all(isinstance(each, str) for each in values):
            return values
    raise TypeError(f"{name} is constrained by a text or several, not by {value!r}")


def _boolean(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError(f"{name} is constrained by True or False, not by {value!r}")


def _number(name: str, kind: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is constrained by a number, not by {value!r}")
    if kind == "double":
        if not math.isfinite(value):
            raise TypeError(f"{name} is constrained by a finite number, not by {value!r}")
        return float(value)
    if math.isnan(value):  # [Clamp] makes 0 of it
        return 0
    return int(min(max(round(value) if math.isfinite(value) else value, 0), _MAX_ULONG))
