"""Who gets how much of a path that carries media and data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.rtp.bwe.estimator import OtherLoad
from rtcstack.transport.sharing import (
    BULK_BYTES,
    BULK_S,
    COST,
    INTERVAL_S,
    LEAST_BPS,
    MAX_MARKS,
    SPAN_S,
    Sharing,
)


class Media:
    def __init__(self, share_bps: int | None = 1_000_000) -> None:
        self.is_sharing = True
        self.other_bps = share_bps
        self.told: list[OtherLoad | None] = []

    def set_other_load(self, weight: float, arrived_bps: float, sent_bytes: int, now: float) -> None:
        self.told.append(OtherLoad(weight, arrived_bps, sent_bytes))

    def end_other_load(self, now: float) -> None:
        self.told.append(None)


class Data:
    def __init__(self) -> None:
        self.bytes_sent = 0
        self.buffered_bytes = 0
        self.flight_bytes = 0
        self.top_priority = 256
        self.was_limited = False
        self.limits: list[float | None] = []

    def take_limited(self) -> bool:
        was, self.was_limited = self.was_limited, False
        return was

    def limit_rate(self, bytes_per_s: float | None, now: float) -> None:
        self.limits.append(bytes_per_s)


def bulk(**changes: int) -> Data:
    data = Data()
    data.buffered_bytes = BULK_BYTES
    for name, value in changes.items():
        setattr(data, name, value)
    return data


def test_without_media_data_has_no_bound() -> None:
    sharing, data = Sharing(), bulk()
    assert not sharing.look(None, data, 1.0)
    media = Media()
    media.is_sharing = False
    assert not sharing.look(media, data, 2.0)
    assert data.limits == []
    assert media.told == []


def test_little_data_is_nobodys_business() -> None:
    sharing, media, data = Sharing(), Media(), Data()
    for i in range(100):
        data.bytes_sent += 2000
        data.buffered_bytes = BULK_BYTES - 1 if i % 2 else 0
        assert not sharing.look(media, data, 1 + i * 0.05)
    assert data.limits == []
    assert media.told == []


def test_data_in_bulk_has_its_share_less_what_it_costs() -> None:
    sharing, media, data = Sharing(), Media(800_000), bulk()
    assert sharing.look(media, data, 1.0)
    assert data.limits == [pytest.approx(800_000 / 8 / COST)]
    assert sharing.share_bps == 800_000
    assert sharing.due_at == pytest.approx(1.0 + INTERVAL_S)


@pytest.mark.parametrize(("priority", "weight"), [(128, 0.5), (256, 1.0), (512, 2.0), (1024, 4.0)])
def test_the_weight_is_that_of_the_most_important_data_that_waits(priority: int, weight: float) -> None:
    sharing, media = Sharing(), Media()
    sharing.look(media, bulk(top_priority=priority), 1.0)
    told = media.told[0]
    assert told is not None
    assert told.weight == weight


def test_media_is_told_what_is_sent_and_what_arrives() -> None:
    sharing, media, data = Sharing(), Media(), bulk(flight_bytes=5000)
    for i in range(21):
        sharing.look(media, data, 1 + i * 0.05)
        data.bytes_sent += 5000  # 100 kB/s, of which always as much is on its way
    told = media.told[-1]
    assert told is not None
    assert told.sent_bytes == int(COST * 5000)
    assert told.arrived_bps == pytest.approx(COST * 800_000)


def test_what_arrives_is_that_of_the_last_half_second() -> None:
    sharing, media, data = Sharing(), Media(), bulk()
    for i in range(41):
        sharing.look(media, data, 1 + i * 0.05)
        data.bytes_sent += 5000 if i < 20 else 500
        if i < 21 + int(SPAN_S / 0.05):
            continue
        told = media.told[-1]
        assert told is not None
        assert told.arrived_bps == pytest.approx(COST * 80_000)


def test_a_share_that_hardly_changes_is_not_told() -> None:
    sharing, media, data = Sharing(), Media(1_000_000), bulk()
    sharing.look(media, data, 1.0)
    media.other_bps = 1_015_000
    assert not sharing.look(media, data, 2.0)
    media.other_bps = 1_030_000
    assert sharing.look(media, data, 3.0)
    assert len(data.limits) == 2


def test_what_is_held_back_is_bulk_however_little_waits() -> None:
    sharing, media, data = Sharing(), Media(), bulk()
    sharing.look(media, data, 1.0)
    data.buffered_bytes = 1000
    data.was_limited = True
    sharing.look(media, data, 1.0 + BULK_S)
    assert not sharing.look(media, data, 0.9 + 2 * BULK_S)
    assert sharing.share_bps is not None


def test_the_bound_is_lifted_when_no_more_comes() -> None:
    sharing, media, data = Sharing(), Media(), bulk()
    sharing.look(media, data, 1.0)
    data.buffered_bytes = 0
    assert not sharing.look(media, data, 0.9 + BULK_S)
    assert sharing.look(media, data, 1.0 + BULK_S)
    assert data.limits[-1] is None
    assert media.told[-1] is None
    count = len(media.told)
    assert not sharing.look(media, data, 5.0)
    assert len(media.told) == count


def test_the_bound_is_lifted_when_media_ends() -> None:
    sharing, media, data = Sharing(), Media(), bulk()
    sharing.look(media, data, 1.0)
    assert sharing.look(None, data, 1.1)  # by a fault
    assert data.limits[-1] is None
    assert sharing.look(media, data, 1.2)
    media.is_sharing = False
    assert sharing.look(media, data, 1.3)
    assert data.limits[-1] is None
    media.is_sharing = True
    assert sharing.look(media, data, 1.4)
    media.other_bps = None  # its feedback stays away
    assert sharing.look(media, data, 1.5)
    assert data.limits[-1] is None


def test_data_never_gets_so_little_that_its_timers_despair() -> None:
    sharing, data = Sharing(), bulk()
    sharing.look(Media(0), data, 1.0)
    assert data.limits == [pytest.approx(LEAST_BPS / 8 / COST)]


@given(
    st.lists(
        st.tuples(
            st.floats(0.001, 3.0),
            st.integers(0, 1 << 20),
            st.integers(0, 1 << 20),
            st.booleans(),
            st.none() | st.integers(0, 1 << 30),
        ),
        max_size=60,
    )
)
def test_whatever_comes_the_bound_is_the_share_and_there_is_none_without(
    steps: list[tuple[float, int, int, bool, int | None]],
) -> None:
    sharing, media, data = Sharing(), Media(), Data()
    now = 1.0
    for elapsed, sent, buffered, is_sharing, share in steps:
        now += elapsed
        data.bytes_sent += sent
        data.flight_bytes = sent // 2
        data.buffered_bytes = buffered
        media.is_sharing = is_sharing
        media.other_bps = share
        before = len(data.limits)
        assert sharing.look(media, data, now) == (len(data.limits) > before)
        limit = data.limits[-1] if data.limits else None
        if not is_sharing or share is None:
            assert limit is None
        elif buffered >= BULK_BYTES:
            assert limit == pytest.approx(max(share, LEAST_BPS) / 8 / COST, rel=0.021)
        assert len(sharing._marks) <= MAX_MARKS
        for told in media.told:
            assert told is None or (told.arrived_bps >= 0 and told.sent_bytes >= 0)
