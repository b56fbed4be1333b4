"""Coverage-guided fuzzing with atheris: ``python -m tests.fuzz.coverage sctp --seconds 60``.

Without a name, every target has its turn in a process of its own. A finding stops with its
traceback, and the input is left in artifacts/fuzz/.
"""

from __future__ import annotations

import argparse
import inspect
import random
import subprocess
import sys
import zlib
from pathlib import Path

ARTIFACTS = Path("artifacts/fuzz")

SEEDS = 30
"""Inputs to begin with, each 20 bytes longer: most targets read theirs as a script, which says
nothing while it is short."""

COUNTED = 8
"""One of so many inputs has its steps and bytes counted: beside the counting of coverage that takes most of
the time. Which one, the input says, so that it is the same when it runs again."""

UNCOUNTED = ("two_connections",)
"""Targets where none has: they take long as it is."""


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target; does not return."""
    import atheris

    with atheris.instrument_imports(include=["rtcstack", "aioice"]):
        from tests.fuzz.targets import TARGETS

    corpus = ARTIFACTS / name
    if not corpus.exists():
        corpus.mkdir(parents=True)
        for size in range(SEEDS):
            (corpus / f"seed-{size}").write_bytes(random.Random(size).randbytes(20 * size))
    counted = TARGETS[name]
    plain = inspect.unwrap(counted)

    def target(data: bytes) -> None:
        is_counted = name not in UNCOUNTED and zlib.crc32(data) % COUNTED == 0
        (counted if is_counted else plain)(data)

    arguments = [
        sys.argv[0],
        str(corpus),
        f"-max_total_time={seconds}",
        "-max_len=2000",
        "-len_control=0",
        f"-artifact_prefix={ARTIFACTS}/{name}-",
        "-verbosity=1",
    ]
    atheris.Setup(arguments, target)
    atheris.Fuzz()


def main() -> int:
    """Fuzz the named target, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.coverage", description=__doc__)
    parser.add_argument("target", nargs="?", help="one target; all of them when left out")
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    options = parser.parse_args()
    if options.target:
        fuzz(options.target, options.seconds)
        return 0
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("no coverage-guided fuzzing: atheris is not installed (it has wheels for Linux)")
        return 0
    from tests.fuzz.targets import TARGETS

    failed = []
    for name in TARGETS:
        print(f"--- {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz.coverage", name, "--seconds", str(options.seconds)]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print("found something: " + ", ".join(failed) if failed else "nothing found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
