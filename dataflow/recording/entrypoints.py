"""Entry points: where a flow stands in the code, as text by which another process finds it again."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import cloudpickle

from dataflow.errors import UsageError

__all__ = ["entrypoint_of", "load_entrypoint"]

PACKAGE = __name__.partition(".")[0]
FIX = '"file.py:flow" or "package.module:flow", of a flow that stands at the top level of its module'

_found_by_file: dict[str, Path] = {}
"""Files of the modules that were found by them, by name: another process could not import those by their names."""


def entrypoint_of(flow: Any) -> str:
    """Where a flow is found again; empty if it has no name at the top level of a module or script.

    Args:
        flow: what ``@flow`` made, or a ``Flow``; of the latter the modules are searched that are calling now.

    Example:
        >>> from dataflow import flow
        >>> @flow
        ... def nightly():
        ...     return 1
        >>> entrypoint_of(nightly)  # typed in, so that no file has it
        ''
    """
    function = getattr(flow, "fn", None)
    names = [getattr(function, "__module__", "")] if function is not None else _calling_modules()
    for name in names:
        module = sys.modules.get(name)
        found = None if module is None else _name_in(module, flow, getattr(function, "__qualname__", ""))
        if module is not None and found is not None:
            place = _place_of(module)
            return f"{place}:{found}" if place else ""
    return ""


def load_entrypoint(text: str) -> Any:
    """The flow that stands at an entry point; its module is imported, if it was not.

    Raises:
        UsageError: it cannot be imported, or there is no flow of that name.

    Example:
        >>> load_entrypoint("dataflow.recording.entrypoints:FIX")
        Traceback (most recent call last):
        ...
        dataflow.errors.UsageError: dataflow.recording.entrypoints:FIX: it is no flow, but a str
          instead: "file.py:flow" or "package.module:flow", of a flow that stands at the top level of its module
    """
    place, _, name = text.rpartition(":")
    module = _imported_file(Path(place), text) if place.endswith(".py") else _imported_module(place, text)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if not hasattr(found, "resume"):
        problem = f"there is no {name!r} in it" if found is None else f"it is no flow, but a {type(found).__name__}"
        raise UsageError(problem, where=text, fix=FIX)
    return found


def _calling_modules() -> list[str]:
    """Names of the modules whose code is calling, the innermost first, without those of this package."""
    names: dict[str, None] = {}
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] != PACKAGE:
            names[name] = None
        frame = frame.f_back
    return list(names)


def _name_in(module: ModuleType, flow: Any, likely: str) -> str | None:
    found = vars(module)
    if found.get(likely) is flow:
        return likely
    return next((name for name, value in list(found.items()) if value is flow and not name.startswith("_")), None)


def _place_of(module: ModuleType) -> str:
    """The name of a module that others import; the file of a script, also of one that was loaded as a module."""
    script = _found_by_file.get(module.__name__)
    if script is not None and _is_file_of(module, script):
        return str(script)
    if module.__name__ != "__main__":
        return module.__name__
    spec = getattr(module, "__spec__", None)
    if spec is not None and spec.name:  # python -m package.module
        return str(spec.name)
    file = getattr(module, "__file__", None)
    return str(Path(file).resolve()) if file and file.endswith(".py") else ""


def _imported_module(name: str, text: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        fix = "start Python where the module can be imported, or call flow.resume(...) from there"
        raise UsageError(f"it cannot be imported ({error})", where=text, fix=fix) from error
    except ValueError as error:  # an empty name
        raise UsageError("it names no module", where=text, fix=FIX) from error


def _imported_file(file: Path, text: str) -> ModuleType:
    """A script as a module: under the name of its file, so that what its tasks have kept is found again."""
    main = sys.modules["__main__"]
    if _is_file_of(main, file):
        return main
    if not file.is_file():
        raise UsageError("there is no such file", where=text, fix="run it where the file is")
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    module = _imported_module(file.stem, text)
    if not _is_file_of(module, file):
        problem = f"there is another module {file.stem!r} already: {getattr(module, '__file__', None)}"
        raise UsageError(problem, where=text, fix="give the file another name")
    # Workers, which may stand elsewhere, cannot import it: what it defines travels to them by value.
    cloudpickle.register_pickle_by_value(module)
    _found_by_file[module.__name__] = file.resolve()
    return module


def _is_file_of(module: ModuleType, file: Path) -> bool:
    known = getattr(module, "__file__", None)
    return bool(known) and Path(str(known)).resolve() == file.resolve()
