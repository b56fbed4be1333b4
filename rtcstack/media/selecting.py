"""SelectSettings: of all settings that a track could have, those that fit its constraints best.

A source of pictures could be cut and scaled to millions of sizes. So settings are not listed: a `Space` is a
box of them, constraints cut pieces off, and the best of what is left lies where bounds and ideals meet.

Spec: mediacapture-streams, section 11.1.1 (fitness distance, SelectSettings).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rtcstack.media.constraints import Constraint, Value, WantedSet, WantedSettings

__all__ = ["Space", "failed_constraint", "select"]

_EXACT = 5e-11
"""Ratios are compared rounded to ten decimals."""


@dataclass(frozen=True, slots=True)
class Space:
    """Settings that a track could have, independent of each other but for width, height and aspectRatio.

    Attributes:
        ranges: of numbers.
        choices: of everything else.
        defaults: what is taken where nothing is asked.
        integers: which numbers are whole.
        is_point: whether width and height are the source's own.
    """

    ranges: Mapping[str, tuple[float, float]]
    choices: Mapping[str, tuple[Value, ...]]
    defaults: Mapping[str, Value]
    integers: frozenset[str] = field(
        default=frozenset(("width", "height", "sampleRate", "sampleSize", "channelCount"))
    )
    is_point: bool = False

    def narrowed(self, constraints: WantedSet, *, as_far_as_possible: bool = False) -> Space | None:
        """What is left of it; None where nothing is.

        Args:
            constraints: of which what is required counts.
            as_far_as_possible: take what comes nearest instead of nothing.
        """
        ranges, choices = dict(self.ranges), dict(self.choices)
        for name, constraint in constraints.items():
            if not constraint.is_required:
                continue
            if name in ranges:
                low, high = ranges[name]
                least = max(constraint.low, *_numbers(constraint.exact), low)
                most = min(constraint.high, *_numbers(constraint.exact), high)
                if least > most and not _same(name, least, most):
                    if not as_far_as_possible:
                        return None
                    least = most = min(max(least if least > high else most, low), high)
                ranges[name] = least, max(least, most)
            elif name in choices:
                left = tuple(each for each in choices[name] if each in constraint.exact)
                if left:
                    choices[name] = left
                elif constraint.exact and not as_far_as_possible:
                    return None
            elif not as_far_as_possible:
                return None
        space = replace(self, ranges=ranges, choices=choices)
        if "width" in ranges and not any(space._sizes(())):
            if not as_far_as_possible:
                return None
            ranges["aspectRatio"] = self.ranges["aspectRatio"]
            space = replace(space, ranges=ranges)
        return space

    def best(self, constraints: WantedSet) -> tuple[float, dict[str, Value]]:
        """The settings of least distance to what is ideal, and that distance."""
        chosen: dict[str, Value] = {}
        distance = 0.0
        for name, values in self.choices.items():
            wanted = constraints.get(name, Constraint()).ideal
            found = [each for each in wanted if each in values]
            distance += bool(wanted) and not found
            default = self.defaults.get(name)
            chosen[name] = found[0] if found else default if default in values else values[0]
        for name, (low, high) in self.ranges.items():
            if name in ("width", "height", "aspectRatio"):
                continue
            ideal = _ideal(constraints, name)
            wish = ideal if ideal is not None else float(self.defaults.get(name, high))
            value = min(max(wish, low), high)
            chosen[name] = int(value) if name in self.integers else value
            distance += _distance(value, ideal)
        if "width" in self.ranges:
            far, width, height = self._best_size(constraints)
            distance += far
            chosen.update(width=width, height=height, aspectRatio=round(width / height, 10))
        return distance, chosen

    def _best_size(self, constraints: WantedSet) -> tuple[float, int, int]:
        ideals = [_ideal(constraints, name) for name in ("width", "height", "aspectRatio")]
        own = float(self.defaults["width"]) / float(self.defaults["height"])

        low, high = self.ranges["aspectRatio"]

        def rank(size: tuple[int, int]) -> tuple[float, float, float, int]:
            width, height = size
            ratio = width / height
            far = sum(
                _distance(value, ideal) for value, ideal in zip((width, height, ratio), ideals, strict=True)
            )
            beyond = max(low - ratio, ratio - high, 0.0)
            # of sizes that are as near, the one of the source's shape that is largest
            return round(far, 9), round(beyond, 9), round(abs(math.log(ratio / own)), 9), -width * height

        width, height = best = min(self._sizes(ideals), key=rank)
        return rank(best)[0], width, height

    def _sizes(self, ideals: Sequence[float | None]) -> Iterator[tuple[int, int]]:
        """Sizes within the bounds, among them the best ones: distances grow towards no inner point."""
        (low_w, high_w), (low_h, high_h) = self.ranges["width"], self.ranges["height"]
        low_a, high_a = self.ranges["aspectRatio"]
        wide, tall, ratio = ideals or (None, None, None)
        own_w, own_h = float(self.defaults["width"]), float(self.defaults["height"])
        widths = [low_w, high_w, own_w, *_given(wide)]
        heights = [low_h, high_h, own_h, *_given(tall)]
        ratios = [a for a in (low_a, high_a, own_w / own_h, *_given(ratio)) if 0 < a < math.inf]
        met = [(w, h) for w in widths for h in heights]
        met += [(w, w / a) for w in widths for a in ratios]
        met += [(h * a, h) for h in heights for a in ratios]
        for w, h in met:
            # one more on each side: see `_has_shape`
            for width in range(math.floor(w) - 1, math.ceil(w) + 2):
                for height in range(math.floor(h) - 1, math.ceil(h) + 2):
                    within = low_w <= width <= high_w and low_h <= height <= high_h and width and height
                    if within and self._has_shape(width, height, low_a, high_a):
                        yield width, height

    def _has_shape(self, width: int, height: int, low: float, high: float) -> bool:
        """Pixels are whole: half of one too much or too little is no other shape."""
        if self.is_point:
            return low - _EXACT <= width / height <= high + _EXACT
        return low * height - width <= max(0.5, 0.5 * low) and width - high * height <= max(0.5, 0.5 * high)


def select(
    spaces: Sequence[Space], wanted: WantedSettings, *, as_far_as_possible: bool = False
) -> dict[str, Value] | None:
    """The settings that fit best; None where none meet what is required.

    Args:
        spaces: what could be, the likeliest first: it is taken where others are as good.
        wanted: what is asked for.
        as_far_as_possible: take what comes nearest instead of nothing.
    """
    left = [space for each in spaces if (space := each.narrowed(wanted.basic)) is not None]
    if not left and as_far_as_possible:
        near = (each.narrowed(wanted.basic, as_far_as_possible=True) for each in spaces)
        left = [each for each in near if each is not None]
    for constraints in wanted.advanced:
        narrower = [space for each in left if (space := each.narrowed(constraints)) is not None]
        left = narrower or left
    if not left:
        return None
    found = [space.best(wanted.basic) for space in left]
    return min(found, key=lambda each: round(each[0], 9))[1]


def failed_constraint(spaces: Sequence[Space], wanted: WantedSettings) -> str:
    """A required constraint that no settings meet by itself, or ""."""
    for name, constraint in wanted.basic.items():
        if all(each.narrowed({name: constraint}) is None for each in spaces):
            return name
    return ""


def _numbers(values: Sequence[Value]) -> list[float]:
    return [float(each) for each in values]


def _given(value: float | None) -> tuple[float, ...]:
    return () if value is None else (value,)


def _ideal(constraints: WantedSet, name: str) -> float | None:
    ideal = constraints.get(name, Constraint()).ideal
    return float(ideal[0]) if ideal else None


def _same(name: str, a: float, b: float) -> bool:
    return name in ("aspectRatio", "frameRate", "latency") and abs(a - b) <= _EXACT * max(1.0, abs(a))


def _distance(actual: float, ideal: float | None) -> float:
    if ideal is None or actual == ideal:
        return 0.0
    return abs(actual - ideal) / max(abs(actual), abs(ideal))
