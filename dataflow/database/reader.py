"""Reading the history of runs while others write it; a database that is not there is empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

from dataflow.database.addresses import canonical_url, without_password
from dataflow.database.databases import Link
from dataflow.database.deleting import delete_run, outdated_runs
from dataflow.database.opening import database_at
from dataflow.database.plain_nodes import node_rows, segment_rows
from dataflow.database.retention import Keep
from dataflow.database.rows import (
    ArtifactRow,
    BatchRow,
    ExecutionRow,
    LogRow,
    NodeRow,
    PlainNodesRow,
    RequestRow,
    Row,
    RunRow,
    SegmentRow,
    StateRow,
)
from dataflow.database.schema import is_ready_to_read, make_ready
from dataflow.database.shapes import NUMBER, SHAPES, keyed
from dataflow.database.statements import Query, Words, put
from dataflow.errors import HistoryError

__all__ = ["Reader"]

LARGE: Final = ("uses", "rules")
"""Columns of nodes that only a story of one of them needs."""
RUN_LARGE: Final = ("arguments",)


class Reader:
    """Asks a database of runs.

    Nothing is held open between two questions, and any number of readers and writers can be at work at once.

    Args:
        url: as for `dataflow.database.writer.writer_of`.

    Raises:
        HistoryError: the URL names no database; a question raises it when the database cannot be read.

    Example:
        >>> Reader("/tmp/nothing-was-ever-written-here.db").runs()
        []
    """

    def __init__(self, url: str) -> None:
        address = canonical_url(url)
        self._database = database_at(address)
        self._words = Words(self._database.quote)
        self.where = without_password(address)

    def runs(
        self,
        limit: int | None = None,
        *,
        flow: str | None = None,
        states: Sequence[int] | None = None,
        since: float | None = None,
        ids: Sequence[str] | None = None,
        prefix: str | None = None,
        parent: str | None = None,
    ) -> list[RunRow]:
        """Runs, newest first, without their pickled arguments.

        Args:
            limit: no more than so many.
            flow: name of their flow.
            states: numbers of their states.
            since: only those that began then or later, in seconds since the epoch.
            ids: only these.
            prefix: only those whose id begins so.
            parent: only those that were begun in this run; "" for those that were begun in none.
        """
        query = Query(self._words, RunRow, without=RUN_LARGE).equal(flow=flow, parent=parent)
        query.among("id", ids).among("state", states)
        if since is not None:
            query.where(f"{self._words.quote('started')} >= :since", {"since": since})
        if prefix is not None:
            query.where("substr(id, 1, :letters) = :prefix", {"letters": len(prefix), "prefix": prefix})
        return self._rows(query.ordered("started", "id", newest_first=True, limit=limit))

    def run(self, id_or_prefix: str) -> RunRow | None:
        """A run with all that is kept of it; None if there is none whose id begins so.

        Raises:
            HistoryError: there are several.
        """
        found = [run.id for run in self.runs(prefix=id_or_prefix)]
        if id_or_prefix not in found and len(found) > 1:
            raise HistoryError(
                f"{len(found)} runs begin so: {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}",
                where=f"run {id_or_prefix!r}",
                fix="give more of the id",
            )
        chosen = id_or_prefix if id_or_prefix in found else next(iter(found), "")
        run: RunRow | None = self._only(Query(self._words, RunRow).equal(id=chosen))
        return run

    def executions(self, run_id: str) -> list[ExecutionRow]:
        """The executions of a run, first one first."""
        return self._rows(Query(self._words, ExecutionRow).equal(run_id=run_id).ordered("started"))

    def states(self, run_id: str) -> list[StateRow]:
        """What states a run came into, in that order."""
        return self._rows(Query(self._words, StateRow).equal(run_id=run_id).ordered("time"))

    def nodes(self, execution_id: str, *, number: int | None = None, complete: bool = False) -> list[NodeRow]:
        """The nodes of an execution in the order of its graph.

        Args:
            execution_id: which execution.
            number: only this node.
            complete: with ``uses`` and ``rules``, which are empty otherwise.
        """
        query = Query(self._words, NodeRow, without=() if complete else LARGE)
        own = {row.number: row for row in self._rows(query.equal(execution_id=execution_id, number=number))}
        packed = self._plain_nodes(execution_id, number)
        plain = {row.number: row for many in packed for row in node_rows(many, number, complete=complete)}
        return sorted((plain | own).values(), key=lambda row: row.number)

    def segments(self, execution_id: str, node: int | None = None, *, batch: int | None = None) -> list[SegmentRow]:
        """The elements of an execution, of one of its nodes or of one batch, by node and index."""
        query = Query(self._words, SegmentRow).equal(execution_id=execution_id, node=node, batch=batch)
        own = {(row.node, row.start): row for row in self._rows(query)}
        packed = self._plain_nodes(execution_id, node)
        plain = {(row.node, row.start): row for many in packed for row in segment_rows(many, node, batch=batch)}
        return sorted((plain | own).values(), key=lambda row: (row.node, row.start))

    def _plain_nodes(self, execution_id: str, number: int | None) -> list[PlainNodesRow]:
        """Rows of many nodes: all, or those that may hold this one."""
        query = Query(self._words, PlainNodesRow).equal(execution_id=execution_id)
        if number is not None:
            first, last = map(self._words.quote, ("first", "last"))
            query.where(f":number BETWEEN {first} AND {last}", {"number": number})
        return self._rows(query)

    def batches(self, execution_id: str) -> list[BatchRow]:
        """The batches of an execution by number."""
        return self._rows(Query(self._words, BatchRow).equal(execution_id=execution_id).ordered("number"))

    def logs(self, execution_id: str, node: int | None = None, *, after_id: int = 0) -> list[tuple[int, LogRow]]:
        """Lines of an execution or of one of its nodes, each row with its id; ids grow in the order of writing.

        Args:
            execution_id: which execution.
            node: number of the node; None: of all of them and of the body of the flow.
            after_id: only rows that were written after the one of this id.
        """
        shape = SHAPES[LogRow]
        query = Query(self._words, LogRow).equal(execution_id=execution_id, node=node)
        query.where(f"{self._words.quote(NUMBER)} > :after", {"after": after_id}).ordered(NUMBER)
        statement = self._words.select(LogRow, shape.all_columns)
        return [(values[-1], shape.row_of(shape.columns, values[:-1])) for values in self._asked(query, statement)]

    def artifact(self, artifact_id: str) -> ArtifactRow | None:
        """The artifact of an id; None if there is none."""
        artifact: ArtifactRow | None = self._only(Query(self._words, ArtifactRow).equal(id=artifact_id))
        return artifact

    def artifacts(
        self, run_id: str | None = None, key: str | None = None, *, newest_only: bool = False
    ) -> list[ArtifactRow]:
        """Artifacts in the order in which they were made.

        Args:
            run_id: only those of a run; "" for those that were made outside of runs.
            key: only versions of this.
            newest_only: of each key only the newest one; those without a key all the same.
        """
        found = self._rows(Query(self._words, ArtifactRow).equal(run_id=run_id, key=key).ordered("created", "updated"))
        if not newest_only:
            return found
        newest = {row.key or (row.id,): row for row in found}
        return [row for row in found if newest[row.key or (row.id,)] is row]

    def requests(self, run_id: str, *, open_only: bool = False) -> list[RequestRow]:
        """What was asked of a run, and the answers, in the order of asking; or only what is not answered yet."""
        query = Query(self._words, RequestRow).equal(run_id=run_id)
        if open_only:
            query.where(f"{self._words.quote('answered')} IS NULL", {})
        return self._rows(query.ordered("asked"))

    def outdated(self, *, keep_days: float | None, keep_runs: int | None, now: float) -> list[RunRow]:
        """The runs that `delete_runs` would be given to keep no more than is wanted, oldest first."""
        with self._reading() as link:
            keep = Keep(days=keep_days, runs=keep_runs)
            going = outdated_runs(link, self._words, keep, now) if link is not None else []
        wanted = set(going)
        return [run for run in reversed(self.runs()) if run.id in wanted]

    def put(self, rows: Iterable[Row]) -> None:
        """Write rows from outside of a run, at once; each in place of the one with an equal key.

        Raises:
            HistoryError: they cannot be written.
        """
        named = {keyed(row): row for row in rows}
        with self._explained("written"):
            make_ready(self._database, self.where)
            try:
                with self._database.writing() as link:
                    put(link, named)
            finally:
                self._database.close()

    def exchange(self, before: RequestRow | None, after: RequestRow) -> bool:
        """Write a request in place of what it was when it was read; in one transaction, whoever else does the same.

        Args:
            before: what it was; None: it was not there.
            after: what it is to be, with the same id.

        Returns:
            Whether it was written: False if somebody else has changed it meanwhile.

        Raises:
            HistoryError: it cannot be written.
        """
        with self._explained("written"):
            make_ready(self._database, self.where)
            try:
                with self._database.writing() as link:
                    return self._exchanged(link, before, after)
            except self._database.refusals:
                if before is None:
                    return False  # a server lets two look at once, and refuses the second of two equal keys
                raise
            finally:
                self._database.close()

    def _exchanged(self, link: Link, before: RequestRow | None, after: RequestRow) -> bool:
        table, name = self._words.quote(SHAPES[RequestRow].table), self._words.quote("id")
        # On a server this waits for others that are about to change the row; a file has one who writes at a time.
        link.many(f"UPDATE {table} SET {name} = {name} WHERE {self._words.equals('id')}", [{"id": after.id}])
        if Query(self._words, RequestRow).equal(id=after.id).rows(link) != ([] if before is None else [before]):
            return False
        if before is None:
            link.many(self._words.insert(RequestRow), [asdict(after)])
        else:
            put(link, {keyed(after): after})
        return True

    def delete_runs(self, ids: Iterable[str]) -> None:
        """Take away runs and all that is kept of them.

        Raises:
            HistoryError: the database cannot be written.
        """
        with self._explained("written"):
            if not is_ready_to_read(self._database, self.where):
                return
            try:
                for run_id in ids:
                    delete_run(self._database, self._words, run_id)
                self._database.shrink()
            finally:
                self._database.close()

    def _rows(self, query: Query) -> list[Any]:
        with self._reading() as link:
            return query.rows(link) if link is not None else []

    def _only(self, query: Query) -> Any:
        return next(iter(self._rows(query)), None)

    def _asked(self, query: Query, statement: str) -> Iterable[Sequence[Any]]:
        with self._reading() as link:
            return query.ask(link, statement) if link is not None else ()

    @contextmanager
    def _reading(self) -> Iterator[Link | None]:
        """A connection; None if there is no database now: it can come and go between questions."""
        with self._explained("read"):
            if not is_ready_to_read(self._database, self.where):
                yield None
                return
            with self._database.reading() as link:
                yield link

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._database.problems as error:
            raise HistoryError(
                f"cannot be {what}: {str(error).splitlines()[0]}",
                where=f"history {self.where}",
                fix="look at the database, or name another one: DATAFLOW_HISTORY=sqlite:///~/.dataflow/other.db",
            ) from error
