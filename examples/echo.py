"""Two peers in one process: a channel, a message and its echo."""

import argparse
import asyncio

from rtcstack import RTCDataChannelEvent, RTCPeerConnection


async def main() -> None:
    alice, bob = RTCPeerConnection(), RTCPeerConnection()
    alice.on("icecandidate", lambda event: asyncio.ensure_future(bob.addIceCandidate(event.candidate)))
    bob.on("icecandidate", lambda event: asyncio.ensure_future(alice.addIceCandidate(event.candidate)))

    def echo(event: RTCDataChannelEvent) -> None:
        event.channel.on("message", lambda message: event.channel.send(f"echo: {message.data}"))

    bob.on("datachannel", echo)

    channel = alice.createDataChannel("chat")
    channel.on("open", lambda _event: channel.send("hello"))

    offer = await alice.createOffer()
    await alice.setLocalDescription(offer)
    await bob.setRemoteDescription(offer)
    answer = await bob.createAnswer()
    await bob.setLocalDescription(answer)
    await alice.setRemoteDescription(answer)

    async for message in channel:
        print(message)
        break
    await alice.close()
    await bob.close()


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    asyncio.run(main())
