"""Pre-images: what went into keys comes back, small, and damage is noticed."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_results.canonical import encode
from dataflow_results.errors import CorruptResult, UnknownFormat
from dataflow_results.keying.cells import CellColumn, readable, short_cell
from dataflow_results.keying.preimages import pack_preimage, unpack_preimage
from dataflow_results.policies import DEFAULT, INPUTS
from tests.results.keys.calls import keys_of, plan_of, preimage_of, wanted_of


@given(st.lists(st.binary(max_size=67)))
def test_columns_of_cells_come_back(cells: list[bytes]) -> None:
    """Packing and unpacking a column gives each of its cells, cut as `short_cell` cuts it."""
    lengths, joined = CellColumn.of(cells).packed()
    read = CellColumn.unpacked(lengths, joined, len(cells))
    assert [read[row] for row in range(len(read))] == [short_cell(cell) for cell in cells]


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (-(2**62), "-4611686018427387904"), (2.5, "2.5"), (True, "True"), (None, "None"), ("day", "'day'")],
)
def test_cells_of_plain_values_can_be_read(value: Any, text: str) -> None:
    """A number or short text is kept whole, so that a message can show it."""
    assert readable(encode(value)) == text


@pytest.mark.parametrize("value", ["x" * 200, [1, 2], {"a": 1}, 2**80])
def test_other_cells_show_nothing(value: Any) -> None:
    """What is not whole in the cell is not made up."""
    assert readable(encode(value)) == ""


def test_rows_come_back_with_what_they_share() -> None:
    """Each row has its own arguments, those of the batch and those of the plan."""
    plan = plan_of(DEFAULT, names=["x", "y", "z"], constants={"z": "last"})
    batch = unpack_preimage(pack_preimage(plan, plan.keys({"x": [1, 2]}, {"y": 5}, 2, range(2))))
    assert batch.count == 2
    shown = {name: readable(cell) for name, cell in batch.row(1).arguments.items()}
    assert shown == {"x": "2", "y": "5", "z": "'last'"}
    assert batch.row(1).varying == {"x"}
    assert batch.row(0).source_parts == {"load": "0" * 16, "clean": "1" * 16}
    assert batch.row(0).policy == "INPUTS + TASK_SOURCE"


def test_only_stored_rows_are_kept() -> None:
    """With rows given, the pre-image has these, in their order."""
    plan = plan_of(INPUTS, names=["x"])
    batch = unpack_preimage(pack_preimage(plan, keys_of(plan, x=[10, 11, 12, 13]), [3, 1]))
    assert [readable(batch.row(row).arguments["x"]) for row in range(batch.count)] == ["13", "11"]


def test_what_does_not_count_is_not_kept() -> None:
    """Arguments, sources, runs and parameters outside the policy leave no trace in the record."""
    plan = plan_of(INPUTS - "y", constants={"y": "secret word"})
    packed = pack_preimage(plan, keys_of(plan, x=[1]), columns={"x": [1]}, shared={"y": "secret word"})
    assert b"secret" not in packed
    row = unpack_preimage(packed).row(0)
    assert (row.source, row.run, row.node, row.parameters, row.index) == ("", "", "", {}, None)


def test_leaves_are_kept_for_few_elements_only() -> None:
    """A small batch keeps the leaves of its elements, a large one only their cells, and long values are bounded."""
    plan = plan_of(INPUTS, names=["x"])
    assert wanted_of(plan, x={"a": 1}).outlines["x"] == {"x['a']": "1"}
    large = [{"a": number} for number in range(1000)]
    assert preimage_of(plan, x=large).row(0).outlines == {}
    assert len(wanted_of(plan, x=list(range(10_000))).outlines["x"]) <= 201


def test_size_per_element_is_small() -> None:
    """A thousand ints cost about ten bytes each, a thousand long values about eleven."""
    plan = plan_of(INPUTS, names=["x"])
    fixed = len(pack_preimage(plan, keys_of(plan, x=[0])))
    assert len(pack_preimage(plan, keys_of(plan, x=list(range(1000))))) - fixed < 10_100
    assert len(pack_preimage(plan, keys_of(plan, x=["long" * 50] * 1000))) - fixed < 10_100


@pytest.mark.parametrize("damaged", [b"", b"\xc1", b"text", msgpack.packb({"version": 1}), msgpack.packb([1])])
def test_damage_is_noticed(damaged: bytes) -> None:
    """What is no pre-image is refused as damage."""
    with pytest.raises(CorruptResult, match="are no pre-image"):
        unpack_preimage(damaged)


@given(st.binary(max_size=200))
def test_noise_raises_only_errors_of_ours(noise: bytes) -> None:
    """Random bytes never raise anything but the two errors that say so."""
    with pytest.raises((CorruptResult, UnknownFormat)):
        unpack_preimage(noise)


def test_newer_formats_say_so() -> None:
    """A pre-image of a later version asks for an update instead of being misread."""
    with pytest.raises(UnknownFormat, match="version 99"):
        unpack_preimage(msgpack.packb({"version": 99}))
