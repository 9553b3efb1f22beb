"""The form of a value is the same in every process, and was the same in every version that wrote it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from dataflow_results.canonical import CANONICAL_VERSION, encode
from tests.results.canonical.specimens import SPECIMENS, main

ROOT = Path(__file__).parents[3]


def printed_by(arguments: list[str], seed: str) -> str:
    """What a fresh process with a chosen seed of hashes prints."""
    paths = (ROOT, ROOT / "results", ROOT / "integrations")
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONHASHSEED": seed},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_processes_agree(capsys: pytest.CaptureFixture[str]) -> None:
    """Processes whose sets and dicts are ordered differently print the same forms as this one."""
    module = ["-c", "from tests.results.canonical.specimens import main; main()"]
    first, second = printed_by(module, "1"), printed_by(module, "2")
    main()
    assert first == second == capsys.readouterr().out
    assert len(first.splitlines()) == len(SPECIMENS)


def test_a_script_and_its_import_agree(tmp_path: Path) -> None:
    """A function is the same whether its file is run or imported, and so is its helper."""
    (tmp_path / "steps.py").write_text(
        "from dataflow_results.canonical import source_of\n"
        "def clean(x): return x\n"
        "def f(x): return clean(x)\n"
        "print(source_of(f).digest.hex())\n"
    )
    imported = printed_by(["-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import steps"], "1")
    assert printed_by([str(tmp_path / "steps.py")], "2") == imported


FROZEN = {
    "None": "19041ad672875015bc4041c2",
    "bools": "ded8f03d7705db9c28e41dc6",
    "int": "f3d5cfd63af3ce9390dcdc63",
    "big int": "d62512047c75b8ac181a05e3",
    "float": "aea0d764503c730833421a07",
    "nan": "2e56165e3958e98cb4f04339",
    "complex": "9ddcb9e70095bfc99381eeec",
    "str": "2e7f2d7ef7baacc70aef8051",
    "long str": "cb2adcd21b06f0c6536965fa",
    "bytes": "1daefda3fad658ab4cd39e50",
    "list": "1d2a2c8777aca9d37edc0191",
    "long list": "e16eb92130d59227955d460e",
    "tuple": "8539c989c11206eff16ef7fc",
    "set": "f869ebfd6893f835736a6a89",
    "frozenset": "d3e4a2cab9addff87c588da0",
    "dict": "6e43832f8e4f787e78437319",
    "cycle": "77b617d08195f0dc88430d94",
    "enum": "d348b6435d28d395abc3e687",
    "named tuple": "ca3d23a916f4ecdd207c64bc",
    "dataclass": "6cb6373712344c64670853a9",
    "attrs": "494d29b90e3e5a67f49ec40c",
    "pydantic": "310b07d0f5c408fcc6711a6f",
    "counter": "94723d6e46aa6cdd188db968",
    "path": "fa1a88645004f45198e8a5ea",
    "datetime": "01e3cef921d8d896239a8383",
    "utc": "c6f52521e00889124916c8fd",
    "date": "5efbc01dc47710a6d022109d",
    "time": "2626d77ab5ae87d04d02fbd1",
    "timedelta": "eff16fc92300d4474e8dc72f",
    "decimal": "120172d2e25536b1aa6367b9",
    "fraction": "67296cd169626f97d738e349",
    "uuid": "e8b27b7c4fc4dc5983cef6e7",
    "pattern": "2529c00a064d3a3cac819e35",
    "range": "80c80e77c8a67e49fef337ef",
    "slice": "26e05c3f9d325ac9d912c787",
    "partial": "8785efa16611a291287c20e9",
    "exception": "58b9e29c105241181d5bb15e",
    "builtin": "8bbdde5a62056e21e71a957a",
    "class": "71cce923edd00d9820508abb",
    "numpy scalar": "00c2ccf7a670e03875c211d1",
    "array": "709e2b8842dc8e92ba584170",
    "small array": "287265df1e570a1b5c6fffac",
    "dates": "13054c77e9a21974a150caa0",
    "object array": "a95e4783abd0aac77697a26d",
    "structured": "ee5526c1e0894aed7ed106c5",
    "masked": "b72a0716b40d182a0ae57f97",
    "frame": "c72b04cc75569d9131fa16bf",
    "series": "40906dba37e0af389e3a120a",
    "date index": "003587ac874bcf24fb675fb2",
    "timestamp": "0424bb47f631121f18ec3539",
    "arrow table": "031cff4c5baf1feb3534fe27",
    "arrow array": "ea438cf830b38b7148176c39",
    "polars": "9933dbf9d90bf2a1271a71fb",
    "xarray": "621d8e127b7002e3c5c6d27d",
    "data array": "687e967714142fe51306eb6d",
    "sparse": "0667a30ff277bbdf14067161",
    "function": "7690a2337e9b56f8f7a2fee6",
    "lambda": "15681258842ddeaa87e82b8c",
    "source class": "76359467782ce7c4b25dac27",
}
"""Hashes of the forms. Never to change while CANONICAL_VERSION is what it is: stored results are found by these."""


NEW_PANDAS = ("frame", "date index", "timestamp")


@pytest.mark.parametrize("name", SPECIMENS)
def test_forms_never_change(name: str) -> None:
    """The form is the one that was written down when this version of the form was made."""
    assert CANONICAL_VERSION == 1
    if name in NEW_PANDAS and int(pd.__version__.split(".")[0]) < 3:
        pytest.skip("older versions of pandas have other types of strings and times")
    assert hashlib.sha256(encode(SPECIMENS[name])).hexdigest()[:24] == FROZEN[name]
