"""The desk of a worker or a client of a Dask cluster: speaks with the ledger on the scheduler."""

from __future__ import annotations

import asyncio
import contextlib
import math
import weakref
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import Future
from itertools import count
from typing import Any

from distributed import Client, Worker, get_worker
from distributed.protocol.pickle import dumps

from dataflow.engine.limits.desk import Ticket, Use, no_rate, refused, settle
from dataflow.engine.limits.ledger import Refusal
from dataflow.engine.limits.scheduler import PLUGIN_NAME, LimitsPlugin
from dataflow.engine.nests import nest_depth
from dataflow.errors import ClusterError
from dataflow.known_limits import Limit, Place, cluster_has, defined, has_tags
from dataflow.settings import settings

__all__ = ["Agent", "agent_here", "agent_of_client", "known_agents"]

_agents: weakref.WeakKeyDictionary[Client | Worker, Agent] = weakref.WeakKeyDictionary()


class Agent:
    """Asks the scheduler for places, and is told when they are granted.

    Args:
        member: the worker or client whose connection is used; the scheduler frees what it holds when it is gone.
        owner: its name there.
    """

    def __init__(self, member: Client | Worker, owner: str) -> None:
        self._member = weakref.ref(member)
        self._owner = owner
        self._numbers = count()
        self._asking: dict[int, asyncio.Task[None]] = {}
        self._waiting: dict[int, Future[int]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._heard = 0
        self._is_registered = False
        self._told: dict[str, Limit] = {}

    def request(self, places: tuple[Place, ...], *, elastic: bool = False) -> Ticket:
        """Ask for places."""
        ticket = Ticket(next(self._numbers), Future())
        self._start(self._request(ticket, places, elastic=elastic), ticket.answer)
        return ticket

    def free(self, numbers: Iterable[int]) -> None:
        """Give places back, or stop waiting."""
        self._start(self._free(tuple(numbers)), None)

    def reserve(self, use: Use) -> Future[float]:
        """Take the next free time."""
        answer: Future[float] = Future()
        self._start(self._reserve(use, answer), answer)
        return answer

    def define(self, limits: Mapping[str, Limit | None]) -> None:
        """Set limits; they are known there when this returns."""
        self._settled(self._define(limits))

    def introduce(self) -> None:
        """Before a run: tell the cluster the limits of this process, and learn which tags have a limit there."""
        own = defined()
        if own != self._told:
            self.define(own)
            self._told = own
        if has_tags() or nest_depth():  # tasks that came to a worker were defined elsewhere
            with contextlib.suppress(ClusterError):  # where there can be no ledger, nobody has set a limit
                cluster_has(self._settled(self._names()))

    def _settled(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        answer: Future[Any] = Future()

        async def settled() -> None:
            settle(answer, await coroutine)

        self._start(settled(), answer)
        try:
            return answer.result(settings().connect_timeout_seconds)
        except TimeoutError as error:
            raise _unreachable(error) from error

    def _start(self, coroutine: Coroutine[Any, Any, None], answer: Future[Any] | None) -> None:
        """Run in the member's loop; what goes wrong is the answer."""

        async def guarded() -> None:
            try:
                await coroutine
            except Exception as error:  # noqa: BLE001 - boundary: Dask's connections raise much; whoever waits is told
                if answer is not None:
                    settle(answer, _unreachable(error))

        member, started = self._member(), guarded()
        try:
            asyncio.run_coroutine_threadsafe(started, member.loop.asyncio_loop)  # type: ignore[union-attr]
        except (AttributeError, RuntimeError) as error:  # it is gone, or its loop has ended
            started.close()
            coroutine.close()
            if answer is not None:
                settle(answer, _unreachable(error))

    async def _scheduler(self) -> Any:
        member = self._member()
        if member is None:
            raise ClusterError("the connection to the cluster is closed")
        if not self._is_registered:
            plugin = dumps(LimitsPlugin())
            await member.scheduler.register_scheduler_plugin(plugin=plugin, name=PLUGIN_NAME, idempotent=True)
            self._is_registered = True
        return member.scheduler

    async def _request(self, ticket: Ticket, places: tuple[Place, ...], *, elastic: bool) -> None:
        number = ticket.number
        task = asyncio.current_task()
        assert task is not None
        self._asking[number] = task
        self._waiting[number] = ticket.answer
        try:
            scheduler = await self._scheduler()
            said = [(place.name, place.count, place.limit) for place in places]
            outcome = await scheduler.dataflow_limits_request(
                owner=self._owner, number=number, places=said, elastic=elastic
            )
        except BaseException:
            self._waiting.pop(number, None)
            raise
        finally:
            self._asking.pop(number, None)
        if outcome == 0:
            self._listen()
        else:
            self._answer(number, outcome)

    def _answer(self, number: int, outcome: Any) -> None:
        answer = self._waiting.pop(number, None)
        if answer is None:
            return
        if outcome == "gone":
            settle(answer, ClusterError("the scheduler has given this worker up, so it gets no places"))
        else:
            settle(answer, outcome if isinstance(outcome, int) else refused(Refusal(*outcome)))

    def _listen(self) -> None:
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        """Hear what was granted, as long as something is waited for."""
        try:
            scheduler = await self._scheduler()
            while self._waiting:
                mails = await scheduler.dataflow_limits_wait(owner=self._owner, after=self._heard)
                for self._heard, number, outcome in mails:
                    self._answer(number, outcome)
        except Exception as error:  # noqa: BLE001 - boundary: as in _start
            lost, self._waiting = self._waiting, {}
            for answer in lost.values():
                settle(answer, _unreachable(error))

    async def _free(self, numbers: tuple[int, ...]) -> None:
        asking = [self._asking[number] for number in numbers if number in self._asking]
        if asking:
            await asyncio.wait(asking)
        for number in numbers:
            self._waiting.pop(number, None)
        scheduler = await self._scheduler()
        await scheduler.dataflow_limits_free(owner=self._owner, numbers=numbers)

    async def _reserve(self, use: Use, answer: Future[float]) -> None:
        scheduler = await self._scheduler()
        patience = None if math.isinf(use.patience_seconds) else use.patience_seconds
        seconds = await scheduler.dataflow_limits_reserve(
            name=use.name, count=use.times, interval_seconds=use.interval_seconds, patience_seconds=patience
        )
        settle(answer, no_rate(use.name) if seconds is None else seconds)

    async def _define(self, limits: Mapping[str, Limit | None]) -> None:
        scheduler = await self._scheduler()
        said = [(name, limit and limit.places, limit and limit.interval_seconds) for name, limit in limits.items()]
        await scheduler.dataflow_limits_define(limits=said)

    async def _names(self) -> Any:
        scheduler = await self._scheduler()
        return await scheduler.dataflow_limits_names()


def agent_of_client(client: Client) -> Agent:
    """The one agent of a client."""
    if client not in _agents:
        _agents[client] = Agent(client, str(client.id))
    return _agents[client]


def agent_here() -> Agent | None:
    """The agent of the worker whose task this thread runs, if it runs one."""
    try:
        worker = get_worker()
    except ValueError:
        return None
    if worker not in _agents:
        _agents[worker] = Agent(worker, str(worker.address))
    return _agents[worker]


def _unreachable(error: Exception) -> Exception:
    if isinstance(error, ClusterError):
        return error
    found = ClusterError(
        f"places of limits cannot be had from the scheduler ({type(error).__name__}: {error})",
        where="the limits of this cluster",
        fix="see that the scheduler is there and can import dataflow: the ledger of all limits is kept by it",
    )
    found.__cause__ = error
    return found


def known_agents() -> list[Agent]:
    """The agents of all open connections of this process."""
    return [
        agent for member, agent in list(_agents.items()) if getattr(member.status, "name", member.status) == "running"
    ]
