"""What was found wrong in a store while it was used: reported once, kept for whoever asks."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass

from dataflow_results.errors import ResultsError

__all__ = ["Problem", "Problems", "ResultsWarning"]


class ResultsWarning(UserWarning):
    """Something in a store cannot be used; what it held is computed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing in a store that cannot be used."""

    where: str
    """The pack, as ``collection/id``, or the file."""
    error: ResultsError
    set_aside: bool
    """Whether it was moved to ``set-aside/``, so that nobody meets it again."""


class Problems:
    """The problems of one store in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Problem] = {}

    def report(self, problem: Problem, *, stacklevel: int = 2) -> None:
        """Keep a problem and warn of it, once for each place."""
        with self._lock:
            is_new = problem.where not in self._found
            self._found[problem.where] = problem
        if is_new:
            warnings.warn(str(problem.error), ResultsWarning, stacklevel=stacklevel + 1)

    def all(self) -> list[Problem]:
        """All problems so far, oldest first."""
        with self._lock:
            return list(self._found.values())
