"""Sizes, times and lengths of time, as people write them on a command line."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any, Final

import click

from dataflow.quantities import length_of_time

__all__ = ["DURATION", "MOMENT", "SIZE"]

NUMBER: Final = r"(?P<number>\d+(?:\.\d+)?)\s*"
BYTES: Final = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20}
BYTES_MORE: Final = {"GiB": 2**30, "TiB": 2**40}
UNITS: Final = {unit.lower(): factor for unit, factor in {**BYTES, **BYTES_MORE}.items()}


class Duration(click.ParamType[float]):
    """A length of time with its unit: ``90s``, ``15m``, ``12h``, ``30d``, ``2w``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        if isinstance(value, float):
            return value
        seconds = length_of_time(str(value))
        if seconds is None:
            self.fail(f"{value!r} is no length of time; write 90s, 15m, 12h, 30d or 2w", param, ctx)
        return seconds


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
            ago = length_of_time(str(value))
            if ago is None:
                self.fail(f"{value!r} is no time; write 2026-01-31, 2026-01-31T12:00 or 7d (ago)", param, ctx)
            return time.time() - ago
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


DURATION: Final = Duration()
MOMENT: Final = Moment()
SIZE: Final = Size()
