"""What the user's editor sees: mypy and pyright accept right code and mark exactly the wrong lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RIGHT, WRONG = HERE / "right_lines.py", HERE / "wrong_lines.py"
Lines = dict[str, dict[int, str]]
"""Messages by file name and line."""


def run(*command: str) -> str:
    """The output of a type checker, whatever its exit status."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=110, check=False)
    return done.stdout + done.stderr


def mypy_errors(tmp_path: Path) -> Lines:
    """What mypy finds in both files."""
    flags = ["--strict", "--no-error-summary", "--hide-error-context", "--config-file=", "--output=json"]
    output = run(sys.executable, "-m", "mypy", *flags, f"--cache-dir={tmp_path}", str(RIGHT), str(WRONG))
    found: Lines = {RIGHT.name: {}, WRONG.name: {}}
    for line in output.splitlines():
        report = json.loads(line)
        if report["severity"] == "error":
            found.setdefault(Path(report["file"]).name, {})[report["line"]] = report["message"]
    return found


def pyright_errors(_: Path) -> Lines:
    """What pyright finds in both files; skips where its own program cannot be started."""
    output = run(
        sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(RIGHT), str(WRONG)
    )
    start = output.find("{")
    if start < 0:
        pytest.skip(f"pyright does not start here: {output.strip()[-200:]}")
    reports = json.loads(output[start : output.rindex("}") + 1])["generalDiagnostics"]
    found: Lines = {RIGHT.name: {}, WRONG.name: {}}
    for report in reports:
        if report["severity"] == "error":
            found.setdefault(Path(report["file"]).name, {})[report["range"]["start"]["line"] + 1] = report["message"]
    return found


def marked_lines() -> set[int]:
    """The lines of the wrong file at which an error is expected."""
    lines = WRONG.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# expect-error")}


@pytest.mark.parametrize("errors", [mypy_errors, pyright_errors])
def test_type_checkers(errors: object, tmp_path: Path) -> None:
    """Right code has no error, and wrong code one at every marked line and nowhere else."""
    assert callable(errors)
    found: Lines = errors(tmp_path)
    assert found[RIGHT.name] == {}
    assert {line: found[WRONG.name].get(line) for line in marked_lines()} == found[WRONG.name]
