"""``rtcstack ice``: what it finds, what it says of it, and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
        (Report(), "No server was asked"),
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


COMMAND = (sys.executable, "-m", "rtcstack", "ice", "--loopback")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_that_has_gone(form: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run([*COMMAND, *form], stdout=writing, stderr=subprocess.PIPE, timeout=30)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk(form: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([*COMMAND, *form], stdout=full, stderr=subprocess.PIPE, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr.startswith(b"rtcstack: the output cannot be written: No space left")
    assert ended.stderr.count(b"\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are closed for a child by POSIX means")
def test_no_output_at_all() -> None:
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND]
    ended = subprocess.run(shell, stderr=subprocess.PIPE, timeout=30)
    assert (ended.returncode, ended.stderr) == (0, b"")
