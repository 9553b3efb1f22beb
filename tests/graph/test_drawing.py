"""Pictures of graphs: the text of small ones, worked out by hand."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from dataflow.annotations import flatten, unmapped
from dataflow.graph.drawing import to_dot, to_mermaid
from dataflow.graph.nodes import Node
from tests.graph.helpers import Sketch, keep, of, pair


@pytest.fixture
def nodes() -> list[Node]:
    """A list, two maps over it, a gather that also waits."""
    sketch = Sketch()
    load = sketch.call(keep, [1, 2])
    each = sketch.map(keep, of(load))
    known = sketch.map(pair, range(1_000), unmapped(of(load)))
    sketch.call(pair, {"a": of(known)}, of(each, 1), how={"wait_for": [of(load)]})
    return sketch.graph.nodes


def test_mermaid(nodes: list[Node]) -> None:
    """Mapped nodes are framed twice and have a length, edges have names, waiting is dashed."""
    assert to_mermaid(nodes).splitlines() == [
        "flowchart TD",
        '    n0["keep"]',
        '    n1[["keep-2 [?]"]]',
        '    n2[["pair [1,000]"]]',
        '    n3["pair-2"]',
        '    n0 -->|"x, iterated"| n1',
        '    n0 -->|"y"| n2',
        '    n2 -->|"x, gathered"| n3',
        '    n1 -->|"y, element 1"| n3',
        "    n0 -.-> n3",
    ]


def test_dot(nodes: list[Node]) -> None:
    """The same in Graphviz's language."""
    assert to_dot(nodes, name="example").splitlines() == [
        'digraph "example" {',
        "    node [shape=box]",
        '    n0 [label="keep"]',
        '    n1 [label="keep-2 [?]", shape=box3d]',
        '    n2 [label="pair [1,000]", shape=box3d]',
        '    n3 [label="pair-2"]',
        '    n0 -> n1 [label="x, iterated"]',
        '    n0 -> n2 [label="y"]',
        '    n2 -> n3 [label="x, gathered"]',
        '    n1 -> n3 [label="y, element 1"]',
        "    n0 -> n3 [style=dashed]",
        "}",
    ]


def test_several_uses_are_one_edge() -> None:
    """Two arguments between the same nodes share a line; a flatten says so; nodes not given are left out."""
    sketch = Sketch()
    up = sketch.map(keep, [[1], [2]])
    sketch.map(pair, flatten(of(up)), unmapped(of(up)))
    assert to_mermaid(sketch.graph.nodes).splitlines()[-1] == '    n0 -->|"x, flattened; y, gathered"| n1'
    assert to_mermaid(sketch.graph.nodes[1:]).splitlines() == ["flowchart TD", '    n0[["pair [?]"]]']


def test_names_cannot_break_the_picture() -> None:
    """Quotes, angle brackets and backslashes in a name are escaped."""
    sketch = Sketch()
    node = sketch.call(keep, 1, how={"slug": 'a "b" <c> \\'})
    assert '"a #quot;b#quot; #lt;c#gt; \\"' in to_mermaid([node])
    assert '"a \\"b\\" <c> \\\\"' in to_dot([node])


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_accepts_it(nodes: list[Node]) -> None:
    """The program itself reads the text."""
    subprocess.run(["dot", "-Tplain"], input=to_dot(nodes), text=True, check=True, capture_output=True, timeout=30)
