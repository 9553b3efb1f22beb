"""LINEAGE: keys by how values come to be, what is left out because of them, and what is done after all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataflow import Flow, flow, task
from dataflow.cache_policies import LINEAGE
from dataflow.elision import shorten
from dataflow_results.errors import KeyingError
from tests.graph.helpers import Sketch, keep, of

ran: list[str] = []


@task(persist_result=False)
def load(x: int) -> int:
    ran.append(f"load {x}")
    return 10 * x


@task(cache_policy=LINEAGE)
def refine(x: int, y: int = 1) -> int:
    ran.append(f"refine {x}")
    return x + y


@task(cache_policy=LINEAGE)
def add_up(xs: list[int]) -> int:
    ran.append("add up")
    return sum(xs)


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    """Each test counts from zero."""
    ran.clear()


def ran_since() -> list[str]:
    """What ran since the last time this was asked, in order of name."""
    found, ran[:] = sorted(ran), []
    return found


def test_shorten_leaves_out_what_only_leads_to_a_find() -> None:
    """Of a chain before a find nothing is run; a branch that leads elsewhere is."""
    sketch = Sketch()
    one = sketch.call(keep, 1)
    two = sketch.call(keep, of(one))
    found = sketch.call(keep, of(two))
    other = sketch.call(keep, of(one))
    left = shorten([one, two, found, other], {found})
    assert (left.run, left.found, left.unneeded) == ([one, other], [found], [two])


def test_shorten_runs_what_a_find_waits_for() -> None:
    """What was only to be done before, without bringing data, is done."""
    sketch = Sketch()
    before = sketch.call(keep, 1)
    found = sketch.call(keep, 2, how={"wait_for": [of(before)]})
    assert shorten([before, found], {found}).run == [before]


def test_nothing_upstream_of_a_find_runs(tmp_path: Path) -> None:
    """A second run loads the last result; its upstream, kept or not, is not run."""

    @flow(cluster="inline", result_storage=tmp_path)
    def main() -> int:
        return add_up(refine.map(load.map([1, 2, 3])))

    assert main() == 63
    assert ran_since() == ["add up", "load 1", "load 2", "load 3", "refine 10", "refine 20", "refine 30"]
    assert main() == 63
    assert ran_since() == []


def test_one_changed_item_runs_its_own_way_only(tmp_path: Path) -> None:
    """Elements count by their own items: of three, the one that changed is loaded and refined."""

    @flow(cluster="inline", result_storage=tmp_path)
    def main(items: list[int]) -> int:
        return add_up(refine.map(load.map(items)))

    main([1, 2, 3])
    ran_since()
    assert main([1, 2, 4]) == 73
    assert ran_since() == ["add up", "load 4", "refine 40"]


def test_an_upstream_constant_is_part_of_the_key(tmp_path: Path) -> None:
    """Another argument anywhere upstream is another result; a default counts as if it were given."""

    @flow(cluster="inline", result_storage=tmp_path)
    def main(x: int, **more: Any) -> int:
        return refine(refine.submit(load.submit(x), **more))

    assert main(1) == 12
    ran_since()
    assert main(1, y=1) == 12
    assert ran_since() == []
    assert main(1, y=2) == 13
    assert ran_since() == ["load 1", "refine 10", "refine 12"]


def test_what_was_left_out_runs_when_it_is_asked_for(tmp_path: Path) -> None:
    """The value of a node that was left out is there all the same, and so is one that a later task needs."""

    @flow(cluster="inline", result_storage=tmp_path)
    def main(*, ask: bool) -> Any:
        loaded = load.submit(1)
        last = refine.submit(loaded).result()
        if not ask:
            return last
        later = load.submit(loaded)
        return last, loaded.state.name, loaded.state.message, loaded.result(), later.result()

    assert main(ask=False) == 11
    ran_since()
    message = "not run: what uses it was found in the store"
    assert main(ask=True) == (11, "Cached", message, 10, 100)
    assert ran_since() == ["load 1", "load 10"]


def test_graph_door_leaves_out_too(tmp_path: Path) -> None:
    """In the graph door every handle can be asked; what was left out runs then."""
    with Flow("lineage", result_storage=tmp_path) as graph:
        loaded = load(1)
        refined = refine(loaded)
    graph.run(cluster="inline")
    ran_since()
    state = graph.run(cluster="inline")
    assert (state.result[refined].result, ran_since()) == (11, [])
    assert (state.result[loaded].result, ran_since()) == (10, ["load 1"])


def test_a_generator_has_no_lineage(tmp_path: Path) -> None:
    """What is known only when it has been read is refused at the call."""

    @flow(cluster="inline", result_storage=tmp_path)
    def main() -> Any:
        return refine.map(number for number in range(3))

    with pytest.raises(KeyingError, match="a generator is known only when it has been read"):
        main()


def test_a_long_chain_has_lineage(tmp_path: Path) -> None:
    """A chain longer than Python's stack is keyed, run and found."""

    @flow(cluster="inline", result_storage=tmp_path)
    def main() -> int:
        last = refine.submit(0)
        for _ in range(1200):
            last = refine.submit(last)
        return last.result()

    assert main() == 1201
    assert len(ran_since()) == 1201
    assert main() == 1201
    assert ran_since() == []
