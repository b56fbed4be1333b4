"""What getStats says, as the numbers that people ask for: rates from the difference to the time before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Figures", "Meter", "Stream"]

WAYS = {"inbound-rtp": "received", "outbound-rtp": "sent"}


@dataclass(frozen=True, slots=True)
class Stream:
    """One direction of one kind; what is not known is None."""

    codec: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    kbps: float | None = None
    loss: float | None = None
    jitter_ms: float | None = None

    def __str__(self) -> str:
        parts = [self.codec or "-"]
        if self.width:
            parts.append(f"{self.width}x{self.height}")
        if self.fps is not None:
            parts.append(f"{self.fps:.0f} fps")
        if self.kbps is not None:
            parts.append(f"{self.kbps:.0f} kbit/s")
        if self.loss is not None:
            parts.append(f"{100 * self.loss:.1f} % lost")
        return ", ".join(parts)


@dataclass(slots=True)
class Figures:
    """Of one moment; `received` and `sent` by kind."""

    received: dict[str, Stream] = field(default_factory=dict)
    sent: dict[str, Stream] = field(default_factory=dict)
    rtt_ms: float | None = None

    def rows(self) -> list[tuple[str, str]]:
        """Titles and texts, for people."""
        rows = []
        for kind in ("video", "audio"):
            for way, streams in (("received", self.received), ("sent", self.sent)):
                if kind in streams:
                    rows.append((f"{kind} {way}", str(streams[kind])))
        if self.rtt_ms is not None:
            rows.append(("round-trip time", f"{self.rtt_ms:.1f} ms"))
        return rows


class Meter:
    """Reads one connection's reports, one after the other."""

    def __init__(self) -> None:
        self._before: Mapping[str, Mapping[str, Any]] = {}

    def read(self, report: Mapping[str, Mapping[str, Any]]) -> Figures:
        """The figures since the report before."""
        figures = Figures()
        for stats in report.values():
            way = WAYS.get(stats["type"])
            if way is not None:
                streams = figures.received if way == "received" else figures.sent
                streams[stats["kind"]] = self._stream(stats, report, way)
            elif stats["type"] == "candidate-pair" and stats.get("currentRoundTripTime") is not None:
                figures.rtt_ms = stats["currentRoundTripTime"] * 1000
        self._before = dict(report)
        return figures

    def _stream(self, stats: Mapping[str, Any], report: Mapping[str, Mapping[str, Any]], way: str) -> Stream:
        before = self._before.get(stats["id"])

        def since(member: str) -> float:
            return 0.0 if before is None else stats.get(member, 0) - before.get(member, 0)

        seconds = 0.0 if before is None else (stats["timestamp"] - before["timestamp"]) / 1000
        far = report.get(stats.get("remoteId", ""), {})
        mime_type = report.get(stats.get("codecId", ""), {}).get("mimeType", "")
        received, lost = since("packetsReceived"), max(0.0, since("packetsLost"))
        jitter = far.get("jitter") if way == "sent" else stats.get("jitter")
        return Stream(
            codec=mime_type.partition("/")[2] or None,
            width=stats.get("frameWidth"),
            height=stats.get("frameHeight"),
            fps=stats.get("framesPerSecond"),
            kbps=8 * since("bytesSent" if way == "sent" else "bytesReceived") / seconds / 1000
            if seconds > 0
            else None,
            loss=far.get("fractionLost") if way == "sent" else (lost / max(1, received + lost)),
            jitter_ms=None if jitter is None else jitter * 1000,
        )
