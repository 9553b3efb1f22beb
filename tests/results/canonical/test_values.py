"""Which values are one and the same for a key, and which are not."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import logging
import operator
import pathlib
import re
import types
import uuid
import zoneinfo
from typing import Any, NamedTuple

import attrs
import numpy as np
import pydantic
import pytest

from dataflow_results.canonical import encode, register


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Point(NamedTuple):
    x: int
    y: int


class Pair(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Config:
    name: str
    limits: list[int] = dataclasses.field(default_factory=list)

    @functools.cached_property
    def size(self) -> int:
        return len(self.limits)


@dataclasses.dataclass
class Derived:
    given: dataclasses.InitVar[int]

    def __post_init__(self, given: int) -> None:
        self.doubled = 2 * given


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    name: str


@attrs.define
class Car:
    wheels: int = 4


class Model(pydantic.BaseModel):
    rate: float
    tags: set[str] = set()
    _seen: int = pydantic.PrivateAttr(default=0)


class Login(pydantic.BaseModel):
    password: pydantic.SecretStr


class Metres(float):
    pass


class Bag(dict[str, int]):
    pass


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Keyed:
    def __init__(self, path: str) -> None:
        self.path, self.client = path, object()

    def __dataflow_key__(self) -> Any:
        return self.path


class Foreign:
    def __init__(self, held: int) -> None:
        self.held = held


class Closer(Foreign):
    pass


register(Foreign, lambda value: value.held)


def with_private(seen: int) -> Model:
    model = Model(rate=1)
    model._seen = seen
    return model


def attributed() -> Bag:
    bag = Bag(a=1)
    bag.note = 1  # type: ignore[attr-defined]
    return bag


def size_read() -> Config:
    config = Config("a", [1])
    assert config.size == 1
    return config


UTC = dt.UTC
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=UTC)

SAME: list[tuple[str, Any, Any]] = [
    ("nan", float("nan"), -float("nan")),
    ("a path of another class", pathlib.Path("a/b"), pathlib.PurePosixPath("a/b")),
    ("a cached property", size_read(), Config("a", [1])),
    ("the form of a set in a model", Model(rate=1, tags={"b", "a"}), Model(rate=1.0, tags={"a", "b"})),
    ("a set field", Model(rate=1), Model(rate=1, tags=set())),
    ("__dataflow_key__", Keyed("a"), Keyed("a")),
    ("a registered class", Foreign(1), Foreign(1)),
    ("partials", functools.partial(int, base=2), functools.partial(int, base=2)),
    ("an exception", ValueError("a", 1), ValueError("a", 1)),
    ("generators of one seed", np.random.default_rng(3), np.random.default_rng(3)),
    ("shared parts", [shared := [1], shared], [[1], [1]]),
]

DIFFERENT: list[tuple[str, Any, Any]] = [
    ("int and float", 1, 1.0),
    ("int and bool", 1, True),
    ("zeros of two signs", 0.0, -0.0),
    ("str and bytes", "a", b"a"),
    ("bytes and bytearray", b"a", bytearray(b"a")),
    ("list and tuple", [1], (1,)),
    ("set and frozenset", {1}, frozenset({1})),
    ("dict and its pairs", {"a": 1}, [("a", 1)]),
    ("dict and frozen dict", {"a": 1}, types.MappingProxyType({"a": 1})),
    ("dict and ordered dict", {"a": 1}, collections.OrderedDict(a=1)),
    ("orders", collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1)),
    ("factories", collections.defaultdict(int), collections.defaultdict(list)),
    ("Counter and dict", collections.Counter("a"), {"a": 1}),
    ("deques", collections.deque([1], 1), collections.deque([1], 2)),
    ("None and its name", None, "None"),
    ("nested", [[1], 2], [1, [2]]),
    ("64 bytes and 65", "a" * 64, "a" * 65),
    ("big ints", 2**63, -(2**63)),
    ("members", Color.RED, Color.BLUE),
    ("member and value", Color.RED, 1),
    ("int member and value", Level.LOW, 1),
    ("flags", Mode.READ, Mode.READ | Mode.WRITE),
    ("named tuple and tuple", Point(1, 2), (1, 2)),
    ("named tuples", Point(1, 2), Pair(1, 2)),
    ("fields", Config("a", [1]), Config("a", [2])),
    ("what a dataclass derives", Derived(1), Derived(2)),
    ("slots", Slotted("a"), Slotted("b")),
    ("attrs", Car(4), Car(3)),
    ("models", Model(rate=1), Model(rate=2)),
    ("private attributes", with_private(1), with_private(2)),
    ("secrets", Login(password="a"), Login(password="b")),  # type: ignore[arg-type]
    ("subclass of float", Metres(1), 1.0),
    ("subclass of dict", Bag(a=1), {"a": 1}),
    ("content of a subclass", Bag(a=1), Bag(a=2)),
    ("attribute of a subclass", attributed(), Bag(a=1)),
    ("what str() hides", Shouting("a"), Shouting("A")),
    ("own keys", Keyed("a"), Keyed("b")),
    ("registered", Foreign(1), Foreign(2)),
    ("registered and its subclass", Foreign(1), Closer(1)),
    ("paths", pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("a/b")),
    ("path and text", pathlib.PurePosixPath("a"), "a"),
    ("dates", dt.date(2026, 3, 1), dt.datetime(2026, 3, 1)),  # noqa: DTZ001 - naive is the point
    ("zones", NOON, NOON.replace(tzinfo=None)),
    ("the same moment elsewhere", NOON, NOON.astimezone(BERLIN)),
    ("fold", NOON, NOON.replace(fold=1)),
    ("UTC by two names", UTC, zoneinfo.ZoneInfo("UTC")),
    ("time spans", dt.timedelta(seconds=1), dt.timedelta(microseconds=1)),
    ("times", dt.time(1), dt.time(2)),
    ("decimals", decimal.Decimal("1.0"), decimal.Decimal("1.00")),
    ("fractions", fractions.Fraction(1, 3), fractions.Fraction(1, 2)),
    ("uuids", uuid.UUID(int=1), uuid.UUID(int=2)),
    ("addresses", ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")),
    ("patterns", re.compile("a"), re.compile("a", re.IGNORECASE)),
    ("slices", slice(1), slice(2)),
    ("ranges", range(3), range(4)),
    ("range and list", range(3), [0, 1, 2]),
    ("arrays of array", array.array("i", [1]), array.array("l", [1])),
    ("partials", functools.partial(int, base=2), functools.partial(int, base=3)),
    ("getters", operator.itemgetter(1), operator.itemgetter(2)),
    ("loggers", logging.getLogger("a"), logging.getLogger("b")),
    ("exceptions", ValueError("a"), TypeError("a")),
    ("classes", int, str),
    ("builtins", len, max),
    ("methods of values", [1].append, [2].append),
    ("types with arguments", list[int], list[str]),
    ("unions", int | None, str | None),
    ("namespaces", types.SimpleNamespace(a=1), types.SimpleNamespace(a=2)),
    ("views", memoryview(b"a"), b"a"),
    ("generators of two seeds", np.random.default_rng(3), np.random.default_rng(4)),
    ("complex", 1j, 1j + 0.5),
    ("Ellipsis", ..., NotImplemented),
]


def named(cases: list[tuple[str, Any, Any]]) -> list[Any]:
    """Cases as parameters of a test."""
    return [pytest.param(one, other, id=name) for name, one, other in cases]


@pytest.mark.parametrize(("one", "other"), named(SAME))
def test_these_are_the_same(one: Any, other: Any) -> None:
    """The two values have one form."""
    assert encode(one) == encode(other)


@pytest.mark.parametrize(("one", "other"), named(DIFFERENT))
def test_these_differ(one: Any, other: Any) -> None:
    """The two values have two forms, and each has its own every time."""
    assert encode(one) != encode(other)
    assert encode(one) == encode(one)
    assert encode(other) == encode(other)


def test_a_secret_is_never_readable() -> None:
    """A short text stands in its form as it is, a secret only by its digest."""
    assert b"hunter2" in encode("hunter2")
    assert b"hunter2" not in encode(pydantic.SecretStr("hunter2"))


def test_cycles_end() -> None:
    """Values that contain themselves have a form, and it tells their shapes apart."""
    one: list[Any] = [1]
    one.append(one)
    same: list[Any] = [1]
    same.append(same)
    deeper: list[Any] = [1, [2]]
    deeper[1].append(deeper)
    assert encode(one) == encode(same)
    assert len({encode(one), encode(deeper), encode([1, [1]])}) == 3


def test_what_is_shared_inside_a_cycle_is_told_by_its_place() -> None:
    """A part of a cycle that occurs at two depths has the form of two equal parts."""
    shared: list[Any] = []
    one = [shared, [shared]]
    shared.append(one)
    first: list[Any] = []
    second: list[Any] = []
    other = [first, [second]]
    first.append(other)
    second.append(other)
    assert encode(one) == encode(other)


def test_a_cycle_through_an_object_ends() -> None:
    """An object that holds itself through a dict has a form."""
    config = Config("a")
    config.limits.append({"owner": config})  # type: ignore[arg-type]
    assert encode(config) != encode(Config("a"))


def test_parts_shared_many_times_are_walked_once() -> None:
    """A list of two references to a list of two references, 60 deep, takes no time."""
    value: Any = ["x" * 100]
    for _ in range(60):
        value = [value, value]
    assert len(encode(value)) == 22
