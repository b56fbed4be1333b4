"""What links of the virtual internet do, beside what `tests/unit/sctp/test_link.py` has."""

from __future__ import annotations

import asyncio

import pytest

from rtcstack.testing import Agenda, Internet, Link, NothingHappensError, Trace, run
from rtcstack.testing.trace import MAX_ENTRIES
from rtcstack.testing.waiting import MAX_TASKS


class Receiver:
    """Keeps what comes, and when."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self.arrived: list[tuple[float, bytes]] = []

    def __call__(self, data: bytes) -> None:
        self.arrived.append((self._agenda.now - 1000.0, data))

    @property
    def data(self) -> list[bytes]:
        return [data for _, data in self.arrived]


def test_what_is_too_big_is_lost() -> None:
    agenda = Agenda()
    link, receiver = Link(agenda, mtu_bytes=1280, overhead_bytes=28), Receiver(agenda)
    for size in (1252, 1253):
        link.send(bytes(size), receiver)
    agenda.run(until=1)
    assert [len(data) for data in receiver.data] == [1252]
    assert (link.too_big, link.delivered, link.lost) == (1, 1, 0)


def test_overhead_takes_its_time() -> None:
    agenda = Agenda()
    link, receiver = Link(agenda, rate_bytes_per_s=1000.0, overhead_bytes=28), Receiver(agenda)
    link.send(bytes(72), receiver)
    link.send(bytes(72), receiver)
    agenda.run(until=1)
    assert [round(time, 6) for time, _ in receiver.arrived] == [0.1, 0.2]
    assert link.delivered_bytes == 144


def test_an_outage() -> None:
    agenda = Agenda()
    link, receiver = Link(agenda, delay_s=0.1), Receiver(agenda)
    link.send(b"on its way", receiver)
    link.is_up = False
    link.send(b"lost", receiver)
    agenda.run(until=1)
    link.is_up = True
    link.send(b"again", receiver)
    agenda.run(until=2)
    assert receiver.data == [b"on its way", b"again"]
    assert link.lost == 1


def test_the_wait_for_access_is_random_and_keeps_the_order() -> None:
    agenda = Agenda()
    link, receiver = Link(agenda, access_delay_s=0.001, seed="a b"), Receiver(agenda)
    for number in range(100):
        agenda.at(1000.0 + number * 0.0005, lambda n: link.send(bytes([n]), receiver), number)
    agenda.run(until=1)
    assert receiver.data == [bytes([n]) for n in range(100)]
    waits = [time - number * 0.0005 for number, (time, _) in enumerate(receiver.arrived)]
    assert all(-1e-9 <= wait <= 0.001 + 1e-9 for wait in waits)
    assert len({round(wait, 6) for wait in waits}) > 50


@pytest.mark.parametrize("access_delay_s", [0.0, 0.0002])
def test_without_it_flows_fall_into_step_with_a_full_queue(access_delay_s: float) -> None:
    """Two flows of equal pace share a queue that is too small: one of them loses all that is lost."""
    agenda = Agenda()
    link = Link(agenda, rate_bytes_per_s=150_000.0, queue_bytes=3_000)
    counts = []
    for name in "ab":
        access, receiver = Link(agenda, access_delay_s=access_delay_s, seed=name), Receiver(agenda)
        counts.append(receiver)

        def send(number: int, access: Link = access, receiver: Receiver = receiver) -> None:
            access.send(bytes(1000), lambda data: link.send(data, receiver))

        for number in range(1000):
            agenda.at(1000.0 + number * 0.01, send, number)
    agenda.run(until=20)
    one, other = (len(receiver.data) for receiver in counts)
    if access_delay_s:
        assert abs(one - other) < 200
    else:
        assert abs(one - other) > 400


def test_what_happens_soon_happens_when_all_has_arrived() -> None:
    agenda = Agenda()
    order: list[str] = []
    agenda.at(1001.0, lambda _: (order.append("first"), agenda.soon(lambda: order.append("soon"))), None)
    agenda.at(1001.0, order.append, "second")
    agenda.run(until=2)
    assert order == ["first", "second", "soon"]
    assert len(agenda) == 0
    assert agenda.next_time is None


def test_a_trace_keeps_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtcstack.testing.trace.MAX_ENTRIES", 10)
    trace = Trace()
    for number in range(20):
        trace.sent(float(number), ("192.0.2.1", 1), ("192.0.2.2", 2), b"x")
    assert len(trace.entries) == 10
    assert trace.count == 20
    assert trace.digest() != Trace().digest()
    assert MAX_ENTRIES == 1_000_000


def test_what_waits_is_told_of_so_many_tasks() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.gather(*(waits() for _ in range(MAX_TASKS + 9)))

    with pytest.raises(NothingHappensError, match="and 10 more") as told:
        run(main())
    assert str(told.value).count("waits at") == MAX_TASKS


def test_hosts_of_one_name_are_one() -> None:
    internet = Internet()
    alice = internet.host("alice")
    assert internet.host("alice") is alice
    assert internet.names["alice"] == alice.addresses()
    with pytest.raises(ValueError, match="alice"):
        internet.add_host("alice")
    with pytest.raises(ValueError, match="eth0"):
        alice.add_interface("eth0")
    assert len({internet.new_address() for _ in range(1000)}) == 1000
