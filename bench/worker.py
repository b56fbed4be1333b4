"""One measurement of one stack in a process of its own, so that a hang or a crash costs one number.

python -m bench.worker row STACK ROW quick|full
python -m bench.worker sender STACK
python -m bench.worker profile STACK quick|full
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from bench.rows import FULL, QUICK, ROWS, sender
from bench.stacks import load


async def row(name: str, row_name: str, size: str) -> None:
    """Run the row and print its numbers as the last line."""
    stack = load(name)
    result = await ROWS[row_name].run(stack, QUICK if size == "quick" else FULL)
    print(json.dumps({"version": stack.version, "result": result}), flush=True)
    # what a stack leaves unfinished is not measured here
    os._exit(0)


async def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    match arguments:
        case ["row", name, row_name, size]:
            await row(name, row_name, size)
        case ["sender", name]:
            await sender(load(name))
        case ["profile", name, size]:
            from bench.profiling import profile

            await profile(load(name), QUICK if size == "quick" else FULL)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
