"""The same seed, the same trace: in any process, whatever its hash seed, however busy the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def start(seed: int, hash_seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.unit.testing.program", str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_same_seed_gives_the_same_times_sizes_and_contents() -> None:
    # all at once: whoever depends on real time sees a machine with more to do than it can
    running = [start(5, 1), start(5, 2), start(6, 1)]
    told = [process.communicate(timeout=100)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert told[0] == told[1]
    assert told[2] != told[0]
    assert int(told[0][0]) > 1000
