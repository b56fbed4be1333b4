"""What the second agent lacks, as a list: with ``--agent=aioice`` nothing fails but what stands here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from rtcstack.ice import FEATURES, IceFeature

TESTS = Path(__file__).parents[1]

LACKS = {
    IceFeature.TCP: {"test_tcp_is_the_only_way", "test_one_tcp_port"},
    IceFeature.LITE: {"test_a_lite_server"},
    IceFeature.ADDRESS_RULES: {"test_rules_reach_the_description"},
    IceFeature.HIDDEN_ADDRESSES: {
        "test_an_address_that_is_not_told_is_not_in_errors",
        "test_no_host",
        "test_our_addresses_are_hidden",
    },
    IceFeature.SHARED_PORTS: {"test_connections_share_a_port", "test_one_udp_port"},
    IceFeature.RENOMINATION: {"test_renomination_is_understood_or_ignored"},
    IceFeature.TIMERS: {
        "test_a_peer_without_any_candidate",
        "test_disconnected_while_candidates_may_still_come",
        "test_each_candidate_has_its_time",
        "test_peer_vanishes",
        "test_silence_and_the_end_of_consent",
    },
    IceFeature.RELAY_FAMILIES: {"test_one_server_gives_relays_of_both_ip_versions"},
    IceFeature.EARLY_CHECKS: {"test_a_dead_server_is_reported_and_delays_nothing"},
}
"""Tests that fail over aioice, by the feature for want of which they do; a test that does not fails, too."""


def needs(path: Path) -> Iterator[tuple[IceFeature, str]]:
    """The marks of one file's tests."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.needs":
                    for argument in mark.args:
                        assert isinstance(argument, ast.Attribute)
                        yield IceFeature[argument.attr], node.name


def test_what_the_second_agent_lacks() -> None:
    found: dict[IceFeature, set[str]] = {}
    for path in (*TESTS.glob("conformance/test_*.py"), *TESTS.glob("interop/test_*.py")):
        for feature, name in needs(path):
            found.setdefault(feature, set()).add(name)
    assert found == LACKS
    assert not set(LACKS) & FEATURES["aioice"]
