"""The pack format: columns and blocks come back, every changed bit is noticed, old files stay readable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_results.errors import CorruptResult, ReadingError, UnknownFormat, UntrustedResult
from dataflow_results.packs.columns import pack_column, unpack_column
from dataflow_results.packs.encoding import BLOCK_BYTES, blocks_of, encode_pack, parse_head
from dataflow_results.packs.parts import pack_id
from dataflow_results.packs.shelf import check_pack
from tests.results.store.contents import COLLECTION, content, key, label, pack

FROZEN = Path(__file__).parent / "format_1.pack"
"""Written once by the first version; never to be written again."""


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 50), st.booleans()), min_size=1, max_size=8),
    st.sampled_from(["<u4", "|u1", "<u8", "<i8", "<f8"]),
)
def test_columns_come_back(pieces: list[tuple[int, int, bool]], dtype: str) -> None:
    """A column of runs and ramps and single numbers is the same after packing, in whichever form."""
    parts = [np.arange(start, start + length) if ramp else np.full(length, start) for start, length, ramp in pieces]
    values = np.concatenate(parts).astype(dtype)
    form, data = pack_column(values)
    assert np.array_equal(unpack_column(form, dtype, len(values), b"".join(data)), values)


def test_a_column_of_a_batch_takes_few_bytes() -> None:
    """A constant and a counting column of a million rows take a dozen bytes each."""
    for values in (np.full(10**6, 5, "<u8"), np.arange(3, 10**6, dtype="<i8")):
        assert sum(map(len, pack_column(values)[1])) == 12


def test_a_column_of_wrong_length_is_refused() -> None:
    """A column that gives more or fewer rows than the pack has is damage."""
    for values in (np.full(9, 5, "<u4"), np.array([1, 1, 1, 5, 5, 5], "<u4"), np.array([1, 9, 4], "<u4")):
        form, data = pack_column(values)
        if form == "runs" and len(data[0]) == 4:
            continue  # one run is as long as the pack
        with pytest.raises(CorruptResult):
            unpack_column(form, "<u4", len(values) + 1, b"".join(data))


@settings(deadline=None)
@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=40))
def test_blocks(lengths: list[int]) -> None:
    """Blocks cover all rows in order, and none but the last row of a block begins beyond its 64 KiB."""
    rows = blocks_of(np.array(lengths))
    assert rows[0] == 0
    assert rows[-1] == len(lengths)
    assert (np.diff(rows) > 0).all()
    for first, end in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True):
        assert sum(lengths[first : end - 1]) < 2 * BLOCK_BYTES


def test_a_head_comes_back() -> None:
    """All that a pack says of its rows is read again from its bytes."""
    data, written = pack({"a": b"one", "b": None}, 7)
    head = parse_head(data, where=label(7), size_bytes=len(data))
    assert bytes(head.keys) == key("a") + key("b")
    assert head.column("kind").tolist() == [0, 4]
    assert head.provenance(1) == written.provenance(1)
    assert (head.provenance(0).node, head.provenance(0).created_at, head.provenance(0).expires_at) == (
        "load-2",
        1.5,
        None,
    )
    assert head.size_bytes == len(data)
    assert not head.signed


def test_every_changed_bit_is_noticed() -> None:
    """Whichever byte of a pack is changed, reading it raises; nothing wrong comes out."""
    data, _ = pack({"a": b"one", "b": b"two"}, 7)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 4
        with pytest.raises(ReadingError):
            check_pack(changed, where=label(7))


def test_every_cut_is_noticed() -> None:
    """However much of the end of a pack is missing, reading it raises."""
    data, _ = pack({"a": b"one", "b": b"two"}, 7)
    for length in range(len(data)):
        with pytest.raises(CorruptResult):
            check_pack(data[:length], where=label(7))


def test_a_pack_under_another_name_is_refused() -> None:
    """A pack knows where it was written: renamed to a newer id, it could bring old results back."""
    data, _ = pack({"a": b"one"}, 7)
    with pytest.raises(CorruptResult, match=f"was written as {label(7)}"):
        check_pack(data, where=label(8))


def test_a_newer_format_is_refused() -> None:
    """A pack of a later version is not damage: the error says to upgrade."""
    data, _ = pack({"a": b"one"}, 7)
    newer = bytearray(data)
    newer[8] = 2
    with pytest.raises(UnknownFormat, match="format 2"):
        check_pack(newer, where=label(7))


@pytest.mark.parametrize("writer", [None, b"theirs"])
def test_signatures(writer: bytes | None) -> None:
    """With a key, only packs that were signed with it are read; without, all are."""
    for signing_key in (writer, b"ours"):
        parts, _ = encode_pack(pack_id(7, b"unique"), COLLECTION, content({"a": b"one"}, 7), signing_key=signing_key)
        data = b"".join(parts)
        assert check_pack(data, where=label(7)).signed == (signing_key is not None)
        if signing_key == b"ours":
            assert check_pack(data, where=label(7), signing_key=b"ours").rows == 1
        else:
            said = "is not signed" if signing_key is None else "not of this signing key"
            with pytest.raises(UntrustedResult, match=said):
                check_pack(data, where=label(7), signing_key=b"ours")


def test_format_1_is_readable_for_ever() -> None:
    """The frozen file of format 1 says what it always said."""
    data = FROZEN.read_bytes()
    head = check_pack(data, where=label(7))
    assert bytes(head.keys) == key("a") + key("b") + key("c")
    assert [head.column(name).tolist() for name in ("kind", "order", "index")] == [[0, 4, 0], [7] * 3, [0, 1, 2]]
    assert data[head.data_start : head.data_start + 6] == b"onesix"
    assert head.provenance(0).node == "load-2"
    span = head.sections[0].preimage
    assert span is not None
    assert data[head.data_start + span.start :] == b"made of"
