"""``python -m tests.benchmarks`` does what ``python tests/benchmarks/run.py`` does."""

from __future__ import annotations

import sys

from tests.benchmarks.run import main

sys.exit(main())
