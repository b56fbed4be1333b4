"""Server URIs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.errors import ParseError
from rtcstack.ice import ServerScheme, parse_server_uri


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("stun:stun.example.org", ("stun", "stun.example.org", 3478, "udp")),
        ("stun:192.0.2.1:19302", ("stun", "192.0.2.1", 19302, "udp")),
        ("stuns:stun.example.org", ("stuns", "stun.example.org", 5349, "tcp")),
        ("turn:[2001:db8::1]:3479", ("turn", "2001:db8::1", 3479, "udp")),
        ("turn:turn.example.org?transport=tcp", ("turn", "turn.example.org", 3478, "tcp")),
        ("turns:turn.example.org:443?transport=tcp", ("turns", "turn.example.org", 443, "tcp")),
        ("turns:turn.example.org?transport=udp", ("turns", "turn.example.org", 5349, "udp")),
    ],
)
def test_valid(url: str, expected: tuple[str, str, int, str]) -> None:
    server = parse_server_uri(url, "user", "secret")
    assert (server.scheme, server.host, server.port, server.transport) == expected
    assert server.url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "stun",
        "stun:",
        "http://example.org",
        "stun://example.org",
        "stun:example.org:0",
        "stun:example.org:65536",
        "stun:example.org:port",
        "stun:example.org?transport=udp",
        "turn:example.org?transport=sctp",
        "turn:example.org?foo=bar",
        "turn:[::1",
        "turn:user@example.org",
        "stun:exa mple.org",
        "stun:" + "a" * 1000,
    ],
)
def test_invalid(url: str) -> None:
    with pytest.raises(ParseError):
        parse_server_uri(url)


@given(st.text(max_size=80))
def test_arbitrary_text_gives_a_server_or_a_parse_error(text: str) -> None:
    try:
        server = parse_server_uri("turn:" + text)
    except ParseError:
        return
    assert server.scheme is ServerScheme.TURN
    assert 0 < server.port < 65536
