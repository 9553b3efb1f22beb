"""What can be known of a user's function: its signature, its name, whether it is async, how it reaches a worker."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

from dataflow.errors import TaskDefinitionError

__all__ = [
    "ImportedFunction",
    "annotation_names",
    "imported",
    "is_importable",
    "name_of",
    "nout_of",
    "plain_function",
    "portable",
    "signature_of",
    "undecorated",
]


def plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function below ``functools.wraps`` and ``functools.partial``; of a callable object its ``__call__``."""
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    return type(function).__call__


def undecorated(given: Any, kind: str) -> Callable[..., Any]:
    """The callable that ``@task`` or ``@flow`` was given.

    Args:
        given: what stands below the decorator.
        kind: ``"task"`` or ``"flow"``.

    Raises:
        TaskDefinitionError: it cannot be called, or is a generator function or a classmethod.
    """
    function = given.__func__ if isinstance(given, staticmethod) else given
    where = f"@{kind}"
    if isinstance(given, classmethod):
        fix = f"a function at module level, or @{kind} on a staticmethod"
        raise TaskDefinitionError(f"a classmethod cannot be a {kind}", where=where, fix=fix)
    if not callable(function):
        fix = f"@{kind}({'name=' if isinstance(given, str) else ''}...) above a function, or {kind}(function)"
        raise TaskDefinitionError(f"{given!r} ({type(given).__name__}) is not a function", where=where, fix=fix)
    plain = plain_function(function)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        fix = "return a list (return [...]), and map over it or flatten it"
        raise TaskDefinitionError(f"{name_of(function)!r} is a generator function", where=where, fix=fix)
    return typing.cast("Callable[..., Any]", function)


def signature_of(function: Callable[..., Any], kind: str, reserved: frozenset[str]) -> inspect.Signature:
    """The signature of a task's or flow's function.

    Raises:
        TaskDefinitionError: it has none, or a parameter has a name that is kept for options of the call.
    """
    name = name_of(function)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        fix = f"a function around it: def my_{kind}(...): return {name}(...)"
        raise TaskDefinitionError(f"{name!r} has no signature", where=f"@{kind}", fix=fix) from error
    taken = sorted(reserved.intersection(signature.parameters))
    if taken:
        problem = f"parameters of {name!r} have names that the call itself uses: {', '.join(taken)}"
        raise TaskDefinitionError(problem, where=f"@{kind}", fix=f"rename {taken[0]} in the function")
    return signature


def name_of(function: Callable[..., Any]) -> str:
    """A readable name: of the function, without the marks of a lambda; of an object its class."""
    named = function.func if isinstance(function, functools.partial) else function
    name: str = getattr(named, "__name__", type(named).__name__)
    return name.strip("<>")


def nout_of(function: Callable[..., Any]) -> int | None:
    """Number of values a function returns, where its annotation is a tuple of fixed length."""
    annotation = getattr(plain_function(function), "__annotations__", {}).get("return")
    if isinstance(annotation, str):
        annotation = _evaluated(annotation, plain_function(function))
    parts = typing.get_args(annotation) if typing.get_origin(annotation) is tuple else ()
    return len(parts) if parts and parts[-1] is not Ellipsis else None


def _evaluated(annotation: str, function: Callable[..., Any]) -> Any:
    if "tuple[" not in annotation.lower():
        return None
    try:
        return typing.get_type_hints(function).get("return")
    except NameError:
        # A name that is only known to type checkers: the number of values is then not known from the annotation.
        return None


def annotation_names(function: Callable[..., Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the names that occur in the annotations of a function."""
    annotations = getattr(plain_function(function), "__annotations__", {}).values()
    words = re.findall(r"\w+", " ".join(map(str, annotations)))
    return {word: names[word] for word in words if word in names}


class ImportedFunction:
    """A module's function that was replaced there by a task of the same name.

    A pickle of a function holds its module and name, and under that name there is the task now. This object pickles
    as the way over the task; what arrives at the worker is the bare function. So module-level tasks travel as a few
    bytes, and the globals of their module are not copied.
    """

    __slots__ = ("__wrapped__",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__wrapped__ = function

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function; where nothing is pickled, this object itself is what runs."""
        return self.__wrapped__(*arguments, **keywords)

    def __reduce__(self) -> tuple[Any, ...]:
        function = self.__wrapped__
        module, path = function.__module__, function.__qualname__
        found = _look_up(sys.modules.get(module), path)
        if getattr(found, "fn", None) is function and is_importable(found, module, path):
            return (imported_function, (module, path))
        return (_itself, (function,))


def portable(function: Callable[..., Any]) -> Callable[..., Any]:
    """The form in which a function is given to the engine: by name where a worker can import it."""
    by_name = inspect.isfunction(function) and _has_path(function.__module__, function.__qualname__)
    return ImportedFunction(function) if by_name else function


def is_importable(found: Any, module: str, qualified_name: str) -> bool:
    """Whether a worker finds this very object under a name."""
    if not _has_path(module, qualified_name) or _look_up(sys.modules.get(module), qualified_name) is not found:
        return False
    # The list is empty, and the module not imported, unless the user has asked for pickling by value.
    cloudpickle = sys.modules.get("cloudpickle")
    return cloudpickle is None or module not in cloudpickle.list_registry_pickle_by_value()


def imported(module: str, qualified_name: str) -> Any:
    """The object that is found under a name.

    Raises:
        TaskDefinitionError: there is none, because the code there is another one.
    """
    found = _look_up(importlib.import_module(module), qualified_name)
    if found is None:
        fix = "run the same code on client and workers"
        raise TaskDefinitionError(f"no task is found at {module}.{qualified_name}", fix=fix)
    return found


def imported_function(module: str, qualified_name: str) -> Callable[..., Any]:
    """The bare function of the task that is found under a name."""
    return typing.cast("Callable[..., Any]", imported(module, qualified_name).fn)


def _has_path(module: str, qualified_name: str) -> bool:
    return module not in ("", "__main__", "__mp_main__") and "<" not in qualified_name


def _look_up(start: Any, qualified_name: str) -> Any:
    for name in qualified_name.split("."):
        start = getattr(start, name, None)
    return start


def _itself(function: Callable[..., Any]) -> Callable[..., Any]:
    return function
