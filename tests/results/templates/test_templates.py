"""Templates of file names are read, filled in, and refused where they are wrong."""

from __future__ import annotations

import datetime as dt
import pickle

import pytest

from dataflow_results.errors import TemplateError
from dataflow_results.templates import Place, Template, serializer_for

PLACE = Place(
    task_name="load", flow_name="nightly", run_id="r1", node="load-2", date=dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{parameters[date]}/{task_name}-{index}.parquet", "d/load-7.parquet"),
        ("{flow_name}/{run_id}/{node}.{map_index:03}.json", "nightly/r1/load-2.007.json"),
        ("{date:%Y/%m}/{today}.txt", "2026/01/2026-01-02.txt"),
        ("{parameters[rows][0]}.txt", "1.txt"),
        ("plain.txt", "plain.txt"),
    ],
)
def test_template_is_filled_in(text: str, name: str) -> None:
    """Every field stands for what its name says, with the formats of Python."""
    assert Template(text).name(PLACE, 7, {"date": "d", "rows": [1]}) == name


@pytest.mark.parametrize("text", ["{nothing}", "{index", "/etc/{index}", "../{index}", "a//b", "", "{}"])
def test_wrong_template_is_refused(text: str) -> None:
    """A template that is not well formed, names what is not there or leaves the store is refused when it is made."""
    with pytest.raises(TemplateError, match="result_storage_key"):
        Template(text)


@pytest.mark.parametrize(
    ("arguments", "part"), [({}, "KeyError"), ({"x": "../../etc"}, "no file name"), ({"x": "/etc"}, "no file name")]
)
def test_values_cannot_break_out(arguments: dict[str, str], part: str) -> None:
    """A missing argument, or a value that would lead out of the store, is refused for its element."""
    with pytest.raises(TemplateError, match=part):
        Template("{parameters[x]}/a.txt").name(PLACE, 0, arguments)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("{index}", True),
        ("{node}", False),
        ("{parameters[x]}", None),
        ("{parameters[y]}", False),
        ("{parameters}", None),
    ],
)
def test_whether_elements_get_different_files(text: str, answer: bool | None) -> None:
    """It is known before a run whether the elements of a map get different files, unless their values decide."""
    assert Template(text).tells_apart(frozenset({"x"})) is answer


def test_template_pickles() -> None:
    """A template travels to workers."""
    assert pickle.loads(pickle.dumps(Template("{index}.json"))).text == "{index}.json"


@pytest.mark.parametrize(
    ("name", "serializer"), [("a/{index}.PARQUET", "parquet"), ("a.b/{index}", None), ("x.xyz", None)]
)
def test_ending_decides_the_serializer(name: str, serializer: str | None) -> None:
    """A file name says by its ending how the value is written."""
    assert serializer_for(name) == serializer
