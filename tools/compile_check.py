"""Whether rooms of engines can be compiled by mypyc, and do the same then.

    python tools/compile_check.py [ROOM ...]

A room (by default sctp) is compiled in a temporary directory, in which its unit tests run. Pure Python is
the reference: nothing of what is made here is kept. A warning, of mypyc or of the C compiler, fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

SETUP = """

from setuptools import setup
from mypyc.build import mypycify

setup(name="rtcstack-compiled", packages=[], ext_modules=mypycify(["--strict", *{files!r}], opt_level="2"))
"""

COMPILED = """
import importlib, sys
pure = [name for name in sys.argv[1:] if importlib.import_module(name).__file__.endswith(".py")]
sys.exit(f"not compiled: {', '.join(pure)}" if pure else 0)
"""


def main() -> int:
    """Build and test each room; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rooms", nargs="*", default=["sctp"], help="directories of rtcstack")
    parser.add_argument("--pytest", default="", help="more arguments for pytest, in one string")
    options = parser.parse_args()
    for room in options.rooms:
        with tempfile.TemporaryDirectory(prefix=f"rtcstack-{room}-") as directory:
            failure = check(room, Path(directory), options.pytest.split())
        if failure:
            print(f"{room}: {failure}", file=sys.stderr)
            return 1
        print(f"{room}: compiled, and does the same")
    return 0


def check(room: str, where: Path, arguments: list[str]) -> str:
    """Compile a room and run its tests there. Returns what went wrong, or nothing."""
    ignored = shutil.ignore_patterns("__pycache__", "node_modules", "*.so")
    for name in ("rtcstack", "tests"):
        shutil.copytree(ROOT / name, where / name, ignore=ignored)
    sources = sorted(
        path.relative_to(where)
        for path in (where / "rtcstack" / room).rglob("*.py")
        if path.name != "__init__.py"
    )
    (where / "setup.py").write_text(SETUP.format(files=[str(path) for path in sources]))
    environment = {**os.environ, "PYTHONPATH": str(where)}
    built = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=where,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    told = [line for line in built.stdout.splitlines() if "warning:" in line or "error:" in line]
    if built.returncode or told:
        return "\n".join(["it does not compile without a word", *(told or built.stdout.splitlines()[-20:])])
    modules = [".".join(path.with_suffix("").parts) for path in sources]
    looked = subprocess.run(
        [sys.executable, "-c", COMPILED, *modules], cwd=where, env=environment, check=False
    )
    if looked.returncode:
        return "what was built is not what is imported"
    shutil.copy(ROOT / "pyproject.toml", where)  # now: setuptools would take it for its own
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/unit/{room}", *arguments]
    if subprocess.run(tests, cwd=where, env=environment, check=False).returncode:
        return "its tests fail when it is compiled"
    return ""


if __name__ == "__main__":
    sys.exit(main())
