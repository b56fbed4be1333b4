"""A bar chart of ratios: each bar starts at 1, to the right where rtcstack is better."""

from __future__ import annotations

import io
import math

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from bench.rows import METRICS

__all__ = ["chart"]


def chart(ratios: dict[str, dict[str, float]]) -> str:
    """The chart of `{metric: {stack: ratio}}` on a logarithmic scale, as SVG."""
    mpl.rcParams["svg.hashsalt"] = "rtcstack"  # the same results make the same file
    rows = list(ratios)
    stacks = list(dict.fromkeys(stack for against in ratios.values() for stack in against))
    figure = Figure(figsize=(9, 0.6 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / max(1, len(stacks))
    for number, stack in enumerate(stacks):
        places = [place + number * height for place in range(len(rows))]
        values = [ratios[row].get(stack, math.nan) for row in rows]
        widths = [value - 1 for value in values]
        bars = axes.barh(places, widths, height=height * 0.9, left=1, label=f"than {stack}")
        labels = ["" if math.isnan(value) else f"{value:.3g}" for value in values]
        axes.bar_label(bars, labels, padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(1, color="black", linewidth=0.8)
    middle = height * (len(stacks) - 1) / 2
    axes.set_yticks([place + middle for place in range(len(rows))], [METRICS[row].title for row in rows])
    axes.invert_yaxis()
    axes.set_title("How many times better rtcstack is", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
