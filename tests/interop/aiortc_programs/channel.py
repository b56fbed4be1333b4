"""Ping over a data channel: `channel.py offer|answer --signaling unix-socket`."""

# mypy: ignore-errors
from __future__ import annotations

import argparse
import asyncio
import sys
import time

from rtcstack.compat.aiortc import RTCConfiguration, RTCIceCandidate, RTCPeerConnection, RTCSessionDescription
from rtcstack.compat.aiortc.contrib.signaling import BYE, add_signaling_arguments, create_signaling


async def consume_signaling(pc, signaling):
    while True:
        obj = await signaling.receive()
        if isinstance(obj, RTCSessionDescription):
            await pc.setRemoteDescription(obj)
            if obj.type == "offer":
                await pc.setLocalDescription(await pc.createAnswer())
                await signaling.send(pc.localDescription)
        elif isinstance(obj, RTCIceCandidate):
            await pc.addIceCandidate(obj)
        elif obj is BYE or obj is None:
            print("exiting")
            return


async def run_answer(pc, signaling):
    await signaling.connect()

    @pc.on("datachannel")
    def on_datachannel(channel):
        print(channel.label, "<", "created by remote party")

        @channel.on("message")
        def on_message(message):
            print(channel.label, "<", message)
            if isinstance(message, str) and message.startswith("ping"):
                channel.send("pong" + message[4:])

    await consume_signaling(pc, signaling)


async def run_offer(pc, signaling):
    await signaling.connect()
    channel = pc.createDataChannel("chat")
    started = time.time()
    tasks = []

    async def send_pings():
        for _ in range(3):
            channel.send(f"ping {int((time.time() - started) * 1e6)}")
            await asyncio.sleep(0.1)
        await signaling.close()
        await pc.close()

    @channel.on("open")
    def on_open():
        tasks.append(asyncio.ensure_future(send_pings()))

    @channel.on("message")
    def on_message(message):
        print(channel.label, ">", message)

    await pc.setLocalDescription(await pc.createOffer())
    await signaling.send(pc.localDescription)
    obj = await signaling.receive()
    await pc.setRemoteDescription(obj)
    while pc.connectionState != "closed":
        await asyncio.sleep(0.05)


async def main(args):
    signaling = create_signaling(args)
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        await (run_offer if args.role == "offer" else run_answer)(pc, signaling)
    finally:
        await pc.close()
        await signaling.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["offer", "answer"])
    add_signaling_arguments(parser)
    asyncio.run(main(parser.parse_args()))
    sys.exit(0)
