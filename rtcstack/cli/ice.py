"""``rtcstack ice``: gathers candidates and says what they mean."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from rtcstack.api.configuration import RTCConfiguration
from rtcstack.clock import monotonic
from rtcstack.config import Settings
from rtcstack.errors import DOMException
from rtcstack.ortc.icegatherer import RTCIceGatherer, source_of

try:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
except ImportError:  # pragma: no cover - it is optional
    Console = None  # type: ignore[assignment, misc]

__all__ = ["ArgumentError", "IceArguments", "Report", "run_ice"]


class ArgumentError(Exception):
    """The arguments make no sense together."""


@dataclass(frozen=True, slots=True)
class IceArguments:
    """What was asked for; see `rtcstack.cli.main`."""

    servers: tuple[str, ...] = ()
    username: str | None = None
    credential: str | None = None
    policy: str = "all"
    loopback: bool = False
    timeout_s: float = 5.0
    as_json: bool = False


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes:
        candidates: in the order in which they came.
        errors: of servers.
        mappings: local address, STUN server and what it saw, of each answer.
        seconds: until gathering was over, or None before.
    """

    candidates: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    mappings: list[tuple[tuple[str, int], str, tuple[str, int]]] = field(default_factory=list)
    seconds: float | None = None

    @property
    def nat(self) -> str:
        """What stands before this machine: "none", "endpoint-independent", "symmetric" or "unknown"."""
        by_socket: dict[tuple[str, int], set[tuple[str, int]]] = {}
        asked: dict[tuple[str, int], set[str]] = {}
        for local, url, mapped in self.mappings:
            if ":" not in local[0]:
                by_socket.setdefault(local, set()).add(mapped)
                asked.setdefault(local, set()).add(url)
        if not by_socket:
            return "unknown"
        if all(mapped == {local} for local, mapped in by_socket.items()):
            return "none"
        if any(len(mapped) > 1 for mapped in by_socket.values()):
            return "symmetric"
        if any(len(urls) > 1 for urls in asked.values()):
            return "endpoint-independent"
        return "unknown"

    @property
    def verdict(self) -> list[str]:
        """What it means, in sentences."""
        kinds = {c["type"] for c in self.candidates}
        said = []
        if not self.candidates:
            said.append("No candidate at all: no connection is possible from here.")
            if not self.errors:
                said.append("No server was asked either: there is no network that could be used.")
                return said
        nat = self.nat
        if nat == "none":
            said.append("No NAT: STUN servers see this machine's own address.")
        elif nat == "endpoint-independent":
            said.append(
                "A NAT with endpoint-independent mapping: direct connections work with most peers; "
                "with one behind a symmetric NAT they may need a relay."
            )
        elif nat == "symmetric":
            said.append(
                "A symmetric NAT (its mapping depends on the destination): direct connections work only "
                "with peers whose NAT lets packets in from any port; others need a relay."
            )
        elif self.mappings:
            said.append("There is a NAT; give a second STUN server to learn its kind.")
        elif any(e["url"].startswith("stun") for e in self.errors):
            said.append(
                "No STUN server answered: UDP may be blocked here, and a relay over TCP or TLS needed."
            )
        else:
            said.append("No STUN server was asked: the NAT, if there is one, is not known.")
        if "relay" in kinds:
            said.append("A relay is there: calls connect wherever the relay can be reached.")
        elif nat != "none":
            said.append("No relay: calls fail where no direct way exists.")
        said += [f"{e['url']} failed: {e['code']} {e['text']}" for e in self.errors]
        return said

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "candidates": self.candidates,
            "errors": self.errors,
            "mappings": [
                {"local": f"{a[0]}:{a[1]}", "server": url, "mapped": f"{m[0]}:{m[1]}"}
                for a, url, m in self.mappings
            ],
            "seconds": self.seconds,
            "nat": self.nat,
            "verdict": self.verdict,
        }


async def gather(arguments: IceArguments, report: Report, on_change: Any = None) -> None:
    """Gather, and fill in the report.

    Raises:
        ArgumentError: the servers cannot be used.
    """
    servers = [
        {"urls": url, "username": arguments.username, "credential": arguments.credential}
        for url in arguments.servers
    ]
    try:
        settings = Settings(include_loopback=arguments.loopback, gather_timeout_s=arguments.timeout_s)
        configuration = RTCConfiguration(
            iceServers=servers,  # type: ignore[arg-type]
            iceTransportPolicy=arguments.policy,
            settings=settings,
        )
        gatherer = RTCIceGatherer(configuration)
    except (DOMException, TypeError, ValueError) as exc:
        raise ArgumentError(str(exc)) from None
    started = monotonic()
    done = asyncio.Event()

    def changed() -> None:
        if on_change is not None:
            on_change()

    def on_candidate(event: Any) -> None:
        candidate = event.candidate
        if candidate is None:
            report.seconds = round(monotonic() - started, 4)
            done.set()
            return
        report.candidates.append(
            {
                "seconds": round(monotonic() - started, 4),
                "type": candidate.type,
                "protocol": candidate.protocol,
                "address": candidate.address,
                "port": candidate.port,
                "priority": candidate.priority,
                "relatedAddress": candidate.relatedAddress,
                "relatedPort": candidate.relatedPort,
                "server": candidate.url,
            }
        )
        changed()

    def on_error(event: Any) -> None:
        report.errors.append(
            {
                "seconds": round(monotonic() - started, 4),
                "url": event.url,
                "local": event.address,
                "code": event.errorCode,
                "text": event.errorText,
            }
        )
        changed()

    gatherer.on("icecandidate", on_candidate)
    gatherer.on("icecandidateerror", on_error)
    try:
        gatherer.gather()
        await done.wait()
        report.mappings = source_of(gatherer).agent.mappings()
    finally:
        await gatherer.close()


async def run_ice(arguments: IceArguments) -> int:
    """Run the command; returns the exit status."""
    report = Report()
    if arguments.as_json or Console is None:
        await gather(arguments, report)
        print(json.dumps(report.as_dict(), indent=2))
    else:
        console = Console()
        if console.is_terminal:
            with Live(_view(report), console=console, refresh_per_second=10) as live:
                await gather(arguments, report, lambda: live.update(_view(report)))
                live.update(_view(report))
        else:
            await gather(arguments, report)
            with console.capture() as text:  # print says it when nobody reads; a Console would exit
                console.print(_view(report))
            print(text.get(), end="")
        for sentence in report.verdict:
            print(f"- {sentence}")
    return 1 if report.errors else 0


def _view(report: Report) -> Table:
    table = Table(title="ICE candidates")
    for name in ("ms", "type", "protocol", "address", "port", "priority", "related", "server"):
        table.add_column(name, justify="right" if name in ("ms", "port", "priority") else "left")
    for c in report.candidates:
        related = "" if c["relatedAddress"] is None else f"{c['relatedAddress']}:{c['relatedPort']}"
        table.add_row(
            f"{c['seconds'] * 1e3:.1f}",
            c["type"],
            c["protocol"],
            c["address"],
            str(c["port"]),
            str(c["priority"]),
            related,
            c["server"] or "",
        )
    if report.seconds is not None:
        table.caption = f"complete after {report.seconds * 1e3:.0f} ms"
    return table
