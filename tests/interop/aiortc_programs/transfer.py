"""A file over a data channel: `transfer.py send|receive FILE --signaling unix-socket`."""

# mypy: ignore-errors
from __future__ import annotations

import argparse
import asyncio

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
            return


async def run_receive(pc, signaling, filename):
    await signaling.connect()
    received = []
    done = asyncio.Event()

    @pc.on("datachannel")
    def on_datachannel(channel):
        @channel.on("message")
        def on_message(message):
            if message:
                received.append(message)
            else:
                with open(filename, "wb") as fp:
                    fp.write(b"".join(received))
                done.set()

    consuming = asyncio.ensure_future(consume_signaling(pc, signaling))
    await done.wait()
    await signaling.send(BYE)
    consuming.cancel()


async def run_send(pc, signaling, filename):
    await signaling.connect()
    with open(filename, "rb") as fp:
        done_reading = False
        channel = pc.createDataChannel("filexfer")
        channel.bufferedAmountLowThreshold = 65_536

        def send_data():
            nonlocal done_reading
            while channel.bufferedAmount <= channel.bufferedAmountLowThreshold and not done_reading:
                data = fp.read(16_384)
                channel.send(data)
                if not data:
                    done_reading = True

        channel.on("bufferedamountlow", send_data)
        channel.on("open", send_data)
        await pc.setLocalDescription(await pc.createOffer())
        await signaling.send(pc.localDescription)
        await consume_signaling(pc, signaling)


async def main(args):
    signaling = create_signaling(args)
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        await (run_send if args.role == "send" else run_receive)(pc, signaling, args.filename)
    finally:
        await pc.close()
        await signaling.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["send", "receive"])
    parser.add_argument("filename")
    add_signaling_arguments(parser)
    asyncio.run(main(parser.parse_args()))
