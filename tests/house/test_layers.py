"""The layers of the package hold, and importing it stays cheap."""

from __future__ import annotations

from pathlib import Path

from tests.processes import printed_by

ROOT = Path(__file__).parents[2]
HEAVY = ("distributed", "bokeh", "numpy", "pandas", "tornado", "rich")
PATHS = (ROOT, ROOT / "results", ROOT / "integrations")


def printed(code: str) -> str:
    """What a fresh interpreter prints that finds the packages in their folders."""
    paths = [str(path) for path in PATHS]
    return printed_by("-c", f"import sys; sys.path[:0] = {paths!r}; {code}")


def loaded_by(statement: str, *, asked: tuple[str, ...]) -> list[str]:
    """Names among ``asked`` that a fresh interpreter has loaded after a statement."""
    return printed(f"{statement}; print(*[name for name in {asked!r} if name in sys.modules])").split()


def test_a_worker_starts_without_what_only_clients_need() -> None:
    """What runs a batch loads neither pydantic nor settings, the results or processes for isolated tasks."""
    asked = ("pydantic", "dataflow.settings", "dataflow_results.store", "dataflow.engine.isolation.pool")
    assert loaded_by("import dataflow.engine.worker", asked=asked) == []


def test_every_module_imports_only_layers_below() -> None:
    """The contracts written in pyproject.toml are kept, and new modules have been given a layer."""
    # In a process of its own: it sets up logging anew, and whoever listened before hears nothing any more.
    printed("from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))")


def test_importing_dataflow_is_cheap() -> None:
    """A bare import loads neither the distributed scheduler nor any heavy library."""
    assert loaded_by("import dataflow", asked=HEAVY) == []


def test_the_import_check_sees_what_is_loaded() -> None:
    """The check above is able to fail: it names a heavy library that a statement does load."""
    assert loaded_by("import distributed", asked=("distributed", "bokeh")) == ["distributed"]


def test_results_do_not_load_dataflow() -> None:
    """The ground floor can be used by itself."""
    assert loaded_by("import dataflow_results", asked=("dataflow", "dask", "distributed")) == []
