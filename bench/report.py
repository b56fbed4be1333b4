"""What comes out: a table, a JSON file, a chart, and the measured part of docs/performance.md."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.chart import chart
from bench.rows import METRICS, Metric

__all__ = ["Results"]

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
OURS = "rtcstack"


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def ratio(metric: Metric, ours: float, theirs: float) -> float:
    """How many times better we are: above 1 is ours, whatever the metric's direction."""
    top, bottom = (ours, theirs) if metric.higher_is_better else (theirs, ours)
    return top / bottom if bottom > 0 else float("inf")


@dataclass(slots=True)
class Results:
    """Every number of every round, and what failed."""

    command: str
    quick: bool
    versions: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, stack: str, version: str, result: dict[str, float]) -> None:
        """Take the numbers of one row."""
        self.versions[stack] = version
        for metric, value in result.items():
            self.values.setdefault(metric, {}).setdefault(stack, []).append(value)

    def medians(self) -> dict[str, dict[str, float]]:
        """The median over the rounds, by metric and stack."""
        return {
            metric: {stack: statistics.median(values) for stack, values in stacks.items()}
            for metric, stacks in self.values.items()
        }

    def ratios(self) -> dict[str, dict[str, float]]:
        """How many times better rtcstack is than each other stack, from the medians."""
        result: dict[str, dict[str, float]] = {}
        for metric, stacks in self.medians().items():
            if OURS in stacks:
                result[metric] = {
                    stack: ratio(METRICS[metric], stacks[OURS], value)
                    for stack, value in stacks.items()
                    if stack != OURS
                }
        return result

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows of the table, ratios first."""
        stacks = list(self.versions)
        others = [stack for stack in stacks if stack != OURS]
        ratios, medians = self.ratios(), self.medians()
        head = ["", *(f"against {stack}" for stack in others if OURS in stacks)]
        head += [f"{stack} {self.versions[stack]}" for stack in stacks]
        rows = []
        for name, metric in METRICS.items():
            if name not in medians:
                continue
            row = [f"{metric.title}, {metric.unit}" if metric.unit else metric.title]
            if OURS in stacks:
                against = ratios.get(name, {})
                row += [f"{number(against[stack])} x" if stack in against else "-" for stack in others]
            for stack in stacks:
                values = self.values[name].get(stack)
                if not values:
                    row.append("-")
                elif len(values) == 1:
                    row.append(number(values[0]))
                else:
                    row.append(
                        f"{number(medians[name][stack])} ({number(min(values))}-{number(max(values))})"
                    )
            rows.append(row)
        return head, rows

    def show(self) -> None:
        """Print the table: ratios first."""
        head, rows = self.rows()
        table = Table(title="rtcstack beside other stacks (ratios above 1: rtcstack is better)")
        for title in head:
            table.add_column(title, justify="left" if not title else "right")
        for row in rows:
            table.add_row(*row)
        console = Console()
        # wrapped cells cannot be compared: rather let the terminal cut
        console.width = max(console.width, 120)
        console.print(table)
        for failure in self.failures:
            console.print(f"failed: {failure}")

    def machine(self) -> str:
        """What it ran on, in a line."""
        return (
            f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} "
            f"{platform.machine()}, {os.cpu_count()} cores, loopback"
        )

    def to_json(self) -> dict[str, Any]:
        """Everything, for other programs."""
        return {
            "command": self.command,
            "machine": self.machine(),
            "versions": self.versions,
            "values": self.values,
            "ratios": self.ratios(),
            "failures": self.failures,
        }

    def write(self, directory: Path) -> None:
        """Write results.json and chart.svg."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "results.json").write_text(json.dumps(self.to_json(), indent=1) + "\n")
        (directory / "chart.svg").write_text(chart(self.ratios()))

    def write_docs(self) -> None:
        """Replace what stands between the markers in docs/performance.md, and its chart."""
        page = ROOT / "docs" / "performance.md"
        text = page.read_text()
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        head, rows = self.rows()
        lines = [
            f"Made by `{self.command}` on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}: {self.machine()}.",
            "Median of the rounds (lowest-highest); ratios above 1 mean that rtcstack is better.",
            "",
            "| " + " | ".join(head) + " |",
            "|" + "|".join(["---", *["---:"] * (len(head) - 1)]) + "|",
            *("| " + " | ".join(row) + " |" for row in rows),
            "",
            *(f"Failed: {failure}" for failure in self.failures),
        ]
        if OURS in self.versions:
            (ROOT / "docs" / "performance.svg").write_text(chart(self.ratios()))
            lines += ["![Ratios](performance.svg)", ""]
        page.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after)
