"""The programs that people see first: each is run as it stands."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rtcstack
from tests.support.chromium_peer import chromium_program

ROOT = Path(__file__).parents[2]


def run(*arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments from the project's root."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def test_the_echo_example() -> None:
    result = run("-m", "examples.echo")
    assert (result.returncode, result.stdout) == (0, "echo: hello\n"), result.stderr
    assert result.stderr == ""


def test_the_program_in_the_readme() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    result = run("-c", program)
    assert (result.returncode, result.stdout) == (0, "echo: hello\n"), result.stderr
    assert result.stderr == ""


@pytest.mark.parametrize(
    "program",
    [
        "examples.echo",
        "examples.file_transfer",
        "examples.call.demo",
        "examples.call.serve",
        "examples.call.bot",
        "examples.call.visitor",
        "bench",
    ],
)
def test_every_program_explains_itself(program: str) -> None:
    result = run("-m", program, "--help")
    assert result.returncode == 0
    assert "usage:" in result.stdout


def test_the_demonstration_with_chromium() -> None:
    if chromium_program() is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed")
        pytest.skip("Chromium is not installed (see tools/install_system.sh)")
    result = run("-m", "examples.call.demo", "--bytes", "2000000")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "No browser" not in result.stdout
    assert result.stdout.count("same SHA-256") == 4


def test_the_demonstration_without_a_browser() -> None:
    result = run("-m", "examples.call.demo", "--bytes", "2000000", "--python")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "No browser" in result.stdout


async def test_a_file_by_copy_and_paste(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    target = tmp_path / "target"
    target.mkdir()
    data = os.urandom(1_000_000)
    (source / "photo.bin").write_bytes(data)

    async def start(*arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "examples.file_transfer",
            *arguments,
            cwd=ROOT,
            stdin=pipe,
            stdout=pipe,
            limit=1 << 20,
        )

    sender = await start("send", str(source / "photo.bin"))
    receiver = await start("receive", "--to", str(target))
    try:
        async with asyncio.timeout(30):
            for one, other in ((sender, receiver), (receiver, sender)):
                assert one.stdout is not None
                assert other.stdin is not None
                other.stdin.write(await one.stdout.readline())
            assert await sender.wait() == 0
            assert await receiver.wait() == 0
    finally:
        for process in (sender, receiver):
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert hashlib.sha256((target / "photo.bin").read_bytes()).digest() == hashlib.sha256(data).digest()


def test_the_reference_names_everything_public() -> None:
    named = set(re.findall(r"autoclass:: rtcstack\.(\w+)", (ROOT / "docs" / "api.md").read_text()))
    assert named == set(rtcstack.__all__)


def test_the_benchmark_measures_rtcstack(tmp_path: Path) -> None:
    rows = ("setup", "rtt", "bulk_two")
    result = run("-m", "bench", "--quick", "--stacks", "rtcstack", "--rows", *rows, "--output", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    values: dict[str, Any] = json.loads((tmp_path / "results.json").read_text())["values"]
    assert {"setup", "rtt", "bulk_two"} <= values.keys()
