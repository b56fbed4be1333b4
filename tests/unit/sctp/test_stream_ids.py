"""Which streams our channels get."""

from __future__ import annotations

import pytest

from rtcstack.errors import OperationError
from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.channels import DataChannels
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.stream_ids import MAX_ID, StreamIds


@pytest.mark.parametrize(("is_dtls_client", "first"), [(True, 0), (False, 1)])
def test_each_side_has_its_half(is_dtls_client: bool, first: int) -> None:
    ids = StreamIds(is_dtls_client)
    assert [ids.choose((), 65535) for _ in range(3)] == [first, first + 2, first + 4]
    assert [ids.is_ours(number) for number in range(4)] == [number % 2 == first for number in range(4)]


def test_all_are_used_once_before_one_is_used_again() -> None:
    ids = StreamIds(True)
    for expected in range(0, MAX_ID + 1, 2):
        assert ids.choose((), 65535) == expected
        if expected in (4, 8):
            ids.release(expected)
    assert ids.choose({4}, 65535) == 8
    with pytest.raises(OperationError, match="no stream identifier is left"):
        ids.choose((), 65535)


def test_what_is_taken_or_was_not_agreed_is_not_given() -> None:
    ids = StreamIds(False)
    assert ids.choose({1, 3}, 8) == 5
    assert ids.choose((), 8) == 7
    ids.release(9)
    with pytest.raises(OperationError):
        ids.choose((), 8)


def test_the_peers_half_is_never_given() -> None:
    """A channel on a stream of the peer's half that could not be opened leaves nothing behind."""
    engine = DataChannels(
        SctpAssociation(SctpOptions(streams=3, max_send_buffer_bytes=210)), is_dtls_client=True
    )
    with pytest.raises(OperationError, match="full"):
        engine.open("x" * 200, id=1, now=0.0)
    assert [engine.open("", negotiated=True, id=number, now=0.0).id for number in (0, 2)] == [0, 2]
    with pytest.raises(OperationError, match="identifier"):
        engine.open("", now=0.0)
