"""Sizes, counts, times and lengths of time, as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

__all__ = ["length_of_time", "shown_bytes", "shown_clock", "shown_here", "shown_number", "shown_seconds", "shown_time"]

DECIMAL_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
LONG_UNITS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0}
SECONDS: Final = {"s": 1.0, **LONG_UNITS, "w": 604_800.0}
LENGTH: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[smhdw])")


def length_of_time(text: str) -> float | None:
    """The seconds of a length of time with its unit; None if it is none.

    Example:
        >>> length_of_time("90s"), length_of_time("1.5h"), length_of_time("yesterday")
        (90.0, 5400.0, None)
    """
    found = LENGTH.fullmatch(text)
    return None if found is None else float(found["number"]) * SECONDS[found["unit"]]


def shown_bytes(size: int) -> str:
    """A size with three digits.

    Example:
        >>> shown_bytes(0), shown_bytes(999), shown_bytes(12_345), shown_bytes(5_000_000_000)
        ('0 B', '999 B', '12.3 kB', '5.0 GB')
    """
    number = float(size)
    for unit in DECIMAL_UNITS:
        if number < 999.95 or unit == DECIMAL_UNITS[-1]:
            break
        number /= 1000
    return f"{size} B" if unit == "B" else f"{number:.{1 if number < 99.95 else 0}f} {unit}"


def shown_number(count: int) -> str:
    """A count with commas.

    Example:
        >>> shown_number(1234567)
        '1,234,567'
    """
    return f"{count:,}"


def shown_seconds(seconds: float) -> str:
    """A length of time in the unit that suits it.

    Example:
        >>> shown_seconds(0.0123), shown_seconds(90), shown_seconds(7200), shown_seconds(14 * 86400)
        ('12 ms', '90.0 s', '2.0 h', '14.0 d')
    """
    if 0 < seconds < 0.0005:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 600:
        return f"{seconds:.1f} s"
    unit, factor = next(((unit, factor) for unit, factor in LONG_UNITS.items() if seconds >= 2 * factor), ("m", 60.0))
    return f"{seconds / factor:.1f} {unit}"


def shown_time(seconds: float | None, *, exact: bool = False) -> str:
    """A time in UTC, to the minute, or exactly to the second; empty for none.

    Example:
        >>> shown_time(59.0), shown_time(59.0, exact=True), shown_time(None)
        ('1970-01-01 00:00', '1970-01-01 00:00:59', '')
    """
    form = "%Y-%m-%d %H:%M:%S" if exact else "%Y-%m-%d %H:%M"
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime(form)


def shown_here(seconds: float | None) -> str:
    """A time as clocks here show it, to the second; empty for none."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"


def shown_clock(seconds: float) -> str:
    """The time of the day as clocks here show it, to the millisecond."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S.%f")[:-3]
