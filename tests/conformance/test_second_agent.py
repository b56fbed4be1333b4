"""What the second agent lacks, as a list: with ``--agent=aioice`` nothing fails but what stands here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from rtcstack.ice import FEATURES, IceFeature

TESTS = Path(__file__).parents[1]

LACKS = {
    IceFeature.TCP: {"test_tcp_is_the_only_way", "test_one_tcp_port"},
    IceFeature.LITE: {
        "test_a_lite_server",
        "test_a_lite_server_whose_answer_comes_late_was_nominated_before",
    },
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
    IceFeature.FORKING: {
        "test_an_answer_that_comes_while_the_first_connects",
        "test_channels_to_the_one_before_end_with_an_error",
        "test_the_final_answer_of_another_peer_is_followed",
        "test_the_one_before_is_heard_no_more",
    },
    IceFeature.PAIRS: {
        "test_a_connection_that_a_handler_closes_nominates_nothing",
        "test_a_controlled_end_selects_for_its_own_packets",
        "test_a_later_selection_takes_an_earlier_one_s_place",
        "test_a_nomination_that_is_prevented_leaves_the_pair_to_be_selected_later",
        "test_a_nomination_that_nobody_prevents_takes_its_course",
        "test_a_pair_that_does_not_work_rejects_its_selection_and_changes_nothing",
        "test_a_trace_has_what_is_selected_and_removed",
        "test_a_transport_without_a_connection",
        "test_another_pair_is_selected_and_the_peer_follows",
        "test_another_pair_takes_over_when_the_selected_one_is_removed",
        "test_in_new_and_failed_nothing_is_selected",
        "test_packets_take_the_pair_that_is_selected",
        "test_pairs_are_told_when_they_are_formed_and_when_a_restart_ends_them",
        "test_pairs_that_nobody_was_told_of_can_be_selected_and_removed",
        "test_what_is_refused_of_pairs",
        "test_while_a_nomination_is_decided_pairs_are_neither_selected_nor_removed",
        "test_without_any_pair_none_is_selected_and_a_restart_brings_all_back",
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
