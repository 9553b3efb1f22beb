"""What values the options of tasks and flows take: for each kind a test, and the words for what fits."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from dataflow.retries import MOST_DELAYS
from dataflow.triggers import Trigger, some_failed, some_successful
from dataflow_results.policies import CachePolicy

__all__ = [
    "ANYTHING",
    "CHOICE",
    "CONDITION",
    "COUNT",
    "DELAYS",
    "DURATION",
    "FACTOR",
    "FLAG",
    "FUNCTION",
    "HOOKS",
    "ISOLATION",
    "NAME",
    "POLICY",
    "POSITIVE",
    "PROGRESS",
    "RUN_NAME",
    "SERIALIZER",
    "SIZE",
    "STORAGE",
    "TEXT",
    "TRIGGER",
    "WORDS",
    "Check",
    "bytes_of",
    "seconds_of",
]

Check = tuple[Callable[[Any], bool], str]
"""What a value must fulfil, and the words for it."""

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
UNITS_OF_TWO = {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
SIZE_PATTERN = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]*)")


def seconds_of(duration: Any) -> float | None:
    """The seconds of a timedelta or number; None for None, and for what is neither."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and not math.isnan(seconds)
    return float(seconds) if is_number else None


def bytes_of(size: Any) -> int | None:
    """The bytes of a number, or of a text such as ``"512MB"``; None for what is neither.

    Example:
        >>> bytes_of("1.5 GB"), bytes_of("2MiB"), bytes_of("much")
        (1500000000, 2097152, None)
    """
    if isinstance(size, int) and not isinstance(size, bool):
        return size
    found = SIZE_PATTERN.fullmatch(size.strip()) if isinstance(size, str) else None
    factor = {**UNITS, **UNITS_OF_TWO}.get(found["unit"].lower()) if found else None
    return int(float(found["number"]) * factor) if found and factor else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_positive(value: Any) -> bool:
    return _is_count(value) and bool(value)


def _is_factor(value: Any) -> bool:
    return not isinstance(value, timedelta) and _is_delay(value)


def _is_words(value: Any) -> bool:
    return not isinstance(value, str) and isinstance(value, Iterable) and all(map(_is_text, value))


def _is_duration(value: Any) -> bool:
    return (seconds_of(value) or 0.0) > 0


def _is_delay(value: Any) -> bool:
    seconds = seconds_of(value)
    return seconds is not None and 0 <= seconds < math.inf


def _are_delays(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= MOST_DELAYS and all(map(_is_delay, value))
    return callable(value) or _is_delay(value)


def _is_condition(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_is_error_type, value))
    return _is_error_type(value) or (_is_plain_function(value) and not isinstance(value, type))


def _is_error_type(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _is_plain_function(value: Any) -> bool:
    return callable(value) and not inspect.iscoroutinefunction(value)


def _is_trigger(value: Any) -> bool:
    if value in (some_failed, some_successful):  # not called: as a function of counts it would always say yes
        return False
    return isinstance(value, Trigger) or (_is_plain_function(value) and not isinstance(value, type))


def _is_storage(value: Any) -> bool:
    return isinstance(value, str | Path) or hasattr(value, "url")


def _is_serializer(value: Any) -> bool:
    return isinstance(value, str) or all(hasattr(value, name) for name in ("name", "dump", "load"))


def _are_hooks(value: Any) -> bool:
    return callable(value) or (isinstance(value, list | tuple | set | frozenset) and all(map(callable, value)))


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


TEXT: Check = (_or_none(_is_text), "a str")
NAME: Check = (_or_none(lambda value: _is_text(value) and value != ""), "a str that is not empty")
WORDS: Check = (_or_none(_is_words), 'a list of str, such as ["daily"]')
COUNT: Check = (_or_none(_is_count), "an int of at least 0")
POSITIVE: Check = (_or_none(_is_positive), "an int of at least 1")
FACTOR: Check = (_or_none(_is_factor), "a number of at least 0")
FLAG: Check = (lambda value: isinstance(value, bool), "True or False")
ANYTHING: Check = (lambda value: True, "anything")
CHOICE: Check = (_or_none(lambda value: isinstance(value, bool)), "True, False or None")
RUN_NAME: Check = (
    _or_none(lambda value: callable(value) or (_is_text(value) and value != "")),
    'a template such as "load-{year}", or a function that gives a str',
)
PROGRESS: Check = (
    _or_none(lambda value: isinstance(value, bool) or value in ("auto", "on", "plain", "json", "off")),
    '"auto", "on", "plain", "json", "off", True or False',
)
FUNCTION: Check = (_or_none(callable), "a function of (context, arguments) that gives a str")
POLICY: Check = (
    _or_none(lambda value: isinstance(value, CachePolicy)),
    "a policy of dataflow.cache_policies, such as INPUTS + TASK_SOURCE",
)
DURATION: Check = (_or_none(_is_duration), "a positive timedelta, or seconds")
DELAYS: Check = (
    _or_none(_are_delays),
    f"seconds, a timedelta, a list of at most {MOST_DELAYS} of them, or exponential_backoff(2)",
)
CONDITION: Check = (
    _or_none(_is_condition),
    "a function of (task, task_run, state), not an async one, or exception types",
)
TRIGGER: Check = (
    _or_none(_is_trigger),
    "a trigger of dataflow.triggers, such as all_finished or some_failed(at_least=1), or a function of its Counts",
)
HOOKS: Check = (_or_none(_are_hooks), "a function, or a list of functions")
ISOLATION: Check = (_or_none(lambda value: isinstance(value, str) and value == "process"), '"process" or None')
SIZE: Check = (_or_none(lambda value: (bytes_of(value) or 0) > 0), 'a number of bytes, or a str such as "512MB"')
STORAGE: Check = (_or_none(_is_storage), 'a URL such as "s3://bucket/results", a path, or S3Result("bucket")')
SERIALIZER: Check = (_or_none(_is_serializer), 'a name such as "pickle", "json" or "parquet", or a serializer')
