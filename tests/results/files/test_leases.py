"""Of two who want the same keys one computes, whatever dies, whatever answer is lost, whatever the clocks say."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_results.errors import CorruptResult, LeaseLost, StoreError, StoreUnreachable
from dataflow_results.files import open_files
from dataflow_results.liveness.heartbeat import THREAD, Heart
from dataflow_results.liveness.leases import SKEW_SECONDS, Claim, Claims, Record
from dataflow_results.liveness.processes import has_ended, this_process
from dataflow_results.testing.counting import CountingFiles
from dataflow_results.testing.faults import Fault, FaultyFiles
from dataflow_results.testing.faulty_filesystem import RawFault, RawScript
from tests.results.servers import Place

A, B, C = (letter * 20 for letter in (b"a", b"b", b"c"))
LEASE = 30.0


@dataclass(slots=True)
class Clock:
    """A clock that goes on when told to."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fresh_files(name: str = "leases"):
    return open_files(f"memory://{name}-{os.urandom(6).hex()}")


def claims_on(files, clock: Clock) -> Claims:
    """The claims of a process that we pretend to be, and that nobody knows to have ended."""
    return Claims(files, "load", clock, heart=None, ended=lambda process: False)


def test_the_first_computes_and_the_second_waits(place: Place, clock: Clock) -> None:
    """The second gets only what the first did not claim, and learns who has the rest; then it is its turn."""
    files = open_files(place.url, place.storage_options)
    first = claims_on(files, clock).take([A, B], "run 1")
    second = claims_on(files, clock).take([B, C], "run 2")
    assert (first.granted, second.granted) == ({A, B}, {C})
    holder = second.held_by_others[B]
    assert (holder.number, holder.owner, holder.expires_at) == (first.number, "run 1", clock.now + LEASE)
    first.release()
    assert second.look_again() == {B}
    assert (second.granted, second.held_by_others) == ({B, C}, {})
    second.release()
    assert files.list("leases") == []


def test_what_a_claim_costs() -> None:
    """With nobody else there, a claim is one create and one listing, and its release one removal."""
    files = CountingFiles(fresh_files())
    claim = claims_on(files, Clock()).take([A], "run 1")
    claim.release()
    assert dict(files.counts) == {"create": 1, "list": 1, "remove": 1}


def test_a_dead_claim_is_removed_by_the_next(clock: Clock) -> None:
    """Who watched a claim for a whole lease without a heartbeat takes its keys, and its files are gone."""
    files = fresh_files()
    dead = claims_on(files, clock).take([A], "run 1")
    waiting = claims_on(files, clock).take([A], "run 2")
    clock.now += LEASE - 1
    assert waiting.look_again() == set()
    waiting.beat()
    clock.now += 1
    assert waiting.look_again() == {A}
    assert [entry.name.rpartition("/")[2][:12] for entry in files.list("leases")] == [f"{waiting.number:012d}"] * 2
    assert not dead.still_held()


def test_a_heart_that_stopped_is_not_heard_again(clock: Clock) -> None:
    """Looking at the same last heartbeat again and again does not keep a claim alive."""
    files = fresh_files()
    dead = claims_on(files, clock).take([A], "run 1")
    waiting = claims_on(files, clock).take([A], "run 2")
    clock.now += 5
    dead.beat()
    for _ in range(3):
        assert waiting.look_again() == set()
        clock.now += LEASE / 3
        waiting.beat()
    assert waiting.look_again() == {A}


def test_a_heartbeat_keeps_a_claim(clock: Clock) -> None:
    """A claim that beats every third of its lease is yielded to for as long as it does."""
    files = fresh_files()
    first = claims_on(files, clock).take([A], "run 1")
    second = claims_on(files, clock).take([A], "run 2")
    for _ in range(20):
        clock.now += LEASE / 3
        first.beat()
        second.beat()
        assert second.look_again() == set()
    assert first.still_held()


def test_an_old_claim_need_not_be_watched(clock: Clock) -> None:
    """A claim stamped long before now is dead at first sight, so that a crash of yesterday delays nobody."""
    files = fresh_files()
    claims_on(files, clock).take([A], "yesterday")
    clock.now += LEASE + SKEW_SECONDS
    assert claims_on(files, clock).take([A], "today").granted == {A}


def test_an_owner_whose_clock_is_ahead_dies_too(clock: Clock) -> None:
    """A stamp from the future does not make a dead claim live longer than one lease of watching."""
    files = fresh_files()
    claims_on(files, Clock(clock.now + 1e6)).take([A], "run 1")
    second = claims_on(files, clock).take([A], "run 2")
    assert second.granted == set()
    clock.now += LEASE
    assert second.look_again() == {A}


def test_an_owner_whose_clock_is_a_little_behind_lives(clock: Clock) -> None:
    """Clocks that differ by less than the allowed skew cost nobody a claim."""
    files = fresh_files()
    behind = Clock(clock.now - SKEW_SECONDS + 1)
    first = claims_on(files, behind).take([A], "run 1")
    second = claims_on(files, clock).take([A], "run 2")
    for _ in range(10):
        for one in (clock, behind):
            one.now += LEASE / 3
        first.beat()
        second.beat()
        assert second.look_again() == set()


def test_the_fencing_check(clock: Clock) -> None:
    """Who slept through its lease learns before it commits that somebody else may compute now."""
    files = fresh_files()
    sleeper = claims_on(files, clock).take([A], "run 1")
    sleeper.confirm()
    clock.now += LEASE
    with pytest.raises(LeaseLost, match="ran out"):
        sleeper.confirm()
    assert claims_on(files, clock).take([A], "run 2").held_by_others[A].owner == "run 1"  # and watched from now on


def test_a_number_is_used_again_by_somebody_else(clock: Clock) -> None:
    """A claim whose number was taken over is not held, and neither its heartbeat nor its release harms the new one."""
    files = fresh_files()
    old = claims_on(files, clock).take([A], "run 1")
    files.remove([entry.name for entry in files.list()])
    new = claims_on(files, clock).take([A], "run 2")
    assert new.number == old.number
    assert not old.still_held()
    clock.now += LEASE - 1
    new.beat()
    clock.now += 2
    old.beat()
    old.release()
    assert new.still_held()


def test_a_lower_number_that_came_free_is_no_place_in_the_queue(clock: Clock) -> None:
    """Who makes a number below one that is in use goes to the end: the other looked before it came."""
    files = fresh_files()
    first, second = (claims_on(files, clock).take([bytes([n]) * 20], f"run {n}") for n in (1, 2))
    first.release()
    third = claims_on(files, clock).take([bytes([2]) * 20], "run 3")  # knows of no numbers, so it tries 1
    assert (third.number, third.granted) == (second.number + 1, set())
    assert len(files.list("leases")) == 2


def test_a_lost_answer_is_no_lost_claim() -> None:
    """A create that happened although its answer did not arrive is our claim, not a conflict with somebody else."""
    script = RawScript({"pipe_file": [None, None, RawFault(error=TimeoutError("no answer"), happened=True)]})
    files = open_files(f"faulty://leases-{os.urandom(6).hex()}", {"script": script})
    claim = claims_on(files, Clock()).take([A], "run 1")
    assert (claim.number, claim.granted) == (1, {A})
    assert len(files.list()) == 1


def test_a_store_that_ignores_conditions_is_refused() -> None:
    """Where two creates of one file both succeed there are no leases, and the error says so; the rest works."""
    files = open_files(f"faulty://leases-{os.urandom(6).hex()}", {"script": RawScript(ignores_conditions=True)})
    with pytest.raises(StoreError, match="ignores 'create only if absent'"):
        claims_on(files, Clock()).take([A], "run 1")
    files.write("a", [b"x"])
    assert (files.read("a"), [entry.name for entry in files.list()]) == (b"x", ["a"])


def test_a_store_out_of_reach_is_told(clock: Clock) -> None:
    """What cannot be asked is not guessed: neither granted nor held."""
    inner = fresh_files()
    claim = claims_on(FaultyFiles(inner, {"list": {2: Fault.UNREACHABLE}}), clock).take([A], "run 1")
    with pytest.raises(StoreUnreachable):
        claim.look_again()


def test_foreign_files_among_the_claims(clock: Clock) -> None:
    """A file that is no claim covers no key and stops nobody."""
    files = fresh_files()
    files.write("leases/load/000000000001", [b"garbage"])
    files.write("leases/load/notes.txt", [b"garbage"])
    claim = claims_on(files, clock).take([A], "run 1")
    assert (claim.number, claim.granted) == (2, {A})


@pytest.mark.parametrize("data", [b"", b"garbage", b"dataflow claim 1 {}\n", b"dataflow claim 1 [1]\n", None])
def test_broken_records_are_refused(data: bytes | None) -> None:
    """What is no whole claim is told as corrupt."""
    whole = Record(token="t", owner="o", process="p", taken_at=1.5, lease_seconds=2.0, keys=frozenset({A, B}))
    assert Record.unpack(whole.pack()) == whole
    with pytest.raises(CorruptResult):
        Record.unpack(whole.pack()[:-1] if data is None else data)


def test_a_process_that_ended_is_dead_at_once(clock: Clock) -> None:
    """The claim of a process of this machine that was killed is taken over without waiting."""
    files = fresh_files()
    child = subprocess.run([sys.executable, "-c", SAY_PROCESS], capture_output=True, text=True, check=True)
    assert has_ended(child.stdout.strip())
    assert not has_ended(this_process())
    assert not has_ended(this_process().replace(" ", "x ", 1))  # another machine: who knows
    record = Record(
        token="t",
        owner="run 1",
        process=child.stdout.strip(),
        taken_at=clock.now,
        lease_seconds=LEASE,
        keys=frozenset({A}),
    )
    files.create("leases/load/000000000001", record.pack())
    assert Claims(files, "load", clock, heart=None).take([A], "run 2").granted == {A}


SAY_PROCESS = "from dataflow_results.liveness.processes import this_process; print(this_process())"


def test_one_thread_beats_for_all_claims_and_ends_with_the_last() -> None:
    """Claims of a process share one heart, whose thread stops when none is left or all are forgotten."""
    files, heart = fresh_files(), Heart()
    claims = [Claims(files, f"collection-{n}", heart=heart).take([A], "run", lease_seconds=0.3) for n in range(5)]
    beats = threading.Event()
    while len([entry for entry in files.list() if entry.name.endswith(".beat")]) < 5:
        beats.wait(0.01)
    assert len([thread for thread in threading.enumerate() if thread.name == THREAD]) == 1
    assert all(claim.still_held() for claim in claims)
    for claim in claims[1:]:
        claim.release()
    del claim, claims  # the last one is lost sight of
    while any(thread.name == THREAD for thread in threading.enumerate()):
        beats.wait(0.01)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_key_is_ever_granted_twice(data: st.DataObject) -> None:
    """Whatever order five processes claim, look, beat, sleep and release in, no key is held by two at once.

    A claim that is expired on its owner's own clock does not count as held: its owner cannot commit.
    """
    clock, files = Clock(), fresh_files()
    processes = [claims_on(files, clock) for _ in range(5)]
    held: dict[int, Claim] = {}
    for _ in range(data.draw(st.integers(5, 30))):
        who = data.draw(st.integers(0, 4))
        step = data.draw(st.sampled_from(["take", "look", "beat", "release", "wait"]))
        if step == "wait":
            clock.now += data.draw(st.sampled_from([1.0, 10.0, 31.0]))
        elif who not in held and step == "take":
            wanted = data.draw(st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=3, unique=True))
            held[who] = processes[who].take(wanted, f"process {who}")
        elif who in held:
            {"take": lambda: None, "look": held[who].look_again, "beat": held[who].beat, "release": held[who].release}[
                step
            ]()
            if step == "release":
                del held[who]
        granted = [key for claim in held.values() if claim.still_held() for key in claim.granted]
        assert len(granted) == len(set(granted))
    for claim in held.values():
        claim.release()


def test_threads_that_race_for_one_key_compute_it_once(place: Place) -> None:
    """Eight at once on a real store: exactly one is granted the key, and after it each of the others in turn."""
    files = open_files(place.url, place.storage_options)
    files.creates_safely()
    start, computing, computed = threading.Barrier(8), threading.Lock(), []

    def run(number: int) -> None:
        start.wait()
        claim = Claims(files, "load", heart=None).take([A], f"run {number}")
        while not claim.granted:
            claim.look_again()
        assert computing.acquire(blocking=False), "two compute at once"
        computed.append(number)
        computing.release()
        claim.release()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(computed) == list(range(8))
    assert files.list("leases") == []
