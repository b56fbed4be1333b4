"""A bar chart of ratios as SVG: each bar starts at 1, to the right where rtcstack is better."""

from __future__ import annotations

import math
from html import escape

from bench.rows import METRICS

__all__ = ["chart"]

COLOURS = ("#2563eb", "#f59e0b", "#10b981", "#8b5cf6")
LABEL, PLOT, VALUE, BAR, GAP, TOP = 280, 420, 60, 16, 14, 56


def chart(ratios: dict[str, dict[str, float]]) -> str:
    """The chart of `{metric: {stack: ratio}}`, on a logarithmic scale."""
    stacks = list(dict.fromkeys(stack for against in ratios.values() for stack in against))
    values = [value for against in ratios.values() for value in against.values() if 0 < value < math.inf]
    reach = max([2.0, *(max(value, 1 / value) for value in values)])
    decades = math.log10(reach)
    middle = LABEL + PLOT / 2

    def x(value: float) -> float:
        return middle + math.log10(min(max(value, 1 / reach), reach)) / decades * PLOT / 2

    height = TOP + sum(len(against) * BAR + GAP for against in ratios.values()) + 24
    width = LABEL + PLOT + VALUE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<text x="12" y="20" font-size="14" font-weight="bold">How many times better rtcstack is</text>',
    ]
    at = LABEL
    for colour, stack in zip(COLOURS, stacks, strict=False):
        parts.append(f'<rect x="{at}" y="10" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{at + 18}" y="20">than {escape(stack)}</text>')
        at += 120
    ticks = [step * 10.0**power for power in range(-3, 4) for step in (1, 2, 5)]
    for tick in (tick for tick in ticks if 1 / reach <= tick <= reach):
        line = x(tick)
        parts += [
            f'<line x1="{line:.1f}" y1="{TOP - 12}" x2="{line:.1f}" y2="{height - 24}" stroke="#ddd"/>',
            f'<text x="{line:.1f}" y="{height - 8}" text-anchor="middle" fill="#666">{tick:g}</text>',
        ]
    y = float(TOP)
    for name, against in ratios.items():
        block = len(against) * BAR
        title = escape(METRICS[name].title)
        parts.append(f'<text x="{LABEL - 10}" y="{y + block / 2 + 4:.1f}" text-anchor="end">{title}</text>')
        for stack, value in against.items():
            end = x(value)
            left, length = min(middle, end), abs(end - middle)
            colour = COLOURS[stacks.index(stack) % len(COLOURS)]
            parts.append(
                f'<rect x="{left:.1f}" y="{y:.1f}" width="{length:.1f}" height="{BAR - 3}" fill="{colour}"/>'
            )
            anchor, place = ("start", end + 4) if value >= 1 else ("end", end - 4)
            parts += [
                f'<text x="{place:.1f}" y="{y + BAR - 5:.1f}" text-anchor="{anchor}" fill="#333">',
                f"{value:.3g}</text>",
            ]
            y += BAR
        y += GAP
    parts.append(f'<line x1="{middle}" y1="{TOP - 12}" x2="{middle}" y2="{height - 24}" stroke="#333"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
