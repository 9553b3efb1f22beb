"""Elements of a past run: chosen by state, exception, worker or duration; as columns, pandas, Arrow, or one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from dataflow.errors import UsageError
from dataflow.history.element_columns import ElementColumns, Texts
from dataflow.history.filters import States, states_of
from dataflow.history.tables import Field, aligned, html_table, optional_package
from dataflow.states import NAMES, StateType

__all__ = ["Elements", "PastElement"]

STATE_NAMES: Final = [NAMES.get(number, "") for number in range(max(StateType) + 1)]  # type: ignore[call-overload]
SHOWN_ROWS: Final = 20
"""So many elements stand in a notebook or in a text; the others are counted."""
SHOWN_CHARACTERS: Final = 100
"""Messages are cut here where people see them."""
MICROSECONDS: Final = 1e6


class PastElement(NamedTuple):
    """What became of one element."""

    node: str
    index: int  # type: ignore[assignment]  # a field, not the method that tuples have
    state: StateType
    seconds: float | None
    """How long it took, all its attempts together; None if it was never sent."""
    started: float | None
    """When its batch began, in seconds since the epoch."""
    worker: str
    batch: int | None
    attempts: int
    exception: str
    """Qualified name of the type."""
    message: str
    key: str
    """Of its kept result, in hexadecimal digits; empty if there is none, or if it follows from the place."""

    @property
    def place(self) -> str:
        """How stories, results and the command line call it."""
        return f"{self.node}[{self.index}]"


FIELDS: Final[tuple[Field[PastElement], ...]] = (
    Field(name="node", get=lambda one: one.node),
    Field(name="index", get=lambda one: one.index, kind="count"),
    Field(name="state", get=lambda one: NAMES[one.state]),
    Field(name="seconds", get=lambda one: one.seconds, kind="seconds"),
    Field(name="worker", get=lambda one: one.worker),
    Field(name="attempts", get=lambda one: one.attempts, kind="count"),
    Field(name="exception", get=lambda one: one.exception),
    Field(name="message", get=lambda one: one.message.split("\n", 1)[0][:SHOWN_CHARACTERS]),
)
"""What people see."""


class Elements:
    """Elements that have ended. Numbers are numpy arrays, texts are given by `column`; iterating makes small values.

    Args:
        columns: of all elements of the nodes that were asked for.
        positions: of those that are meant, ascending; None: all.
    """

    def __init__(self, columns: ElementColumns, positions: npt.NDArray[np.intp] | None = None) -> None:
        self._all = columns
        self._at = np.arange(len(columns)) if positions is None else positions

    def __len__(self) -> int:
        return len(self._at)

    @property
    def index(self) -> npt.NDArray[np.int64]:
        """Index of each in its node."""
        return self._all.index[self._at]

    @property
    def state(self) -> npt.NDArray[np.uint8]:
        """`StateType` number of each."""
        return self._all.state[self._at]

    @property
    def seconds(self) -> npt.NDArray[np.float32]:
        """How long each took; NaN for those that were never sent."""
        return self._all.seconds[self._at]

    @property
    def started(self) -> npt.NDArray[np.float64]:
        """When the batch of each began, in seconds since the epoch."""
        return self._all.started[self._at]

    @property
    def batch(self) -> npt.NDArray[np.int64]:
        """Number of the batch of each; -1 for those that were never sent."""
        return self._all.batch[self._at]

    @property
    def attempts(self) -> npt.NDArray[np.int32]:
        """How many times each was tried."""
        return self._all.attempts[self._at]

    def where(
        self,
        *,
        state: States | None = None,
        exception: str | type | None = None,
        worker: str | None = None,
        longer_than_seconds: float | None = None,
        index: int | None = None,
        limit: int | None = None,
    ) -> Elements:
        """Those of them that fit everything that is given.

        Args:
            state: a state or several, by type or name.
            exception: type of the exception, or its name with or without its module.
            worker: name of the worker.
            longer_than_seconds: what took longer.
            index: index of the element.
            limit: the first of them.

        Raises:
            UsageError: there is no such state.
        """
        fits = np.ones(len(self), bool)
        kinds = states_of(state)
        if kinds is not None:
            fits &= np.isin(self.state, list(kinds))
        if worker is not None:
            fits &= _named(self._all.worker.take(self._at), lambda name: name == worker)
        if longer_than_seconds is not None:
            fits &= self.seconds > longer_than_seconds
        if index is not None:
            fits &= self.index == index
        chosen = Elements(self._all, self._at[fits])
        if exception is not None:
            chosen = chosen._raising(exception)
        return chosen if limit is None else chosen[:limit]

    def _raising(self, exception: str | type) -> Elements:
        if not isinstance(exception, str | type):
            raise UsageError(f"exception={exception!r} is no type of exceptions", fix='OSError, or "OSError"')
        wanted = exception if isinstance(exception, str) else exception.__qualname__
        types, _ = self._all.words(self._at)
        return Elements(self._all, self._at[_named(types, lambda name: name == wanted or name.endswith(f".{wanted}"))])

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column by its name; texts as an array of objects.

        Args:
            name: a field of `PastElement`.
        """
        if name in {"exception", "message"}:
            return self._all.words(self._at)[name == "message"].values()
        if name in {"node", "worker"}:
            return self._texts(name).values()
        if name == "key":
            return self._all.keys(self._at)
        if name == "state":
            return np.array(STATE_NAMES, object)[self.state]
        column: npt.NDArray[Any] = getattr(self, name)
        return column

    def _texts(self, name: str) -> Texts:
        column: Texts = getattr(self._all, name)
        return column.take(self._at)

    @overload
    def __getitem__(self, position: int) -> PastElement: ...
    @overload
    def __getitem__(self, position: slice) -> Elements: ...
    def __getitem__(self, position: int | slice) -> PastElement | Elements:
        if isinstance(position, slice):
            return Elements(self._all, np.sort(self._at[position]))
        at = range(len(self))[position]
        return next(iter(self[at : at + 1]))

    def __iter__(self) -> Iterator[PastElement]:
        columns = [self.column(name).tolist() for name in PastElement._fields if name != "state"]
        for state, row in zip(self.state.tolist(), zip(*columns, strict=True), strict=True):
            node, index, seconds, started, worker, batch, *rest = row
            times = (None if math.isnan(seconds) else seconds, None if math.isnan(started) else started)
            yield PastElement(node, index, StateType(state), *times, worker, None if batch < 0 else batch, *rest)

    def to_pandas(self) -> Any:
        """A pandas `DataFrame`; names are categories, times in UTC.

        Raises:
            UsageError: pandas is not installed.
        """
        pandas = optional_package("pandas")

        def texts(column: Texts) -> Any:
            return pandas.Categorical.from_codes(column.codes, column.names)

        types, messages = self._all.words(self._at)
        return pandas.DataFrame(
            {
                "node": texts(self._texts("node")),
                "index": self.index,
                "state": texts(self._state_texts()),
                "seconds": self.seconds,
                "started": pandas.to_datetime(self.started, unit="s", utc=True),
                "worker": texts(self._texts("worker")),
                "batch": self.batch,
                "attempts": self.attempts,
                "exception": texts(types),
                "message": messages.values(),
                "key": self._all.keys(self._at),
            }
        )

    def to_arrow(self) -> Any:
        """A `pyarrow.Table`; names are dictionaries, times in UTC, what is not there is null.

        Raises:
            UsageError: pyarrow is not installed.
        """
        pa = optional_package("pyarrow")

        def texts(column: Texts) -> Any:
            codes = pa.array(column.codes, mask=column.codes < 0)
            return pa.DictionaryArray.from_arrays(codes, pa.array(column.names, pa.string()))

        types, messages = self._all.words(self._at)
        never, keys = np.isnan(self.started), self._all.keys(self._at)
        moments = np.where(never, 0, self.started * MICROSECONDS).astype(np.int64)
        return pa.table(
            {
                "node": texts(self._texts("node")),
                "index": self.index,
                "state": texts(self._state_texts()),
                "seconds": pa.array(self.seconds, mask=np.isnan(self.seconds)),
                "started": pa.array(moments, pa.timestamp("us", tz="UTC"), mask=never),
                "worker": texts(self._texts("worker")),
                "batch": pa.array(self.batch, mask=self.batch < 0),
                "attempts": self.attempts,
                "exception": texts(types),
                "message": texts(messages),
                "key": pa.array(keys, pa.string(), mask=keys == ""),
            }
        )

    def _state_texts(self) -> Texts:
        kinds, codes = np.unique(self.state, return_inverse=True)
        return Texts([STATE_NAMES[kind] for kind in kinds], codes.astype(np.int32))

    def _shown(self) -> list[list[str]]:
        return [[field.text(one) for field in FIELDS] for one in self[:SHOWN_ROWS]]

    def _more(self) -> str:
        return f"{len(self) - SHOWN_ROWS:,} more" if len(self) > SHOWN_ROWS else ""

    def __repr__(self) -> str:
        if not len(self):
            return "<no elements>"
        titles = [field.name.upper() for field in FIELDS]
        lines = aligned([titles, *self._shown()], [field.is_number for field in FIELDS])
        return "\n".join([*lines, *filter(None, [self._more()])])

    def _repr_html_(self) -> str:
        names = [field.name for field in FIELDS]
        return html_table(names, self._shown(), [field.is_number for field in FIELDS], self._more())


def _named(column: Texts, fits: Any) -> npt.NDArray[np.bool_]:
    """Which elements have a name that fits."""
    found = np.array([bool(fits(name)) for name in column.names] + [False])
    return found[column.codes]
