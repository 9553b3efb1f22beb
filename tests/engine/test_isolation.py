"""Attempts in processes of their own: whatever they do, this process gets an answer, in time, and lives on.

Functions are written inside the tests, so that they travel by value: a process does not have to import pytest for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

from dataflow import context, flow, task
from dataflow.context import Attempt
from dataflow.engine.isolation import call_isolated, end_isolated, stop_isolated
from dataflow.engine.isolation.pool import Limits, Pool, _request
from dataflow.errors import Cancelled, ProcessDied, TimedOut, UnpicklableArgument, UnpicklableResult
from dataflow.signals import Loop, Skip
from dataflow.states import Completed, StateType
from tests.conftest import pause

LATE_SECONDS = 0.5
"""How late a time limit may fire on a busy machine."""
MIB = 2**20


@pytest.fixture(autouse=True)
def no_processes_left() -> Iterator[None]:
    """Each test starts and ends without processes and zombies."""
    end_isolated()
    yield
    end_isolated()
    assert children() == []


def children() -> list[str]:
    """Processes for isolated attempts that this process has, dead ones too."""
    if sys.platform != "linux":
        return []
    numbers: list[str] = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            numbers += (thread / "children").read_text().split()
    return [number for number in set(numbers) if is_ours(number)]


def is_ours(number: str) -> bool:
    """Whether a process is one for isolated attempts; a dead one has no command line any more."""
    try:
        command = Path(f"/proc/{number}/cmdline").read_text()
    except OSError:
        return False
    return not command or "isolation.child" in command


def isolated(function: Callable[..., Any], *arguments: Any, **limits: Any) -> Any:
    """The same as `call_isolated`, with fewer brackets."""
    return call_isolated(function, arguments, {}, **limits)


def is_gone(pid: int, within_seconds: float = 5.0) -> bool:
    """Whether a process ends soon."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":  # nobody collects orphans in a container without an init
            return True
        pause(0.02)
    return False


def own_number() -> Callable[[], int]:
    """A function that gives the number of the process it runs in."""
    return lambda: os.getpid()


# What comes back


def test_the_value_comes_back_from_another_process() -> None:
    """Positional and keyword arguments arrive, and the value was made elsewhere."""
    value, pid = call_isolated(lambda a, *, b: (a + b, os.getpid()), (1,), {"b": 2})
    assert value == 3
    assert pid != os.getpid()


def test_two_hundred_calls_leave_one_process() -> None:
    """A process is used again and again, and the function travels to it once."""
    packed: list[int] = []

    class Numbered:
        def __call__(self) -> int:
            return os.getpid()

        def __reduce__(self) -> Any:
            packed.append(1)
            return (eval, ("lambda: __import__('os').getpid()",))

    number = Numbered()
    assert len({isolated(number) for _ in range(200)}) == 1
    assert len(packed) == 1
    assert len(children()) == 1


def test_a_process_forgets_the_oldest_functions() -> None:
    """Far more functions than a process keeps, called in turns, give their own values from one process."""
    functions = [partial(lambda number: (number, os.getpid()), number) for number in range(150)]
    values = [isolated(function) for function in functions + functions]
    assert [number for number, _ in values] == [*range(150), *range(150)]
    assert len({pid for _, pid in values}) == 1


def test_globals_that_changed_are_seen_by_the_next_run() -> None:
    """A function is packed again for each run, as it would be on its way to a worker."""
    factor = [2]

    def scaled(x: int) -> int:
        return x * factor[0]

    assert isolated(scaled, 10, run_id="first") == 20
    factor[0] = 3
    assert isolated(scaled, 10, run_id="second") == 30


def test_large_arrays_travel_beside_the_pickle() -> None:
    """An array of 40 MB goes there and comes back, and may be written to on both sides."""

    def doubled(array: np.ndarray) -> np.ndarray:
        array *= 2
        return array

    found = isolated(doubled, np.ones(5_000_000))
    found[0] = 7
    assert (found[0], found[1:].sum()) == (7, 2 * 4_999_999)


def test_coroutine_functions_run_to_their_end() -> None:
    """The process runs an event loop for them."""

    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    assert isolated(later, 1) == 2


def test_states_come_back() -> None:
    """A state that a task returns is a state here."""
    state = isolated(lambda: Completed(data=[1], message="done"))
    assert (state.type, state.data, state.message) == (StateType.COMPLETED, [1], "done")


def test_the_function_knows_its_attempt() -> None:
    """``context.get`` tells in the process what it tells in the worker."""
    names = ("attempt", "task_run_count", "task_loop_count", "task_loop_result")

    def told() -> list[Any]:
        return [context.get(name) for name in names]

    assert isolated(told) == [1, 1, 1, None]
    assert isolated(told, context=Attempt(attempt=3, round=2, looped="so far")) == [3, 3, 2, "so far"]


def test_prints_go_where_prints_of_this_process_go(capsys: pytest.CaptureFixture[str]) -> None:
    """Both streams arrive whole, also what comes in pieces and beyond ASCII, before the call returns."""

    def prints() -> None:
        print("grüße\n" * 30_000, end="")
        print("no end of line", end="")
        print("to stderr", file=sys.stderr)

    isolated(prints)
    seen = capsys.readouterr()
    assert seen.out == "grüße\n" * 30_000 + "no end of line"
    assert seen.err == "to stderr\n"


def test_surroundings_are_those_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm process follows a change of folder, environment and import path."""
    assert isolated(Path.cwd) == Path.cwd()
    (tmp_path / "freshly_written.py").write_text("VALUE = 5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRESH", "yes")
    monkeypatch.syspath_prepend(tmp_path)

    def found() -> tuple[Path, str, int]:
        import freshly_written

        return Path.cwd(), os.environ["FRESH"], freshly_written.VALUE

    assert isolated(found) == (tmp_path, "yes", 5)


# What is raised


def test_exceptions_keep_type_cause_and_line() -> None:
    """The exception is the user's own, and its traceback shows the user's line and nothing of the process."""

    class Strange(Exception):
        pass

    def raises() -> None:
        raise Strange("odd", 5) from KeyError("root")

    with pytest.raises(Strange) as caught:
        isolated(raises)
    text = "".join(traceback.format_exception(caught.value))
    assert caught.value.args == ("odd", 5)
    assert isinstance(caught.value.__cause__, KeyError)
    assert 'raise Strange("odd", 5) from KeyError("root")' in text
    assert "child.py" not in text


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt("stop"), Skip("not this one", 4), Loop([1])],
    ids=lambda e: type(e).__name__,
)
def test_what_is_no_exception_comes_back_too(error: BaseException) -> None:
    """Signals and interrupts that the function raises are raised here, and the process lives on."""

    def raises() -> None:
        raise error

    pid = isolated(own_number())
    with pytest.raises(type(error)) as caught:
        isolated(raises)
    assert caught.value.args == error.args
    assert isolated(own_number()) == pid


def test_a_result_that_cannot_travel_is_an_error() -> None:
    """The error names the result; the process lives on."""
    pid = isolated(own_number())
    with pytest.raises(UnpicklableResult, match="generator"):
        isolated(lambda: (n for n in range(3)))
    assert isolated(own_number()) == pid


def test_a_result_that_cannot_be_loaded_is_an_error() -> None:
    """The same, where the trouble shows on the way back."""

    class Broken:
        def __reduce__(self) -> Any:
            return (int, ("no number",))

    with pytest.raises(UnpicklableResult, match="no number"):
        isolated(lambda: Broken())


def test_an_argument_that_cannot_travel_is_an_error() -> None:
    """The error says where, and no process is harmed."""
    with pytest.raises(UnpicklableArgument, match="task 'load': an argument cannot be pickled"):
        isolated(len, (n for n in range(3)), where="task 'load'")
    lock = threading.Lock()
    with pytest.raises(UnpicklableArgument, match="the function, or something it refers to"):
        isolated(lambda: lock)


# Processes that die


DEATHS: dict[str, tuple[Callable[[], Any], str]] = {
    "segfault": (lambda: ctypes.string_at(0), r"was ended by SIGSEGV \(signal 11\)[\s\S]*in string_at"),
    "os._exit": (lambda: os._exit(3), "ended with exit code 3"),
    "kill -9": (lambda: os.kill(os.getpid(), signal.SIGKILL), r"was ended by SIGKILL \(signal 9\)"),
    "abort": (lambda: os.abort(), r"was ended by SIGABRT"),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_process_that_dies_is_an_error(death: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error says how it ended and what it said last; the next call gets another process."""
    function, said = DEATHS[death]
    pid = isolated(own_number())
    with pytest.raises(ProcessDied, match=said) as caught:
        isolated(function, where="task 'load'")
    assert caught.value.where == "task 'load'"
    assert isolated(own_number()) not in (pid, os.getpid())
    capsys.readouterr()


def test_the_last_words_are_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a flood of text only the end is kept."""

    def floods() -> None:
        sys.stderr.write("x" * 200_000 + "the end")
        sys.stderr.flush()
        os._exit(1)

    with pytest.raises(ProcessDied, match="the end") as caught:
        isolated(floods)
    assert len(str(caught.value)) < 5000
    assert len(capsys.readouterr().err) == 200_007


@pytest.mark.skipif(sys.platform != "linux", reason="needs a descriptor of the process")
def test_a_death_is_seen_although_a_grandchild_holds_the_channel() -> None:
    """What the process started keeps its descriptors open; the end is seen all the same, and it is killed too."""

    def forks() -> None:
        grandchild = os.fork()
        if grandchild == 0:
            time.sleep(60)
        print(f"<{grandchild}>", file=sys.stderr, flush=True)
        os._exit(3)

    began = time.monotonic()
    with pytest.raises(ProcessDied, match="exit code 3") as caught:
        isolated(forks)
    assert time.monotonic() - began < 10
    assert is_gone(int(str(caught.value).split("<")[1].split(">")[0]))


# Limits


def test_memory_beyond_the_limit_is_a_memory_error() -> None:
    """The allocation fails in the process alone, which can be used again, also if small things filled the memory."""

    def fills() -> None:
        held: Any = None
        while True:
            held = (held,)

    pid = isolated(own_number(), memory_limit_bytes=256 * MIB)
    with pytest.raises(MemoryError):
        isolated(lambda: len(bytearray(500 * MIB)), memory_limit_bytes=256 * MIB)
    with pytest.raises(MemoryError):
        isolated(fills, memory_limit_bytes=256 * MIB)
    assert isolated(own_number(), memory_limit_bytes=256 * MIB) == pid
    assert isolated(lambda: len(bytearray(500 * MIB))) == 500 * MIB


def test_a_death_under_a_memory_limit_mentions_it() -> None:
    """Native code may not survive a refused allocation, so the limit is a suspect."""
    with pytest.raises(ProcessDied, match="its memory limit was 256 MiB"):
        isolated(lambda: os._exit(1), memory_limit_bytes=256 * MIB)


BLOCKING: dict[str, Callable[[], Any]] = {
    "time.sleep": lambda: time.sleep(60),
    "native code that holds the interpreter": lambda: re.match("(a+)+b", "a" * 60),
    "deaf to signals": lambda: (signal.signal(signal.SIGTERM, signal.SIG_IGN), time.sleep(60)),
}


@pytest.mark.parametrize("blocks", BLOCKING)
def test_a_time_limit_ends_the_process_on_time(blocks: str) -> None:
    """Whatever the function is in, the error comes on time and the process is gone."""
    pid = isolated(own_number())
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"took longer than 0\.2 s"):
        isolated(BLOCKING[blocks], timeout_seconds=0.2)
    assert 0.2 <= time.monotonic() - began < 0.2 + LATE_SECONDS
    assert is_gone(pid, within_seconds=0.0 + LATE_SECONDS)
    assert isolated(own_number()) != pid


def test_a_time_limit_fires_while_much_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Passing on what is printed does not keep this process from looking at the clock."""

    def chatters() -> None:
        while True:
            print("x" * 1000)

    began = time.monotonic()
    with pytest.raises(TimedOut):
        isolated(chatters, timeout_seconds=0.2)
    assert time.monotonic() - began < 1 + LATE_SECONDS  # a new process had to be started
    assert capsys.readouterr().out.startswith("x")


def test_imports_do_not_count_as_time_of_the_call() -> None:
    """A process that has to load a slow function first still has the whole limit for the call."""

    def slow_to_load() -> Callable[[], int]:
        time.sleep(0.4)
        return lambda: 5

    class Slow:
        def __call__(self) -> int:
            return 0

        def __reduce__(self) -> Any:
            return (slow_to_load, ())

    assert isolated(Slow(), timeout_seconds=0.2) == 5


# Cancelling, threads, idling


def waiting_call(run_id: str, threads: ThreadPoolExecutor, started: Path) -> Any:
    """A call that is under way for ever, once the file is there."""

    def waits() -> None:
        started.write_text(str(os.getpid()))
        time.sleep(60)

    future = threads.submit(isolated, waits, run_id=run_id)
    while not (started.exists() and started.read_text()):
        pause(0.01)
    return future


def test_stopping_a_run_ends_its_calls_only(tmp_path: Path) -> None:
    """The calls of the run raise `Cancelled` at once; another run's goes on."""
    with ThreadPoolExecutor(2) as threads:
        mine = waiting_call("mine", threads, tmp_path / "mine")
        other = waiting_call("other", threads, tmp_path / "other")
        began = time.monotonic()
        assert stop_isolated("mine") == 1
        with pytest.raises(Cancelled):
            mine.result(timeout=5)
        assert time.monotonic() - began < LATE_SECONDS
        assert is_gone(int((tmp_path / "mine").read_text()))
        assert not other.done()
        assert stop_isolated("other") == 1
        assert isinstance(other.exception(timeout=5), Cancelled)


def test_threads_get_a_process_each() -> None:
    """Calls at the same time run at the same time, and later calls use the same processes."""
    met = threading.Barrier(4)

    def call(_: int) -> set[int]:
        met.wait()
        return {isolated(lambda: (time.sleep(0.02), os.getpid())[1]) for _ in range(5)}

    with ThreadPoolExecutor(4) as threads:
        used = set().union(*threads.map(call, range(4)))
    assert len(used) == 4
    assert isolated(own_number()) in used


def test_many_threads_get_their_own_answers() -> None:
    """Under load no answer is mixed up with another."""
    with ThreadPoolExecutor(4) as threads:
        values = threads.map(lambda x: isolated(lambda y: y * y, x), range(200))
        assert list(values) == [x * x for x in range(200)]


def test_an_idle_process_ends_by_itself() -> None:
    """Nobody has to ask it; the next call gets another one and collects what is left of the first."""
    pool = Pool(idle_seconds=0.2)
    function = pool.packed(own_number(), "")
    request, limits = _request(function, (), {}, None), Limits(None, None)

    pool.call(function, request, limits, "")
    (first,) = pool._idle
    assert is_gone(first.pid)
    pool.call(function, request, limits, "")
    (second,) = pool._idle
    assert second.pid != first.pid
    pool.end_idle()


def test_a_process_that_died_while_idle_harms_nobody() -> None:
    """A process that somebody killed between two calls is replaced."""
    pid = isolated(own_number())
    os.kill(pid, signal.SIGKILL)
    assert is_gone(pid)
    assert isolated(own_number()) != pid


# Nothing is left behind


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_descriptors_are_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    """Processes that die, run out of time or are ended leave no open file behind."""

    def round_of_ends() -> int:
        for function in (lambda: os._exit(3), lambda: time.sleep(60), os.getpid):
            with contextlib.suppress(ProcessDied, TimedOut):
                isolated(function, timeout_seconds=0.05)
        end_isolated()
        return len(list(Path("/proc/self/fd").iterdir()))

    first = round_of_ends()
    assert [round_of_ends() for _ in range(3)] == [first] * 3
    capsys.readouterr()


def script(text: str, tmp_path: Path) -> subprocess.Popen[str]:
    """A Python process that runs a script; its warnings are errors."""
    path = tmp_path / "script.py"
    path.write_text(
        "from dataflow.engine.isolation import call_isolated\nimport os, sys, time\n" + textwrap.dedent(text)
    )
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("busy", ["time.sleep(60)", "re.match('(a+)+b', 'a' * 60)", "None"])
def test_processes_die_with_a_killed_parent(busy: str, tmp_path: Path) -> None:
    """After kill -9 of the parent its process is gone, and what that had started, even within native code."""
    code = f"""
    import re
    def works(channel):
        print(os.getpid(), os.fork() or os.getpid(), file=open(channel, "w", buffering=1))
        {busy}
    call_isolated(works, ({str(tmp_path / "numbers")!r},), {{}})
    time.sleep(60)
    """
    numbers = tmp_path / "numbers"
    parent = script(code, tmp_path)
    while not (numbers.exists() and numbers.read_text().count("\n") >= 1):
        assert parent.poll() is None, parent.communicate()
        pause(0.02)
    pids = {int(word) for word in numbers.read_text().split()}
    parent.kill()
    parent.communicate()
    assert [pid for pid in pids if not is_gone(pid)] == []


def test_a_parent_that_ends_leaves_nothing_and_says_nothing(tmp_path: Path) -> None:
    """At the exit of an interpreter its processes are gone, without a warning."""
    parent = script("print(call_isolated(lambda: os.getpid(), (), {}))", tmp_path)
    printed, complaints = parent.communicate(timeout=30)
    assert (parent.returncode, complaints) == (0, "")
    assert is_gone(int(printed))


def test_a_fork_does_not_use_the_processes_of_its_parent(tmp_path: Path) -> None:
    """A fork has processes of its own, and the parent's live on when it ends."""
    code = """
    number = lambda: os.getpid()
    first = call_isolated(number, (), {})
    if (fork := os.fork()) == 0:
        os._exit(call_isolated(number, (), {}) == first)
    print(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), call_isolated(number, (), {}) == first)
    """
    printed, complaints = script(code, tmp_path).communicate(timeout=30)
    assert (printed, complaints) == ("0 True\n", "")


def test_a_fork_does_not_keep_the_processes_of_its_parent_alive(tmp_path: Path) -> None:
    """A fork that outlives its killed parent holds nothing that the parent's processes live by."""
    code = """
    number = call_isolated(lambda: os.getpid(), (), {})
    fork = os.fork()
    if fork:
        print(number, fork, flush=True)
    time.sleep(60)
    """
    parent = script(code, tmp_path)
    assert parent.stdout is not None
    number, fork = map(int, parent.stdout.readline().split())
    parent.kill()
    try:
        assert is_gone(number)
        assert not is_gone(fork, within_seconds=0.05)
    finally:
        os.kill(fork, signal.SIGKILL)
        parent.communicate()


def test_a_process_loads_little() -> None:
    """What runs in the process loads no heavy library, so that it starts fast."""
    heavy = ("numpy", "distributed", "dask", "asyncio", "subprocess", "pydantic")
    assert isolated(lambda names: [name for name in names if name in sys.modules], heavy) == []


# On Dask


def test_isolation_works_in_a_daemonic_dask_worker(client: Client) -> None:
    """In a worker under a nanny, which may not have children by multiprocessing, a segfault harms the attempt alone."""

    def attempt(_: int) -> tuple[bool, int, int, str]:
        number = call_isolated(lambda: os.getpid(), (), {})
        try:
            call_isolated(lambda: ctypes.string_at(0), (), {})
        except ProcessDied as error:
            end_isolated()
            return multiprocessing.current_process().daemon, os.getpid(), number, str(error)[:40]
        raise AssertionError("it did not die")

    futures = client.map(attempt, range(4), pure=False)
    for daemonic, worker, number, said in client.gather(futures):
        assert daemonic
        assert worker not in (number, os.getpid())
        assert said == "its process was ended by SIGSEGV (signal"
    assert len({worker for _, worker, _, _ in client.gather(futures)}) <= 2


@pytest.mark.parametrize("cluster", ["inline", "threads", "processes"])
def test_elements_of_a_map_die_alone(cluster: str, request: pytest.FixtureRequest) -> None:
    """In one batch an element that segfaults, one that leaves and one that sleeps change nothing for the others."""

    @task(isolation="process", timeout_seconds=1)
    def risky(x: int) -> int:
        outcomes: dict[int, Callable[[], Any]] = {
            2: lambda: ctypes.string_at(0),
            4: lambda: os._exit(7),
            6: lambda: time.sleep(60),
        }
        outcomes.get(x, int)()
        return x * x

    @flow(cluster=request.getfixturevalue("client") if cluster == "processes" else cluster)
    def squares() -> list[Any]:
        return risky.map(range(8)).result(raise_on_failure=False)

    values = squares()
    assert [value for value in values if isinstance(value, int)] == [0, 1, 9, 25, 49]
    assert [type(value) for value in values[2::2]] == [ProcessDied, ProcessDied, TimedOut]
