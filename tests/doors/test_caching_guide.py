"""The guide to caching, run as a whole: its blocks for S3 and Google against servers, its commands as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path

import pytest
from distributed import LocalCluster

from tests.house.pages import Block, read_blocks
from tests.results.servers import Place, running

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "caching.md"
NEEDS_SERVERS = re.compile(r"<!-- not run: [^\n]*test_caching_guide[^\n]* -->\n")
COMMAND = re.compile(
    r"^```console\n\$ dataflow (?P<words>[^\n]*) --store \$STORE\n(?P<output>.*?)^```$", re.MULTILINE | re.DOTALL
)
"""A command of the page and what it prints."""


@pytest.fixture(scope="module")
def moto() -> Iterator[Place]:
    """S3 within this process."""
    with running("moto") as place:
        yield place.fresh()


@pytest.fixture(scope="module")
def gcs() -> Iterator[Place]:
    """Google's storage by an emulator."""
    with running("gcs") as place:
        yield place.fresh()


def run_page(page: Path, environment: Mapping[str, str]) -> dict[int, str]:
    """What each block of a page prints in a fresh process."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "house" / "pages.py"), str(page)],
        capture_output=True, text=True, timeout=100, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    # A page is no module, so the source of its functions cannot be had from a file, and keys say so.
    return {int(line): text.replace(" (bytecode)", "") for line, text in printed.items()}


def as_python(found: re.Match[str]) -> str:
    """A command of the page as a block of Python that runs it on the page's store."""
    words = [*found["words"].split(), "--store"]
    code = f"from dataflow.cli.main import main\n\nmain([*{words}, store], standalone_mode=False)\n"
    return f"```python\n{code}```\n\n```text\n{found['output']}```"


def where_servers_are(moto: Place, gcs: Place) -> dict[str, str]:
    """What an administrator would set on client and workers: credentials, and which servers stand for S3 and Google."""
    return {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "results"), str(ROOT / "integrations")]),
        "DATAFLOW_CLUSTER": "inline",
        **moto.environment,
        "FSSPEC_S3_ENDPOINT_URL": moto.storage_options["endpoint_url"],
        **gcs.environment,
        "FSSPEC_GS_ENDPOINT_URL": gcs.storage_options["endpoint_url"],
        "FSSPEC_GS_PROJECT": gcs.storage_options["project"],
    }


def test_the_guide_on_servers(moto: Place, gcs: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block and every command of the page prints what stands below it, on S3, on Google, and from a cluster."""
    environment = where_servers_are(moto, gcs)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:
        text = COMMAND.sub(as_python, NEEDS_SERVERS.sub("", GUIDE.read_text(encoding="utf-8")))
        for written, meant in (
            ("tcp://scheduler:8786", cluster.scheduler_address),
            ("s3://our-bucket/results", moto.url),
            ("gs://our-bucket/results", gcs.url),
        ):
            assert written in text
            text = text.replace(written, meant)
        page = tmp_path / "caching.md"
        page.write_text(text, encoding="utf-8")
        printed = run_page(page, environment)
    assert sum("main([*[" in block.code for block in read_blocks(page)) == 2
    assert [told(block, printed) for block in read_blocks(page) if not is_right(block, printed)] == []


def is_right(block: Block, printed: Mapping[int, str]) -> bool:
    """Whether a block has printed what the page says; ``...`` stands for anything."""
    assert not block.skipped
    return OutputChecker().check_output(block.output, printed[block.line], ELLIPSIS | NORMALIZE_WHITESPACE)


def told(block: Block, printed: Mapping[int, str]) -> str:
    """What is wrong with a block."""
    return f"line {block.line}\nexpected:\n{block.output}\nprinted:\n{printed[block.line]}"
