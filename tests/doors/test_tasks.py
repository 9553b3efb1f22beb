"""Tasks: how they are made, what they are, and what a call does outside a flow."""

from __future__ import annotations

import functools
import inspect
import pickle
from collections.abc import AsyncIterator, Iterator
from typing import Any

import cloudpickle
import pytest

from dataflow.context import inside_task
from dataflow.errors import HandleError, TaskDefinitionError, UsageError
from dataflow.flows import Flow
from dataflow.tasks import Task, task


@task(tags=["io"], batch_size=7)
def add(x: int, y: int = 1) -> int:
    """Add two numbers."""
    return x + y


@task
async def fetch(name: str) -> str:
    return name.upper()


class Scale(Task):  # type: ignore[type-arg]
    """A task in the classic way."""

    def __init__(self, factor: int, **options: Any) -> None:
        self.factor = factor
        super().__init__(**options)

    def run(self, x: int, offset: int = 0) -> int:
        return self.factor * x + offset


def test_decorated_function_keeps_what_it_is() -> None:
    """Name, documentation, signature and function stay readable, and the spec tells the engine the same."""
    assert (add.name, add.__doc__, add.fn(1, 2)) == ("add", "Add two numbers.", 3)
    assert inspect.signature(add) == add.signature
    assert (add.spec.name, add.spec.parameters, add.spec.batch_size, add.spec.is_async) == ("add", ("x", "y"), 7, False)
    assert fetch.spec.is_async


def test_call_outside_a_flow_is_the_function() -> None:
    """Without a flow nothing is distributed: the function is called here."""
    assert add(2) == 3
    assert add(2, y=5) == 7


def test_call_inside_a_task_is_the_function() -> None:
    """A task called by a task's function runs in its place, but in a block of its own it becomes a node."""
    token = inside_task.set([])
    try:
        assert add(2) == 3
        with Flow("own") as flow:
            add(2)
    finally:
        inside_task.reset(token)
    assert len(flow.tasks) == 1


def test_state_outside_a_flow() -> None:
    """return_state=True gives what became of the call, well or badly."""
    good: Any = add(1, return_state=True)
    bad: Any = add("a", return_state=True)
    assert (good.name, good.result()) == ("Completed", 2)
    assert (bad.name, type(bad.data)) == ("Failed", TypeError)


def test_class_with_run() -> None:
    """A subclass brings its function as ``run`` and may keep values of its own."""
    triple = Scale(3, name="triple")
    assert (triple.name, triple(2), triple.run(2, offset=1)) == ("triple", 6, 7)
    assert triple.spec.parameters == ("x", "offset")
    assert Scale(4).name == "Scale"
    renamed = triple.with_options(name="three times")
    assert (renamed.name, renamed(5), type(renamed), triple.name) == ("three times", 15, Scale, "triple")


def test_with_options_makes_another_task() -> None:
    """The original stays as it was, and what was not named is kept."""
    other = add.with_options(name="plus", tags=["cpu"])
    assert (other.name, other.options.tags, other.options.batch_size) == ("plus", {"cpu"}, 7)
    assert (add.name, add.options.tags) == ("add", {"io"})
    assert other.spec is not add.spec
    assert other(1) == 2


@pytest.mark.parametrize("name", ["name", "fn", "options", "spec", "signature"])
def test_a_task_is_not_changed(name: str) -> None:
    """What makes the task up cannot be assigned; the message says what to write."""
    with pytest.raises(UsageError, match=rf"with_options\({name}=...\)"):
        setattr(add, name, None)


def test_callables_of_all_kinds() -> None:
    """Lambdas, partials, builtins with a signature, bound methods, classes and callable objects become tasks."""

    class Doubler:
        def __call__(self, x: int) -> int:
            return 2 * x

    made: list[tuple[Task[..., Any], Any, str]] = [
        (Task(lambda x: x + 1), 3, "lambda"),
        (Task(functools.partial(add.fn, y=10)), 12, "add"),
        (Task(Doubler()), 4, "Doubler"),
        (Task(Scale(5).run), 10, "run"),
        (Task(abs), 2, "abs"),
    ]
    assert [(made_task(2), made_task.name) for made_task, _, _ in made] == [(value, name) for _, value, name in made]
    assert task(len)([1, 2]) == 2


def test_methods_and_static_methods() -> None:
    """Below ``@task`` in a class a function becomes a method, and a static method stays one."""

    class Model:
        factor = 3

        @task
        def scaled(self, x: int) -> int:
            return self.factor * x

        @staticmethod
        @task
        def outside(x: int) -> int:
            return x + 1

        @task
        @staticmethod
        def inside(x: int) -> int:
            return x + 2

    model = Model()
    assert (model.scaled(2), model.outside(2), model.inside(2), Model.inside(2)) == (6, 3, 4, 4)
    assert model.scaled.name == "scaled"


def numbers() -> Iterator[int]:
    yield 1


async def async_numbers() -> AsyncIterator[int]:
    yield 1


class NotMade(Task):  # type: ignore[type-arg]
    def run(self) -> int:
        return 1


WRONG: list[tuple[Any, str, str]] = [
    (3, "3 (int) is not a function", "@task(...) above a function"),
    ("load", "'load' (str) is not a function", "@task(name=...) above a function"),
    (add, "is a task already", "task.with_options(...)"),
    (NotMade, "is a task already", "NotMade()"),
    (numbers, "'numbers' is a generator function", "return a list"),
    (async_numbers, "'async_numbers' is a generator function", "return a list"),
    (classmethod(numbers), "a classmethod cannot be a task", "a function at module level"),
    (dict, "'dict' has no signature", "def my_task(...): return dict(...)"),
    (lambda wait_for: wait_for, "names that the call itself uses: wait_for", "rename wait_for"),
    (lambda x, mapped, flow: x, "names that the call itself uses: flow, mapped", "rename flow"),
]


@pytest.mark.parametrize(("given", "problem", "fix"), WRONG)
def test_what_is_not_a_task(given: Any, problem: str, fix: str) -> None:
    """What cannot be a task is refused where it is written, with what to write instead."""
    with pytest.raises(TaskDefinitionError) as caught:
        task(given)
    assert problem in caught.value.problem
    assert fix in caught.value.fix


def test_task_without_run() -> None:
    """A subclass without ``run`` says what is missing."""
    with pytest.raises(TaskDefinitionError, match="def run"):
        Task()


@pytest.mark.parametrize("verb", ["submit", "map"])
def test_submit_and_map_need_a_flow(verb: str) -> None:
    """Outside a flow there is nothing to submit to, and the message says what to write."""
    with pytest.raises(UsageError, match="below @flow"):
        getattr(add, verb)([1])


def test_handle_outside_its_flow() -> None:
    """A handle is no value: a plain call refuses it and says so."""
    with Flow("sums") as flow:
        handle = add(1)
    with pytest.raises(HandleError, match="not part of a flow"):
        add(handle)
    assert flow.tasks == {handle}


def test_task_of_a_module_pickles_by_name() -> None:
    """Task and function travel as their place in the module, and arrive as themselves."""
    assert pickle.loads(pickle.dumps(add)) is add
    assert pickle.loads(pickle.dumps(add.spec.function)) is add.fn
    assert len(pickle.dumps(add.spec.function)) < 150


def test_local_task_pickles_by_value() -> None:
    """A task that a worker cannot import travels with its code."""
    step = 5
    local = task(lambda x: x + step)
    assert cloudpickle.loads(cloudpickle.dumps(local))(1) == 6
    assert cloudpickle.loads(cloudpickle.dumps(local.spec)).function(1) == 6
    assert cloudpickle.loads(cloudpickle.dumps(Scale(3).spec)).function(2) == 6


@pytest.mark.parametrize(
    ("function", "count"),
    [(divmod, None), (add.fn, None), (lambda: (1, 2), None)],
)
def test_number_of_values_without_annotation(function: Any, count: int | None) -> None:
    """Nothing is guessed where no annotation says it."""
    assert Task(function).nout == count


def test_number_of_values() -> None:
    """An option or an annotation of fixed length says how many values a task returns."""

    def pair() -> tuple[int, str]:
        return 1, "a"

    def many() -> tuple[int, ...]:
        return (1,)

    assert (Task(pair).nout, Task(many).nout, Task(many, nout=3).nout) == (2, None, 3)
    assert Task(pair).with_options(nout=5).nout == 5
