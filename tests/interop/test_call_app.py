"""The call page in Chromium, two people and the bot, with the browser's own fake camera and microphone."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from examples.call.bot import Bot
from examples.call.client import Signaling, join
from examples.call.server import STATE, start
from tests.support.chromium_peer import CHROMIUM_FLAGS, chromium_program
from tests.support.wanted import missing

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
FLAGS = [*CHROMIUM_FLAGS, "--use-fake-device-for-media-stream=fps=10", "--use-fake-ui-for-media-stream"]

FRAMES = """async (wanted) => {
  // pictures that arrive, and how much they differ from each other
  const video = document.getElementById("remote");
  const canvas = new OffscreenCanvas(64, 36).getContext("2d", { willReadFrequently: true });
  let before = null, changes = 0;
  for (let frame = 0; frame < wanted; frame++) {
    await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
    canvas.drawImage(video, 0, 0, 64, 36);
    const { data } = canvas.getImageData(0, 0, 64, 36);
    if (before && data.some((value, index) => Math.abs(value - before[index]) > 40)) changes++;
    before = data;
  }
  // Chromium's pattern is green
  let green = 0;
  for (let i = 0; i < before.length; i += 4) green += before[i] < 90 && before[i + 1] > 90;
  return { width: video.videoWidth, changes, green: green / (64 * 36) };
}"""

LOUDEST = """async (ms) => {
  // the greatest amplitude of what is heard; Chromium's microphone beeps every second
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 2048 });
  context.createMediaStreamSource(document.getElementById("remote").srcObject).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let loudest = 0;
  for (const end = performance.now() + ms; performance.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    analyser.getFloatTimeDomainData(samples);
    loudest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), loudest);
    if (loudest > 0.05) break;
  }
  await context.close();
  return loudest;
}"""

SMALL_PICTURES = """if (isSecureContext) {
  // several encoders and decoders run beside each other on one machine
  const ask = MediaDevices.prototype.getUserMedia;
  MediaDevices.prototype.getUserMedia = function (wanted) {
    return ask.call(this, { ...wanted, ...(wanted.video ? { video: { width: 320, height: 180 } } : {}) });
  };
}"""

NO_DEVICES = """navigator.mediaDevices.getUserMedia = async () => {
  throw new DOMException("no", "NotAllowedError");
};"""


class Person:
    """Somebody with the page open."""

    def __init__(self, page: Any, name: str) -> None:
        self.page = page
        self.name = name
        self.faults: list[str] = []
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    async def sees(self, text: str, where: str = "body") -> None:
        """Wait until a text stands there."""
        await self.page.locator(where).get_by_text(text).first.wait_for()

    async def press(self, label: str) -> None:
        """Press the button that is called so."""
        await self.page.get_by_role("button", name=label, exact=True).click()

    async def calls(self, other: Person | str) -> None:
        await self.press(f"Call {other if isinstance(other, str) else other.name}")

    async def told(self, text: str) -> None:
        """Wait for what stands where the call was."""
        await self.sees(text, "#notice")

    async def says(self, text: str) -> None:
        await self.page.get_by_label("Message").fill(text)
        await self.press("Send")

    async def state(self, state: str) -> None:
        await self.page.locator(f"body[data-phone={state}]").wait_for()

    async def picture(self, frames: int = 8) -> dict[str, float]:
        """Watch some frames of the other's picture."""
        await self.page.locator("#curtain").wait_for(state="hidden")
        result: dict[str, float] = await self.page.evaluate(FRAMES, frames)
        return result

    async def loudest(self, ms: int = 2500) -> float:
        return float(await self.page.evaluate(LOUDEST, ms))

    async def figure(self, title: str, column: int) -> str:
        """A cell of the table of statistics, when there is something in it."""
        cell = self.page.locator("#rows tr", has_text=title).locator("td").nth(column)
        for _ in range(50):
            text = str(await cell.text_content()) if await cell.count() else "-"
            if text not in ("-", ""):
                return text
            await asyncio.sleep(0.1)
        raise AssertionError(f"nothing stands at {title}")


Enter = Callable[..., Awaitable[Person]]


class Site:
    """The server with its bot, and a browser."""

    def __init__(self, runner: web.AppRunner, url: str, browser: Any) -> None:
        self.runner = runner
        self.url = url
        self.browser = browser
        self.rooms = itertools.count()

    async def is_left(self) -> None:
        """Wait until the server has let go of everybody who has gone."""
        server = self.runner.server
        assert server is not None
        async with asyncio.timeout(10):
            while server.connections:
                await asyncio.sleep(0.01)

    def drop_connections(self) -> None:
        """Cut every member off, as a restart of the network does."""
        assert self.runner.app is not None
        for socket in list(self.runner.app[STATE].sockets):
            request: Any = socket._req
            request.transport.abort()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Site]:
    program = chromium_program()
    if program is None or find_spec("playwright") is None:
        missing("Chromium or the package playwright is not installed (see tools/install_system.sh)")
    from playwright.async_api import async_playwright

    runner, port = await start()
    url = f"http://localhost:{port}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield Site(runner, url, browser)
        await browser.close()
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module")
async def enter(site: Site) -> AsyncIterator[Enter]:
    """Open the page for somebody; all of a test are in one room."""
    room = f"room {next(site.rooms)}"
    people: list[Person] = []

    async def enter(name: str, *, script: str = "", width: int = 1100, room: str = room) -> Person:
        # a context each: people do not share a process
        context = await site.browser.new_context(viewport={"width": width, "height": 740})
        await context.add_init_script(SMALL_PICTURES + script)
        person = Person(await context.new_page(), name)
        people.append(person)
        await person.page.goto(f"{site.url}/?name={name}&room={room}")
        await person.state("idle")
        return person

    yield enter
    for person in people:
        await person.page.context.close()
    await site.is_left()
    assert [fault for person in people for fault in person.faults] == []


async def talking(caller: Person, callee: Person) -> None:
    """Bring a call about."""
    await caller.calls(callee)
    await callee.sees(f"{caller.name} is calling")
    await callee.press("Accept")
    for person in (caller, callee):
        await person.state("talking")
        await person.sees("The chat is open.")


# who is here


async def test_a_name_is_registered_once(site: Site, enter: Enter) -> None:
    ann = await enter("ann", room="names")
    await ann.sees("Nobody else is here yet.")
    context = await site.browser.new_context()
    late = Person(await context.new_page(), "ann")
    await late.page.goto(site.url)
    for name, problem in (("ann", "the name ann is taken"), ("bob", "")):
        await late.page.get_by_label("Your name").fill(name)
        await late.page.get_by_label("Room", exact=True).fill("names")
        await late.press("Enter")
        if problem:
            await late.sees(problem, "#problem")
    await late.sees("bob in names", "#whoami")
    await ann.sees("bob", "#members")
    await context.close()
    await ann.sees("Nobody else is here yet.")


# a call


async def test_a_call_with_sound_and_picture(enter: Enter) -> None:
    ann, bob, eve = await enter("ann"), await enter("bob"), await enter("eve")
    await ann.calls(bob)
    await ann.told("Calling")
    await bob.sees("ann is calling")
    await eve.sees("in a call", "#members")
    await bob.press("Accept")
    for picture in await asyncio.gather(ann.picture(), bob.picture()):
        assert picture["width"] >= 160
        assert picture["changes"] >= 1
        assert picture["green"] > 0.5
    assert min(await asyncio.gather(ann.loudest(), bob.loudest())) > 0.05
    await ann.page.get_by_role("tab", name="Statistics").click()
    assert int((await ann.figure("Picture", 0)).split()[0]) >= 160
    assert int(await ann.figure("Frames per second", 0)) > 0
    for column in (0, 1):
        assert (await ann.figure("Video bit rate", column)).endswith("bit/s")
        assert await ann.figure("Audio codec", column) == "opus"
    assert (await ann.figure("Audio loss", 0)).endswith("%")
    assert (await ann.figure("Round-trip time", 0)).endswith("ms")
    await ann.press("Hang up")
    await ann.told("You hung up. The call took 00:")
    await bob.told("ann hung up. The call took 00:")


async def test_mute_and_camera_off(enter: Enter) -> None:
    ann, bob = await enter("ann"), await enter("bob")
    await talking(ann, bob)
    await bob.picture(2)
    await ann.press("Switch off the microphone")
    await ann.press("Switch off the camera")
    await bob.sees("muted", "#their-mic")
    await bob.told("The camera is off.")
    assert not await ann.page.locator("#local").is_visible()
    await asyncio.sleep(0.3)  # what is on the way
    assert await bob.loudest(1300) < 0.01
    await ann.press("Switch on the microphone")
    await ann.press("Switch on the camera")
    assert (await bob.picture())["changes"] >= 1
    assert await bob.loudest() > 0.05


async def test_chat_and_files(enter: Enter, tmp_path: Path) -> None:
    ann, bob = await enter("ann"), await enter("bob")
    await talking(ann, bob)
    await ann.says("<b>hello</b>")
    await bob.sees("<b>hello</b>", "#lines .theirs")
    await bob.says("hello ann")
    await ann.sees("hello ann", "#lines .theirs")
    data = os.urandom(300_000)
    file = {"name": "notes.bin", "mimeType": "application/octet-stream", "buffer": data}
    await ann.page.locator("#file").set_input_files(file)
    await ann.sees("sent, 300 kB", "#lines")
    async with bob.page.expect_download() as download:
        await bob.page.get_by_role("link", name="notes.bin").click()
    target = tmp_path / "notes.bin"
    await (await download.value).save_as(target)
    assert target.read_bytes() == data


OBJECT_URLS = """window.urls = new Set();
for (const [name, note] of [["createObjectURL", "add"], ["revokeObjectURL", "delete"]]) {
  const original = URL[name];
  URL[name] = (value) => {
    const result = original.call(URL, value);
    window.urls[note](result ?? value);
    return result;
  };
}"""


async def test_files_are_let_go_with_their_links(enter: Enter) -> None:
    ann, bob = await enter("ann"), await enter("bob", script=OBJECT_URLS)
    await talking(ann, bob)
    urls = "[urls.size, document.querySelectorAll('#lines a').length]"
    for number in range(3):
        file = {"name": f"{number}.txt", "mimeType": "text/plain", "buffer": b"x"}
        await ann.page.locator("#file").set_input_files(file)
        await bob.page.get_by_role("link", name=f"{number}.txt").wait_for()
    assert await bob.page.evaluate(urls) == [3, 3]
    # the oldest rows go where there are too many
    await ann.page.evaluate("""() => {
      const form = document.getElementById("say");
      for (let line = 0; line < 498; line++) {
        form.elements.text.value = "x";
        form.requestSubmit();
      }
    }""")
    await ann.says("the last line")
    await bob.sees("the last line", "#lines .theirs")
    created, linked = await bob.page.evaluate(urls)
    assert created == linked < 3
    # and all of them with the next call
    await ann.press("Hang up")
    await bob.told("ann hung up.")
    await talking(ann, bob)
    assert await bob.page.evaluate(urls) == [0, 0]


async def test_without_camera_and_microphone(enter: Enter) -> None:
    ann, bob = await enter("ann", script=NO_DEVICES), await enter("bob")
    await talking(ann, bob)
    assert (await ann.picture())["changes"] >= 1
    await ann.sees("This page may not use camera and microphone", "#lines")
    await bob.told("The camera is off.")
    # and later they are allowed after all
    await ann.page.evaluate("delete navigator.mediaDevices.getUserMedia")
    await ann.press("Switch on the camera")
    assert (await bob.picture())["changes"] >= 1


# calls that do not come about


async def test_refused(enter: Enter) -> None:
    ann, bob = await enter("ann"), await enter("bob")
    await ann.calls(bob)
    await bob.press("Refuse")
    await ann.told("bob refused the call.")
    await bob.told("You refused the call of ann.")


async def test_the_caller_gives_up(enter: Enter) -> None:
    ann, bob = await enter("ann"), await enter("bob")
    await ann.calls(bob)
    await bob.sees("ann is calling")
    await ann.press("Cancel")
    await bob.told("ann called, and gave up.")
    assert not await bob.page.locator("#incoming").is_visible()
    await talking(bob, ann)


async def test_busy(enter: Enter) -> None:
    ann, bob, eve = await enter("ann"), await enter("bob"), await enter("eve")
    await talking(ann, bob)
    await eve.calls(ann)
    await eve.told("ann is busy in another call.")
    await ann.says("still here")
    await bob.sees("still here", "#lines .theirs")


async def test_each_calls_the_other(enter: Enter) -> None:
    ann, bob = await enter("ann"), await enter("bob")
    # both invitations must be on their way before either arrives: both pages ask for devices first
    hold = """() => { const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      const released = new Promise((resolve) => { window.release = resolve; });
      navigator.mediaDevices.getUserMedia = async (wanted) => { await released; return ask(wanted); }; }"""
    await asyncio.gather(ann.page.evaluate(hold), bob.page.evaluate(hold))
    await asyncio.gather(ann.calls(bob), bob.calls(ann))
    await asyncio.gather(ann.page.evaluate("release()"), bob.page.evaluate("release()"))
    for person in (ann, bob):
        await person.state("talking")
        assert (await person.picture(3))["green"] > 0.5
    await bob.press("Hang up")
    await ann.told("bob hung up.")
    await bob.state("idle")


# what is lost


async def test_the_callee_vanishes_while_it_rings(enter: Enter) -> None:
    ann, bob = await enter("ann"), await enter("bob")
    await ann.calls(bob)
    await bob.sees("ann is calling")
    await crash(bob)
    await ann.told("bob has gone.")


async def test_the_other_side_vanishes_in_a_call(enter: Enter) -> None:
    ann, bob, eve = await enter("ann"), await enter("bob"), await enter("eve")
    await talking(ann, bob)
    await crash(bob)
    await ann.told("bob has gone.")
    await talking(ann, eve)
    # one who leaves the page says so
    await eve.page.goto("about:blank")
    await ann.told("eve hung up.")


async def crash(person: Person) -> None:
    """End the page's process."""
    session = await person.page.context.new_cdp_session(person.page)
    gone = person.page.wait_for_event("crash")
    crashing = asyncio.ensure_future(session.send("Page.crash"))
    await gone
    crashing.cancel()


async def test_a_call_outlives_the_server(site: Site, enter: Enter) -> None:
    ann, bob = await enter("ann"), await enter("bob")
    await talking(ann, bob)
    lost = [person.sees("The server is lost", "#whoami") for person in (ann, bob)]
    site.drop_connections()
    await asyncio.gather(*lost)
    for person in (ann, bob):
        await person.sees(f"{person.name} in", "#whoami")
    await ann.says("we still talk")
    await bob.sees("we still talk", "#lines .theirs")
    await bob.press("Switch off the camera")
    await ann.told("The camera is off.")
    await bob.press("Hang up")
    await ann.told("bob hung up.")


# the bot


async def test_a_call_to_the_bot(site: Site, enter: Enter) -> None:
    async with join(site.url, "with the bot", "bot") as signaling:
        bot = Bot(signaling)
        serving = asyncio.create_task(bot.run())
        ann = await enter("ann", room="with the bot")
        for _ in range(2):
            await ann.calls("bot")
            await ann.sees("The chat is open.")
            await ann.says("hello")
            await ann.sees("you said: hello", "#lines .theirs")
            await ann.says("/file 200000")
            await ann.sees("received, 200 kB", "#lines")
            await ann.press("Hang up")
            await ann.told("You hung up.")
        await ann.calls("bot")
        await ann.sees("The chat is open.")
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert not bot.calls
        await ann.told("bot hung up.")


# hostile members


JUNK: list[Any] = [
    None,
    7,
    [],
    {},
    {"call": 7, "type": "invite"},
    {"call": [], "type": "invite", "offer": {}},
    {"type": "invite"},
    {"call": "1"},
    {"call": "1", "type": "accept"},
    {"call": "1", "type": "description"},
    {"call": "2", "type": "invite"},
    {"call": "2", "type": "description", "description": None},
    {"call": "3", "type": "invite", "offer": "callee"},
    {"call": "3", "type": "description", "description": {"type": "answer", "sdp": "v=0"}},
    {"call": "4", "type": "invite"},
    {"call": "4", "type": "description", "description": {"type": "offer", "sdp": 7}},
    {"call": "5", "type": "invite"},
    {"call": "5", "type": "candidate", "candidate": {"candidate": "candidate:" + "9" * 5000}},
    {"call": "6", "type": "invite"},
    {"call": "6", "type": "candidate"},
    {"call": "7", "type": "invite"},
    {"call": "7", "type": {}},
    {"call": "7", "type": "report"},
    {"call": "7", "type": "bye", "reason": []},
    {"call": "x" * 65, "type": "invite"},
    {"call": "x" * 259_000, "type": "invite"},
]


@pytest.mark.parametrize("length", [65, 259_000])
async def test_a_long_call_number_does_not_ring(
    site: Site, enter: Enter, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """Whatever the server lets pass."""
    monkeypatch.setattr("examples.call.rooms.call_number_in", lambda _data: None)
    async with join(site.url, "numbers", "mallory") as mallory:
        ann = await enter("ann", room="numbers")
        mallory.signal("ann", {"call": "x" * length, "type": "invite"})
        mallory.signal("ann", {"call": "x" * 64, "type": "invite"})
        await ann.state("ringing")
        await ann.press("Refuse")
        await until(mallory, {"call": "x" * 64, "type": "refuse", "reason": "declined"})


async def test_an_answer_too_long_for_the_server_ends_its_call_alone(site: Site, enter: Enter) -> None:
    async with join(site.url, "answers", "mallory") as mallory:
        ann = await enter("ann", room="answers")
        await ann.page.evaluate("""() => { const { prototype } = RTCPeerConnection;
          prototype.setRemoteDescription = prototype.setLocalDescription = async () => {};
          const get = () => ({ type: "answer", sdp: "x".repeat(1 << 18) });
          Object.defineProperty(prototype, "localDescription", { get }); }""")
        mallory.signal("ann", {"call": "1", "type": "invite"})
        await ann.press("Accept")
        await until(mallory, {"call": "1", "type": "accept"})
        mallory.signal(
            "ann", {"call": "1", "type": "description", "description": {"type": "offer", "sdp": ""}}
        )
        await until(mallory, {"call": "1", "type": "bye", "reason": "failed"})
        assert await ann.page.locator("#whoami").text_content() == "ann in answers"


async def test_junk_costs_nobody_else_anything(site: Site, enter: Enter) -> None:
    async with (
        join(site.url, "junk", "bot") as signaling,
        join(site.url, "junk", "mallory") as mallory,
        asyncio.TaskGroup() as group,
    ):
        bot = Bot(signaling)
        serving = group.create_task(bot.run())
        ann = await enter("ann", room="junk")
        for data in JUNK:
            for name in ("ann", "bot"):
                mallory.signal(name, data)
        mallory.signal("ann", {"call": "8", "type": "invite"})
        await ann.state("ringing")
        await ann.press("Refuse")
        await until(mallory, {"call": "8", "type": "refuse", "reason": "declined"})
        await ann.calls("bot")
        await ann.sees("The chat is open.")
        mallory.signal("ann", {"call": "9", "type": "invite"})
        await until(mallory, {"call": "9", "type": "refuse", "reason": "busy"})
        await ann.says("hello")
        await ann.sees("you said: hello", "#lines .theirs")
        serving.cancel()


async def until(signaling: Signaling, data: dict[str, Any]) -> None:
    """Wait until somebody signals this."""
    async with asyncio.timeout(10):
        async for message in signaling:
            if message.get("data") == data:
                return


# the page itself


async def test_on_a_narrow_screen_nothing_sticks_out(enter: Enter) -> None:
    ann, bob = await enter("ann", width=340), await enter("bob", width=340)
    wide = "document.documentElement.scrollWidth > innerWidth"
    nameless = """[...document.querySelectorAll("button, input, #local")].filter((element) =>
      element.checkVisibility()
      && !(element.ariaLabel || element.textContent.trim() || element.labels?.length)).length"""
    assert not await ann.page.evaluate(wide)
    await ann.calls(bob)
    await bob.sees("ann is calling")
    assert not await bob.page.evaluate(wide)
    await bob.press("Accept")
    for person in (ann, bob):
        await person.picture(1)
        for tab in ("Statistics", "Connection", "Chat"):
            await person.page.get_by_role("tab", name=tab).click()
            assert not await person.page.evaluate(wide)
            assert await person.page.evaluate(nameless) == 0


async def test_the_served_room_has_its_bot() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples.call.serve", "--port", "0", cwd=ROOT, stdout=pipe
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            words = (await process.stdout.readline()).decode().split()
            url = next(word for word in words if word.startswith("http"))
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                assert "rtcstack call" in await response.text()
                assert "default-src 'self'" in response.headers["Content-Security-Policy"]
            async with join(url, "lobby", "ann") as signaling:
                while "bot" not in signaling.members:
                    await anext(aiter(signaling))
    finally:
        process.kill()
        await process.wait()
