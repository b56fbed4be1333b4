"""Two peers in one process: a channel, a message and its echo."""

import argparse
import asyncio

from rtcstack import RTCDataChannelEvent, RTCPeerConnection


async def main() -> None:
    async with RTCPeerConnection() as alice, RTCPeerConnection() as bob:
        alice.on("icecandidate", lambda event: bob.addIceCandidate(event.candidate))
        bob.on("icecandidate", lambda event: alice.addIceCandidate(event.candidate))

        @bob.on("datachannel")
        async def echo(event: RTCDataChannelEvent) -> None:
            async for message in event.channel:
                event.channel.send(message)

        channel = alice.createDataChannel("chat")
        channel.on("open", lambda _event: channel.send("hello"))

        offer = await alice.createOffer()
        await alice.setLocalDescription(offer)
        await bob.setRemoteDescription(offer)
        answer = await bob.createAnswer()
        await bob.setLocalDescription(answer)
        await alice.setRemoteDescription(answer)

        async for message in channel:
            print("echo:", message)
            break


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    asyncio.run(main())
