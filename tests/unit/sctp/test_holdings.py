"""What readers hold, and what is left of the window: the arithmetic, on numbers alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtcstack.sctp.data_tracker import DataTracker
from rtcstack.sctp.holdings import CLOSED_SACK_DELAY_S, MIN_FLOW_BYTES, RESERVE_S, Holding, Holdings
from tests.unit.sctp.steps import lines_run

WINDOW = 5 << 20
MESSAGE = 262_144


def test_without_a_reader_the_window_is_whole() -> None:
    holdings = Holdings(WINDOW, MESSAGE)
    assert holdings.offer(1000, 0.0) == WINDOW - 1000
    reader = holdings.begin()
    assert holdings.offer(0, 0.0) == WINDOW // 8
    reader.end()
    assert holdings.offer(0, 0.0) == WINDOW


def test_the_window_is_what_the_fullest_reader_has_left() -> None:
    holdings = Holdings(WINDOW, MESSAGE)
    readers = [holdings.begin() for _ in range(3)]
    readers[0].hold(100_000)
    readers[1].hold(300_000)
    assert holdings.offer(0, 0.0) == WINDOW // 8 - 300_000
    assert holdings.offer(50_000, 0.0) == WINDOW // 8 - 350_000
    readers[1].take(300_000)
    assert holdings.offer(0, 0.0) == WINDOW // 8 - 100_000
    readers[0].end()
    readers[0].end()
    assert holdings.held_bytes == 0
    assert not holdings.lagging


def test_messages_that_are_not_whole_never_close_the_window_of_readers_that_have_nothing_to_take() -> None:
    holdings = Holdings(WINDOW, MESSAGE)
    holdings.begin()
    assert holdings.offer(4 << 20, 0.0) == WINDOW // 16


def absorb(holdings: Holdings, readers: list[Holding], now: float) -> float:
    """A peer that sends all it may to readers in turn, for as long as the reserve opens."""
    turn = 0
    while True:
        offered = holdings.offer(0, now)
        if offered:
            readers[turn % len(readers)].hold(offered)
            turn += 1
        elif holdings.due_at is None:
            return now
        else:
            now = holdings.due_at
            assert holdings.handle_timeout(now)


def test_a_flood_fills_a_quarter_in_the_reserve_s_time() -> None:
    holdings = Holdings(WINDOW, MESSAGE)
    reader = holdings.begin()
    now = absorb(holdings, [reader], 0.0)
    assert RESERVE_S - 1 < now <= RESERVE_S
    assert WINDOW // 4 - WINDOW // 100 < reader.held_bytes <= WINDOW // 4
    assert holdings.is_closed
    assert holdings.hopeless(0) is None  # it is where it may be
    reader.hold(WINDOW // 16)
    assert holdings.hopeless(0) is reader


def test_a_flood_for_many_readers_leaves_a_quarter_of_the_window() -> None:
    holdings = Holdings(WINDOW, MESSAGE)
    absorb(holdings, [holdings.begin() for _ in range(1000)], 0.0)
    assert WINDOW * 3 // 4 - WINDOW // 50 < holdings.held_bytes <= WINDOW * 3 // 4
    assert len(holdings.lagging) <= 48


def test_a_reader_that_stands_still_leaves_the_others_a_flow() -> None:
    holdings = Holdings(WINDOW, MESSAGE)
    reader = holdings.begin()
    reader.hold(WINDOW // 8)
    assert holdings.offer(0, 0.0) == WINDOW // 80
    assert holdings.due_at is None  # the flow is there: nothing more is opened
    reader.hold(60_000)
    assert holdings.offer(0, 1.0) == WINDOW // 80 - 60_000
    assert holdings.due_at is not None


def test_a_window_that_opens_is_told_when_it_matters() -> None:
    holdings = Holdings(WINDOW, MESSAGE)
    reader = holdings.begin()
    reader.hold(WINDOW // 8)
    holdings.offer(0, 0.0)
    reader.hold(WINDOW // 80)
    assert holdings.offer(0, 0.0) == 0
    assert holdings.is_closed
    told = 0
    for _ in range(72):  # in steps of 10,000 bytes
        reader.take(10_000)
        if holdings.wants_telling(0):
            told += 1
            holdings.offer(0, 0.0)
    assert 1 <= told <= 3
    assert not holdings.is_closed


def test_small_windows_have_shares_of_two_messages() -> None:
    holdings = Holdings(300_000, MESSAGE)
    reader = holdings.begin()
    assert holdings.offer(0, 0.0) == 300_000
    reader.hold(100_000)
    assert holdings.offer(0, 0.0) == 200_000
    assert Holdings(1500, MESSAGE).begin()


def test_packets_through_a_closed_window_are_acknowledged_late() -> None:
    tracker = DataTracker(1, 0.02)
    tracker.observe(1)
    tracker.end_of_pass_slowly(1.0 + CLOSED_SACK_DELAY_S)
    tracker.end_of_pass_slowly(1.1 + CLOSED_SACK_DELAY_S)
    assert not tracker.sack_due
    assert tracker.sack_at == 1.0 + CLOSED_SACK_DELAY_S
    tracker.observe(3)  # unless something is missing
    tracker.end_of_pass_slowly(2.0)
    assert tracker.sack_due


def test_the_cost_of_an_offer_does_not_grow_with_the_readers() -> None:
    holdings = Holdings(WINDOW, MESSAGE)
    readers = [holdings.begin() for _ in range(10_000)]
    for reader in readers:
        reader.hold(400)
    assert lines_run(lambda: holdings.offer(0, 0.0)) < 40
    assert lines_run(lambda: readers[0].hold(10)) < 10


@given(
    window=st.integers(1500, 1 << 23),
    message=st.integers(1, 1 << 20),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["begin", "hold", "take", "end", "offer", "time"]), st.integers(0, 1 << 21)
        ),
        max_size=60,
    ),
)
def test_any_order_of_events(window: int, message: int, steps: list[tuple[str, int]]) -> None:
    holdings = Holdings(window, message)
    readers: list[Holding] = []
    now = 0.0
    for what, number in steps:
        now += 0.1
        reader = readers[number % len(readers)] if readers else None
        if what == "begin":
            readers.append(holdings.begin())
        elif reader is not None and what == "hold":
            reader.hold(number)
        elif reader is not None and what == "take":
            reader.take(min(number, reader.held_bytes))
        elif reader is not None and what == "end":
            reader.end()
            readers.remove(reader)
        elif what == "time":
            holdings.handle_timeout(now)
        unfinished = number % 5000
        if what == "offer":
            offered = holdings.offer(unfinished, now)
            assert 0 <= offered <= max(0, window - holdings.held_bytes - unfinished)
            assert not holdings.wants_telling(unfinished)
            if holdings.due_at is not None:
                assert offered < max(window // 80, MIN_FLOW_BYTES)
        assert holdings.held_bytes == sum(each.held_bytes for each in readers)
        assert holdings.lagging == {each for each in readers if each.held_bytes > holdings.lag_bytes}
        assert holdings.readers == set(readers)
