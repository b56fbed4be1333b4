"""What is measured. Each row is a coroutine that runs in a process of its own and returns numbers."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.stacks import STACKS, Endpoint, Stack

__all__ = ["METRICS", "ROWS", "Metric", "Row", "Size", "send_for_ever"]

BUFFER_BYTES = 1 << 20
"""At most this much is kept buffered in a channel."""

BULK_BYTES = 16384
SMALL_BYTES = 100


@dataclass(frozen=True, slots=True)
class Size:
    """How long to measure."""

    warm_up_s: float
    window_s: float
    setups: int
    pairs: int
    cycles: int


QUICK = Size(warm_up_s=0.5, window_s=1.0, setups=10, pairs=20, cycles=100)
FULL = Size(warm_up_s=1.0, window_s=3.0, setups=20, pairs=50, cycles=1000)


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that a row gives."""

    title: str
    unit: str
    higher_is_better: bool


METRICS = {
    "bulk": Metric("Throughput, one process", "MB/s", True),
    "bulk_cpu": Metric("CPU for a GB, one process", "s", False),
    "portable": Metric("Throughput, one process, portable network", "MB/s", True),
    "portable_share": Metric("The same, of the batched network's", "%", True),
    "hour": Metric("An hour of a call, virtual: 50 + 60 packets a second one way", "s", False),
    "hour_two": Metric("The same, 1 Mbit/s both ways", "s", False),
    "stats_1": Metric("getStats with 1 transceiver that receives", "ms", False),
    "stats_10": Metric("getStats with 10", "ms", False),
    "stats_100": Metric("getStats with 100", "ms", False),
    "stats_400": Metric("getStats with 400", "ms", False),
    **{
        f"{step}_{count}": Metric(f"{title} with {count} transceiver{'s' * (count > 1)}", "ms", False)
        for step, title in (
            ("create_offer", "createOffer"),
            ("set_local", "setLocalDescription"),
            ("set_remote", "setRemoteDescription of an offer"),
            ("get_stats", "getStats, negotiated and not connected,"),
        )
        for count in (1, 10, 100, 400)
    },
    "bulk_two": Metric("Throughput, two processes", "MB/s", True),
    "bulk_two_cpu": Metric("CPU for a GB, two processes", "s", False),
    "messages": Metric("Messages of 100 bytes", "/s", True),
    "rtt": Metric("Round trip of 100 bytes", "ms", False),
    "setup": Metric("Two constructors to an open channel", "ms", False),
    "rate": Metric("Connections made and closed", "/s", True),
    "memory": Metric("Memory for a connected pair, silent for 8 s", "KiB", False),
    "memory_fresh": Metric("Memory for a connected pair, just made", "KiB", False),
    "growth": Metric("Memory kept after a connection is closed", "KiB", False),
    "rtp_cpu": Metric("CPU for an RTP packet, both ends, no codec", "us", False),
    "rtp_rate": Metric("RTP packets a second and core, both ends, no codec", "/s", True),
    "vp8_cpu": Metric("VP8 640x480, CPU for a frame, both ends", "ms", False),
    "vp8_codec": Metric("VP8 640x480, of that the codec alone", "ms", False),
    "vp8_psnr": Metric("VP8 640x480, picture quality", "dB", True),
    "vp8_rate": Metric("VP8 640x480, bit rate", "kbit/s", False),
    "vp8_720p_cpu": Metric("VP8 1280x720, CPU for a frame, both ends", "ms", False),
    "vp8_720p_codec": Metric("VP8 1280x720, of that the codec alone", "ms", False),
    "vp8_720p_psnr": Metric("VP8 1280x720, picture quality", "dB", True),
    "vp8_720p_rate": Metric("VP8 1280x720, bit rate", "kbit/s", False),
    "h264_cpu": Metric("H.264 640x480, CPU for a frame, both ends", "ms", False),
    "h264_codec": Metric("H.264 640x480, of that the codec alone", "ms", False),
    "h264_psnr": Metric("H.264 640x480, picture quality", "dB", True),
    "h264_rate": Metric("H.264 640x480, bit rate", "kbit/s", False),
    "opus": Metric("Opus streams a core, encoded and decoded", "", True),
    "opus_encoded": Metric("Opus streams a core, encoded before, passed on as they are", "", True),
    "voice_heard": Metric("Voice, from the microphone to samples handed out", "ms", False),
    "voice_said": Metric("Voice, from samples written to heard", "ms", False),
    "voice_flushed": Metric("Voice, from a flush to silence", "ms", False),
    "latency": Metric("Delay from picture to picture", "ms", False),
    "first_frame": Metric("First picture after the connection opened", "ms", False),
    "first_frame_whole": Metric("First picture after the constructors", "ms", False),
}

Result = dict[str, float]


def cpu_s() -> float:
    """User and system time of this process, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def rss_kib() -> float:
    """Resident memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def send_for_ever(endpoint: Endpoint, size_bytes: int) -> None:
    """Keep the channel's buffer full from now on."""
    message = os.urandom(size_bytes)
    send, buffered = endpoint.send, endpoint.buffered
    # bufferedAmount may be slow to read: a batch between two readings
    batch = max(1, 65536 // size_bytes)

    def fill() -> None:
        while buffered() <= BUFFER_BYTES - batch * size_bytes:
            for _ in range(batch):
                send(message)

    endpoint.on_low(BUFFER_BYTES // 2, fill)
    fill()


async def receive_rate(endpoint: Endpoint, size: Size) -> tuple[float, float, float]:
    """Messages per second, bytes per second and CPU seconds per byte, over the window."""
    count = received = 0

    def on_message(data: bytes) -> None:
        nonlocal count, received
        count += 1
        received += len(data)

    endpoint.on_message(on_message)
    await asyncio.sleep(size.warm_up_s)
    count, received, cpu, start = 0, 0, cpu_s(), time.perf_counter()
    await asyncio.sleep(size.window_s)
    elapsed, cpu = time.perf_counter() - start, cpu_s() - cpu
    if not received:
        raise RuntimeError("nothing arrived")
    return count / elapsed, received / elapsed, cpu / received


async def bulk(stack: Stack, size: Size) -> Result:
    """Messages of 16 KiB from one end to the other, both in this process."""
    sender, receiver = await stack.pair()
    send_for_ever(sender, BULK_BYTES)
    _, rate, cpu = await receive_rate(receiver, size)
    return {"bulk": rate / 1e6, "bulk_cpu": cpu * 1e9}


async def portable(stack: Stack, size: Size) -> Result:
    """`bulk` over both forms of the network, the one that every loop has after the one that POSIX has."""
    from rtcstack.network import Form, SystemNetwork
    from rtcstack.platform import Platform, install

    rates = {}
    for form in Form:
        here = SystemNetwork(form)
        install(asyncio.get_running_loop(), Platform(network=lambda here=here: here))
        pair = await stack.pair()
        send_for_ever(pair[0], BULK_BYTES)
        _, rates[form], _ = await receive_rate(pair[1], size)
        for endpoint in pair:
            await stack.close(endpoint)
    share = rates[Form.PORTABLE] / rates[Form.BATCHED]
    return {"portable": rates[Form.PORTABLE] / 1e6, "portable_share": share * 100}


async def hour(stack: Stack, size: Size) -> Result:
    """An hour of a call on the virtual internet, encoded media: CPU of both ends and of the internet."""
    from bench.hour import hour_s

    seconds = 60 * size.window_s
    one_way, both_ways = [
        await asyncio.to_thread(hour_s, seconds, both_ways=both_ways) for both_ways in (False, True)
    ]
    return {"hour": one_way, "hour_two": both_ways}


async def stats(stack: Stack, size: Size) -> Result:
    """One getStats, by the number of transceivers."""
    from bench.getstats import COUNTS, get_stats_ms

    return {f"stats_{n}": await asyncio.to_thread(get_stats_ms, n, size.window_s / 3) for n in COUNTS}


async def negotiation(stack: Stack, size: Size) -> Result:
    """The steps of a negotiation, by the number of transceivers."""
    from bench.negotiation import negotiation as run_negotiation

    return await run_negotiation(stack, size.setups)


async def bulk_two(stack: Stack, size: Size) -> Result:
    """The same with the sender in a process of its own; CPU of both."""
    sender = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.worker", "sender", stack.name),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert sender.stdin is not None
    assert sender.stdout is not None
    try:
        offer = json.loads(await sender.stdout.readline())
        incoming, answer = await stack.answer(offer["sdp"])
        sender.stdin.write(json.dumps({"sdp": answer}).encode() + b"\n")
        receiver = await incoming
        ask = sender.stdin.write
        receiver_rate = asyncio.create_task(receive_rate(receiver, size))
        await asyncio.sleep(size.warm_up_s)
        ask(b"cpu\n")
        before = json.loads(await sender.stdout.readline())
        _, rate, cpu = await receiver_rate
        ask(b"cpu\n")
        after = json.loads(await sender.stdout.readline())
    finally:
        sender.kill()
        await sender.wait()
    elapsed = after["time"] - before["time"]
    sender_cpu = (after["cpu"] - before["cpu"]) / elapsed / rate
    return {"bulk_two": rate / 1e6, "bulk_two_cpu": (cpu + sender_cpu) * 1e9}


async def sender(stack: Stack) -> None:
    """The other process of `bulk_two`: SDP as lines of JSON, then a line of CPU time whenever asked."""
    endpoint, sdp = await stack.offer()
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"sdp": sdp}), flush=True)
    await stack.accept(endpoint, json.loads(await reader.readline())["sdp"])
    send_for_ever(endpoint, BULK_BYTES)
    while await reader.readline():
        print(json.dumps({"cpu": cpu_s(), "time": time.perf_counter()}), flush=True)


async def messages(stack: Stack, size: Size) -> Result:
    """Messages of 100 bytes, as many as go through."""
    one, other = await stack.pair()
    send_for_ever(one, SMALL_BYTES)
    rate, _, _ = await receive_rate(other, size)
    return {"messages": rate}


async def rtt(stack: Stack, size: Size) -> Result:
    """A message there and back, one at a time; the median."""
    one, other = await stack.pair()
    message = os.urandom(SMALL_BYTES)
    times: list[float] = []
    back = asyncio.Event()
    other.on_message(other.send)
    one.on_message(lambda data: back.set())
    deadline = time.perf_counter() + size.warm_up_s + size.window_s
    while time.perf_counter() < deadline:
        back.clear()
        start = time.perf_counter()
        one.send(message)
        await back.wait()
        times.append(time.perf_counter() - start)
    return {"rtt": statistics.median(times) * 1e3}


async def setup(stack: Stack, size: Size) -> Result:
    """From two constructors to a channel that is open at both ends; the median."""
    times = []
    for _ in range(size.setups + 1):
        start = time.perf_counter()
        pair = await stack.pair()
        times.append(time.perf_counter() - start)
        for endpoint in pair:
            await stack.close(endpoint)
    return {"setup": statistics.median(times[1:]) * 1e3}


async def rate(stack: Stack, size: Size) -> Result:
    """Pairs connected and closed, eight at a time."""

    async def cycles(count: int) -> None:
        for _ in range(count):
            for endpoint in await stack.pair():
                await stack.close(endpoint)

    await cycles(1)
    each = max(1, size.setups // 4)
    start = time.perf_counter()
    await asyncio.gather(*(cycles(each) for _ in range(8)))
    return {"rate": 8 * each / (time.perf_counter() - start)}


async def memory(stack: Stack, size: Size) -> Result:
    """Resident memory of connected pairs, by the difference that many make."""
    kept = [await stack.pair() for _ in range(3)]
    before = rss_kib()
    kept += [await stack.pair() for _ in range(size.pairs)]
    await asyncio.sleep(0.2)
    fresh = (rss_kib() - before) / size.pairs
    await asyncio.sleep(8.0)
    return {"memory": (rss_kib() - before) / size.pairs, "memory_fresh": fresh}


async def growth(stack: Stack, size: Size) -> Result:
    """Resident memory that each connection leaves behind after it was closed."""

    async def cycles(count: int) -> None:
        for _ in range(count):
            for endpoint in await stack.pair():
                await stack.close(endpoint)

    await cycles(size.cycles // 5)
    before = rss_kib()
    await cycles(size.cycles)
    return {"growth": (rss_kib() - before) / size.cycles}


def media(name: str) -> Callable[[Stack, Size], Awaitable[Result]]:
    """A row of audio or video."""

    async def run(stack: Stack, size: Size) -> Result:
        # imports coders of both stacks, which the other rows are better without
        from bench.media import run as run_media

        return await run_media(stack.name, name, size.warm_up_s, size.window_s)

    return run


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement, how long it may take before it counts as hung, and which stacks it is of."""

    run: Callable[[Stack, Size], Awaitable[Result]]
    timeout_s: float = 60.0
    optional: bool = False
    stacks: tuple[str, ...] = STACKS


MEDIA_STACKS = ("rtcstack", "aiortc")
"""wrtc is libwebrtc: its media never comes into Python's hands."""

ROWS = {
    "bulk": Row(bulk),
    "portable": Row(portable, stacks=("rtcstack",)),
    "hour": Row(hour, timeout_s=300.0, stacks=("rtcstack",)),
    "stats": Row(stats, timeout_s=120.0, stacks=("rtcstack",)),
    "negotiation": Row(negotiation, timeout_s=300.0),
    "bulk_two": Row(bulk_two),
    "messages": Row(messages),
    "rtt": Row(rtt),
    "setup": Row(setup),
    "rate": Row(rate),
    "memory": Row(memory),
    "growth": Row(growth, timeout_s=600.0, optional=True),
    **{
        name: Row(media(name), timeout_s=120.0, stacks=MEDIA_STACKS)
        for name in (
            "rtp",
            "vp8",
            "vp8_720p",
            "h264",
            "opus",
            "opus_encoded",
            "voice",
            "latency",
            "first_frame",
        )
    },
}
