"""Arguments of the command line, and which command they mean."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from rtcstack.cli.ice import ArgumentError, IceArguments, run_ice

__all__ = ["main"]


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
        The process's exit status: 0, 1 when a server failed, 2 for wrong arguments.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        return asyncio.run(
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
    except ArgumentError as exc:
        print(f"{parser.prog}: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
