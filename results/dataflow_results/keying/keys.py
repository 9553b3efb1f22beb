"""Keys: from the arguments of a whole batch to one 20-byte digest for each element.

A key is the hash of: who the task is; what the policy adds (source, flow parameters, run); how many arguments count;
each of these, in the order of their names, as name and cell; then the element's index and the texts of key functions,
if the policy asks for them. It does not tell whether an argument was a constant, shared by a batch or differed by
element, so ``t(1, y=2)``, ``t.map([1], y=2)`` and a batch of any size give equal keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import accumulate, repeat
from typing import Any, Literal, TypeAlias

from dataflow_results.canonical import encode, encode_many
from dataflow_results.digests import DIGEST_BYTES, Digest, Hasher, hasher
from dataflow_results.errors import KeyingError
from dataflow_results.keying.cells import key_cell, label, outlined, text_cell
from dataflow_results.keying.functions import KeyContext, function_text, row_of
from dataflow_results.keying.identity import TaskIdentity
from dataflow_results.policies import CachePolicy

__all__ = ["EncodedArgument", "KeyPlan", "Keys", "OnUnknown", "joined_keys", "node_key", "place_of"]

OnUnknown: TypeAlias = Literal["refuse", "pickle"]
Cells: TypeAlias = bytes | list[bytes]
"""The cell of all elements, or one for each."""
Indices: TypeAlias = Sequence[int] | range

NO_KEY = bytes(DIGEST_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedArgument:
    """An argument whose canonical form is known already: pass it in ``shared`` to hash a large value once per worker.

    Made by `KeyPlan.encode_shared`.
    """

    cell: bytes
    outline: Mapping[str, str]
    """Path to short text of the leaves, for explaining a miss; empty if the argument does not count."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Keys:
    """The keys of a batch. ``keys[i]`` is that of the i-th element of the batch.

    Example:
        >>> Keys(digests=b"a" * 40)[1] == b"a" * 20
        True
    """

    digests: bytes
    """20 bytes for each element; zeros for those in `absent`."""
    errors: Mapping[int, KeyingError] = field(default_factory=dict)
    """Position in the batch to why there is no key."""
    absent: frozenset[int] = frozenset()
    """Positions without key: those with an error, and those that a key function said None for."""
    cells: Mapping[str, Cells] = field(default_factory=dict)
    """What was hashed for each argument that the plan did not know, for the pre-image."""
    indices: Indices = ()
    """Index of each element in its map."""

    def __len__(self) -> int:
        return len(self.digests) // DIGEST_BYTES

    def __getitem__(self, position: int) -> Digest:
        start = position * DIGEST_BYTES
        return self.digests[start : start + DIGEST_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPlan:
    """How the keys of one node are made; made once by `dataflow_results.keying.plans.make_plan`, sent to each worker.

    Args:
        identity: the task.
        policy: what counts.
        arguments: names of all arguments of the call.
        constants: cells of the arguments that are known when the plan is made, if they count.
        lineage: arguments whose given values are the 20-byte keys of upstream results.
        flow_parameters: cells of the parameters that count.
        run: id of the run.
        node: slug of the node.
        unknown: what to do with values that have no canonical form.
        preimage: what all keys of the plan have in common, packed for the record.
    """

    identity: TaskIdentity
    policy: CachePolicy
    arguments: tuple[str, ...]
    constants: Mapping[str, bytes] = field(default_factory=dict)
    lineage: frozenset[str] = frozenset()
    flow_parameters: Mapping[str, bytes] = field(default_factory=dict)
    run: str = ""
    node: str = ""
    unknown: OnUnknown = "refuse"
    preimage: bytes = b""

    @property
    def needs_values(self) -> bool:
        """Whether key functions want the values of all arguments; those of `constants` are then given as shared too."""
        return bool(self.policy.functions)

    @property
    def reads_place(self) -> bool:
        """Whether keys depend on, or key functions are told, which node and index an element has."""
        return bool("POSITION" in self.policy.parts or self.policy.functions)

    def encode_shared(self, values: Mapping[str, Any], *, outlines: bool = False) -> dict[str, EncodedArgument]:
        """Arguments that are equal for all batches of this node, hashed once for all of them.

        Args:
            values: by name; those that do not count are left out of the answer.
            outlines: whether to keep the leaves as well, for explaining a miss; costs another hash of large values.

        Raises:
            KeyingError: a value has no canonical form.
        """
        encoded = {}
        for name, value in values.items():
            if not self.policy.counts(name) or name in self.constants:
                continue
            cell = self.tried_cell(name, value)
            if isinstance(cell, KeyingError):
                raise cell
            leaves = outlined(name, value) if outlines and name not in self.lineage else {}
            encoded[name] = EncodedArgument(cell=cell, outline=leaves)
        return encoded

    def cell(self, name: str, value: Any) -> bytes:
        """The cell of one argument.

        Raises:
            UnknownType: the value has no canonical form.
        """
        if isinstance(value, EncodedArgument):
            return value.cell
        if name in self.lineage:
            return key_cell(value)
        return encode(value, place_of(name), unknown=self.unknown)

    def tried_cell(self, name: str, value: Any) -> bytes | KeyingError:
        """The cell of one argument, or why there is none."""
        try:
            return self.cell(name, value)
        except KeyingError as error:
            return error
        except Exception as error:  # noqa: BLE001 - boundary: canonical forms may run users' code
            problem = f"hashing a {type(value).__name__} raised {type(error).__name__}: {error}"
            fix = f"INPUTS - {name!r}, or repair what was registered for its type"
            failed = KeyingError(problem, where=place_of(name), fix=fix)
            failed.__cause__ = error
            return failed

    def keys(
        self, columns: Mapping[str, Sequence[Any]], shared: Mapping[str, Any], count: int, indices: Indices
    ) -> Keys:
        """The keys of a batch.

        Args:
            columns: arguments that differ by element, each with `count` values.
            shared: arguments that are equal for all elements but were not known when the plan was made.
            count: number of elements.
            indices: of the elements in their map.

        Raises:
            ValueError: an argument is given neither here nor by the plan, or a column has another length.

        Example:
            >>> from dataflow_results.policies import INPUTS
            >>> identity = TaskIdentity(name="f", module_qualname="m.f")
            >>> plan = KeyPlan(identity=identity, policy=INPUTS, arguments=("x",))
            >>> keys = plan.keys({"x": [1, 2, 1]}, {}, 3, range(3))
            >>> keys[0] == keys[2], keys[0] == keys[1]
            (True, False)
        """
        if not self.policy.caches:
            return Keys(digests=NO_KEY * count, absent=frozenset(range(count)), indices=indices)
        return _Batch(self, columns, shared, indices, count).keys()

    def head(self) -> bytes:
        """What all keys of the plan begin with: each part behind its name and length."""
        policy, source = self.policy, self.identity.source
        parts = [(b"task", self.identity.digest), (b"functions", len(policy.functions).to_bytes(1, "big"))]
        if policy.reads_source and source is not None:
            parts.append((b"source", source.digest))
        parts += [(b"parameter " + name.encode(), cell) for name, cell in sorted(self.flow_parameters.items())]
        if "RUN_ID" in policy.parts:
            parts.append((b"run", self.run.encode()))
        if "POSITION" in policy.parts:
            parts.append((b"node", self.node.encode()))
        return b"".join(_sized(name) + _sized(value) for name, value in parts) + _sized(b"")


class _Batch:
    """The keys of one batch in the making."""

    def __init__(
        self,
        plan: KeyPlan,
        columns: Mapping[str, Sequence[Any]],
        shared: Mapping[str, Any],
        indices: Indices,
        count: int,
    ) -> None:
        self.plan = plan
        self.columns = columns
        self.shared = shared
        self.indices = indices
        self.count = count
        self.errors: dict[int, KeyingError] = {}
        self.unwanted: set[int] = set()
        """Positions that a key function said None for."""

    def keys(self) -> Keys:
        self._check()
        cells = self._argument_cells()
        texts = self._texts()
        digests = self._digests({**self.plan.constants, **cells}, texts)
        absent = frozenset(self.unwanted.union(self.errors))
        return Keys(
            digests=_blanked(digests, absent) if absent else digests,
            errors=self.errors,
            absent=absent,
            cells={**cells, **texts},
            indices=self.indices,
        )

    def _check(self) -> None:
        name = self.plan.identity.name
        missing = sorted(set(self._unknown_arguments()) - self.columns.keys() - self.shared.keys())
        if missing:
            raise ValueError(f"no values for {', '.join(missing)} of {name!r}")
        lengths = {column: len(values) for column, values in self.columns.items()} | {"indices": len(self.indices)}
        uneven = [f"{column} ({length})" for column, length in lengths.items() if length != self.count]
        if uneven:
            raise ValueError(f"{self.count} elements of {name!r}, but another number of {', '.join(uneven)}")

    def _unknown_arguments(self) -> list[str]:
        """The arguments that count and that the plan does not know."""
        plan = self.plan
        return [name for name in plan.arguments if plan.policy.counts(name) and name not in plan.constants]

    def _argument_cells(self) -> dict[str, Cells]:
        return {
            name: self._column_cells(name) if name in self.columns else self._shared_cell(name)
            for name in self._unknown_arguments()
        }

    def _shared_cell(self, name: str) -> bytes:
        cell = self.plan.tried_cell(name, self.shared[name])
        if isinstance(cell, KeyingError):
            self.errors.update(dict.fromkeys(range(self.count), cell))
            return b""
        return cell

    def _column_cells(self, name: str) -> list[bytes]:
        values = self.columns[name]
        if name in self.plan.lineage:
            return [key_cell(value) for value in values]
        try:
            return encode_many(values, place_of(name), unknown=self.plan.unknown)
        except Exception:  # noqa: BLE001 - boundary: canonical forms may run users' code; each value is tried alone below
            cells = [self.plan.tried_cell(name, value) for value in values]
        self.errors.update({at: cell for at, cell in enumerate(cells) if isinstance(cell, KeyingError)})
        return [b"" if isinstance(cell, KeyingError) else cell for cell in cells]

    def _texts(self) -> dict[str, Cells]:
        """What key functions say, under names that no argument can have."""
        return {
            function_name(number): [self._text_cell(function, position) for position in range(self.count)]
            for number, function in enumerate(self.plan.policy.functions)
        }

    def _text_cell(self, function: Callable[..., str | None], position: int) -> bytes:
        plan, index = self.plan, int(self.indices[position])
        arguments = row_of(self.columns, self.shared, position)
        context = KeyContext(task=plan.identity, run_id=plan.run, node=plan.node, index=index, parameters=arguments)
        text = function_text(function, context, arguments)
        if isinstance(text, str):
            return text_cell(text)
        if text is None:
            self.unwanted.add(position)
        else:
            self.errors.setdefault(position, text)
        return b""

    def _digests(self, arguments: Mapping[str, Cells], texts: Mapping[str, Cells]) -> bytes:
        pieces: list[Cells] = [self.plan.head(), len(arguments).to_bytes(4, "big")]
        for name in sorted(arguments):
            pieces += [label(name), arguments[name]]
        if "POSITION" in self.plan.policy.parts:
            pieces.append([int(index).to_bytes(8, "big") for index in self.indices])
        pieces += texts.values()
        start, rest = _split(pieces)
        return _hashed(hasher(b"key 1"), start, rest, self.count)


def node_key(plan: KeyPlan) -> Digest:
    """The key of a plain node whose arguments are all known to the plan.

    Raises:
        KeyingError: there is none.
    """
    keys = plan.keys({}, {}, 1, range(1))
    if keys.errors:
        raise keys.errors[0]
    return keys[0]


def joined_keys(batches: Sequence[Keys]) -> Keys:
    """The keys of several batches of one plan as those of one batch.

    Example:
        >>> joined_keys([Keys(digests=b"a" * 20), Keys(digests=b"b" * 20)])[1] == b"b" * 20
        True
    """
    starts = [0, *accumulate(map(len, batches))]
    placed = list(zip(starts, batches, strict=False))
    return Keys(
        digests=b"".join(batch.digests for batch in batches),
        errors={start + position: error for start, batch in placed for position, error in batch.errors.items()},
        absent=frozenset(start + position for start, batch in placed for position in batch.absent),
        cells={name: _joined_cells(name, batches) for name in (batches[0].cells if batches else ())},
        indices=[index for batch in batches for index in batch.indices],
    )


def _joined_cells(name: str, batches: Sequence[Keys]) -> Cells:
    first = batches[0].cells[name]
    if isinstance(first, bytes) and all(batch.cells[name] == first for batch in batches):
        return first
    each = [(batch.cells[name], len(batch)) for batch in batches]
    return [cell for cells, count in each for cell in ([cells] * count if isinstance(cells, bytes) else cells)]


def place_of(name: str) -> str:
    """What an argument is called in messages."""
    return f"argument {name!r}"


def function_name(number: int) -> str:
    """Under what the texts of a key function stand in a pre-image; no argument has such a name."""
    return f"cache_key_fn {number}"


def _sized(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _split(pieces: Sequence[Cells]) -> tuple[bytes, list[Cells]]:
    """What all elements begin with, and the rest with neighbouring constants joined."""
    merged: list[Cells] = [b""]
    for piece in pieces:
        last = merged[-1]
        if isinstance(piece, bytes) and isinstance(last, bytes):
            merged[-1] = last + piece
        else:
            merged.append(piece)
    start = merged[0]
    assert isinstance(start, bytes)
    return start, merged[1:]


def _hashed(running: Hasher, start: bytes, rest: Sequence[Cells], count: int) -> bytes:
    """One digest for each element: the hash of the common start is computed once and continued for each."""
    running.update(start)
    if not rest:
        return running.digest(DIGEST_BYTES) * count
    columns = [repeat(piece) if isinstance(piece, bytes) else piece for piece in rest]
    rows = columns[0] if len(columns) == 1 else map(b"".join, zip(*columns, strict=False))
    copy, digests = running.copy, []
    for row in rows:
        own = copy()
        own.update(row)
        digests.append(own.digest(DIGEST_BYTES))
    return b"".join(digests)


def _blanked(digests: bytes, absent: AbstractSet[int]) -> bytes:
    changed = bytearray(digests)
    for position in absent:
        changed[position * DIGEST_BYTES : (position + 1) * DIGEST_BYTES] = NO_KEY
    return bytes(changed)
