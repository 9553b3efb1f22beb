"""The errors of the ground floor, grouped by what a handler would do.

::

    ResultsError
    ├── KeyingError                 change the argument, or say how it is hashed
    │   ├── UnknownType                 a value without a canonical form (also a TypeError)
    │   └── UnstableKey                 what a key function gave is no key
    ├── StoringError                change what is stored, or how
    │   ├── Unserializable              no serializer takes this value
    │   └── TemplateError               a template that is wrong, or gives two results one file
    ├── ReadingError                the stored result cannot be given: compute it again
    │   ├── ResultMissing               there is none (also a KeyError)
    │   ├── CorruptResult               what is stored is not what was written
    │   ├── UntrustedResult             unsigned, or altered, and a signing key is set
    │   ├── UnsafeFormat                reading it could run code, and safe mode is on
    │   └── UnknownFormat               written by a newer version
    ├── StoreError                  look at the store
    │   ├── StoreUnreachable            it does not answer (also a ConnectionError)
    │   ├── StoreDenied                 it refuses, or is read-only (also a PermissionError)
    │   ├── StoreFull                   no space is left
    │   └── StoreUrlError               the URL or its options are wrong, or a package is missing (also a ValueError)
    └── LeaseLost                   somebody else computes this now: do not commit

Every error pickles with its fields, because errors travel between processes.
"""

from __future__ import annotations

__all__ = [
    "CorruptResult",
    "ExplainedError",
    "KeyingError",
    "LeaseLost",
    "ReadingError",
    "ResultMissing",
    "ResultsError",
    "StoreDenied",
    "StoreError",
    "StoreFull",
    "StoreUnreachable",
    "StoreUrlError",
    "StoringError",
    "TemplateError",
    "UnknownFormat",
    "UnknownType",
    "UnsafeFormat",
    "Unserializable",
    "UnstableKey",
    "UntrustedResult",
]


class ExplainedError(Exception):
    """An error that says what was wrong, where, and what to do instead; it pickles with its fields.

    Args:
        problem: what was wrong, in one sentence.
        where: the store, record, key or argument path it was found at.
        fix: what to write or do instead.
    """

    def __init__(self, problem: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        located = f"{self.where}: {self.problem}" if self.where else self.problem
        return f"{located}\n  instead: {self.fix}" if self.fix else located

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(cls: type[ExplainedError], args: tuple[object, ...], fields: dict[str, object]) -> ExplainedError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class ResultsError(ExplainedError):
    """Root of all errors that the results layer raises by itself."""


class KeyingError(ResultsError):
    """No key can be made of these arguments."""


class UnknownType(KeyingError, TypeError):
    """A value has no canonical form, so that equal values could get different keys."""


class UnstableKey(KeyingError):
    """A key function gave something that is no key."""


class StoringError(ResultsError):
    """A result cannot be stored as it is."""


class Unserializable(StoringError, TypeError):
    """No serializer takes the value."""


class TemplateError(StoringError, ValueError):
    """A template for file names is wrong, or gives two results one file."""


class ReadingError(ResultsError):
    """A stored result cannot be given; computing it again is right."""


class ResultMissing(ReadingError, KeyError):
    """Nothing is stored under this key."""

    __str__ = ResultsError.__str__


class CorruptResult(ReadingError):
    """What is stored is not what was written: truncated, changed or foreign."""


class UntrustedResult(ReadingError):
    """A record is unsigned, or was altered after it was signed."""


class UnsafeFormat(ReadingError):
    """Reading the record could run code, which safe mode does not allow."""


class UnknownFormat(ReadingError):
    """The record was written by a newer version."""


class StoreError(ResultsError):
    """The store itself is in trouble."""


class StoreUnreachable(StoreError, ConnectionError):
    """The store does not answer."""

    __str__ = ResultsError.__str__


class StoreDenied(StoreError, PermissionError):
    """The store refuses access, or is read-only."""

    __str__ = ResultsError.__str__


class StoreFull(StoreError):
    """No space is left in the store."""


class StoreUrlError(StoreError, ValueError):
    """A store URL or its options are wrong, or the package that serves it is not installed."""


class LeaseLost(ResultsError):
    """A lease ran out and somebody else holds it now: what was computed under it must not be committed."""
