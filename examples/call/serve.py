"""The call page for your own browser, with the bot always in the room.

Browsers give camera and microphone to pages from localhost and over HTTPS only: for other devices
in your network, `--host 0.0.0.0` wants `--cert` and `--key` beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote

from aiohttp import ClientError

from examples.call.bot import Bot
from examples.call.client import join
from examples.call.server import Site, start

RETRY_S = 1.0


async def keep_bot(url: str) -> None:
    """The bot comes back whenever its connection to the server falls."""
    while True:
        with contextlib.suppress(ConnectionError, ClientError):
            async with join(url, "lobby", "bot") as signaling:
                await Bot(signaling).run()
        await asyncio.sleep(RETRY_S)


async def main(
    host: str,
    port: int,
    ice_servers: list[dict[str, Any]],
    tls: ssl.SSLContext | None = None,
    hosts: Collection[str] = (),
) -> None:
    """Serve until interrupted."""
    runner, port = await start(host, port, ice_servers=ice_servers, hosts=hosts, tls=tls)
    try:
        # the bot's own way in: from this machine, without TLS
        await Site(runner, "127.0.0.1", 0).start()
        shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::", "::1") else host
        print(
            f"Open {'http' if tls is None else 'https'}://{shown}:{port} and call the bot,"
            " or another window. Ctrl-C ends it.",
            flush=True,
        )
        await keep_bot(f"http://127.0.0.1:{runner.addresses[-1][1]}")
    finally:
        await runner.cleanup()


def ice_server(text: str) -> dict[str, Any]:
    """`stun:host:port`, or `turn:host:port,user,password`."""
    url, *credentials = text.split(",")
    if not credentials:
        return {"urls": [url]}
    if len(credentials) != 2:
        raise ValueError("a server's address, or address,user,password")
    user, password = map(unquote, credentials)
    return {"urls": [url], "username": user, "credential": password}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.call.serve", description=__doc__)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: this machine alone)"
    )
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which browsers reach the server, beside localhost and addresses; may be repeated",
    )
    parser.add_argument("--cert", help="file of the certificate, in PEM: serve over HTTPS")
    parser.add_argument("--key", help="file of its private key, in PEM")
    parser.add_argument(
        "--ice-server",
        action="append",
        default=[],
        type=ice_server,
        metavar="URL[,USER,PASSWORD]",
        help="STUN or TURN server for the calls (%%2C for a comma in USER or PASSWORD); may be repeated",
    )
    arguments = parser.parse_args()
    context = None
    if arguments.cert:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.cert, arguments.key)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(arguments.host, arguments.port, arguments.ice_server, context, arguments.allow_host))
