"""What a file in a data channel does to a call on the same road: `make congestion`.

Prints the table; with --docs it writes it into docs/decisions/sctp-congestion-control.md.
"""

from __future__ import annotations

import argparse

from bench.congestion import write_table
from tests.scenarios.beside_rows import ROWS, Alone, Measured

BEGIN = "<!-- beside a call: begin -->"
END = "<!-- beside a call: end -->"
ROADS_MBPS = (1.0, 2.0, 5.0, 20.0)


def _mbps(bps: float) -> str:
    return f"{bps / 1e6:.2f}"


def main() -> None:
    """Measure and print; write if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--roads", nargs="+", type=float, default=list(ROADS_MBPS), help="in Mbit/s")
    parser.add_argument("--only", default="", help="rows with this in their names")
    parser.add_argument("--docs", action="store_true", help="write the table into the decision's page")
    args = parser.parse_args()
    lines = [
        "| road | case | video | by alone | file | of the rest | queue, mean and 95 % | sound lost |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    alone = Alone(args.seeds)
    for road in args.roads:
        for row in ROWS:
            if args.only not in row.name:
                continue
            case = row.case(road)
            measured = Measured.of(case, alone.bps(case), args.seeds)
            missed = row.faults(measured)

            def cell(text: str, name: str, missed: list[str] = missed) -> str:
                return f"{text} (misses)" if name in missed else text

            queue = f"{1000 * measured.queue_mean_s:.0f}, {1000 * measured.queue_95_s:.0f} ms"
            by_alone = "" if measured.by_alone is None else f"{measured.by_alone:.2f}"
            cells = [
                f"{road:g}",
                row.name,
                "" if case.video is None else _mbps(measured.video_bps),
                cell(by_alone, "by alone"),
                "" if case.data is None else _mbps(measured.data_bps),
                "" if row.of_rest is None else cell(f"{measured.of_rest:.2f}", "of the rest"),
                cell(queue, "queue"),
                cell(str(measured.sound_lost), "sound"),
            ]
            lines.append("| " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    if args.docs:
        write_table(lines, BEGIN, END)


if __name__ == "__main__":
    main()
