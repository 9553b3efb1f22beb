"""Every file says what it is and stays small enough to read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "dataflow", ROOT / "results", ROOT / "integrations")
FILES = sorted(path for folder in (*PACKAGES, ROOT / "tests", ROOT / "notebooks") for path in folder.rglob("*.py"))
SOURCES = [path for path in FILES if any(path.is_relative_to(folder) for folder in PACKAGES)]
UNWRITTEN = {"__init__.py"}
"""Files that may be empty: the marks of a package of tests."""

LONGEST_FILE_LINES = 400
LONGEST_FUNCTION_LINES = 40
MOST_POSITIONAL = 7
MOST_PARAMETERS = 10
"""All of them with self; what goes beyond the positional ones is keyword-only."""


def name_of(path: Path) -> str:
    """A path as people write it."""
    return str(path.relative_to(ROOT))


def functions_of(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_first_line_says_what_the_file_is(path: Path) -> None:
    """A file starts with a docstring whose first line is one sentence."""
    text = path.read_text(encoding="utf-8")
    if not text and path.name in UNWRITTEN:
        return
    assert text.startswith('"""'), "the first line has to be a docstring"
    first = (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]
    assert first.endswith((".", ":")) or len(text.splitlines()[0]) > 100, first


@pytest.mark.parametrize("path", [path for path in FILES if path.name.startswith("test_")], ids=name_of)
def test_every_test_says_what_it_proves(path: Path) -> None:
    """Each test function has a docstring."""
    tests = [f for f in functions_of(ast.parse(path.read_text(encoding="utf-8"))) if f.name.startswith("test_")]
    assert [f.name for f in tests if not ast.get_docstring(f)] == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_sizes_can_be_read(path: Path) -> None:
    """Files, functions and parameter lists of the packages stay within the house sizes."""
    text = path.read_text(encoding="utf-8")
    functions = list(functions_of(ast.parse(text)))
    assert len(text.splitlines()) <= LONGEST_FILE_LINES
    assert {f.name: lines_of(f) for f in functions if lines_of(f) > LONGEST_FUNCTION_LINES} == {}
    positional = {f.name: len(f.args.posonlyargs + f.args.args) for f in functions}
    assert {name: count for name, count in positional.items() if count > MOST_POSITIONAL} == {}
    every = {f.name: len(f.args.posonlyargs + f.args.args + f.args.kwonlyargs) for f in functions}
    assert {name: count for name, count in every.items() if count > MOST_PARAMETERS} == {}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_import_hides_in_a_function(path: Path) -> None:
    """Imports stand at the top, where cycles cannot hide."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = (node for function in functions_of(tree) for node in ast.walk(function))
    assert [node.lineno for node in inside if isinstance(node, ast.Import | ast.ImportFrom)] == []
