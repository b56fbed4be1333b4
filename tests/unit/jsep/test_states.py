"""The state table, against the whole product of states, sides and types."""

from __future__ import annotations

import itertools

import pytest

from rtcstack.errors import InvalidStateError
from rtcstack.jsep import SdpType, Side, SignalingState
from rtcstack.jsep.states import next_state

# webrtc-pc, section 4.3.1, figure; one row for each state, "" where the step is illegal
TABLE = """
                      local-offer       local-pranswer       local-answer  local-rollback  remote-offer       remote-pranswer       remote-answer  remote-rollback
stable                have-local-offer  -                    -             -               have-remote-offer  -                     -              -
have-local-offer      have-local-offer  -                    -             stable          -                  have-remote-pranswer  stable         -
have-remote-offer     -                 have-local-pranswer  stable        -               have-remote-offer  -                     -              stable
have-local-pranswer   -                 have-local-pranswer  stable        -               -                  -                     -              -
have-remote-pranswer  -                 -                    -             -               -                  have-remote-pranswer  stable         -
closed                -                 -                    -             -               -                  -                     -              -
"""  # noqa: E501


def rows() -> dict[tuple[str, str], str]:
    head, *body = (line.split() for line in TABLE.strip().splitlines())
    return {(row[0], column): cell for row in body for column, cell in zip(head, row[1:], strict=True)}


@pytest.mark.parametrize("state", SignalingState)
@pytest.mark.parametrize(("side", "sdp_type"), list(itertools.product(Side, SdpType)))
def test_transition(state: SignalingState, side: Side, sdp_type: SdpType) -> None:
    expected = rows()[state, f"{side}-{sdp_type}"]
    if expected == "-":
        with pytest.raises(InvalidStateError, match=state):
            next_state(state, side, sdp_type)
    else:
        assert next_state(state, side, sdp_type) == expected


def test_sides() -> None:
    assert [side.other for side in Side] == [Side.REMOTE, Side.LOCAL]
