"""Fresh processes for tests.

Code that profiles or traces goes there in any case: Python 3.11 can loop for ever in code that was specialised, by the
tests before, when it is profiled.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["printed_by"]

ROOT = Path(__file__).parents[1]


def printed_by(*arguments: str, timeout_seconds: float = 60.0) -> str:
    """What Python prints that is started with these arguments where it can import the tests; stripped."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_seconds, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()
