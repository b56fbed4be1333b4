"""Wall clock time, and NTP's form of it."""

from __future__ import annotations

import datetime

from rtcstack.clock import timestamp_ms

__all__ = [
    "NTP_EPOCH",
    "current_datetime",
    "current_ms",
    "current_ntp_time",
    "datetime_from_ntp",
    "datetime_to_ntp",
]

NTP_EPOCH = datetime.datetime(1900, 1, 1, tzinfo=datetime.UTC)
_FRACTIONS = 1 << 32


def current_datetime() -> datetime.datetime:
    """Now."""
    return datetime.datetime.fromtimestamp(timestamp_ms() / 1000, datetime.UTC)


def current_ms() -> int:
    """Milliseconds since `NTP_EPOCH`."""
    return (current_datetime() - NTP_EPOCH) // datetime.timedelta(milliseconds=1)


def current_ntp_time() -> int:
    """Now, as NTP has it: seconds since 1900 and a fraction, 32 bits each."""
    return datetime_to_ntp(current_datetime())


def datetime_from_ntp(ntp: int) -> datetime.datetime:
    """A time, from NTP's form."""
    return NTP_EPOCH + datetime.timedelta(
        seconds=ntp >> 32, microseconds=(ntp % _FRACTIONS) * 1_000_000 / _FRACTIONS
    )


def datetime_to_ntp(dt: datetime.datetime) -> int:
    """A time, in NTP's form."""
    seconds, rest = divmod(dt - NTP_EPOCH, datetime.timedelta(seconds=1))
    return seconds << 32 | round(rest.microseconds * _FRACTIONS / 1_000_000)
