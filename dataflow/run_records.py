"""The record of a run in the stores it uses: begun with the first kept result, ended with it, read for a resume."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import dataflow_results as results
from dataflow.asking import is_unfinished
from dataflow.compiler.memory import Memory
from dataflow.errors import UsageError
from dataflow.persistence import FlowPersistence, StoreAddress
from dataflow_results.digests import digest
from dataflow_results.errors import KeyingError, ResultMissing, StoreError

__all__ = ["RunRecordKeeper"]

logger = logging.getLogger("dataflow")


class RunRecordKeeper:
    """Keeps the record of one run.

    Args:
        run_id: of the run.
        flow: name of its flow.
        persistence: what the flow says about results.
    """

    def __init__(self, run_id: str, flow: str, persistence: FlowPersistence) -> None:
        self._run_id = run_id
        self._flow = flow
        self._persistence = persistence
        self._begun: dict[str, Any] = {}
        """Records by URL of their store."""
        self._noted: set[tuple[str, str]] = set()

    def check_resume(self) -> None:
        """Whether the run can be resumed with this flow and these parameters.

        Raises:
            UsageError: there is no such run, it is another flow's, had other parameters, or is still going on.
        """
        where = f"run {self._run_id}"
        store = self._persistence.storage
        try:
            record = self._open(store).get(self._run_id)
        except ResultMissing:
            if is_unfinished(self._run_id, flow=self._flow, store=store.url):  # it has kept nothing yet
                return
            problem = f"it has kept no results in {store.url}"
            raise UsageError(
                problem, where=where, fix="the id and the result_storage of a run that kept some"
            ) from None
        if record.flow != self._flow:
            raise UsageError(
                f"it is a run of the flow {record.flow!r}", where=where, fix=f"resume it with {record.flow!r}"
            )
        given = self._parameters_digest()
        if given and record.parameters_digest and given != record.parameters_digest:
            raise UsageError("it had other parameters", where=where, fix="give the same, or start a new run")
        if record.phase(time.time()) is results.RunPhase.RUNNING:
            raise UsageError("it is still going on", where=where, fix="wait for it, or cancel it first")

    def note(self, memory: Memory) -> None:
        """A task that keeps its results is about to run."""
        if (memory.store.url, memory.collection) in self._noted:
            return
        self._noted.add((memory.store.url, memory.collection))
        for store in {store.url: store for store in (self._persistence.storage, memory.store)}.values():
            try:
                self._begin(store)
                self._begun[store.url].uses(self._run_id, [memory.collection])
            except StoreError as error:  # the elements that need the store fail with the same error, and say more
                logger.warning("the record of run %s cannot be written: %s", self._run_id, error)

    def end(self, state: str) -> None:
        """The run has ended."""
        for url, records in self._begun.items():
            try:
                records.end(self._run_id, state)
            except StoreError as error:
                logger.warning("the record of run %s in %s cannot be written: %s", self._run_id, url, error)
        self._begun.clear()

    def _begin(self, store: StoreAddress) -> None:
        if store.url not in self._begun:
            records = self._open(store)
            records.begin(self._run_id, flow=self._flow, parameters_digest=self._parameters_digest())
            self._begun[store.url] = records

    def _open(self, store: StoreAddress) -> Any:
        return results.RunRecords(store.open().files)

    def _parameters_digest(self) -> str:
        """In hex; empty where there are none, or none that can be compared."""
        parameters: Mapping[str, Any] | None = self._persistence.parameters
        try:
            return "" if not parameters else digest(b"parameters", results.encode(dict(parameters), "parameters")).hex()
        except KeyingError:
            return ""
