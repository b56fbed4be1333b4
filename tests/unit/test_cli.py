"""``rtcstack ice``: what it finds, what it says of it, and its exit status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtcstack.cli.ice import Report
from rtcstack.cli.main import main

HOME, OUTSIDE, OTHER = ("10.0.0.2", 5000), ("203.0.113.1", 40_000), ("203.0.113.1", 40_001)


@pytest.mark.parametrize(
    ("mappings", "nat"),
    [
        ([], "unknown"),
        ([(HOME, "stun:a", HOME)], "none"),
        ([(HOME, "stun:a", OUTSIDE)], "unknown"),
        ([(HOME, "stun:a", OUTSIDE), (HOME, "stun:b", OUTSIDE)], "endpoint-independent"),
        ([(HOME, "stun:a", OUTSIDE), (HOME, "stun:b", OTHER)], "symmetric"),
        ([(("2001:db8::1", 1), "stun:a", ("2001:db8::1", 1))], "unknown"),
    ],
)
def test_the_nats_kind(mappings: list[Any], nat: str) -> None:
    report = Report(mappings=mappings)
    assert report.nat == nat
    assert report.verdict


def candidate(kind: str) -> dict[str, Any]:
    return {"type": kind}


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (Report(), "No candidate at all"),
        (Report([candidate("relay")]), "A relay is there"),
        (Report([candidate("host")], mappings=[(HOME, "stun:a", HOME)]), "No NAT"),
        (Report([candidate("host")], mappings=[(HOME, "stun:a", OUTSIDE)]), "second STUN server"),
        (Report([candidate("host")]), "No STUN server was asked"),
        (Report(errors=[{"url": "stun:a", "code": 701, "text": "x"}]), "UDP may be blocked"),
        (Report(errors=[{"url": "turn:a", "code": 401, "text": "wrong"}]), "turn:a failed: 401 wrong"),
    ],
)
def test_the_verdict(report: Report, words: str) -> None:
    assert words in " ".join(report.verdict)


def test_candidates_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ice", "--json", "--loopback"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {c["type"] for c in found["candidates"]} == {"host"}
    assert found["errors"] == []
    assert found["nat"] == "unknown"
    assert found["seconds"] < 5


def test_a_table_and_a_failing_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ice", "--timeout", "0.1", "--loopback", "stuns:127.0.0.1"]) == 1
    out = capsys.readouterr().out
    assert "ICE candidates" in out
    assert "stuns:127.0.0.1 failed: 701" in out


@pytest.mark.parametrize(
    "servers", [["http://example.org"], ["turn:example.org"], ["--timeout", "0", "stun:a"]]
)
def test_wrong_arguments(servers: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ice", *servers]) == 2
    assert capsys.readouterr().err.startswith("rtcstack: ")
