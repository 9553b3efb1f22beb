"""Sizes, times and lengths of time, as people write and read them on a command line."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any, Final

import click

__all__ = ["DURATION", "MOMENT", "SIZE", "shown_bytes", "shown_number", "shown_seconds", "shown_time"]

NUMBER: Final = r"(?P<number>\d+(?:\.\d+)?)\s*"
SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
BYTES: Final = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20}
BYTES_MORE: Final = {"GiB": 2**30, "TiB": 2**40}
UNITS: Final = {unit.lower(): factor for unit, factor in {**BYTES, **BYTES_MORE}.items()}
DECIMAL_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


class Duration(click.ParamType[float]):
    """A length of time with its unit: ``90s``, ``15m``, ``12h``, ``30d``, ``2w``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(NUMBER + "(?P<unit>[smhdw])", str(value))
        if found is None:
            self.fail(f"{value!r} is no length of time; write 90s, 15m, 12h, 30d or 2w", param, ctx)
        return float(found["number"]) * SECONDS[found["unit"]]


class Size(click.ParamType[int]):
    """A number of bytes: ``500``, ``20MB``, ``1.5GB``, ``2GiB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(NUMBER + "(?P<unit>[A-Za-z]*)", str(value))
        factor = UNITS.get(found["unit"].lower()) if found else None
        if found is None or factor is None:
            self.fail(f"{value!r} is no size; write 500, 20MB, 1.5GB or 2GiB", param, ctx)
        return int(float(found["number"]) * factor)


class Moment(click.ParamType[float]):
    """A date, a date with time (UTC if nothing else is said), or a length of time ago."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds since the epoch."""
        if isinstance(value, float):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            moment = None
        if moment is None:
            found = re.fullmatch(NUMBER + "(?P<unit>[smhdw])", str(value))
            if found is None:
                self.fail(f"{value!r} is no time; write 2026-01-31, 2026-01-31T12:00 or 7d (ago)", param, ctx)
            return time.time() - float(found["number"]) * SECONDS[found["unit"]]
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


DURATION: Final = Duration()
MOMENT: Final = Moment()
SIZE: Final = Size()


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
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 600:
        return f"{seconds:.1f} s"
    unit, factor = next(((unit, SECONDS[unit]) for unit in "dhm" if seconds >= 2 * SECONDS[unit]), ("m", 60.0))
    return f"{seconds / factor:.1f} {unit}"


def shown_time(seconds: float | None, *, exact: bool = False) -> str:
    """A time in UTC, to the minute, or exactly to the second; empty for none.

    Example:
        >>> shown_time(59.0), shown_time(59.0, exact=True), shown_time(None)
        ('1970-01-01 00:00', '1970-01-01 00:00:59', '')
    """
    form = "%Y-%m-%d %H:%M:%S" if exact else "%Y-%m-%d %H:%M"
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime(form)
