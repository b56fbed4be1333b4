"""A program of many parts, that prints what was sent: run by tests in processes of its own."""

from __future__ import annotations

import asyncio
import sys

from rtcstack import MediaStreamTrack, RTCConfiguration, RTCIceServer
from rtcstack.media.sinks import CallbackSink
from rtcstack.media.testsources import TestPatternSource, ToneSource
from rtcstack.testing import BurstLoss, Internet, Nat, Rule, Trace, TurnServer, run
from tests.unit.testing.calls import Call, until


async def main(internet: Internet, server: TurnServer) -> None:
    """Two calls at once: sound, pictures and messages, over links that lose, and by a relay."""
    ice = [
        RTCIceServer(urls=f"stun:{server.host}"),
        RTCIceServer(urls=f"turn:{server.host}", username=server.USERNAME, credential=server.PASSWORD),
    ]
    calls = []
    sinks = []
    seen: list[float] = []
    for names in (("alice", "bob"), ("carol", "dave")):
        call = Call(*(internet.host(name) for name in names), RTCConfiguration(iceServers=ice))
        calls.append(call)
        with call.alice.host:
            call.alice.keep(call.alice.connection.createDataChannel("chat"))
            call.alice.connection.addTrack(MediaStreamTrack("video", source=TestPatternSource(160, 128, 15)))
            call.alice.connection.addTrack(MediaStreamTrack("audio", source=ToneSource()))
    await asyncio.gather(*(call.connect() for call in calls))
    for call in calls:
        channel = call.alice.channels[0]
        await until(lambda channel=channel: channel.readyState == "open")  # type: ignore[misc]
        channel.send(bytes(200_000))
        with call.bob.host:
            sinks += [
                CallbackSink(track, lambda frame: seen.append(frame.pts or 0)) for track in call.bob.tracks
            ]
    await asyncio.sleep(3)
    for call in calls:
        await until(lambda call=call: len(call.bob.messages) == 1)  # type: ignore[misc]
        stats = await call.bob.connection.getStats()
        kinds = {s["kind"]: s for s in stats.values() if s["type"] == "inbound-rtp"}
        assert kinds["video"]["framesDecoded"] > 20, kinds
    for sink in sinks:
        sink.stop()
    for call in calls:
        await call.close()
    assert internet.trace is not None
    internet.trace.note(internet.now, ("seen", len(seen)), ("", 0), int(sum(seen)))


def build(seed: int) -> tuple[Internet, TurnServer]:
    """The internet that it runs on."""
    internet = Internet(seed=seed)
    internet.trace = Trace()
    server = TurnServer(internet, "203.0.113.53")
    internet.add_bare_host("alice").add_interface(
        "wlan0",
        behind=Nat(internet),
        up={"rate_bytes_per_s": 60_000.0, "queue_bytes": 30_000, "burst": BurstLoss(0.01, 0.3)},
        down={"loss": 0.01, "jitter_s": 0.005, "reorder": 0.01},
    )
    internet.add_host("bob", behind=Nat(internet, inside="192.168.7"))
    internet.add_host("carol", behind=Nat(internet, mapping=Rule.ADDRESS_AND_PORT, inside="10.1.1"))
    internet.add_host("dave", behind=Nat(internet, mapping=Rule.ADDRESS_AND_PORT, inside="10.2.2"))
    return internet, server


if __name__ == "__main__":
    the_internet, the_server = build(int(sys.argv[1]))
    run(main(the_internet, the_server), internet=the_internet, limit_s=300)
    the_trace = the_internet.trace
    assert the_trace is not None
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w") as file:
            file.writelines(f"{entry}\n" for entry in the_trace.entries)
    print(the_trace.count, the_trace.digest())
