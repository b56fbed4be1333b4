"""The call page for your own browser, with the bot always in the room."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from examples.call.bot import Bot
from examples.call.client import join
from examples.call.server import start


async def main(host: str, port: int) -> None:
    """Serve until interrupted; the bot comes back if it falls."""
    runner, port = await start(host, port)
    print(f"Open http://localhost:{port} and call the bot. Ctrl-C ends it.", flush=True)
    try:
        while True:
            async with join(f"http://127.0.0.1:{port}", "lobby", "bot") as signaling:
                await Bot(signaling).run()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.call.serve", description=__doc__)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: this machine alone)"
    )
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(arguments.host, arguments.port))
