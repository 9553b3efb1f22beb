"""The look-up table: what is newest is in force, whatever the order in which packs come and go."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_results.packs.index import Found, KeyIndex
from dataflow_results.packs.parts import PackHead
from tests.results.store.contents import content, key, pack

rows = st.dictionaries(st.integers(0, 8), st.sampled_from([b"value", None]), min_size=1)


def owners(index: KeyIndex, found: Found) -> list[tuple[str, int] | None]:
    """For each key the pack it was found in, and the row."""
    heads = [None if number < 0 else index.head(number) for number in found.pack.tolist()]
    return [None if head is None else (head.id, row) for head, row in zip(heads, found.row.tolist(), strict=True)]


@settings(deadline=None)
@given(st.lists(rows, max_size=12).flatmap(lambda packs: st.permutations(list(enumerate(packs, 1)))), st.data())
def test_the_newest_is_in_force(packs: list[tuple[int, dict[int, bytes | None]]], data: st.DataObject) -> None:
    """In whatever order packs are taken in, the row of the newest pack is found; a tombstone hides older rows."""
    index = KeyIndex()
    truth: dict[int, tuple[int, str, int, bytes | None]] = {}
    for order, items in packs:
        head = pack(items, order)[1]
        index.update(add=[head])
        for row, (name, value) in enumerate(items.items()):
            if truth.get(name, (0,))[0] < order:
                truth[name] = (order, head.id, row, value)
    asked = data.draw(st.permutations(range(10)))
    found = index.find(b"".join(map(key, asked)), now=0.0)
    live = {name: (identity, row) for name, (_, identity, row, value) in truth.items() if value is not None}
    assert owners(index, found) == [live.get(name) for name in asked]


def test_dropped_packs_are_missing() -> None:
    """Rows of a pack that was taken out are missing; a merged pack with the same orders takes their place at once."""
    index = KeyIndex()
    first, second, merged = pack({"a": b"1"}, 1)[1], pack({"b": b"2"}, 2)[1], pack({"a": b"1", "b": b"2"}, 3)[1]
    index.update(add=[first, second])
    index.update(drop=[first.id])
    assert owners(index, index.find(key("a") + key("b"), now=0.0)) == [None, (second.id, 0)]
    index.update(add=[merged], drop=[second.id])
    assert owners(index, index.find(key("a") + key("b"), now=0.0)) == [(merged.id, 0), (merged.id, 1)]


def test_equal_orders_prefer_what_came_last() -> None:
    """A merged pack, whose rows keep their orders, stands for its sources even before they are taken out."""
    source, merged = pack({"a": b"1"}, 5)[1], pack({"a": b"1"}, 6)[1]
    copied = {**content({"a": b"1"}, 5).columns}
    merged = pack({"a": b"1"}, 6, columns=copied)[1]
    for together in ([[source, merged]], [[source], [merged]]):
        index = KeyIndex()
        for heads in together:
            index.update(add=heads)
        assert owners(index, index.find(key("a"), now=0.0)) == [(merged.id, 0)]


def test_keys_that_begin_alike() -> None:
    """Keys that agree in their first eight bytes are told apart."""
    keys = [b"prefix--" + bytes([number]) * 12 for number in range(50)]
    index = KeyIndex()
    head = pack(dict.fromkeys(range(40), b"x"), 1, keys=b"".join(keys[:40]))[1]
    index.update(add=[head])
    asked = [*keys[::-1], b"prefix--" + b"\xff" * 12, b"prefiw--" + bytes(12), b"prefiy--" + bytes(12)]
    found = index.find(b"".join(asked), now=0.0)
    assert found.row.tolist() == [-1] * 10 + list(range(39, -1, -1)) + [-1] * 3


def test_expired_rows_are_missing() -> None:
    """A row is found before its end and missing from then on; the miss says why."""
    index = KeyIndex()
    columns = {**content({"a": b"1", "b": b"2"}, 1).columns, "expires_at": np.array([10.0, np.inf])}
    index.update(add=[pack({"a": b"1", "b": b"2"}, 1, columns=columns)[1]])
    for now, missing in ((9.9, []), (10.0, [0])):
        found = index.find(key("a") + key("b") + key("c"), now=now)
        assert found.missing.tolist() == [*missing, 2]
        assert np.flatnonzero(found.expired).tolist() == missing


def test_nothing_asked_and_nothing_stored() -> None:
    """No keys, and an empty index, are no special cases."""
    assert len(KeyIndex().find(b"", now=0.0)) == 0
    assert KeyIndex().find(key("a"), now=0.0).missing.tolist() == [0]


def test_a_long_run_stays_fast_to_search() -> None:
    """Adding many packs one by one leaves few segments, each at least twice as long as the next."""
    index = KeyIndex()
    for order in range(1, 301):
        index.update(add=[pack({(order, row): b"" for row in range(3)}, order)[1]])
    lengths = [len(segment) for segment in index._state.segments]
    assert sum(lengths) == 900
    assert all(left >= 2 * right for left, right in itertools.pairwise(lengths))


def test_threads_share_an_index() -> None:
    """While packs are added, every look-up of another thread sees whole packs."""
    index = KeyIndex()
    count = 200
    heads: list[PackHead] = [
        pack(dict.fromkeys(range(50), b""), order, keys=os.urandom(1000))[1] for order in range(1, count)
    ]
    everything = b"".join(bytes(head.keys) for head in heads)

    def look(_: int) -> set[int]:
        found = index.find(everything, now=0.0)
        return set(np.bincount(found.pack[found.pack >= 0], minlength=1).tolist())

    with ThreadPoolExecutor(4) as pool:
        looks = [pool.submit(look, number) for number in range(40)]
        adds = [pool.submit(index.update, add=[head]) for head in heads]
        assert set().union(*(look.result() for look in looks)) <= {0, 50}
        assert [add.result() for add in adds] == [None] * (count - 1)
    assert len(index.find(everything, now=0.0).missing) == 0
