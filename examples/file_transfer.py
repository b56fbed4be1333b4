"""Send a file to another terminal, or another machine, with copy and paste as the signalling.

    python -m examples.file_transfer send photo.jpg
    python -m examples.file_transfer receive --to downloads

The sender prints a line: paste it at the receiver. The receiver prints one in return: paste that
at the sender. Each holds a whole description, candidates included, so there is nothing more to say.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from rtcstack import (
    FileTransfer,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    receive_file,
    send_file,
)

console = Console(stderr=True)


async def complete(pc: RTCPeerConnection) -> str:
    """Our description as one line, once all candidates are in it."""
    return base64.b64encode(json.dumps((await pc.gathered()).toJSON()).encode()).decode()


async def pasted() -> dict[str, str]:
    """The other side's description, read from standard input."""
    while True:
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            sys.exit("no description was pasted")
        try:
            value: dict[str, str] = json.loads(base64.b64decode(line, validate=False))
            return {"type": value["type"], "sdp": value["sdp"]}
        except (ValueError, KeyError, TypeError):
            console.print("That is not the whole line; paste it again.")


def connection(server: str | None) -> RTCPeerConnection:
    """A peer connection, with a STUN server if one is given."""
    return RTCPeerConnection(RTCConfiguration(iceServers=[RTCIceServer(urls=server)] if server else []))


def said(transfer: FileTransfer, verb: str, seconds: float) -> None:
    """The last line."""
    rate = f"{transfer.size / 1e6 / seconds:.1f} MB/s"
    console.print(f"{verb} {transfer.path}: {transfer.size:,} bytes, {rate}, SHA-256 {transfer.sha256}")


async def send(path: Path, server: str | None) -> int:
    """Offer, wait for the answer, send."""
    pc = connection(server)
    channel = pc.createDataChannel(path.name)
    await pc.setLocalDescription()
    console.print("Paste this line at the receiver:")
    print(await complete(pc), flush=True)
    console.print("Then paste the receiver's line here:")
    await pc.setRemoteDescription(await pasted())
    await channel.opened()
    started = time.perf_counter()
    with Progress(console=console) as progress:
        task = progress.add_task(path.name)
        transfer = await send_file(
            channel, path, lambda sent, total: progress.update(task, completed=sent, total=total)
        )
    said(transfer, "sent", time.perf_counter() - started)
    await pc.close()
    return 0


async def receive(directory: Path, server: str | None) -> int:
    """Answer, receive, write."""
    pc = connection(server)
    channels: asyncio.Queue[RTCDataChannel] = asyncio.Queue()
    pc.on("datachannel", lambda event: channels.put_nowait(event.channel))
    console.print("Paste the sender's line here:")
    await pc.setRemoteDescription(await pasted())
    await pc.setLocalDescription()
    console.print("Paste this line at the sender:")
    print(await complete(pc), flush=True)
    channel = await channels.get()
    started = time.perf_counter()
    with Progress(console=console) as progress:
        task = progress.add_task(channel.label)
        transfer = await receive_file(
            channel,
            directory,
            lambda received, total: progress.update(task, completed=received, total=total),
        )
    said(transfer, "received", time.perf_counter() - started)
    # the sender closes when it has our word
    closed = asyncio.Event()
    channel.on("close", lambda _event: closed.set())
    if channel.readyState != "closed":
        await closed.wait()
    await pc.close()
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.file_transfer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stun", metavar="URL", help="a STUN server, stun:host:port, to cross a NAT")
    commands = parser.add_subparsers(dest="command", required=True)
    sending = commands.add_parser("send", help="send a file")
    sending.add_argument("file", type=Path)
    receiving = commands.add_parser("receive", help="receive a file")
    receiving.add_argument("--to", type=Path, default=Path(), metavar="DIRECTORY")
    arguments = parser.parse_args()
    if arguments.command == "send":
        return asyncio.run(send(arguments.file, arguments.stun))
    return asyncio.run(receive(arguments.to, arguments.stun))


if __name__ == "__main__":
    sys.exit(main())
