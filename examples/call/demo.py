"""Two calls between Chromium and the bot through the signalling server, and a report of each.

The first is offered by the browser, the second by the bot. In each, the browser sends its (fake)
camera and microphone; the bot sends a test picture and a tone in the first, and the browser's own
picture and sound, changed, in the second. The bot shows what arrives while it does, records the call
as it was encoded, and keeps a picture. Candidates are trickled both ways, either side opens a data
channel, and a file goes each way, its SHA-256 compared at both ends. Without Chromium a second Python
process takes the browser's part. Exits with 0 only if all of it worked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Table

from examples.call.bot import Bot
from examples.call.call import Call
from examples.call.client import join
from examples.call.media import Media
from examples.call.server import start
from examples.call.statistics import Figures, Meter, Stream
from examples.call.transfer import Transfer
from rtcstack import RTCPeerConnection

STEPS = ("offer", "answer")
"""What the visitor does in each call."""

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)

BARS = (
    (180, 180, 180), (180, 180, 16), (16, 180, 180), (16, 180, 16),
    (180, 16, 180), (180, 16, 16), (16, 16, 180), (16, 16, 16),
)  # fmt: skip
"""The bars of the test picture, as red, green and blue."""

TOLERANCE = 40
"""Of each colour: codecs and two conversions of colour are between."""


@dataclass
class Outcome:
    """One call as both sides saw it."""

    title: str
    bot_offers: bool
    bot: Call | None = None
    sent: Transfer | None = None
    received: Transfer | None = None
    page: dict[str, Any] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)
    meter: Meter = field(default_factory=Meter)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def checks(self) -> list[tuple[str, bool]]:
        """What has to be true."""
        page, bot = self.page, self.bot
        if bot is None or "error" in page or not page:
            return [(page.get("error", "the call took place"), False)]
        candidates = min(
            bot.candidates_sent, bot.candidates_received, page["candidatesSent"], page["candidatesReceived"]
        )
        tracks = [] if bot.media is None else [track.kind for track in bot.media.tracks]
        return [*self._transport_checks(page, bot, tracks, candidates), *self._media_checks(page, bot)]

    def _transport_checks(
        self, page: dict[str, Any], bot: Call, tracks: list[str], candidates: int
    ) -> list[tuple[str, bool]]:
        down, up = self.sent, self.received
        return [
            ("offered by the right side", bot.offered == self.bot_offers),
            ("candidates trickled both ways", candidates > 0),
            ("the page's tracks reached the bot", set(page["kinds"]) <= set(tracks)),
            ("file from bot to page: same SHA-256", same(down, page["received"])),
            ("file from page to bot: same SHA-256", same(up, page["sent"]) and page["sent"]["verified"]),
            ("candidate pair and DTLS known", {"candidate pair", "DTLS version"} <= bot.facts.keys()),
        ]

    def _media_checks(self, page: dict[str, Any], bot: Call) -> list[tuple[str, bool]]:
        """What has to be true of sound and pictures; nothing where the page has no camera."""
        seen, media = page.get("media"), bot.media
        if seen is None or media is None:
            return []
        at_bot = self.figures.received
        checks = [
            ("pictures reached the page", bool(seen["received"].get("video", {}).get("width"))),
            ("sound reached the page", seen["energy"] > 0),
            ("pictures reached the bot", "video" in at_bot and bool(at_bot["video"].width)),
            ("sound reached the bot", "audio" in at_bot),
            ("a picture was kept", media.picture is not None and media.picture.stat().st_size > 0),
            ("the recording can be read", {"video", "audio"} <= set(recorded(media.recording))),
        ]
        if not self.bot_offers:
            checks.append(("the page sees the test picture's colours", shows_bars(seen["colours"])))
        return checks


def same(ours: Transfer | None, theirs: dict[str, Any]) -> bool:
    """Whether both ends saw the same file, and the sender had it confirmed."""
    return ours is not None and ours.verified and ours.sha256 == theirs["sha256"]


def shows_bars(colours: list[list[int]]) -> bool:
    """Whether these are the test picture's, from left to right."""
    return len(colours) == len(BARS) and all(
        abs(seen - meant) <= TOLERANCE
        for colour, bar in zip(colours, BARS, strict=True)
        for seen, meant in zip(colour, bar, strict=True)
    )


def recorded(path: Path | None) -> dict[str, str]:
    """Each kind of stream in a file, and what it holds, in words; {} if it cannot be read."""
    if path is None:
        return {}
    found: dict[str, str] = {}
    try:
        with av.open(str(path)) as container:
            counts: Counter[int] = Counter()
            times: dict[int, float] = {}
            for packet in container.demux():
                if packet.pts is not None and packet.time_base is not None:
                    counts[packet.stream_index] += 1
                    times[packet.stream_index] = float(packet.pts * packet.time_base)
            for stream in container.streams:
                length = f"{counts[stream.index]} frames, {times.get(stream.index, 0.0):.1f} s"
                found[stream.type] = f"{stream.codec_context.name}, {length}"
    except (av.FFmpegError, OSError):
        return {}
    return found


class Show:
    """Takes the bot's events and shows them as they come."""

    def __init__(self, console: Console, directory: Path) -> None:
        self._directory = directory
        self.outcomes = [
            Outcome("Call 1: the page offers", bot_offers=False),
            Outcome("Call 2: the bot offers", bot_offers=True),
        ]
        self.progress = Progress(
            TextColumn("{task.description}", justify="left"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
        )
        self._bars: dict[tuple[int, str], TaskID] = {}

    def media(self, pc: RTCPeerConnection) -> Media:
        """What the bot does with the next call's sound and picture."""
        number = sum(outcome.bot is not None for outcome in self.outcomes) + 1
        return Media(pc, self._directory, f"call-{number}", answers=number > 1)

    async def watch(self) -> None:
        """Read each call's statistics once a second."""
        while True:
            await asyncio.sleep(1.0)
            for outcome in self.outcomes:
                if outcome.bot is not None and outcome.bot.pc.connectionState == "connected":
                    outcome.figures = outcome.meter.read(await outcome.bot.pc.getStats())

    def __rich__(self) -> Group:
        """What is shown while the calls last."""
        table = Table(show_header=False, box=None, pad_edge=False)
        for number, outcome in enumerate(self.outcomes, 1):
            if outcome.bot is not None and not outcome.done.is_set():
                for title, text in outcome.figures.rows():
                    table.add_row(f"call {number}, {title}", text)
        return Group(self.progress, table)

    def event(self, kind: str, call: Call, value: Any) -> None:
        """Something happened at the bot."""
        if kind == "call":
            outcome = next((one for one in self.outcomes if one.bot is None), None)
            if outcome is not None:
                outcome.bot = call
            return
        outcome = next((one for one in self.outcomes if one.bot is call), None)
        if outcome is None:
            return
        match kind:
            case "sending" | "receiving":
                self._advance(outcome, kind, *value)
            case "sent":
                outcome.sent = value
            case "received":
                outcome.received = value
            case "report":
                outcome.page = value
                outcome.done.set()

    def _advance(self, outcome: Outcome, kind: str, amount: int, total: int) -> None:
        number = self.outcomes.index(outcome)
        bar = self._bars.get((number, kind))
        if bar is None:
            arrow = "bot -> page" if kind == "sending" else "page -> bot"
            bar = self.progress.add_task(f"call {number + 1}, {arrow}", total=total)
            self._bars[number, kind] = bar
        self.progress.update(bar, completed=amount)


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child process that ends, with all its own, when the block does."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def visitor(
    url: str, size: int, console: Console, *, browser: bool
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Chromium with the page, or its stand-in."""
    program = next((path for name in CHROMIUM if browser and (path := shutil.which(name))), None)
    script = f"script={','.join(STEPS)}&with=bot&bytes={size}"
    if program is None:
        console.print("No browser: another Python process takes the part of the page.")
        command = [sys.executable, "-m", "examples.call.visitor", url, "--bytes", str(size)]
        async with running(*command, "--script", ",".join(STEPS)) as process:
            yield process
        return
    # not TemporaryDirectory: the browser's helpers may still write while it is removed
    profile = tempfile.mkdtemp(prefix="rtcstack-demo-")
    page = f"{url}/?name=page&room=lobby&{script}"
    try:
        async with running(program, *CHROMIUM_FLAGS, f"--user-data-dir={profile}", page) as process:
            yield process
    finally:
        shutil.rmtree(profile, ignore_errors=True)


def show_outcome(console: Console, outcome: Outcome) -> bool:
    """Print what is known of a call; whether all of it worked."""
    console.rule(outcome.title)
    checks = outcome.checks()
    if outcome.bot is not None and "timeline" in outcome.page:
        show_timelines(console, outcome)
        facts = Table(show_header=False, box=None, pad_edge=False)
        facts.add_row("browser", outcome.page["agent"])
        for title in dict.fromkeys([*outcome.bot.facts, *outcome.page["facts"]]):
            facts.add_row(title, outcome.bot.facts.get(title) or outcome.page["facts"][title])
        for title, text in outcome.figures.rows():
            facts.add_row(f"bot: {title}", text)
        show_media(facts, outcome)
        facts.add_row("the page's tracks", ", ".join(outcome.page["kinds"]) or "none")
        for title, transfer in (("bot -> page", outcome.sent), ("page -> bot", outcome.received)):
            if transfer is not None:
                rate = f"{transfer.megabytes_per_second:.1f} MB/s"
                facts.add_row(title, f"{transfer.size:,} bytes, {rate}, SHA-256 {transfer.sha256[:16]}...")
        console.print(facts)
    for text, passed in checks:
        console.print(f"[green]ok[/]      {text}" if passed else f"[red]FAILED[/]  {text}")
    return all(passed for _, passed in checks)


def show_media(facts: Table, outcome: Outcome) -> None:
    """What the browser says of sound and pictures, and what was kept of them."""
    seen = outcome.page.get("media")
    media = None if outcome.bot is None else outcome.bot.media
    if seen is None or media is None:
        return
    facts.add_row("page: first picture", f"{seen['firstPictureMs']:.0f} ms after dialling")
    for way in ("received", "sent"):
        for kind in ("video", "audio"):
            stream = seen[way].get(kind)
            if stream is not None:
                members = {k: stream.get(k) for k in ("codec", "width", "height", "fps", "kbps", "loss")}
                facts.add_row(f"page: {kind} {way}", str(Stream(**members)))
    if media.picture is not None:
        facts.add_row("picture", str(media.picture))
    for kind, text in recorded(media.recording).items():
        facts.add_row(f"recording: {kind}", f"{media.recording}: {text}")


def show_timelines(console: Console, outcome: Outcome) -> None:
    """The states of both sides, each by its own clock from the call's beginning."""
    assert outcome.bot is not None
    grid = Table.grid(padding=(0, 3))
    tables = []
    for side, timeline in (("bot", outcome.bot.timeline), ("page", outcome.page["timeline"])):
        table = Table(title=side, title_justify="left", box=None, show_header=False, pad_edge=False)
        table.add_column(justify="right")
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        for ms, what, state in timeline:
            table.add_row(f"{ms:.0f} ms", what, str(state))
        tables.append(table)
    grid.add_row(*tables)
    console.print(grid)


async def main(size: int, timeout_s: float, directory: Path, *, browser: bool = True) -> int:
    """Run both calls and print the report; the exit code."""
    console = Console()
    directory.mkdir(parents=True, exist_ok=True)
    show = Show(console, directory)
    runner, port = await start()
    url = f"http://localhost:{port}"
    try:
        async with join(url, "lobby", "bot") as signaling:
            bot = asyncio.create_task(Bot(signaling, show.event, show.media).run())
            watching = asyncio.create_task(show.watch())
            with Live(get_renderable=show.__rich__, console=console, transient=True):
                async with visitor(url, size, console, browser=browser):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(timeout_s):
                            for outcome in show.outcomes:
                                await outcome.done.wait()
                            await asyncio.sleep(0.1)  # the last "bye"
            watching.cancel()
            bot.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await bot
    finally:
        await runner.cleanup()
    worked = [show_outcome(console, outcome) for outcome in show.outcomes]
    console.rule()
    console.print("Everything worked." if all(worked) else "[red]Something failed.[/]")
    return 0 if all(worked) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.call.demo", description=__doc__)
    parser.add_argument("--bytes", type=int, default=20_000_000, help="size of each file")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for both calls together")
    parser.add_argument(
        "--directory", type=Path, default=Path("recordings"), help="where recordings and pictures go"
    )
    parser.add_argument("--python", action="store_true", help="no browser: two Python processes")
    arguments = parser.parse_args()
    try:
        sys.exit(
            asyncio.run(
                main(arguments.bytes, arguments.timeout, arguments.directory, browser=not arguments.python)
            )
        )
    except KeyboardInterrupt:
        sys.exit(130)
