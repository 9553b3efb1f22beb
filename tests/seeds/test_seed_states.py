"""The retries and states examples the product was asked for with, unchanged but for their import line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
FETCH = """
import sys
import time
from retries import data_pipeline

if __name__ == "__main__":
    for urls in sys.argv[1:]:
        began = time.time()
        state = data_pipeline(urls.split(","), return_state=True)
        took = "took more than 2 s" if time.time() - began >= 2 else "took less"
        result = state.result(raise_on_failure=False)
        print(state.name, took, result if state.is_completed() else type(result).__name__)
        if hasattr(result, "response"):
            print(result.response.status_code)
"""
STATES = """
from states import check_task_states, stateful_workflow

if __name__ == "__main__":
    check_task_states()
    print(stateful_workflow({}, return_state=True))
"""


class Service(ThreadingHTTPServer):
    """Answers ``/busy`` with 503 the first time and with JSON from then on; everything else is not there."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    """One request of the service."""

    server: Service

    def do_GET(self) -> None:
        self.server.asked[self.path] += 1
        status = 404 if self.path != "/busy" else 503 if self.server.asked["/busy"] == 1 else 200
        body = json.dumps({"status": status}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def service() -> Iterator[Service]:
    """The service, running."""
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[str]]:
    """Gives the lines that a script prints that imports the examples, in a process of its own."""
    for name in ("retries", "states"):
        (tmp_path / f"{name}.py").write_text((FOLDER / f"{name}.txt").read_text(encoding="utf-8"), encoding="utf-8")

    def run_script(script: str, *arguments: str, cluster: str) -> list[str]:
        (tmp_path / "main.py").write_text(script, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "DATAFLOW_CLUSTER": cluster}
        done = subprocess.run(
            [sys.executable, "main.py", *arguments], cwd=tmp_path, env=environment,
            capture_output=True, encoding="utf-8", timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout.splitlines()

    return run_script


def test_tasks_with_retries(run: Callable[..., list[str]], service: Service) -> None:
    """Seed 004: a 503 is tried again after the 2 seconds of the backoff; a 404 and a refused connection are not."""
    busy, gone, nobody = f"{service.url}/busy", f"{service.url}/gone", "http://127.0.0.1:9/"
    assert run(FETCH, f"{busy},{busy}", gone, nobody, cluster="local") == [
        "Completed took more than 2 s [{'status': 200}, {'status': 200}]",
        "Failed took less HTTPStatusError",
        "404",
        "Failed took less ConnectError",
    ]
    assert service.asked == {"/busy": 3, "/gone": 1}


def test_working_with_states(run: Callable[..., list[str]]) -> None:
    """Seed 004: a returned state is the flow's, its data the value; return_state=True gives the state of a call."""
    example = (FOLDER / "states.txt").read_text(encoding="utf-8")
    assert run(example, cluster="inline") == ["Flow result: {'processed': True, 'required_field': 'test'}"]
    assert run(STATES, cluster="inline") == [
        "Task completed with result: True",
        "Failed('Validation failed: missing required_field')",
    ]
