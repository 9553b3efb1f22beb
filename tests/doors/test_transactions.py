"""Transactions: all of a block counts, or all of it is taken back, with the hooks of each completed element."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from distributed import Client

from dataflow import Flow, flow, task, transaction
from dataflow.cache_policies import INPUTS
from dataflow.errors import FlowFailed, UsageError
from dataflow.transactions import Transaction, TransactionState, get_transaction
from dataflow.triggers import manual_only

WHERE = ["inline", "threads"]


class Notes:
    """Hooks that write down what they are called for."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def committed(self, txn: Transaction) -> None:
        self.told.append(f"commit {txn.name} {txn.result()}")

    def rolled_back(self, txn: Transaction) -> None:
        self.told.append(f"rollback {txn.name} {txn.result()}")

    def hooks(self) -> dict[str, Any]:
        """Both."""
        return {"on_commit": [self.committed], "on_rollback": [self.rolled_back]}


def write(name: Any) -> Any:
    if name == "bad":
        raise OSError("the disk is full")
    return name


@pytest.mark.parametrize("cluster", WHERE)
def test_a_block_that_ends_well_commits_in_order(cluster: str) -> None:
    """The hooks are called at the end of the block, for called, submitted and mapped elements, in their order."""
    notes = Notes()
    writes = task(write, **notes.hooks())

    @flow(cluster=cluster)
    def body() -> None:
        with transaction("all") as txn:
            writes("a")
            writes.map(["b", "c"])
            assert (notes.told, txn.state, txn.is_active()) == ([], TransactionState.ACTIVE, True)
        notes.told.append("after")
        assert txn.is_committed()

    body()
    assert notes.told == ["commit write a", "commit write-2[0] b", "commit write-2[1] c", "after"]


@pytest.mark.parametrize("cluster", WHERE)
def test_an_exception_in_the_block_rolls_back_what_completed_last_first(cluster: str) -> None:
    """The error goes on after the hooks were called; what had not run is cancelled and not told."""
    notes = Notes()
    writes = task(write, **notes.hooks())
    waits = task(write, name="waits", trigger=manual_only, **notes.hooks())

    @flow(cluster=cluster)
    def body() -> str:
        with pytest.raises(KeyError), transaction() as txn:
            writes("a")
            writes("b")
            future = waits.submit("c")
            raise KeyError
        assert txn.is_rolled_back()
        return str(future.state.name)

    assert body() == "Cancelled"
    assert notes.told == ["rollback write-2 b", "rollback write a"]


def test_a_failed_element_rolls_back_the_others_on_a_real_cluster(client: Client) -> None:
    """Of a map, the elements that completed are taken back; the failure itself is not hidden."""
    notes = Notes()
    writes = task(write, batch_size=2, **notes.hooks())

    @flow(cluster=client)
    def body() -> None:
        with transaction():
            writes.map(["a", "b", "bad", "c"])
        notes.told.append("after")

    with pytest.raises(FlowFailed):
        body()
    assert sorted(notes.told) == ["after", "rollback write[0] a", "rollback write[1] b", "rollback write[3] c"]
    assert notes.told.index("rollback write[1] b") < notes.told.index("rollback write[0] a")


def test_nested_blocks_commit_with_the_outermost() -> None:
    """An inner block is staged when it ends, and commits, in order, with the outer one."""
    notes = Notes()
    writes = task(write, **notes.hooks())

    @flow(cluster="inline")
    def body() -> None:
        with transaction("outer") as outer:
            outer.set("folder", ["/data"])
            writes("a")
            with transaction("inner") as inner:
                assert inner.get("folder") == ["/data"]
                writes("b")
            assert (inner.state, inner.parent, notes.told) == (TransactionState.STAGED, outer, [])
            writes("c")
        assert inner.is_committed()

    body()
    assert notes.told == ["commit write a", "commit write-2 b", "commit write-3 c"]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("raises", ["rollback write-2 b", "rollback write a"]),
        ("is caught", ["rollback write-2 b", "commit write a", "commit write-3 c"]),
        ("fails", ["rollback write-2 b", "rollback write-4 c", "rollback write a"]),
    ],
)
def test_an_inner_block_that_is_rolled_back(how: str, expected: list[str]) -> None:
    """An error takes the outer block with it unless it is caught; a silent failure always does."""
    notes = Notes()
    writes = task(write, **notes.hooks())

    def inner() -> None:
        with transaction("inner"):
            writes("b")
            if how == "fails":
                writes.submit("bad").wait()
            else:
                raise ValueError(how)

    @flow(cluster="inline")
    def body() -> None:
        with transaction("outer"):
            writes("a")
            if how == "is caught":
                with pytest.raises(ValueError, match=how):
                    inner()
            else:
                inner()
            writes("c")

    body(return_state=True)
    assert notes.told == expected


def test_values_are_copied_and_found_from_hooks() -> None:
    """What is set in a block is found by its hooks, as a copy; what was not set is an error that says so."""
    found: list[Any] = []

    def hook(txn: Transaction) -> None:
        found.append(txn.get("folder"))
        found[-1].append("changed")
        found.append(txn.get("missing", 3))
        assert txn.task_run is not None
        found.append((txn.task_run.name, txn.task_run.state_name, txn.parent is not None and txn.parent.name))

    writes = task(write, on_commit=hook)

    @flow(cluster="inline")
    def body() -> None:
        with transaction("all") as txn:
            assert get_transaction() is txn
            txn.set("folder", ["/data"])
            writes("a")
        assert txn.get("folder") == ["/data"]
        with pytest.raises(UsageError, match="nothing was set as 'missing'"):
            txn.get("missing")
        with pytest.raises(UsageError, match="a block has no result"):
            txn.result()

    body()
    assert found == [["/data", "changed"], 3, ("write", "Completed", "all")]
    assert get_transaction() is None


@pytest.mark.parametrize("cluster", WHERE)
def test_an_element_outside_of_blocks_is_a_transaction_of_its_own(cluster: str) -> None:
    """on_commit is called when the element completes, before on_completion, and not for failed or cached ones."""
    notes = Notes()
    told = notes.told
    writes = task(write, on_completion=lambda task, task_run, state: told.append(task_run.name), **notes.hooks())

    @flow(cluster=cluster)
    def body() -> None:
        writes.map(["a", "bad"]).wait()

    body()
    assert notes.told == ["commit write[0] a", "write[0]"]


@pytest.mark.parametrize("in_a_block", [True, False])
def test_a_commit_that_raises_rolls_back(in_a_block: bool, caplog: pytest.LogCaptureFixture) -> None:
    """All of the transaction is taken back, also what had heard of the commit; the run goes on."""
    notes = Notes()

    def refuses(txn: Transaction) -> None:
        if txn.result() == "b":
            raise OSError("no")
        notes.committed(txn)

    writes = task(write, on_commit=[refuses], on_rollback=[notes.rolled_back])

    @flow(cluster="inline")
    def body() -> str:
        if not in_a_block:
            writes.map(["a", "b", "c"]).wait()
            return "went on"
        with transaction() as txn:
            writes.map(["a", "b", "c"])
        return str(txn.state)

    with caplog.at_level(logging.ERROR, logger="dataflow"):
        given = body()
    assert (
        "refuses of <Task 'write'> raised for write[1]; the transaction is rolled back"
        in caplog.records[0].getMessage()
    )
    if in_a_block:
        expected = ["commit write[0] a", "rollback write[2] c", "rollback write[1] b", "rollback write[0] a"]
        assert (given, notes.told) == ("ROLLED_BACK", expected)
    else:
        assert (given, notes.told) == ("went on", ["commit write[0] a", "rollback write[1] b", "commit write[2] c"])


def test_a_rollback_that_raises_does_not_keep_the_others_from_theirs(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the elements before it are taken back too."""
    notes = Notes()

    def breaks(txn: Transaction) -> None:
        notes.rolled_back(txn)
        raise OSError("no")

    writes = task(write, on_rollback=breaks)

    @flow(cluster="inline")
    def body() -> None:
        with transaction():
            writes("a")
            writes("b")
            raise KeyError("the reason")

    with pytest.raises(KeyError, match="the reason"):
        body()
    assert notes.told == ["rollback write-2 b", "rollback write a"]
    assert len(caplog.records) == 2


@pytest.mark.parametrize("mapped", [False, True])
def test_kept_results_that_were_taken_back_are_not_found_again(mapped: bool) -> None:
    """The next run computes them again; results from before the transaction, and of committed ones, are found."""
    ran: list[str] = []

    def counted(name: str) -> str:
        ran.append(name)
        return name

    writes = task(counted, cache_policy=INPUTS)
    together: Callable[..., list[str]] = (lambda *names: writes.map(names).result()) if mapped else _one_by_one(writes)

    @flow(cluster="inline", result_storage=f"memory://rollback-{mapped}")
    def body(fails: bool) -> None:
        together("old")
        with transaction():
            together("old", "a", "b")
            if fails:
                raise KeyError

    body(fails=True, return_state=True)
    assert ran == ["old", "a", "b"]
    body(fails=False)
    assert ran == ["old", "a", "b", "a", "b"]
    body(fails=True, return_state=True)
    body(fails=False)
    assert ran == ["old", "a", "b", "a", "b"]


def _one_by_one(writes: Any) -> Callable[..., list[str]]:
    return lambda *names: [writes(name) for name in names]


def test_state_handlers_see_what_was_taken_back() -> None:
    """An element that is taken back comes from Completed into RolledBack."""
    told: list[tuple[str, str]] = []
    writes = task(write, state_handlers=[lambda task, old, new: told.append((old.name, new.name))])

    @flow(cluster="inline")
    def body() -> None:
        with transaction():
            writes("a")
            raise KeyError

    body(return_state=True)
    assert told == [("Pending", "Running"), ("Running", "Completed"), ("Completed", "RolledBack")]


def test_async_bodies_have_async_blocks() -> None:
    """``async with`` waits without blocking the loop, commits and rolls back."""
    notes = Notes()

    async def awrite(name: str) -> str:
        return name

    writes = task(awrite, **notes.hooks())

    @flow(cluster="inline")
    async def body() -> None:
        async with transaction():
            await writes("a")
        async with transaction():
            await writes("b")
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(body())
    assert notes.told == ["commit awrite a", "rollback awrite-2 b"]


def test_a_flow_called_inside_has_transactions_of_its_own() -> None:
    """What a called flow has completed is committed there, and not taken back with the block."""
    notes = Notes()
    writes = task(write, **notes.hooks())

    @flow
    def inner() -> str:
        return str(writes("inner"))

    @flow(cluster="inline")
    def body() -> None:
        with transaction():
            inner()
            writes("outer")
            raise KeyError

    body(return_state=True)
    assert notes.told == ["commit write inner", "rollback write outer"]


def test_a_task_may_have_a_transaction_around_what_it_submits() -> None:
    """Inside a task the block is about what the task itself submits."""
    notes = Notes()
    writes = task(write, **notes.hooks())

    @task
    def outer() -> str:
        with transaction() as txn:
            writes.submit("a")
        return str(txn.state)

    @flow(cluster="inline")
    def body() -> str:
        return str(outer())

    assert body() == "COMMITTED"
    assert notes.told == ["commit write a"]


def test_a_transaction_where_nothing_runs_is_refused() -> None:
    """Outside of flows, and in the block of a graph, nothing would belong to it."""
    with pytest.raises(UsageError, match="put it into a function below @flow"):
        transaction().__enter__()
    with pytest.raises(UsageError, match="put it into a function below @flow"), Flow("graph"):
        transaction().__enter__()
