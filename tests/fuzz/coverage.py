"""Coverage-guided fuzzing with atheris: ``python -m tests.fuzz.coverage sctp --seconds 60``.

Without a name, every target has its turn in a process of its own. A finding stops with its
traceback, and the input is left in artifacts/fuzz/.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ARTIFACTS = Path("artifacts/fuzz")


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target; does not return."""
    import atheris

    with atheris.instrument_imports(include=["rtcstack", "aioice"]):
        from tests.fuzz.targets import TARGETS

    corpus = ARTIFACTS / name
    corpus.mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        str(corpus),
        f"-max_total_time={seconds}",
        "-max_len=2000",
        f"-artifact_prefix={ARTIFACTS}/{name}-",
        "-verbosity=1",
    ]
    atheris.Setup(arguments, TARGETS[name])
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
