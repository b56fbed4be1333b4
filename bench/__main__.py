"""Measure rtcstack beside other stacks: `make bench`, or `python -m bench --help`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from bench.report import Results
from bench.rows import ROWS
from bench.stacks import STACKS

ROOT = Path(__file__).parents[1]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round with short windows")
    parser.add_argument("--rounds", type=int, help="rounds over all rows and stacks (default: 3; quick: 1)")
    parser.add_argument("--stacks", nargs="+", default=list(STACKS), choices=STACKS, metavar="STACK")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--output", type=Path, default=ROOT / "artifacts" / "bench", help="directory")
    parser.add_argument("--docs", action="store_true", help="write the results into docs/performance.md")
    parser.add_argument("--profile", action="store_true", help="only show where a bulk run spends its time")
    return parser.parse_args()


def measure(stack: str, row: str, size: str, results: Results) -> None:
    """One row of one stack in a child; a hang, a crash or a missing package is a failure in the list."""
    command = [sys.executable, "-m", "bench.worker", "row", stack, row, size]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=ROWS[row].timeout_s, cwd=ROOT, check=False
        )
    except subprocess.TimeoutExpired:
        results.failures.append(f"{stack}, {row}: no result in {ROWS[row].timeout_s:g} s")
        return
    lines = child.stdout.strip().splitlines()
    if child.returncode != 0 or not lines:
        complaint = (child.stderr.strip().splitlines() or ["no output"])[-1]
        results.failures.append(f"{stack}, {row}: {complaint}")
        return
    answer = json.loads(lines[-1])
    results.add(stack, answer["version"], answer["result"])


def main() -> int:
    """Measure in interleaved rounds: what disturbs the machine disturbs every stack."""
    args = arguments()
    size = "quick" if args.quick else "full"
    if args.profile:
        command = [sys.executable, "-m", "bench.worker", "profile", args.stacks[0], size]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    rounds = args.rounds or (1 if args.quick else 3)
    rows = args.rows or [name for name, row in ROWS.items() if not row.optional]
    options = [option for option in sys.argv[1:] if option != "--docs"]
    results = Results(command=" ".join(["python -m bench", *options]), quick=args.quick)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=rounds * len(rows) * len(args.stacks))
        for _ in range(rounds):
            for row in rows:
                for stack in args.stacks:
                    progress.update(task, description=f"{stack}: {row}")
                    if stack in ROWS[row].stacks:
                        measure(stack, row, size, results)
                    progress.advance(task)
    results.show()
    if results.values:
        results.write(args.output)
        if args.docs:
            results.write_docs()
    return 1 if results.failures or not results.values else 0


if __name__ == "__main__":
    sys.exit(main())
