"""What the congestion controllers of data channels do on shared roads: `make congestion`.

Prints the table, with ours, the one for private links, CUBIC and Reno; with --docs it writes it into
docs/decisions/sctp-congestion-control.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rtcstack.sctp.congestion import Reno
from rtcstack.sctp.cubic import Cubic
from rtcstack.sctp.delay_target import DelayTarget
from rtcstack.sctp.shared_delay import SharedDelay
from tests.support.road import Controller
from tests.support.road_rows import ROWS

PAGE = Path(__file__).parents[1] / "docs" / "decisions" / "sctp-congestion-control.md"
BEGIN = "<!-- make congestion: begin -->"
END = "<!-- make congestion: end -->"
CONTROLLERS: dict[str, Controller] = {
    "SharedDelay": SharedDelay,
    "DelayTarget": DelayTarget,
    "CUBIC": Cubic,
    "Reno": Reno,
}


def write_table(lines: list[str], begin: str, end: str) -> None:
    """Put a table into the decision's page, between these marks."""
    text = PAGE.read_text()
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    PAGE.write_text(f"{head}{begin}\n{chr(10).join(lines)}\n{end}{tail}")


def main() -> None:
    """Measure and print; write if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.congestion", description=__doc__)
    parser.add_argument("--seeds", type=int, default=15)
    parser.add_argument("--only", default="", help="rows with this in their names")
    parser.add_argument("--controllers", nargs="+", choices=CONTROLLERS, default=list(CONTROLLERS))
    parser.add_argument("--docs", action="store_true", help="write the table into the decision's page")
    args = parser.parse_args()
    lines = [
        "| case | target | " + " | ".join(args.controllers) + " |",
        "|---|---|" + "---|" * len(args.controllers),
    ]
    print("\n".join(lines))
    for row in ROWS:
        if args.only not in row.name:
            continue
        cells = []
        for name in args.controllers:
            value = row.median(CONTROLLERS[name], args.seeds)
            cells.append(row.format(value) + ("" if row.holds(value) else " (misses)"))
        lines.append(f"| {row.name} | {row.target} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    if args.docs:
        write_table(lines, BEGIN, END)


if __name__ == "__main__":
    main()
