"""Flows that call tasks that call flows: what tests of nesting run inline, on threads and in worker processes."""

from __future__ import annotations

from dataflow import flow, task

__all__ = ["depth_by_flow", "depth_by_task", "double", "doubles", "sum_of_doubles"]


@task
def double(x: int) -> int:
    return 2 * x


@flow
def doubles(n: int) -> list[int]:
    return double.map(range(n)).result()


@task
def sum_of_doubles(n: int) -> int:
    return sum(doubles(n))


@task
def depth_by_task(n: int) -> int:
    return 1 + depth_by_flow(n - 1) if n else 0


@flow
def depth_by_flow(n: int) -> int:
    return depth_by_task(n)
