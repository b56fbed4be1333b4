"""The table of data beside a call, docs/decisions/sctp-congestion-control.md: cases, targets, figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

from rtcstack.sctp.cubic import Cubic
from tests.scenarios.beside import Beside, Figures, measure

__all__ = ["ROWS", "Alone", "Measured", "Row"]

HEADERS_OF_MEDIA, HEADERS_OF_DATA = 1.05, 1.08
"""What a byte takes on the wire."""

SOUND_BPS = 62_000
"""What sound takes on the wire."""

LONGEST_QUEUE_S = 0.05
FULL_SHARE, LEAST_OF_REST = 0.8, 0.75
LATE_S = 5.0


@dataclass(frozen=True)
class Measured:
    """Medians over seeds.

    Attributes:
        video_bps, data_bps: that arrived.
        by_alone: the video's rate by what it has alone; None without a video.
        of_rest: the share that data has of what media leaves.
        queue_mean_s, queue_95_s: of the bottleneck that the file goes through.
        sound_lost: the most of any seed.
    """

    video_bps: float
    data_bps: float
    by_alone: float | None
    of_rest: float
    queue_mean_s: float
    queue_95_s: float
    sound_lost: int

    @classmethod
    def of(cls, case: Beside, alone_bps: float | None, seeds: int) -> Measured:
        """Run a case with so many seeds."""
        runs = [measure(replace(case, seed=seed)) for seed in range(1, seeds + 1)]

        def mid(figure: Callable[[Figures], float]) -> float:
            return median(figure(each) for each in runs)

        video = mid(lambda each: each.video_bps)
        data = mid(lambda each: each.data_bps)
        rest = case.mbps * 1e6 - SOUND_BPS - (0.0 if case.against else HEADERS_OF_MEDIA * video)
        back = case.against
        return cls(
            video,
            data,
            video / alone_bps if alone_bps else None,
            HEADERS_OF_DATA * data / rest,
            mid(lambda each: each.back_mean_s if back else each.queue_mean_s),
            mid(lambda each: each.back_95_s if back else each.queue_95_s),
            max(each.sound_lost for each in runs),
        )


class Alone:
    """What a video has alone, measured once for each road and bound."""

    def __init__(self, seeds: int) -> None:
        self.seeds = seeds
        self._known: dict[Beside, float] = {}

    def bps(self, case: Beside) -> float | None:
        """For the video of this case; None if it has none."""
        if case.video is None:
            return None
        alone = replace(case, data=None, against=False, congestion=None, video_s=(0.0, 1e9))
        if alone not in self._known:
            self._known[alone] = Measured.of(alone, None, self.seeds).video_bps
        return self._known[alone]


@dataclass(frozen=True)
class Row:
    """A kind of case, on roads of different rates.

    Attributes:
        name: for the table.
        case: the case on a road of so many Mbit/s.
        share: the least of the video's rate by what it has alone, or None.
        of_rest: the least of data's share of what media leaves, or None.
    """

    name: str
    case: Callable[[float], Beside]
    share: float | None = FULL_SHARE
    of_rest: float | None = None

    def faults(self, measured: Measured) -> list[str]:
        """What is missed: names of figures."""
        missed = []
        if self.share is not None and (measured.by_alone or 0.0) < self.share:
            missed.append("by alone")
        if self.of_rest is not None and measured.of_rest < self.of_rest:
            missed.append("of the rest")
        if measured.queue_mean_s > LONGEST_QUEUE_S:
            missed.append("queue")
        if measured.sound_lost:
            missed.append("sound")
        return missed


def bound_bps(mbps: float) -> int:
    """Of a video that leaves most of a road to others."""
    return int(min(1.0, 0.3 * mbps) * 1e6)


ROWS = (
    Row("high, no file", lambda mbps: Beside(mbps=mbps, data=None)),
    Row("high, file low, file first", lambda mbps: Beside(mbps=mbps, video_s=(LATE_S, 1e9))),
    Row("high, file low, video first", lambda mbps: Beside(mbps=mbps, data_s=(LATE_S, 1e9))),
    Row(
        "low, file low",
        lambda mbps: Beside(mbps=mbps, video="low", data_s=(LATE_S, 1e9)),
        share=0.45,
    ),
    Row(
        "medium, file medium",
        lambda mbps: Beside(mbps=mbps, video="medium", data="medium", video_s=(LATE_S, 1e9)),
        share=0.45,
    ),
    Row(
        "high, file low, by CUBIC",
        lambda mbps: Beside(mbps=mbps, congestion=Cubic, data_s=(LATE_S, 1e9)),
    ),
    Row(
        "low but small, file low",
        lambda mbps: Beside(mbps=mbps, video="low", video_max_bps=bound_bps(mbps), data_s=(LATE_S, 1e9)),
        share=0.95,
        of_rest=LEAST_OF_REST,
    ),
    Row(
        "high, after the file",
        lambda mbps: Beside(mbps=mbps, data_s=(LATE_S, 2 * LATE_S)),
        share=0.95,
    ),
    Row("high, file low, against it", lambda mbps: Beside(mbps=mbps, against=True)),
    Row(
        "high both ways, file low, against it",
        lambda mbps: Beside(mbps=mbps, against=True, both=True),
    ),
    Row(
        "sound alone, file low",
        lambda mbps: Beside(mbps=mbps, video=None),
        share=None,
        of_rest=0.9,
    ),
)
