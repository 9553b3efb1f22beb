"""Cache policies: what the key of a result is made of, as values that are combined with ``+`` and ``-``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from dataflow_results.errors import KeyingError

__all__ = [
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "LINEAGE",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "CacheKeyFnPolicy",
    "CachePolicy",
]

PARTS = ("INPUTS", "LINEAGE", "TASK_SOURCE", "FLOW_PARAMETERS", "RUN_ID", "POSITION")
"""All parts, in the order a policy is written in."""
ISOLATION = {"READ_COMMITTED": "READ_COMMITTED", "SERIALIZABLE": "SERIALIZABLE"}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CachePolicy:
    """Says which parts a key is made of; the identity of the task is always one of them.

    A policy with no part and no key function means that nothing is cached.

    Args:
        parts: some of `PARTS`.
        without: arguments that INPUTS and LINEAGE leave out.
        only: the only arguments that INPUTS and LINEAGE take; None: all.
        only_parameters: the only parameters that FLOW_PARAMETERS takes; None: all.
        functions: key functions; each is called with a context and the arguments and gives text, or None for no key.
        isolation: ``"SERIALIZABLE"`` computes a key once even if two runs ask for it at the same time,
            ``"READ_COMMITTED"`` lets both compute; None: what the store does by itself.

    Example:
        >>> INPUTS + TASK_SOURCE - "debug"
        INPUTS + TASK_SOURCE - 'debug'
        >>> INPUTS + NO_CACHE == INPUTS
        True
    """

    parts: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    only_parameters: frozenset[str] | None = None
    functions: tuple[Callable[..., str | None], ...] = ()
    isolation: str | None = None

    def __init_subclass__(cls) -> None:
        """Refuse a subclass: its methods would never be called, and a cache that does nothing must say so."""
        raise _wrong(f"{cls.__name__} subclasses CachePolicy, which is final", "CacheKeyFnPolicy(function)")

    @property
    def caches(self) -> bool:
        """Whether there is a key at all."""
        return bool(self.parts or self.functions)

    @property
    def is_lineage(self) -> bool:
        """Whether the key depends on how the arguments came to be, not on their values."""
        return "LINEAGE" in self.parts

    @property
    def reads_arguments(self) -> bool:
        """Whether the key depends on the arguments of the call."""
        return bool(self.parts & {"INPUTS", "LINEAGE"})

    @property
    def reads_source(self) -> bool:
        """Whether the key depends on the source of the task; LINEAGE does, because it replaces looking at values."""
        return bool(self.parts & {"TASK_SOURCE", "LINEAGE"})

    def __add__(self, other: object) -> CachePolicy:
        """A policy whose key depends on the parts of both.

        Raises:
            KeyingError: the two contradict each other.
        """
        if not isinstance(other, CachePolicy):
            return NotImplemented
        parts = self.parts | other.parts
        if {"INPUTS", "LINEAGE"} <= parts:
            fix = "LINEAGE alone looks up before anything upstream ran; INPUTS + TASK_SOURCE looks at the values"
            raise _wrong(f"{self!r} + {other!r}: LINEAGE stands in place of INPUTS", fix)
        functions = (*self.functions, *(new for new in other.functions if new not in self.functions))
        return CachePolicy(
            parts=parts,
            without=self.without | other.without,
            only=_both(self, other, "only"),
            only_parameters=_both(self, other, "only_parameters"),
            functions=functions,
            isolation=_same_isolation(self, other),
        )

    def __sub__(self, argument: object) -> CachePolicy:
        """The same policy, but the named argument does not count.

        Raises:
            KeyingError: the policy does not look at arguments anyway.
        """
        if not isinstance(argument, str):
            return NotImplemented
        if not self.reads_arguments:
            fix = f"INPUTS - {argument!r}, or leave the subtraction out"
            raise _wrong(f"{self!r} does not look at arguments, so {argument!r} cannot be taken off", fix)
        return replace(self, without=self.without | {argument})

    def configure(
        self, *, key_storage: object = None, isolation_level: object = None, lock_manager: object = None
    ) -> CachePolicy:
        """The same policy with another isolation level; the other options of Prefect are refused with what to do.

        Args:
            key_storage: must be None: keys lie in the pack that holds the results.
            isolation_level: ``"READ_COMMITTED"``, ``"SERIALIZABLE"``, or an enum member of that name.
            lock_manager: must be None: leases in the store do it.

        Raises:
            KeyingError: an option has no meaning here.

        Example:
            >>> INPUTS.configure(isolation_level="SERIALIZABLE").isolation
            'SERIALIZABLE'
        """
        if key_storage is not None:
            raise _wrong("keys and results lie in one store, so key_storage has no meaning", "result_storage=... on it")
        if lock_manager is not None:
            raise _wrong(
                "leases in the store keep two runs from computing one key, so lock_manager has no meaning",
                '.configure(isolation_level="SERIALIZABLE")',
            )
        return replace(self, isolation=self.isolation if isolation_level is None else _isolation(isolation_level))

    def check_arguments(self, task: str, arguments: Iterable[str]) -> None:
        """Check that the arguments which the policy names exist.

        Args:
            task: name of the task, for the message.
            arguments: names of the arguments of the call.

        Raises:
            KeyingError: the policy names an argument that the task does not have.

        Example:
            >>> (INPUTS - "debug").check_arguments("load", ["path", "debug"])
        """
        known = list(dict.fromkeys(base_name(name) for name in arguments))
        unknown = sorted((self.without | (self.only or frozenset())) - {*known, *arguments})
        if unknown:
            has = f"its arguments are {', '.join(map(repr, known))}" if known else "it has no arguments"
            fix = f"one of {', '.join(map(repr, known))}, or no subtraction" if known else "no subtraction"
            raise KeyingError(f"{self!r} names {unknown[0]!r}, but {has}", where=f"task {task!r}", fix=fix)

    def counts(self, argument: str) -> bool:
        """Whether an argument is part of the key.

        Example:
            >>> (INPUTS - "debug").counts("debug"), INPUTS.counts("debug"), TASK_SOURCE.counts("debug")
            (False, True, False)
        """
        names = {argument, base_name(argument)}
        return self.reads_arguments and not names & self.without and (self.only is None or bool(names & self.only))

    def counts_parameter(self, parameter: str) -> bool:
        """Whether a parameter of the flow is part of the key."""
        return "FLOW_PARAMETERS" in self.parts and (self.only_parameters is None or parameter in self.only_parameters)

    @staticmethod
    def from_cache_key_fn(cache_key_fn: Callable[..., str | None]) -> CachePolicy:
        """`CacheKeyFnPolicy` under another name that Prefect has for it."""
        return CacheKeyFnPolicy(cache_key_fn)

    @property
    def text(self) -> str:
        """The policy as it is written, without what does not change keys."""
        if not self.caches:
            return "NO_CACHE"
        named = [_limited(part, self) for part in PARTS if part in self.parts]
        named += [f"CacheKeyFnPolicy({_function_name(function)})" for function in self.functions]
        return " + ".join(named) + "".join(f" - {name!r}" for name in sorted(self.without))

    def __repr__(self) -> str:
        return self.text if self.isolation is None else f"({self.text}).configure(isolation_level={self.isolation!r})"


def base_name(argument: str) -> str:
    """The name in the signature: ``rest`` for ``rest[0]``, one of the values of ``*rest``."""
    return argument.partition("[")[0]


def _limited(part: str, policy: CachePolicy) -> str:
    limit = policy.only_parameters if part == "FLOW_PARAMETERS" else policy.only
    if limit is None or part not in {"FLOW_PARAMETERS", "INPUTS", "LINEAGE"}:
        return part
    return f"{part}[{', '.join(sorted(limit))}]"


def _function_name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def _wrong(problem: str, fix: str) -> KeyingError:
    return KeyingError(problem, where="cache policy", fix=fix)


def _both(one: CachePolicy, other: CachePolicy, field: str) -> frozenset[str] | None:
    """The limit of two policies together: a part that one of them has without a limit has none."""
    needs = {"only": {"INPUTS", "LINEAGE"}, "only_parameters": {"FLOW_PARAMETERS"}}[field]
    limits = [getattr(policy, field) for policy in (one, other) if policy.parts & needs]
    if not limits or None in limits:
        return None
    return frozenset().union(*limits)


def _same_isolation(one: CachePolicy, other: CachePolicy) -> str | None:
    chosen = {one.isolation, other.isolation} - {None}
    if len(chosen) > 1:
        raise _wrong(f"{one!r} and {other!r} have different isolation levels", "configure(...) on the sum only")
    return chosen.pop() if chosen else None


def _isolation(given: object) -> str:
    level = ISOLATION.get(str(getattr(given, "name", given)).upper())
    if level is None:
        raise _wrong(f"{given!r} is no isolation level", " or ".join(map(repr, ISOLATION)))
    return level


def CacheKeyFnPolicy(  # noqa: N802 - the name people know from Prefect, where it is a class
    cache_key_fn: Callable[..., str | None],
) -> CachePolicy:
    """A policy whose key is the text that a function gives.

    Args:
        cache_key_fn: called for each element with a `KeyContext` and a dict of the arguments; gives text, or None for
            "do not cache this one". The task's identity is part of the key as well.

    Raises:
        KeyingError: it cannot be called.

    Example:
        >>> def by_day(context, arguments):
        ...     return arguments["date"][:10]
        >>> CacheKeyFnPolicy(by_day)
        CacheKeyFnPolicy(by_day)
    """
    if not callable(cache_key_fn):
        raise _wrong(f"{cache_key_fn!r} is no key function", "a function of (context, arguments) that gives text")
    return CachePolicy(functions=(cache_key_fn,))


INPUTS = CachePolicy(parts=frozenset({"INPUTS"}))
"""The values of the arguments."""
TASK_SOURCE = CachePolicy(parts=frozenset({"TASK_SOURCE"}))
"""The source of the task's function and of the functions of the same project that it reaches."""
FLOW_PARAMETERS = CachePolicy(parts=frozenset({"FLOW_PARAMETERS"}))
"""The parameters of the flow."""
RUN_ID = CachePolicy(parts=frozenset({"RUN_ID"}))
"""The run: nothing is reused by another run."""
NO_CACHE = CachePolicy()
"""Nothing is cached."""
DEFAULT = INPUTS + TASK_SOURCE
"""What asking for a cache means when no policy is said."""
LINEAGE = CachePolicy(parts=frozenset({"LINEAGE"}))
"""The task's source, and how each argument came to be: values given by hand, and the keys of upstream results.
So the key is known before anything upstream ran."""
POSITION = CachePolicy(parts=frozenset({"POSITION"}))
"""The node and the element's index, whatever the arguments are; what classic `duration_only` means for a map."""
