"""Which node and index the elements of a batch are that said something."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from dataflow.engine.notices import Notice, PlacedNotice
from dataflow.engine.records import BatchRecord

__all__ = ["placed"]


def placed(record: BatchRecord, notices: Sequence[Notice]) -> Iterator[PlacedNotice]:
    """Notices of a batch with their nodes and indices; those of elements that it has given back are left out.

    Args:
        record: of the batch that said it.
        notices: by step and offset.
    """
    ends = list(accumulate(span.stop - span.start for span in record.spans))
    for notice in notices:
        at = bisect_right(ends, notice.offset)
        if at < len(ends):
            span = record.spans[at]
            node = span.stage.facts[notice.step].node
            index = notice.offset - (ends[at] - span.stop)
            yield PlacedNotice(
                notice.kind, node, None if node.space is None else index, notice.attempt, notice.time, notice.body
            )
