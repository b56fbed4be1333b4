"""Programs for aiortc run on this stack with their imports changed, and talk to aiortc itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

import rtcstack
from rtcstack.media.testsources import TestPatternSource, ToneSource
from tests.interop.aiortc_programs import server
from tests.support.wanted import wanted

make_app: Any = server.make_app

PROGRAMS = Path(__file__).parent / "aiortc_programs"


def command(program: str, whose: str, folder: Path) -> list[str]:
    """How to run a program: as it is, or with the imports that it had at first."""
    path = PROGRAMS / program
    if whose == "aiortc":
        wanted("aiortc")
        text = path.read_text().replace("rtcstack.compat.aiortc", "aiortc")
        path = folder / program
        path.write_text(text)
    return [sys.executable, str(path)]


async def both(one: list[str], other: list[str]) -> tuple[str, str]:
    """Run two programs; what they have said."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONUNBUFFERED": "1"}

    async def run(line: list[str]) -> str:
        process = await asyncio.create_subprocess_exec(
            *line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), 40)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        assert process.returncode == 0, said.decode()
        return said.decode()

    first = asyncio.ensure_future(run(one))
    while not Path(one[-1]).exists():  # it listens where the other goes
        await asyncio.sleep(0.02)
        if first.done():
            break
    said, answered = await asyncio.gather(first, run(other))
    return said, answered


PAIRS = [("rtcstack", "rtcstack"), ("rtcstack", "aiortc"), ("aiortc", "rtcstack")]


@pytest.mark.parametrize(("offers", "answers"), PAIRS)
async def test_pings_over_a_channel(offers: str, answers: str, tmp_path: Path) -> None:
    where = ["--signaling", "unix-socket", "--signaling-path", str(tmp_path / "socket")]
    asked, answered = await both(
        [*command("channel.py", offers, tmp_path), "offer", *where],
        [*command("channel.py", answers, tmp_path), "answer", *where],
    )
    assert asked.count("chat > pong") == 3
    assert "chat < created by remote party" in answered
    assert answered.count("chat < ping") == 3


@pytest.mark.parametrize(("sends", "receives"), PAIRS)
async def test_a_file_over_a_channel(sends: str, receives: str, tmp_path: Path) -> None:
    where = ["--signaling", "unix-socket", "--signaling-path", str(tmp_path / "socket")]
    data = os.urandom(3_000_000)
    (tmp_path / "sent").write_bytes(data)
    await both(
        [*command("transfer.py", sends, tmp_path), "send", str(tmp_path / "sent"), *where],
        [*command("transfer.py", receives, tmp_path), "receive", str(tmp_path / "received"), *where],
    )
    assert (tmp_path / "received").read_bytes() == data


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """The URL of the server's offers."""
    runner = web.AppRunner(make_app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/offer"
    finally:
        await runner.cleanup()


async def test_a_server_answers_echoes_and_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "record_to", str(tmp_path / "call.mp4"))
    pc = rtcstack.RTCPeerConnection()
    tracks: dict[str, Any] = {}
    got: list[Any] = []
    pc.on("track", lambda event: tracks.update({event.track.kind: event.track}))
    channel = pc.createDataChannel("chat")
    channel.on("open", lambda _: channel.send("ping 1"))
    channel.on("message", lambda event: got.append(event.data))
    pc.addTrack(ToneSource(440).track())
    pc.addTrack(TestPatternSource(320, 240, 30).track())
    async with serving() as url, ClientSession() as http:
        await pc.setLocalDescription()
        async with http.post(url, json=(await pc.gathered()).toJSON()) as response:
            await pc.setRemoteDescription(await response.json())
        async with asyncio.timeout(30):
            pictures = [await tracks["video"].recv() for _ in range(20)]
            sounds = [await tracks["audio"].recv() for _ in range(20)]
            while not got:
                await asyncio.sleep(0.02)
        assert got == ["pong 1"]
        assert (pictures[-1].width, pictures[-1].height) == (320, 240)
        assert abs(sounds[-1].to_ndarray()).max() > 1_000
        await pc.close()
        async with asyncio.timeout(20):
            while (tmp_path / "call.mp4").stat().st_size < 10_000:
                await asyncio.sleep(0.05)
