"""Sharing the estimate among the streams.

Spec: RFC 8835, section 4 (relative priorities); webrtc-pc, RTCRtpEncodingParameters (maxBitrate,
priority).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Demand", "allocate"]


class Demand(NamedTuple):
    """What a stream can use.

    Attributes:
        min_bps: below this it had better send nothing.
        max_bps: more than this is of no use; None is no bound.
        weight: its share of what is not enough for all.
        urgent: served before all that are not, whatever they weigh: sound. Whoever is not has its minimum
            before that gets more than its own.
        margin: how much more than it needs there must be, over all that is served; above 1 for a
            stream that pauses, so that it does not come and go.
        takes_less: it has what is left where its minimum does not fit, in place of nothing.
    """

    min_bps: int
    max_bps: int | None
    weight: float
    urgent: bool = False
    margin: float = 1.0
    takes_less: bool = False


def _rank(demand: Demand) -> tuple[bool, float, int]:
    return not demand.urgent, -demand.weight, demand.min_bps


def allocate(estimate_bps: int, demands: Sequence[Demand]) -> list[int]:
    """Each stream's share, in the order of the demands.

    Minima are served first: of what is urgent, then in the order of weight, and of the same weight the
    smallest first; a stream whose minimum does not fit gets 0.
    What is left is shared by weight, first among those that are urgent, and what one stream cannot use goes
    to the others.
    """
    shares = [0] * len(demands)
    left = max(0, estimate_bps)
    served: list[int] = []
    for i in sorted(range(len(demands)), key=lambda i: _rank(demands[i])):
        needed = estimate_bps - left + demands[i].min_bps
        if needed * max(1.0, demands[i].margin) <= estimate_bps:
            shares[i] = demands[i].min_bps
            left -= shares[i]
            served.append(i)
        elif demands[i].takes_less:
            shares[i] = min(left, demands[i].min_bps)
            left -= shares[i]
    for urgent in (True, False):
        left -= _share_out(left, [i for i in served if demands[i].urgent is urgent], demands, shares)
    return shares


def _share_out(left: int, open_ones: list[int], demands: Sequence[Demand], shares: list[int]) -> int:
    """Give these what is left; how much they took."""
    before = left
    while open_ones and left > 0:
        total = sum(demands[i].weight for i in open_ones)
        if total <= 0:
            break
        full: list[int] = []
        given = 0
        for i in open_ones:
            part = int(left * demands[i].weight / total)
            bound = demands[i].max_bps
            if bound is not None and shares[i] + part >= bound:
                part = max(0, bound - shares[i])
                full.append(i)
            shares[i] += part
            given += part
        left -= given
        if not full:
            break
        open_ones = [i for i in open_ones if i not in full]
    return before - left
