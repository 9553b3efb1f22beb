"""``python -m dataflow`` does what the command ``dataflow`` does."""

from __future__ import annotations

from dataflow.cli.main import main

if __name__ == "__main__":
    main()
