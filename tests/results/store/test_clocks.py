"""The order of writes: what was written after something was seen is newer, whatever the clocks say."""

from __future__ import annotations

from dataclasses import replace

from dataflow_results.packs.clocks import BELIEVED, Orders, seconds_of
from dataflow_results.packs.encoding import encode_pack
from dataflow_results.packs.parts import pack_id
from dataflow_results.store import ResultStore
from dataflow_results.task_results import TaskResults
from tests.results.servers import Place
from tests.results.store.contents import COLLECTION, content, key


def test_orders_grow_though_the_clock_does_not() -> None:
    """Each order is above the one before and above what was seen, even if the clock stands or goes back."""
    orders = Orders()
    first = orders.next(lambda: 5.0)
    second = orders.next(lambda: 5.0)
    third = orders.next(lambda: 1.0, second + 1000)
    assert first < second < third == second + 1001


def test_an_order_says_when() -> None:
    """The time is in the order, to the microsecond."""
    assert seconds_of(Orders().next(lambda: 4e9 + 0.25)) == 4e9 + 0.25


def test_a_broken_clock_is_not_followed() -> None:
    """An order of the next century does not push all that come after it there."""
    assert seconds_of(Orders().next(lambda: 5.0, BELIEVED)) == 5.0


def test_who_has_looked_is_newer(local: Place) -> None:
    """A value that replaces what another process wrote with a clock far ahead is in force."""
    store = ResultStore(local.url)
    ahead = Orders().next(lambda: 4e9)
    parts, head = encode_pack(pack_id(ahead, b"unique"), COLLECTION, content({"a": b"\x80\x05K\x01."}, ahead))
    store.files.write(f"tasks/{COLLECTION}/packs/{head.id}.pack", parts)
    behind = TaskResults(replace(store._setup, clock=lambda: 1.0), COLLECTION)
    assert behind.load(behind.find(key("a"), now=0.0)) == [1]
    behind.save(key("a"), [2], head.provenance(0))
    fresh = ResultStore(local.url).task(COLLECTION)
    assert fresh.load(fresh.find(key("a"), now=0.0)) == [2]
