"""Inputs of a batch on its worker: recipes and dependencies become values, columns and failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Any

from dataflow.compiler.recipes import Broken, Counted, Direct, Each, Fill, Gather, Literal, Part, Parts, Pick, Values
from dataflow.engine.columns import Column, open_levels
from dataflow.engine.failures import Failure, exception_of
from dataflow.engine.judged import Judged, filled, gathered
from dataflow.errors import WorkLost
from dataflow.graph.containers import fill
from dataflow.states import StateType
from dataflow.triggers import Counts

__all__ = ["resolve", "resolve_column"]

Dependencies = Sequence[Any]
SKIPPED = int(StateType.SKIPPED)


def resolve(recipe: Any, dependencies: Dependencies) -> Any:
    """The value of a recipe, or a `Failure`."""
    return _RESOLVERS[type(recipe)](recipe, dependencies)


def resolve_column(recipe: Any, dependencies: Dependencies) -> tuple[Sequence[Any], bool]:
    """The values of a column, and whether some of them may be failures."""
    return _COLUMN_RESOLVERS[type(recipe)](recipe, dependencies)


def _literal(recipe: Literal, dependencies: Dependencies) -> Any:
    return recipe.value


def _direct(recipe: Direct, dependencies: Dependencies) -> Any:
    return dependencies[recipe.dependency]


def _broken(recipe: Broken, dependencies: Dependencies) -> Failure:
    return Failure(recipe.state, recipe.error)


def _pick(recipe: Pick, dependencies: Dependencies) -> Any:
    part = recipe.part
    value = Failure(part.state, part.error) if isinstance(part, Broken) else _single(part, dependencies)
    if recipe.allow_failure and isinstance(value, Failure) and value.state != SKIPPED:
        return exception_of(value)
    return value


def _single(part: Part, dependencies: Dependencies) -> Any:
    return _column(part, dependencies).values[part.start]


def _column(part: Part, dependencies: Dependencies) -> Column:
    """The column of a part, if it has all of it.

    Raises:
        WorkLost: the column was made again after a worker died, and this time its batch stopped earlier.
    """
    column: Column = dependencies[part.dependency]
    if len(column) < part.stop:
        raise WorkLost(
            f"values {len(column):,} to {part.stop:,} of a column are gone: its worker died after it had reported them",
            fix="run the flow again; with batch_size=... a batch that is run again gives all of its values",
        )
    return column


def _gather(recipe: Gather, dependencies: Dependencies) -> Any:
    values, may_fail = _join(recipe.parts, dependencies)
    if recipe.is_judged:
        return gathered(values, allow_failure=recipe.allow_failure)
    if not may_fail:
        return values
    kept = [value for value in values if not _is_skip(value)]
    if values and not kept:
        return values[0]
    if recipe.allow_failure:
        return _with_exceptions(kept)
    return next((value for value in kept if isinstance(value, Failure)), kept)


def _is_skip(value: Any) -> bool:
    return type(value) is Failure and value.state == SKIPPED


def _counted(recipe: Counted, dependencies: Dependencies) -> Any:
    counts = Counts(recipe.successful, recipe.failed, recipe.skipped)
    return Judged(None, counts, recipe.error, 0 < recipe.skipped == counts.total)


def _fill(recipe: Fill, dependencies: Dependencies) -> Any:
    values = [resolve(inner, dependencies) for inner in recipe.recipes]
    if recipe.is_judged:
        used = [value for inner, value in zip(recipe.recipes, values, strict=True) if type(inner) is not Direct]
        return filled(recipe.skeleton, values, used)
    failures = [value for value in values if isinstance(value, Failure)]
    skipped = next(filter(_is_skip, failures), None)
    return skipped or (failures[0] if failures else fill(recipe.skeleton, values))


def _values(recipe: Values, dependencies: Dependencies) -> tuple[Sequence[Any], bool]:
    return recipe.values, False


def _parts(recipe: Parts, dependencies: Dependencies) -> tuple[Sequence[Any], bool]:
    values, may_fail = _join(recipe.parts, dependencies)
    if may_fail and recipe.allow_failure:
        return _with_exceptions(values), any(map(_is_skip, values))
    return values, may_fail


def _each(recipe: Each, dependencies: Dependencies) -> tuple[Sequence[Any], bool]:
    values = [resolve(inner, dependencies) for inner in recipe.recipes]
    return values, any(type(value) in (Failure, Judged) for value in values)


def _join(parts: Sequence[Part | Broken], dependencies: Dependencies) -> tuple[list[Any], bool]:
    pieces = [_piece(part, dependencies) for part in parts]
    values = pieces[0][0] if len(pieces) == 1 else list(chain.from_iterable(values for values, _ in pieces))
    return values, any(may_fail for _, may_fail in pieces)


def _piece(part: Part | Broken, dependencies: Dependencies) -> tuple[list[Any], bool]:
    if isinstance(part, Broken):
        return [Failure(part.state, part.error)] * part.elements, True
    column = _column(part, dependencies)
    values = column.values if part.stop - part.start == len(column) else column.values[part.start : part.stop]
    if not part.depth:
        return values, column.failed
    opened = open_levels(values, part.depth, "an input")
    found = list(opened if part.last is None else islice(opened, part.first, part.last))
    return found, any(type(value) is Failure for value in found)


def _with_exceptions(values: Sequence[Any]) -> list[Any]:
    return [exception_of(v) if isinstance(v, Failure) and not _is_skip(v) else v for v in values]


_RESOLVERS: dict[type, Callable[[Any, Dependencies], Any]] = {
    Literal: _literal,
    Direct: _direct,
    Broken: _broken,
    Pick: _pick,
    Gather: _gather,
    Counted: _counted,
    Fill: _fill,
}
_COLUMN_RESOLVERS: dict[type, Callable[[Any, Dependencies], tuple[Sequence[Any], bool]]] = {
    Values: _values,
    Parts: _parts,
    Each: _each,
}
