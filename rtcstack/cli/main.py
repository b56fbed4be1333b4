"""Arguments of the command line, and which command they mean."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import sys
from collections.abc import Sequence

from rtcstack.cli.ice import ArgumentError, IceArguments, run_ice

__all__ = ["main"]

BROKEN_PIPE = 141
"""What a shell reports of a program that SIGPIPE has ended."""

_OUTPUT_FAILS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EBADF)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rtcstack", description="Tools of the rtcstack WebRTC stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    ice = commands.add_parser(
        "ice",
        help="gather ICE candidates and say what they mean",
        description="Gather ICE candidates with the given servers, show each as it arrives, what went "
        "wrong with which server, and what kind of NAT stands before this machine.",
    )
    ice.add_argument(
        "servers",
        nargs="*",
        metavar="URL",
        help="stun:host, turn:host?transport=udp|tcp, turns:host, ...; two STUN servers tell the NAT's kind",
    )
    ice.add_argument("-u", "--username", help="for the TURN servers")
    ice.add_argument("-p", "--credential", help="for the TURN servers")
    ice.add_argument("--policy", choices=("all", "relay"), default="all", help="which candidates to gather")
    ice.add_argument("--loopback", action="store_true", help="loopback addresses too")
    ice.add_argument("--timeout", type=float, default=5.0, metavar="S", help="for each server (default: 5)")
    ice.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: its words; those of the process by default.

    Returns:
        The process's exit status: 0, 1 when a server failed or nothing can be written, 2 for wrong
        arguments, 141 when nobody reads the output any more.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        status = asyncio.run(
            run_ice(
                IceArguments(
                    servers=tuple(arguments.servers),
                    username=arguments.username,
                    credential=arguments.credential,
                    policy=arguments.policy,
                    loopback=arguments.loopback,
                    timeout_s=arguments.timeout,
                    as_json=arguments.json,
                )
            )
        )
        if sys.stdout is not None:  # it is None if it was closed from the start
            sys.stdout.flush()
    except BrokenPipeError:
        _give_up_output()  # whoever read it has seen enough
        return BROKEN_PIPE
    except OSError as exc:
        if exc.errno not in _OUTPUT_FAILS:
            raise
        _give_up_output()
        print(f"{parser.prog}: the output cannot be written: {exc.strerror}", file=sys.stderr)
        return 1
    except ArgumentError as exc:
        print(f"{parser.prog}: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def _give_up_output() -> None:
    """Let nothing more be written, nor flushed at the end."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return  # it is no file, or closed already
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
