"""The programs that people see first: each is run as it stands."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import async_playwright

from tests.support.chromium_peer import chromium_program
from tests.support.wanted import missing

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def run(*arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments from the project's root."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def test_the_echo_example() -> None:
    result = run("-m", "examples.echo")
    assert (result.returncode, result.stdout) == (0, "echo: hello\n"), result.stderr
    assert result.stderr == ""


def readme_programs() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_mirror_in_the_readme_is_the_example() -> None:
    mirror, _ = readme_programs()
    assert (ROOT / "examples" / "mirror.py").read_text().endswith(mirror)


async def test_the_mirror_shows_chromium_its_negative() -> None:
    if chromium_program() is None:
        missing("Chromium is not installed (see tools/install_system.sh)")
    mirror, _ = readme_programs()
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", mirror.replace("8080", str(port)), cwd=ROOT
    )
    try:
        async with async_playwright() as playwright, asyncio.timeout(40):
            browser = await playwright.chromium.launch(
                executable_path=chromium_program(),
                args=[
                    "--use-fake-device-for-media-stream",
                    "--use-fake-ui-for-media-stream",
                    "--autoplay-policy=no-user-gesture-required",
                ],
            )
            page = await browser.new_page()
            while True:
                try:
                    await page.goto(f"http://localhost:{port}/")
                    break
                except PlaywrightError:
                    await asyncio.sleep(0.2)  # the server is starting
            await page.wait_for_function("v.videoWidth > 0 && v.currentTime > 1")
            # Chromium's fake camera is green: its negative is magenta
            colour = await page.evaluate(
                """() => {
                    const context = new OffscreenCanvas(1, 1).getContext("2d");
                    context.drawImage(v, 0, 0, 1, 1);
                    return [...context.getImageData(0, 0, 1, 1).data];
                }"""
            )
            await browser.close()
    finally:
        process.kill()
        await process.wait()
    red, green, blue, _ = colour
    assert red > green + 60
    assert blue > green + 60


def test_the_program_in_the_readme() -> None:
    _, program = readme_programs()
    result = run("-c", program)
    assert (result.returncode, result.stdout) == (0, "echo: hello\n"), result.stderr
    assert result.stderr == ""


@pytest.mark.parametrize(
    "program",
    [
        "examples.echo",
        "examples.file_transfer",
        "examples.voice_agent",
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


def test_the_demonstration_with_chromium(tmp_path: Path) -> None:
    if chromium_program() is None:
        missing("Chromium is not installed (see tools/install_system.sh)")
    result = run("-m", "examples.call.demo", "--bytes", "2000000", "--directory", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "FAILED" not in result.stdout
    assert {path.name for path in tmp_path.iterdir()} == {
        f"call-{number}.{ending}" for number in (1, 2) for ending in ("png", "webm")
    }
    assert result.stdout.count("the recording can be read") == 2
    assert "No browser" not in result.stdout
    assert result.stdout.count("same SHA-256") == 4


def test_the_demonstration_without_a_browser(tmp_path: Path) -> None:
    result = run("-m", "examples.call.demo", "--bytes", "2000000", "--python", "--directory", str(tmp_path))
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


def test_the_benchmark_measures_rtcstack(tmp_path: Path) -> None:
    rows = ("setup", "rtt", "bulk_two")
    result = run("-m", "bench", "--quick", "--stacks", "rtcstack", "--rows", *rows, "--output", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    values: dict[str, Any] = json.loads((tmp_path / "results.json").read_text())["values"]
    assert {"setup", "rtt", "bulk_two"} <= values.keys()
