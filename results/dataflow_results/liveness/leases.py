"""Two runs that want the same results at the same time: who computes, and who waits.

A claim is a small file, made by a conditional create, that lists the keys somebody is about to compute. Claims of a
collection are numbered in the order they were made, and a claim yields to every live one with a lower number that
covers the same key: a queue without a server. A claim lives as long as its heartbeat.

What is assumed of clocks. The store's clock is not used. A claim is dead if its heartbeat has not changed for its lease
while we watched, on our clock; this needs only that clocks run equally fast. So that nobody has to watch a claim that
died yesterday, it is dead too if its last stamp, on its owner's clock, is older than the lease and `SKEW_SECONDS`;
this needs clocks that differ by less. If they differ by more, two may compute the same, and the one who was taken for
dead finds out before it commits (`Claim.confirm`). A process of this machine that has ended is dead at once.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dataflow_results.digests import DIGEST_BYTES
from dataflow_results.errors import CorruptResult, LeaseLost, ResultMissing, ResultsError, StoreUnreachable
from dataflow_results.files.protocol import Files
from dataflow_results.liveness.heartbeat import HEART, Heart
from dataflow_results.liveness.processes import has_ended, this_process

__all__ = ["LEASE_SECONDS", "SKEW_SECONDS", "Claim", "Claims", "Holder", "Record", "Sighting", "share_out"]

LEASE_SECONDS = 30.0
SKEW_SECONDS = 30.0
"""By how much the clocks of two machines may differ."""
TRIES = 100
"""Numbers that are tried before giving up: so many others would have to come in between."""
FORMAT = b"dataflow claim 1 "


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who has a key that we want."""

    number: int
    owner: str
    expires_at: float
    """Seconds since the epoch, on our clock, after which the claim is dead unless its heart beats again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a claim says; never changed."""

    token: str
    """Tells this claim from any other, also from a later one with the same number."""
    owner: str
    process: str
    """See `dataflow_results.liveness.processes.this_process`."""
    taken_at: float
    """Seconds since the epoch on the owner's clock."""
    lease_seconds: float
    keys: frozenset[bytes] = field(repr=False)

    def pack(self) -> bytes:
        """The content of the file."""
        facts = {name: getattr(self, name) for name in ("token", "owner", "process", "taken_at", "lease_seconds")}
        return FORMAT + json.dumps(facts).encode() + b"\n" + b"".join(sorted(self.keys))

    @classmethod
    def unpack(cls, data: bytes) -> Record:
        """What `pack` packed.

        Raises:
            CorruptResult: it is something else.
        """
        head, newline, keys = data.partition(b"\n")
        if not head.startswith(FORMAT) or not newline or len(keys) % DIGEST_BYTES:
            raise CorruptResult("this is no whole claim")
        try:
            facts = json.loads(head.removeprefix(FORMAT))
            split = frozenset(keys[at : at + DIGEST_BYTES] for at in range(0, len(keys), DIGEST_BYTES))
            return cls(keys=split, **facts)
        except (ValueError, TypeError) as error:
            raise CorruptResult("the claim cannot be read") from error


@dataclass(slots=True, kw_only=True)
class Sighting:
    """What we know of somebody else's claim."""

    number: int
    record: Record
    stamp: float
    """Of the last heartbeat we saw, on the owner's clock."""
    seen_at: float
    """When we first saw this heartbeat, on our clock."""

    def beats(self, stamp: float, now: float) -> None:
        """Take note of a heartbeat; one that we know already proves nothing new."""
        if stamp != self.stamp:
            self.stamp, self.seen_at = stamp, now

    @property
    def expires_at(self) -> float:
        """When the claim is dead, on our clock."""
        lease = self.record.lease_seconds
        return min(self.seen_at + lease, self.stamp + lease + SKEW_SECONDS)


def share_out(
    wanted: Iterable[bytes], before: Iterable[Sighting], now: float
) -> tuple[set[bytes], dict[bytes, Holder]]:
    """Which of the wanted keys are ours, and who has the others.

    Args:
        wanted: our keys.
        before: the claims with lower numbers.
        now: on our clock.

    Example:
        >>> record = Record(token="t", owner="run 1", process="", taken_at=0, lease_seconds=30, keys=frozenset({b"a"}))
        >>> first = Sighting(number=1, record=record, stamp=0.0, seen_at=0.0)
        >>> ours, others = share_out([b"a", b"b"], [first], now=10.0)
        >>> ours, others[b"a"].owner
        ({b'b'}, 'run 1')
        >>> share_out([b"a", b"b"], [first], now=30.0)[1]
        {}
    """
    ours = set(wanted)
    others: dict[bytes, Holder] = {}
    for sighting in sorted(before, key=lambda one: one.number):
        if sighting.expires_at <= now:
            continue
        common = ours & sighting.record.keys
        holder = Holder(number=sighting.number, owner=sighting.record.owner, expires_at=sighting.expires_at)
        others.update(dict.fromkeys(common, holder))
        ours -= common
    return ours, others


class Claims:
    """The claims on the keys of one collection.

    Args:
        files: the files of the store; they must create conditionally (`Files.creates_safely`).
        collection: name of the collection.
        clock: seconds since the epoch.
        heart: keeps claims alive from a thread of its own; None: whoever took a claim calls `Claim.beat`.
        ended: whether a process, as `this_process` describes it, is known to have ended.

    Example:
        >>> from dataflow_results.files import open_files
        >>> claims = Claims(open_files("memory://leases-example"), "load", heart=None)
        >>> first, second = claims.take([b"k" * 20], "run 1"), claims.take([b"k" * 20], "run 2")
        >>> first.granted == {b"k" * 20}, second.granted, second.held_by_others[b"k" * 20].owner
        (True, set(), 'run 1')
        >>> first.release()
        >>> second.look_again() == {b"k" * 20}
        True
        >>> second.release()
    """

    def __init__(
        self,
        files: Files,
        collection: str,
        clock: Callable[[], float] = time.time,
        *,
        heart: Heart | None = HEART,
        ended: Callable[[str], bool] = has_ended,
    ) -> None:
        self.files = files
        self.clock = clock
        self.heart = heart
        self._folder = f"leases/{collection}"
        self._ended = ended
        self._highest = 0
        self._sightings: dict[int, Sighting] = {}

    def name(self, number: int) -> str:
        """The file of a claim."""
        return f"{self._folder}/{number:012d}"

    def take(self, keys: Sequence[bytes], owner: str, lease_seconds: float = LEASE_SECONDS) -> Claim:
        """Claim keys. Which of them were granted, and who has the others, stands in the claim.

        Between the look-up that missed and this claim somebody may have stored the results: look once more before
        computing what was granted.

        Args:
            keys: digests of 20 bytes.
            owner: text that tells people who this is.
            lease_seconds: how long the claim outlives its last heartbeat.

        Raises:
            StoreError: the store cannot be used, or ignores conditions.
        """
        now = self.clock()
        record = Record(
            token=os.urandom(16).hex(),
            owner=owner,
            process=this_process(),
            taken_at=now,
            lease_seconds=lease_seconds,
            keys=frozenset(keys),
        )
        number, present = self._announce(record)
        claim = Claim(self, number, record)
        claim.share(self._look(number, present))
        if self.heart is not None:
            self.heart.watch(claim, lease_seconds / 3)
        return claim

    def _announce(self, record: Record) -> tuple[int, Mapping[int, bool]]:
        """Make the file of a claim under the next free number; the number, and all claims there were after that."""
        data = record.pack()
        number = self._highest + 1
        for _ in range(TRIES):
            made = self.files.create(self.name(number), data)
            present = self._present()
            self._highest = max((*present, number))
            if made and self._highest == number:
                return number, present
            if made:
                # Lower numbers had become free. Who has a higher one may have looked before we came, and would not
                # yield to us: so this number is no place in the queue.
                self.files.remove([self.name(number)])
            number = self._highest + 1
        raise StoreUnreachable("too many others claim keys at once", where=f"{self.files.url}/{self._folder}")

    def _present(self) -> dict[int, bool]:
        """The numbers of all claims, and whether they have a heartbeat."""
        names = {entry.name.rpartition("/")[2] for entry in self.files.list(self._folder)}
        return {int(name): f"{name}.beat" in names for name in names if name.isdigit()}

    def look(self, number: int) -> list[Sighting]:
        """The live claims before a number, as they are now. The dead ones are removed."""
        return self._look(number, self._present())

    def _look(self, number: int, present: Mapping[int, bool]) -> list[Sighting]:
        now = self.clock()
        before = [one for one in present if one < number]
        self._sightings = {one: seen for one, seen in self._sightings.items() if one in present}
        self._meet([one for one in before if one not in self._sightings], now)
        self._listen([one for one in before if present[one] and one in self._sightings], now)
        seen = [self._sightings[one] for one in before if one in self._sightings]
        dead = [one for one in seen if one.expires_at <= now or self._ended(one.record.process)]
        self.files.remove([name for one in dead for name in self.names(one.number)])
        return [one for one in seen if one not in dead]

    def names(self, number: int) -> list[str]:
        """All files of a claim."""
        return [self.name(number), f"{self.name(number)}.beat"]

    def _meet(self, numbers: Sequence[int], now: float) -> None:
        for number, data in zip(numbers, self._read([self.name(one) for one in numbers]), strict=True):
            if data is None:
                continue
            try:
                record = Record.unpack(data)
            except CorruptResult:  # no claim of ours writes such; it covers nothing, and its end is not our business
                continue
            self._sightings[number] = Sighting(number=number, record=record, stamp=record.taken_at, seen_at=now)

    def _listen(self, numbers: Sequence[int], now: float) -> None:
        for number, data in zip(numbers, self._read([f"{self.name(one)}.beat" for one in numbers]), strict=True):
            token, _, stamp = (data or b"").decode("ascii", "replace").partition(" ")
            if token == self._sightings[number].record.token:
                self._sightings[number].beats(float(stamp), now)

    def _read(self, names: Sequence[str]) -> list[bytes | None]:
        found = self.files.read_many([(name, 0, None) for name in names])
        for one in found:
            if isinstance(one, ResultsError) and not isinstance(one, ResultMissing):
                raise one
        return [None if isinstance(one, ResultsError) else one for one in found]


class Claim:
    """A place in the queue for some keys; made by `Claims.take`.

    Attributes:
        number: orders claims; of two that want the same key, the lower goes first.
        granted: keys that are ours to compute.
        held_by_others: the other keys, and who has them.
    """

    def __init__(self, claims: Claims, number: int, record: Record) -> None:
        self.number = number
        self.record = record
        self.granted: set[bytes] = set()
        self.held_by_others: dict[bytes, Holder] = {}
        self._claims = claims
        self._alive_until = record.taken_at + record.lease_seconds
        self._released = False

    def __repr__(self) -> str:
        return f"Claim({self.number}, {len(self.granted)} granted, {len(self.held_by_others)} held by others)"

    def share(self, before: Iterable[Sighting]) -> None:
        """Share the keys out between the claims before this one and this one."""
        self.granted, self.held_by_others = share_out(self.record.keys, before, self._claims.clock())

    def look_again(self) -> set[bytes]:
        """Ask who has what by now; the keys that were granted since. The others may have stored what they had: look."""
        before = set(self.granted)
        self.share(self._claims.look(self.number))
        return self.granted - before

    @property
    def expired(self) -> bool:
        """Whether the lease ran out, on our clock: others may take us for dead from now on."""
        return self._released or self._claims.clock() >= self._alive_until

    def beat(self) -> None:
        """Tell others that we live, for another lease. Does nothing once the lease ran out.

        Raises:
            StoreError: the store cannot be written to; the lease goes on running.
        """
        if self.expired:
            return
        now = self._claims.clock()
        self._claims.files.write(f"{self._claims.name(self.number)}.beat", [f"{self.record.token} {now!r}".encode()])
        self._alive_until = now + self.record.lease_seconds

    def still_held(self) -> bool:
        """Whether nobody took us for dead: the lease runs, and the claim lies in the store as we made it."""
        return not self.expired and self._lies_there()

    def _lies_there(self) -> bool:
        try:
            return self._claims.files.read(self._claims.name(self.number)) == self.record.pack()
        except ResultMissing:
            return False

    def confirm(self) -> None:
        """Ask before committing what was computed under the claim.

        Raises:
            LeaseLost: somebody else may compute this now.
        """
        if not self.still_held():
            where = f"{self._claims.files.url}/{self._claims.name(self.number)}"
            raise LeaseLost("the lease ran out", where=where, fix="look whether somebody else stored the results")

    def release(self) -> None:
        """Give up what was claimed; the next in the queue gets it. Released twice is released once."""
        if self._claims.heart is not None:
            self._claims.heart.forget(self)
        # After our lease the number may be somebody else's.
        if not self._released and (not self.expired or self._lies_there()):
            self._claims.files.remove(self._claims.names(self.number))
        self._released = True
