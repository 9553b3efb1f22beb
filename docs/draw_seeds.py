"""Runs the examples of the seeds and writes what they print on their page: ``python docs/draw_seeds.py``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGE = HERE / "seeds.md"
EXAMPLES_FOLDER = ROOT / "tests" / "seeds"
PATHS = (ROOT, ROOT / "results", ROOT / "integrations")
BLOCK = re.compile(r"<!-- drawn: (?P<name>\w+) -->\n(?P<drawn>.*?)<!-- end -->", re.DOTALL)
NOTHING = "It prints nothing."
OUTPUT = re.compile(rf"^```text\n(?P<output>.*?)^```$|^{re.escape(NOTHING)}$", re.DOTALL | re.MULTILINE)
TIME_LIMIT_SECONDS = 100

NETWORK = '''"""A stand-in for the network: GitHub tells its stars, the service is busy when it is first asked."""

import pathlib

import httpx


def answer(request):
    if request.url.host == "api.github.com":
        return httpx.Response(200, json={"stargazers_count": 21674})
    asked = pathlib.Path.home() / "asked"
    if not asked.exists():
        asked.touch()
        return httpx.Response(503)
    return httpx.Response(200, json={"status": "ready"})


httpx.get = httpx.Client(transport=httpx.MockTransport(answer)).get
'''
"""Stands in a file that Python loads before anything else, in all processes of an example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An example: a file of the folder of seeds, with what is to be said of it."""

    name: str
    waits: str = ""
    """What it waits for, in plain words; empty if it runs."""
    until: str = ""
    """The name that will be there then: ``"module:name"``."""
    call: str = ""
    """Code that calls what the example only defines."""
    after: str = ""
    """Code that another process runs afterwards."""
    in_any_order: bool = False
    """Whether the words it prints come in an order of their own each time."""


ARTIFACTS = """from dataflow import history

for artifact in history.run("last").artifacts():
    print(artifact, end="\\n\\n")"""
DEPLOYMENTS = "deployments: flows that are kept ready and started by others"
SCHEDULES = "schedules, and the process that serves flows by them"
EXAMPLES = (
    Example(name="say_hello"),
    Example(name="demo"),
    Example(name="stars"),
    Example(name="retries", call='print(data_pipeline(["https://api.example.com/busy"]))'),
    Example(name="submit", in_any_order=True),
    Example(name="mapping"),
    Example(name="caching"),
    Example(name="states"),
    Example(name="hooks"),
    Example(name="artifacts", after=ARTIFACTS),
    Example(name="serve", waits=SCHEDULES, until="dataflow.flows:Flow.serve"),
    Example(
        name="work_pools",
        waits="deployments to work pools: clusters that are started for a run",
        until="dataflow.flows:Flow.deploy",
    ),
    Example(name="run_deployment", waits=DEPLOYMENTS, until="dataflow.deployments:run_deployment"),
    Example(name="schedules", waits=SCHEDULES, until="dataflow.flows:Flow.serve"),
    Example(name="blocks", waits="blocks: settings and secrets kept by name", until="dataflow.blocks.system:Secret"),
    Example(name="delay", waits="`task.delay`: work left to other processes", until="dataflow.tasks:Task.delay"),
    Example(name="rest", waits="the server and its REST interface", until="dataflow.client.orchestration:get_client"),
    Example(name="failures", in_any_order=True),
)


def source(example: Example) -> str:
    """The example, unchanged but for the names of what it imports."""
    return (EXAMPLES_FOLDER / f"{example.name}.txt").read_text(encoding="utf-8")


def run(example: Example, *, cluster: str | None = None) -> list[str]:
    """What it prints, and what is printed by the code that another process runs afterwards.

    Args:
        example: one that waits for nothing.
        cluster: where it runs; None leaves it to what a new user gets.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATAFLOW_", "DASK_"))}
    chosen = {} if cluster is None else {"DATAFLOW_CLUSTER": cluster}
    with tempfile.TemporaryDirectory() as home:
        paths = os.pathsep.join(map(str, (home, *PATHS)))
        environment = {**kept, **chosen, "HOME": home, "PYTHONPATH": paths, "PYTHONUTF8": "1"}
        called = f"\nif __name__ == '__main__':\n    {example.call}\n" if example.call else ""
        scripts = [source(example) + called, *([example.after] if example.after else [])]
        if "httpx" in scripts[0]:
            Path(home, "sitecustomize.py").write_text(NETWORK, encoding="utf-8")
        return [masked(_printed(script, home, environment)) for script in scripts]


def _printed(script: str, home: str, environment: Mapping[str, str]) -> str:
    """All that a user of a terminal sees."""
    Path(home, "example.py").write_text(script, encoding="utf-8")
    command = [sys.executable, "-u", "example.py"]
    done = subprocess.run(  # noqa: S603 - the examples are ours
        command, cwd=home, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", timeout=TIME_LIMIT_SECONDS, check=False,
    )  # fmt: skip
    return done.stdout


def masked(text: str) -> str:
    """The text without what is different each time: times, ids, and the inside of tracebacks."""
    text = re.sub(r"\b\d\d:\d\d:\d\d\.\d{3}\b", "12:00:00.000", text)
    text = re.sub(r"\b(?=[a-f]*\d)[0-9a-f]{12}\b", "0123456789ab", text)
    return re.sub(r"(Traceback \(most recent call last\):\n)(?:[ ].*\n|\n)+", r"\1  ...\n", text)


def drawn(example: Example, outputs: list[str]) -> str:
    """The block of an example on the page."""
    how = "see docs/draw_seeds.py" if example.waits else "by docs/draw_seeds.py, in a process of its own"
    code = f"<!-- not run: {how} -->\n```python\n{source(example)}```\n"
    if example.waits:
        return f"\n{code}\nNot built yet. It waits for {example.waits}.\n\n"
    called = f"\nCalled with `{example.call}`:\n" if example.call else ""
    first, *rest = map(_shown, outputs)
    later = "".join(
        f"\nAfterwards, in another process:\n\n<!-- not run: {how} -->\n```python\n{example.after}\n```\n{shown}"
        for shown in rest
    )
    return f"\n{code}{called}{first}{later}\n"


def _shown(output: str) -> str:
    return f"\n```text\n{output.rstrip()}\n```\n" if output.strip() else f"\n{NOTHING}\n"


def outputs_on(page: str) -> dict[str, list[str]]:
    """What the page says that each example prints."""
    blocks = ((found["name"], found["drawn"]) for found in BLOCK.finditer(page))
    return {name: [output["output"] or "" for output in OUTPUT.finditer(block)] for name, block in blocks}


def filled(page: str, outputs: Mapping[str, list[str]]) -> str:
    """The page with its blocks drawn anew."""
    by_name = {example.name: example for example in EXAMPLES}

    def block(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- drawn: {name} -->\n{drawn(by_name[name], outputs[name] or [''])}<!-- end -->"

    return BLOCK.sub(block, page)


def words(text: str) -> list[str]:
    """What stands in a text, whatever the order."""
    return sorted(re.findall(r"\w+", text))


if __name__ == "__main__":
    before = PAGE.read_text(encoding="utf-8")
    now = {example.name: [] if example.waits else run(example) for example in EXAMPLES}
    PAGE.write_text(filled(before, now), encoding="utf-8")
