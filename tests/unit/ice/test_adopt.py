"""One test for each name of aioice that ice/adopt.py uses below the public surface.

When an aioice release moves one of them, the test that fails says which.
"""

from __future__ import annotations

import asyncio
import inspect

import aioice
import aioice.candidate
import aioice.ice
import aioice.mdns
import aioice.stun
import aioice.turn
import pytest

CONNECTION_ATTRIBUTES = {
    "_check_list": list,
    "_check_list_done": bool,
    "_closing": bool,
    "_early_checks_done": bool,
    "_local_candidates": list,
    "_local_candidates_end": bool,
    "_local_candidates_start": bool,
    "_nominated": dict,
    "_protocols": list,
    "_remote_candidates": list,
    "_remote_candidates_end": bool,
    "_remote_candidates_resolving": int,
    "ice_controlling": bool,
    "remote_is_lite": bool,
}


@pytest.mark.parametrize("name", CONNECTION_ATTRIBUTES)
async def test_connection_attribute(name: str) -> None:
    connection = aioice.Connection(ice_controlling=True)
    assert isinstance(getattr(connection, name), CONNECTION_ATTRIBUTES[name])


METHODS = {
    "_add_remote_candidate": ["remote_candidate", "network_host"],
    "_check_list_maybe_complete": [],
    "_check_list_maybe_fail": [],
    "_check_periodic": [],
    "_end_remote_candidates": [],
    "_pair_remote_candidate": ["remote_candidate"],
    "_unfreeze_initial": [],
    "add_remote_candidate": ["remote_candidate"],
    "build_request": ["pair", "nominate"],
    "check_complete": ["pair"],
    "check_incoming": ["message", "addr", "protocol"],
    "close": [],
    "data_received": ["data", "component"],
    "request_received": ["message", "addr", "protocol"],
    "sort_check_list": [],
    "switch_role": ["ice_controlling"],
}


@pytest.mark.parametrize("name", METHODS)
def test_connection_method(name: str) -> None:
    parameters = list(inspect.signature(getattr(aioice.Connection, name)).parameters)
    assert parameters == ["self", *METHODS[name]]


def test_early_checks_can_be_listed_and_cleared() -> None:
    connection = aioice.Connection(ice_controlling=True)
    assert list(connection._early_checks) == []
    connection._early_checks.clear()


def test_connect_is_where_early_checks_and_pairs_are_taken_up() -> None:
    # start_checks() does what connect() does before its loop; a change there must be seen here
    source = inspect.getsource(aioice.Connection.connect)
    order = [
        "_pair_remote_candidate",
        "sort_check_list",
        "_unfreeze_initial",
        "check_incoming",
        "_early_checks.clear",
        "_early_checks_done = True",
        "_check_periodic",
    ]
    positions = [source.index(name) for name in order]
    assert positions == sorted(positions)


def test_check_complete_is_called_for_each_check_that_ends() -> None:
    source = inspect.getsource(aioice.Connection.check_start)
    assert source.count("self.check_complete(pair)") >= 3


@pytest.mark.parametrize("name", ["_queue", "_check_list_state"])
def test_queues_are_only_written_to_by_what_is_called_here(name: str) -> None:
    methods = [*METHODS, "protocol_lost", "_emit_event"]
    sources = [inspect.getsource(getattr(aioice.Connection, method)) for method in methods]
    uses = sum(source.count(f"self.{name}.") for source in sources)
    assert uses == sum(source.count(f"self.{name}.put_nowait(") for source in sources)
    assert uses > 0


def test_candidate_pair() -> None:
    names = {state.name for state in aioice.ice.CandidatePair.State}
    assert names == {"FROZEN", "WAITING", "IN_PROGRESS", "SUCCEEDED", "FAILED"}
    assert list(inspect.signature(aioice.ice.CandidatePair).parameters) == ["protocol", "remote_candidate"]
    for name in ("local_candidate", "remote_addr"):
        assert isinstance(getattr(aioice.ice.CandidatePair, name), property)


async def test_stun_protocol_calls_its_receiver() -> None:
    connection = aioice.Connection(ice_controlling=True)
    protocol = aioice.ice.StunProtocol(connection)
    assert protocol.receiver is connection
    assert protocol.transactions == {}
    lost = []
    connection.protocol_lost = lost.append  # type: ignore[method-assign, assignment]
    protocol.connection_lost(None)
    assert lost == [protocol]


async def test_stun_protocol_close_waits_for_connection_lost() -> None:
    class Transport(asyncio.DatagramTransport):
        def close(self) -> None:
            asyncio.get_running_loop().call_soon(protocol.connection_lost, None)

    protocol = aioice.ice.StunProtocol(aioice.Connection(ice_controlling=True))
    protocol.connection_made(Transport())
    await asyncio.wait_for(protocol.close(), 1)


def test_stun_protocol_request_signature() -> None:
    parameters = inspect.signature(aioice.ice.StunProtocol.request).parameters
    assert list(parameters) == ["self", "request", "addr", "integrity_key", "retransmissions"]


def test_relayed_candidate_signature() -> None:
    parameters = set(inspect.signature(aioice.ice.relayed_candidate).parameters)
    assert parameters == {
        "component",
        "hide_related_address",
        "protocol_factory",
        "turn_password",
        "turn_server",
        "turn_ssl",
        "turn_transport",
        "turn_username",
    }


def test_candidate_keeps_the_address_that_it_is_reached_at() -> None:
    candidate = aioice.Candidate("1", 1, "udp", 1, "192.0.2.1", 9, "host")
    assert candidate._network_host == "192.0.2.1"


def test_candidate_formulas() -> None:
    assert aioice.candidate.candidate_priority(1, "host", 65535) == (126 << 24) + (65535 << 8) + 255
    foundations = {aioice.candidate.candidate_foundation(t, "udp", "192.0.2.1") for t in ("host", "srflx")}
    assert len(foundations) == 2
    assert all(1 <= len(f) <= 32 for f in foundations)


def test_stun_message_round_trip() -> None:
    message = aioice.stun.Message(
        message_method=aioice.stun.Method.BINDING, message_class=aioice.stun.Class.REQUEST
    )
    message.attributes["USERNAME"] = "a:b"
    message.add_message_integrity(b"key")
    parsed = aioice.stun.parse_message(bytes(message))
    assert parsed.transaction_id == message.transaction_id
    assert parsed.check_message_integrity(b"key")
