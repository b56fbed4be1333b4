"""A call between two homes on a virtual internet: ten minutes, in a fraction of a second."""

import asyncio
from typing import Any

from rtcstack import RTCConfiguration, RTCIceServer, RTCPeerConnection
from rtcstack.testing import Firewall, Internet, LinkSettings, Nat, Rule, TurnServer, run

internet = Internet(seed=1)
server = TurnServer(internet, "203.0.113.53")
home = Nat(internet, mapping=Rule.ADDRESS_AND_PORT, inside="192.168.1")
office = Firewall(Nat(internet, inside="10.20.30"))
alice = internet.add_bare_host("alice")
uplink: LinkSettings = {"rate_bytes_per_s": 250_000, "queue_bytes": 50_000, "loss": 0.01}
alice.add_interface("wlan0", behind=home, up=uplink)
bob = internet.add_host("bob", behind=office)

configuration = RTCConfiguration(
    iceServers=[
        RTCIceServer(urls=f"stun:{server.host}"),
        RTCIceServer(urls=f"turn:{server.host}", username=server.USERNAME, credential=server.PASSWORD),
    ]
)


async def main() -> list[str]:
    with alice:
        caller = RTCPeerConnection(configuration)
    with bob:
        callee = RTCPeerConnection(configuration)

    heard: list[str] = []
    arrived = asyncio.Event()

    def hear(event: Any) -> None:
        heard.append(event.data)
        arrived.set()

    callee.on("datachannel", lambda event: event.channel.on("message", hear))
    with alice:
        channel = caller.createDataChannel("chat")
        channel.on("open", lambda: channel.send("hello"))
        await caller.setLocalDescription()
        offer = await caller.gathered()
    with bob:
        await callee.setRemoteDescription(offer)
        await callee.setLocalDescription()
        answer = await callee.gathered()
    with alice:
        await caller.setRemoteDescription(answer)
    await arrived.wait()

    await asyncio.sleep(600)
    office.udp = False  # somebody changes the firewall
    while callee.connectionState == "connected":
        await asyncio.sleep(1)
    heard.append(f"{callee.connectionState} at {asyncio.get_running_loop().time():.0f} s")

    await caller.close()
    await callee.close()
    return heard


if __name__ == "__main__":
    print(run(main(), internet=internet))
