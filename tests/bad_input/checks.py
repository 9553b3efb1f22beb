"""What every error of dataflow must have: the problem, the place, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dataflow.errors import DataflowError, FlowValidationError

__all__ = ["check", "refused"]


@contextmanager
def refused(kind: type[DataflowError], *words: str) -> Iterator[None]:
    """Expects this kind of error, whose text has these words, says where it was found and what to do instead."""
    with pytest.raises(DataflowError) as caught:
        yield
    error = caught.value
    if isinstance(error, FlowValidationError) and kind is not FlowValidationError:
        (error,) = error.complaints
    check(error, kind, *words)


def check(error: BaseException, kind: type[DataflowError], *words: str) -> None:
    """The same for an error at hand."""
    assert isinstance(error, kind), f"{type(error).__name__}: {error}"
    assert error.where, f"says not where: {error}"
    assert error.fix, f"says not what to do instead: {error}"
    missing = [word for word in words if word not in str(error)]
    assert not missing, f"{missing} not in: {error}"
