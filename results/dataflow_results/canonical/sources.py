"""Finds the source of running code, and normalises it: what a comment, a line or an annotation changes is not in it.

A file may have been edited since it was imported. Source is therefore believed only if compiling it gives the very code
that runs; a function whose source cannot be had counts by its bytecode, which is never wrong but differs between
versions of Python.
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any, TypeAlias

__all__ = ["bytecode_of", "normalised", "source_of_class", "source_of_code"]

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

SKIPPED_FIELDS = frozenset({"annotation", "ctx", "decorator_list", "kind", "returns", "type_comment", "type_params"})
"""Fields of the syntax tree that do not change what a function computes."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of source, parsed and compiled."""

    tree: ast.Module
    codes: tuple[CodeType, ...]
    """All code in it: of functions, methods, lambdas, classes, comprehensions."""


@functools.lru_cache(maxsize=64)
def _parsed(name: str, content: str) -> File | None:
    try:
        tree = ast.parse(content)
        return File(tree, tuple(_codes_in(compile(tree, name, "exec", dont_inherit=True))))
    except (SyntaxError, ValueError):
        return None


def _file(name: str) -> File | None:
    linecache.checkcache(name)
    lines = linecache.getlines(name)
    return _parsed(name, "".join(lines)) if lines else None


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes_in(constant)


def source_of_code(code: CodeType) -> Any | None:
    """The normalised source of a running function, or None if no source is known to be what runs."""
    file = _file(code.co_filename)
    if file is None:
        return None
    same = [found for found in file.codes if _same(found, code)]
    nearest = min(same, key=lambda found: abs(found.co_firstlineno - code.co_firstlineno), default=None)
    definition = None if nearest is None else _definition(file.tree, nearest)
    return None if definition is None else normalised(definition)


def _same(found: CodeType, running: CodeType) -> bool:
    return found.co_name == running.co_name and found.co_code == running.co_code and _frame(found) == _frame(running)


def _frame(code: CodeType) -> tuple[Any, ...]:
    constants = tuple(
        (_frame(held), held.co_code) if isinstance(held, CodeType) else (type(held), repr(held))
        for held in code.co_consts
    )
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return (
        *names,
        code.co_flags & ~FUTURE_FLAGS,
        code.co_argcount,
        code.co_kwonlyargcount,
        code.co_posonlyargcount,
        constants,
    )


FUTURE_FLAGS = 0xFFFF0000
"""A notebook inherits them from earlier cells."""


def _definition(tree: ast.Module, code: CodeType) -> Definition | None:
    found = [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS) and _begins(node, code)]
    if len(found) <= 1:
        return found[0] if found else None
    return next((node for node in sorted(found, key=_extent) if _contains(node, code)), None)


def _begins(node: Definition, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return node.name == code.co_name and first == code.co_firstlineno


def _extent(node: Definition) -> tuple[int, int]:
    last, first = (node.end_lineno or 0) - node.lineno, (node.end_col_offset or 0) - node.col_offset
    return (last, first)


def _contains(node: Definition, code: CodeType) -> bool:
    body = node.body if isinstance(node, ast.Lambda) else node
    begin, end = (body.lineno, body.col_offset), (body.end_lineno or 0, body.end_col_offset or 0)
    places = [(line, column) for line, _, column, _ in code.co_positions() if line is not None and column is not None]
    inner = [place for place in places if place != (code.co_firstlineno, 0)]
    return all(begin <= place <= end for place in inner)


def source_of_class(cls: type, filename: str) -> Any | None:
    """The normalised source of a class without its methods, or None if there is none."""
    file = _file(filename)
    body: ast.AST | None = None if file is None else file.tree
    for name in cls.__qualname__.split("."):
        if name != "<locals>" and body is not None:
            body = _last_definition(body, name)
    if not isinstance(body, ast.ClassDef):
        return None
    statements = [node for node in body.body if not isinstance(node, FUNCTIONS)]
    return [normalised(node, keep_annotations=True) for node in (*body.decorator_list, *body.keywords, *statements)]


def _last_definition(body: ast.AST, name: str) -> ast.AST | None:
    found = [
        node
        for node in ast.iter_child_nodes(body)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name
    ]
    return found[-1] if found else None


def normalised(node: ast.AST, *, keep_annotations: bool = False) -> list[Any]:
    """A syntax tree as nested lists of plain values.

    Left out: comments, layout and lines, docstrings and other lonely constants, ``pass``, annotations, decorators of
    the definition itself (their effect is found in the decorated object), and fields that are empty.
    """
    fields: list[Any] = [type(node).__name__]
    if isinstance(node, ast.AnnAssign) and not keep_annotations:
        return _as_assignment(node)
    for name, value in ast.iter_fields(node):
        if name in SKIPPED_FIELDS and not (keep_annotations and name == "annotation"):
            continue
        shown = _normalised_field(value)
        if shown not in (None, []):
            fields.append([name, shown])
    return fields


def _as_assignment(node: ast.AnnAssign) -> list[Any]:
    if node.value is None:
        return []
    return ["Assign", ["targets", [normalised(node.target)]], ["value", normalised(node.value)]]


def _normalised_field(value: Any) -> Any:
    if isinstance(value, list):
        kept = [_normalised_field(item) for item in value if not _says_nothing(item)]
        return [item for item in kept if item != []]
    if isinstance(value, ast.Constant):
        return ["Constant", (value.value,)]  # in a tuple, so that None is not taken for an empty field
    return _nested(value) if isinstance(value, ast.AST) else value


def _nested(node: ast.AST) -> Any:
    shown = normalised(node, keep_annotations=isinstance(node, ast.ClassDef))
    decorators = getattr(node, "decorator_list", ())  # inside a body they are part of what it does
    return [*shown, ["decorators", [normalised(each) for each in decorators]]] if decorators else shown


def _says_nothing(node: Any) -> bool:
    lonely = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return lonely or isinstance(node, ast.Pass)


def bytecode_of(code: CodeType) -> list[Any]:
    """A code object as nested lists of plain values, without lines and file names."""
    constants = [bytecode_of(held) if isinstance(held, CodeType) else held for held in code.co_consts]
    return ["bytecode", list(_frame(code)[:-1]), code.co_code, constants]
