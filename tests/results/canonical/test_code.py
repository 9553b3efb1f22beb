"""What the source of a function is: which changes count, and which do not."""

from __future__ import annotations

import functools
import importlib
import linecache
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dataflow_results.canonical import CanonicalWarning, encode, source_of
from dataflow_results.errors import UnknownType

Project = Callable[..., ModuleType]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Writes modules into a project folder and imports ``steps`` anew."""
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)

    def write(steps: str, **others: str) -> ModuleType:
        for name, text in {**others, "steps": steps}.items():
            sys.modules.pop(name, None)
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            return importlib.import_module("steps")
        finally:
            sys.dont_write_bytecode = before

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]
    linecache.clearcache()


PLAIN = """
    def f(x):
        return x + 1
"""

UNSEEN = {
    "a comment": "def f(x):\n    # why\n    return x + 1\n",
    "a docstring": 'def f(x):\n    """Adds one."""\n    return x + 1\n',
    "lines above": "\n\n\nimport math\n\n\ndef f(x):\n    return x + 1\n",
    "layout": "def f(x):\n    return (\n        x\n        + 1\n    )\n",
    "annotations": "def f(x: int) -> int:\n    return x + 1\n",
    "a decorator that adds nothing": "def same(g): return g\n@same\ndef f(x):\n    return x + 1\n",
    "another function": "def g(): pass\ndef f(x):\n    return x + 1\n",
    "pass": "def f(x):\n    pass\n    return x + 1\n",
}


@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN)
def test_what_does_not_change_a_function(project: Project, text: str) -> None:
    """Comments, lines, annotations and neighbours are not part of the source."""
    before = source_of(project(PLAIN).f)
    assert source_of(project(text).f).digest == before.digest


SEEN = {
    "the body": "def f(x):\n    return x + 2\n",
    "a type in the body": "def f(x):\n    return x + 1.0\n",
    "a default": "def f(x=1):\n    return x + 1\n",
    "a keyword": "def f(*, x):\n    return x + 1\n",
    "async": "async def f(x):\n    return x + 1\n",
}


@pytest.mark.parametrize("text", SEEN.values(), ids=SEEN)
def test_what_changes_a_function(project: Project, text: str) -> None:
    """A change of the body or of the parameters is seen."""
    before = source_of(project(PLAIN).f)
    assert source_of(project(text).f).digest != before.digest


def changed(project: Project, one: str, other: str, **more: tuple[str, str]) -> set[str]:
    """The names of the parts that differ between two states of a project; the digests must differ with them."""
    before = source_of(project(one, **{name: texts[0] for name, texts in more.items()}).f)
    after = source_of(project(other, **{name: texts[1] for name, texts in more.items()}).f)
    differing = {name for name in {*before.parts, *after.parts} if before.parts.get(name) != after.parts.get(name)}
    assert (before.digest != after.digest) == bool(differing)
    return differing


DATACLASS = """
import dataclasses

@dataclasses.dataclass
class C:
    n: int

    def run(self): return {}

c = C(1)

def f(x): return c.run()
"""

REACHED: dict[str, tuple[str, str, set[str]]] = {
    "a helper": (
        "def clean(x): return x\ndef f(x): return clean(x)",
        "def clean(x): return -x\ndef f(x): return clean(x)",
        {"steps.clean"},
    ),
    "a helper of a helper, with a loop between them": (
        "def a(x): return b(x)\ndef b(x): return a(x) if x else 1\ndef f(x): return a(x)",
        "def a(x): return b(x)\ndef b(x): return a(x) if x else 2\ndef f(x): return a(x)",
        {"steps.b"},
    ),
    "a constant": (
        "LIMIT = 1\ndef f(x): return x < LIMIT",
        "LIMIT = 2\ndef f(x): return x < LIMIT",
        {"steps.LIMIT (value)"},
    ),
    "a table of functions": (
        "def a(x): return 1\nTABLE = {'a': a}\ndef f(x): return TABLE[x](x)",
        "def a(x): return 2\nTABLE = {'a': a}\ndef f(x): return TABLE[x](x)",
        {"steps.a"},
    ),
    "which function stands where": (
        "def a(): pass\ndef b(): pass\nTABLE = [a, b, a]\ndef f(x): return TABLE[x]",
        "def a(): pass\ndef b(): pass\nTABLE = [a, b, b]\ndef f(x): return TABLE[x]",
        {"steps.TABLE (value)"},
    ),
    "a default": ("def f(x=1): return x", "def f(x=2): return x", {"steps.f", "steps.f default x (value)"}),
    "a closure": (
        "def make(n):\n    def g(x): return x + n\n    return g\nf = make(1)",
        "def make(n):\n    def g(x): return x + n\n    return g\nf = make(2)",
        {"steps.make.<locals>.g closure n (value)"},
    ),
    "a decorated helper": (
        "import functools\n@functools.lru_cache\ndef a(x): return 1\ndef f(x): return a(x)",
        "import functools\n@functools.lru_cache\ndef a(x): return 2\ndef f(x): return a(x)",
        {"steps.a"},
    ),
    "what a decorator does": (
        "def d(g):\n    def inner(x): return g(x)\n    return inner\n@d\ndef f(x): return x",
        "def d(g):\n    def inner(x): return -g(x)\n    return inner\n@d\ndef f(x): return x",
        {"steps.d.<locals>.inner"},
    ),
    "a method": (
        "class C:\n    def run(self): return 1\ndef f(x): return C().run()",
        "class C:\n    def run(self): return 2\ndef f(x): return C().run()",
        {"steps.C.run"},
    ),
    "a base class": (
        "class B:\n    limit = 1\nclass C(B): pass\ndef f(x): return C().limit",
        "class B:\n    limit = 2\nclass C(B): pass\ndef f(x): return C().limit",
        {"steps.B limit (value)"},
    ),
    "the class of a global": (
        DATACLASS.format(1),
        DATACLASS.format(2),
        {"steps.C.run"},
    ),
    "a partial": (
        "import functools\ndef g(x, y): return x\nf = functools.partial(g, 1)",
        "import functools\ndef g(x, y): return y\nf = functools.partial(g, 1)",
        {"steps.g"},
    ),
    "a property": (
        "class C:\n    @property\n    def size(self): return 1\ndef f(x): return C().size",
        "class C:\n    @property\n    def size(self): return 2\ndef f(x): return C().size",
        {"steps.C.size"},
    ),
    "only lambdas beside it": (
        "a, f = (lambda x: x + 1), (lambda x: x * 2)",
        "a, f = (lambda x: x + 2), (lambda x: x * 2)",
        set(),
    ),
    "its own lambda": (
        "a, f = (lambda x: x + 1), (lambda x: x * 2)",
        "a, f = (lambda x: x + 1), (lambda x: x * 3)",
        {"steps.<lambda>"},
    ),
    "a comment in a helper": (
        "def clean(x): return x\ndef f(x): return clean(x)",
        "def clean(x):\n    return x  # as it is\ndef f(x): return clean(x)",
        set(),
    ),
    "a function of the same name as an attribute": (
        "def clean(x): return 1\ndef f(x): return x.clean()",
        "def clean(x): return 2\ndef f(x): return x.clean()",
        set(),
    ),
}


@pytest.mark.parametrize(("one", "other", "parts"), REACHED.values(), ids=REACHED)
def test_what_is_reached_counts(project: Project, one: str, other: str, parts: set[str]) -> None:
    """The part that changed is named, and no other."""
    assert changed(project, one, other) - {"steps.B"} == parts


HELPERS = ("def clean(x): return 1\ndef other(x): return 1", "def clean(x): return 2\ndef other(x): return 1")
UNUSED = ("def clean(x): return 1\ndef other(x): return 1", "def clean(x): return 1\ndef other(x): return 2")
IMPORTS = {
    "import": "import helpers\ndef f(x): return helpers.clean(x)",
    "from": "from helpers import clean\ndef f(x): return clean(x)",
    "as": "import helpers as h\ndef f(x): return h.clean(x)",
    "import inside": "def f(x):\n    import helpers\n    return helpers.clean(x)",
    "from inside": "def f(x):\n    from helpers import clean\n    return clean(x)",
}


@pytest.mark.parametrize("steps", IMPORTS.values(), ids=IMPORTS)
def test_helpers_of_other_modules_count(project: Project, steps: str) -> None:
    """However a helper of the project is imported, its change is seen, and that of its neighbour is not."""
    assert changed(project, steps, steps, helpers=HELPERS) == {"helpers.clean"}
    assert changed(project, steps, steps, helpers=UNUSED) == set()


def test_libraries_count_by_name(project: Project) -> None:
    """What is installed is no part of the source; which of its functions is called is."""
    one = project("import numpy as np\ndef f(x): return np.mean(x)")
    assert list(source_of(one.f).parts) == ["steps.f"]
    two = "import json\nfrom json import dumps as g\ndef f(x): return g(x)"
    three = "import json\nfrom json import loads as g\ndef f(x): return g(x)"
    assert source_of(project(two).f).digest != source_of(project(three).f).digest


def test_an_edited_file_is_not_believed(project: Project, tmp_path: Path) -> None:
    """A function that runs old code does not get the source that was written since, wherever that moved it."""
    old = project(PLAIN).f
    before = source_of(old)
    (tmp_path / "steps.py").write_text("# moved\n\n" + textwrap.dedent(PLAIN))
    assert source_of(old).digest == before.digest
    (tmp_path / "steps.py").write_text(textwrap.dedent(PLAIN).replace("1", "2"))
    edited = source_of(old)
    assert list(edited.parts) == ["steps.f (bytecode)"]
    assert edited.digest != source_of(project(PLAIN.replace("1", "2")).f).digest


def test_code_without_source_counts_by_its_bytecode() -> None:
    """Functions from exec have a stable form that sees their content."""

    def made(text: str) -> Any:
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(text, space)
        return space["f"]

    one, same, other = (
        made("def f(x): return x + 1"),
        made("\n\ndef f(x): return x + 1"),
        made("def f(x): return x + 2"),
    )
    assert list(source_of(one).parts) == ["f (bytecode)"]
    assert source_of(one).digest == source_of(same).digest != source_of(other).digest


def test_a_global_without_form_is_told(project: Project) -> None:
    """A client in a module does not prevent keys, but the user hears that it is not watched."""
    module = project("class Client:\n    def __init__(self): self.a = 1\nclient = Client()\ndef f(x): return client.a")
    with pytest.warns(CanonicalWarning, match=r"steps\.client is used by the code of a task, but a change of it"):
        source_of(module.f)


def test_a_lock_in_a_module_is_no_matter(project: Project) -> None:
    """Globals that do not change results are not complained about."""
    module = project(
        "import threading, logging\nlock = threading.Lock()\nlog = logging.getLogger('a')\n"
        "def f(x):\n    with lock: log.info(x)"
    )
    assert "steps.f" in source_of(module.f).parts


def test_a_closure_without_form_is_refused() -> None:
    """Two functions made with two clients must not be taken for one."""
    client = threading.Thread()

    def f() -> str:
        return client.name

    with pytest.raises(UnknownType, match=r"f closure client: a thread belongs to this process"):
        source_of(f)


def test_functions_as_values() -> None:
    """Functions, lambdas, methods and classes are told by their source; those of libraries by their name."""
    half: Callable[[int], float] = lambda x: x / 2  # noqa: E731
    third: Callable[[int], float] = lambda x: x / 3  # noqa: E731
    halves: Callable[[int], float] = lambda y: y / 2  # noqa: E731
    assert len({encode(half), encode(third), encode(halves)}) == 3
    assert encode(half) == encode(half)
    assert encode(np.mean) != encode(np.median)
    assert encode([half, {"f": third}]) == encode([half, {"f": third}])
    assert encode(functools.partial(half, 1)) != encode(functools.partial(half, 2))
    assert encode(np.vectorize(half)) != encode(np.vectorize(third))


def test_a_recursive_function_has_a_form() -> None:
    """A function that calls itself ends."""

    def down(n: int) -> int:
        return down(n - 1) if n else 0

    assert encode(down) == encode(down)


def test_two_functions_of_one_name_are_two(project: Project) -> None:
    """Two closures made by one factory are told apart, also by the order in which they are used."""
    make = "def make(n):\n    def g(x): return x + n\n    return g\n"
    text = make + "a, b = make({}), make({})\ndef f(x): return a(b(x) * 2)"
    assert len(source_of(project(text.format(1, 2)).f).parts) == 5
    assert source_of(project(text.format(1, 2)).f).digest != source_of(project(text.format(2, 1)).f).digest


def test_what_is_installed_is_read_only_where_it_is_asked_for() -> None:
    """A function of a library counts by its name as a value, and by its source as a task."""
    assert encode(textwrap.dedent).endswith(b"textwrap.dedent")
    assert list(source_of(textwrap.dedent).parts) == []
    assert "_pytest.outcomes.importorskip" in source_of(pytest.importorskip).parts


class Wrapper:
    """An object around a function, as decorators make them."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.client = object()

    def __call__(self, *arguments: Any) -> Any:
        return self.__wrapped__(*arguments)  # type: ignore[attr-defined]


def test_a_wrapped_function_is_the_function(project: Project) -> None:
    """An object around a function counts by the function, as a task and as a helper."""
    wrapped, other = Wrapper(project(PLAIN).f), Wrapper(project(PLAIN.replace("1", "2")).f)
    assert source_of(wrapped).digest == source_of(wrapped.__wrapped__).digest  # type: ignore[attr-defined]
    assert source_of(wrapped).digest != source_of(other).digest
    helper = (
        "from tests.results.canonical.test_code import Wrapper\n@Wrapper\ndef g(x): return {}\ndef f(x): return g(x)"
    )
    assert changed(project, helper.format(1), helper.format(2)) == {"steps.g"}


LIBRARY_WRAPPER = """
import functools

class Wrapper:
    __module__ = "numpy"

    def __init__(self, function): functools.update_wrapper(self, function)

    def __call__(self, x): return self.__wrapped__(x)

@Wrapper
def g(x): return {}

def f(x): return g(x)
"""


def test_a_function_wrapped_by_a_library_is_the_function(project: Project) -> None:
    """An object that an installed package makes around a function of the project does not hide it behind its name."""
    assert changed(project, LIBRARY_WRAPPER.format(1), LIBRARY_WRAPPER.format(2)) == {"steps.g"}
