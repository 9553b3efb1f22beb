"""What belongs to the user's project, and what is the standard library or an installed package."""

from __future__ import annotations

import functools
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

__all__ = ["belongs_to_project", "shares_package"]

OWN_PACKAGES = frozenset({"dataflow", "dataflow_integrations", "dataflow_results"})
"""This library itself, also where it is run from its sources."""
INSTALLED_FOLDERS = frozenset({"dist-packages", "site-packages"})


def belongs_to_project(module_name: str) -> bool:
    """Whether code of a module counts by its source: it is neither of Python nor an installed package.

    Example:
        >>> belongs_to_project("__main__"), belongs_to_project("json"), belongs_to_project("numpy")
        (True, False, False)
    """
    top = module_name.partition(".")[0]
    if top == "__main__":
        return True
    if top in OWN_PACKAGES or top in sys.stdlib_module_names or top == "builtins":
        return False
    module = sys.modules.get(top)
    return module is None or _is_at_home(_place_of(module))


def shares_package(module_name: str, root_module: str) -> bool:
    """Whether two modules are of one package, and that is neither Python's own nor this library."""
    top = module_name.partition(".")[0]
    nobodys = top in sys.stdlib_module_names or top in OWN_PACKAGES or top in ("", "builtins")
    return top == root_module.partition(".")[0] and not nobodys


def _place_of(module: ModuleType) -> str:
    """File or folder of a module; empty for one that was made by hand."""
    return getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")


@functools.cache
def _is_at_home(place: str) -> bool:
    path = Path(place)
    standard = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    return not INSTALLED_FOLDERS.intersection(path.parts) and not any(path.is_relative_to(root) for root in standard)
