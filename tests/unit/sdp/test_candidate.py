"""candidate-attribute: RFC 8839, section 5.1."""

from __future__ import annotations

import pytest

from rtcstack.errors import ParseError
from rtcstack.sdp import Candidate

UDP = "842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0 ufrag EsAw cost 999"
TCP = "1 1 tcp 1518280447 192.168.1.2 9 typ host tcptype active generation 0"


@pytest.mark.parametrize(
    "text",
    [
        UDP,
        TCP,
        "1 1 UDP 2130706431 2001:db8::1 1234 typ host",
        "1 2 udp 2130706430 fe80::1%eth0 1234 typ host",
        "0 1 udp 2113937151 0b5b9d3d-2c8c-4a4f-9c3c-3d1b5c9f8a11.local 54321 typ host",
        "a/+Z 1 udp 1 turn.example.com 3478 typ relay raddr 198.51.100.1 rport 5000",
        "f 256 xtp 0 1.2.3.4 0 typ newkind ext-one val-one ext-two val:two",
        "f 1 udp 1 1.2.3.4 5 typ host ufrag",
        "f 1 udp 1 1.2.3.4 5 typ srflx raddr 1.1.1.1",
    ],
)
def test_round_trip(text: str) -> None:
    candidate = Candidate.parse(text)
    assert str(candidate) == text
    assert Candidate.parse(f"a=candidate:{text}") == candidate
    assert Candidate.parse(f"candidate:{text}") == candidate
    assert candidate.attribute().value == text


def test_fields() -> None:
    candidate = Candidate.parse(UDP)
    assert (candidate.foundation, candidate.component, candidate.priority) == ("842163049", 1, 1677729535)
    assert (candidate.address, candidate.port, candidate.type) == ("203.0.113.7", 46154, "srflx")
    assert (candidate.related_address, candidate.related_port) == ("0.0.0.0", 0)
    assert candidate.username_fragment == "EsAw"
    assert candidate.extension("cost") == "999"
    assert candidate.extension("nothing") is None
    assert candidate.tcp_type is None
    assert candidate.ip_version == 4


def test_kinds_of_addresses() -> None:
    assert Candidate.parse(TCP).tcp_type == "active"
    assert Candidate.parse("1 1 udp 1 2001:db8::1 5 typ host").ip_version == 6
    name = Candidate.parse("1 1 udp 1 abc.LOCAL 5 typ host")
    assert name.is_mdns
    assert name.ip_version is None
    assert not Candidate.parse(UDP).is_mdns
    for other in ("relay.company.local", "a_b.local", ".local", "local", "x.local.example"):
        assert not Candidate.parse(f"1 1 udp 1 {other} 9 typ host").is_mdns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate:",
        "1 1 udp 1 1.2.3.4 5 typ",
        "1 1 udp 1 1.2.3.4 5 kind host",
        "1 0 udp 1 1.2.3.4 5 typ host",
        "1 257 udp 1 1.2.3.4 5 typ host",
        "1 1 udp 4294967296 1.2.3.4 5 typ host",
        "1 1 udp -1 1.2.3.4 5 typ host",
        "1 1 udp 1 1.2.3.4 65536 typ host",
        "1 1 udp 1 1.2.3.4;x 5 typ host",
        f"1 1 udp 1 {'a' * 256} 5 typ host",
        f"{'1' * 33} 1 udp 1 1.2.3.4 5 typ host",
        "1 1 ud@p 1 1.2.3.4 5 typ host",
        "1 1 udp 1 1.2.3.4 5 typ host" + " a b" * 33,
        "1 1 udp 1 1.2.3.4 5 typ srflx raddr 1.2.3.4 rport x",
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises(ParseError):
        Candidate.parse(text)
