"""Tables and facts about stored results, as `dataflow.cli.results` prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dataflow.cli.output import Column, print_table
from dataflow.quantities import shown_bytes, shown_number, shown_seconds, shown_time
from dataflow_results.care.catalogue import BatchRecord, ElementRecord, GroupRecord
from dataflow_results.keying.cells import readable
from dataflow_results.keying.preimages import Preimage
from dataflow_results.packs.parts import Kind

__all__ = ["SHORT_KEY", "facts_of", "made_of", "print_batches", "print_elements", "print_groups", "title_of"]

SHORT_KEY: Final = 12
"""Digits of a key in a table; `dataflow results show` takes them."""
SHOWN_LEAVES: Final = 5
TITLES: Final = {"run_id": "run"}


def title_of(name: str) -> str:
    """What a column of a name is called."""
    return TITLES.get(name, name)


def print_groups(names: Sequence[str], groups: Sequence[GroupRecord]) -> None:
    """A row for each group of batches."""
    columns = [Column(title_of(name), folds=True) for name in names]
    columns += [Column("results", is_number=True), Column("size", is_number=True), Column("stored (UTC)")]
    rows = [
        (*group.names, shown_number(group.results), shown_bytes(group.size_bytes), shown_time(group.last_at))
        for group in groups
    ]
    print_table(columns, rows)


def print_batches(batches: Sequence[BatchRecord]) -> None:
    """A row for each batch."""
    columns = [Column(name, folds=True) for name in ("task", "run", "node")]
    columns += [Column("elements"), *(Column(name, is_number=True) for name in ("results", "size", "took"))]
    columns += [Column("stored (UTC)"), Column("pack", folds=True)]
    print_table(columns, [_batch_row(batch) for batch in batches])


def _batch_row(batch: BatchRecord) -> Sequence[str]:
    return (
        batch.task,
        batch.run_id,
        batch.node,
        f"{batch.first_index}-{batch.last_index}" if batch.results > 1 else str(batch.first_index),
        shown_number(batch.results),
        shown_bytes(batch.size_bytes),
        shown_seconds(batch.attempt_seconds) if batch.attempt_seconds else "",
        shown_time(batch.created_at),
        batch.pack,
    )


def print_elements(elements: Sequence[ElementRecord]) -> None:
    """A row for each single result."""
    columns = [Column(name, folds=True) for name in ("task", "run", "node")]
    columns += [Column("element", is_number=True), Column("size", is_number=True)]
    columns += [Column("stored (UTC)"), Column("expires"), Column("name", folds=True), Column("key")]
    print_table(columns, [_element_row(element) for element in elements])


def _element_row(element: ElementRecord) -> Sequence[str]:
    said = element.provenance
    return (
        said.task or element.collection,
        said.run_id,
        said.node,
        str(element.index),
        shown_bytes(element.size_bytes),
        shown_time(said.created_at),
        shown_time(said.expires_at),
        element.name or "",
        element.key.hex()[:SHORT_KEY],
    )


def facts_of(element: ElementRecord) -> dict[str, str]:
    """What is known of a result, by name; empty where nothing is."""
    said = element.provenance
    return {
        "name": element.name or "",
        "task": said.task or f"none; collection {element.collection}",
        "flow": said.flow,
        "run": said.run_id,
        "node": f"{said.node}, element {element.index}" if said.node else "",
        "stored": f"{shown_time(said.created_at, exact=True)} UTC",
        "expires": f"{shown_time(said.expires_at, exact=True)} UTC" if said.expires_at else "",
        "given": "" if element.given else "no: replaced, or expired",
        "size": f"{shown_bytes(element.size_bytes)} as {element.serializer}",
        "place": element.place or f"pack {element.pack}, row {element.row}",
        "kind": element.kind.name.lower() if element.kind is not Kind.INLINE else "",
        "batch took": shown_seconds(said.attempt_seconds) if said.attempt_seconds else "",
        "written by": " ".join(part for part in (said.writer, said.python, said.version) if part),
    }


def made_of(preimage: Preimage) -> dict[str, str]:
    """What a key was made of, in lines."""
    lines = {"policy": preimage.policy, "function": preimage.module_qualname}
    if preimage.version is not None:
        lines["version"] = preimage.version
    for name, cell in preimage.arguments.items():
        lines[f"argument {name}"] = _cell(cell, preimage.outlines.get(name, {}))
    for name, cell in preimage.parameters.items():
        lines[f"parameter {name}"] = _cell(cell, preimage.outlines.get(f"parameters.{name}", {}))
    for name, part in preimage.source_parts.items():
        lines[f"source of {name}"] = part
    places = {"run": preimage.run, "node": preimage.node, "element": preimage.index}
    return {**lines, **{name: str(value) for name, value in places.items() if value not in {"", None}}}


def _cell(cell: bytes, leaves: Mapping[str, str]) -> str:
    shown = readable(cell)
    if shown:
        return shown
    named = "; ".join(f"{path} = {text}" for path, text in list(leaves.items())[:SHOWN_LEAVES])
    return named or f"{cell.hex()} (digest)"
