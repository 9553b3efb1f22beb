"""The form of a value is the same in every process, and was the same in every version that wrote it."""

from __future__ import annotations

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
    "None": "016e",
    "bools": "016c027466",
    "int": "01690000000000000001",
    "big int": "014909c00000000000000000",
    "float": "01643fb999999999999a",
    "nan": "01647ff8000000000000",
    "complex": "016312643ff0000000000000644000000000000000",
    "str": "017306c3a4c3b6c3bc",
    "long str": "01230c1105c21f08b1ef5d3f22b7aa5aceb26f9fd570",
    "bytes": "01790200ff",
    "list": "016c0f6900000000000000017301616c016e",
    "long list": "01237a2a4569f0d8de24b607a565e5bdb7fd37905a6f",
    "tuple": "017512690000000000000001690000000000000002",
    "set": "01650f730161730162730163730164730165",
    "frozenset": "01450f730161730162730163730164730165",
    "dict": "016d257301616d14730163450f730161730162730163730164730165730162690000000000000001",
    "cycle": "016c0e6900000000000000015e00000001",
    "enum": "01234d4588e6926282052f57819d8fbc44350666db69",
    "named tuple": "0123d1e51336a5843bfbbf03d4333fa5deb2ddded36e",
    "dataclass": "0123e781a373d4e5059830ce0f919a66ca74ea92ae78",
    "attrs": "016f3f732b636c6173732074657374732e726573756c74732e63616e6f6e6963616c2e73706563696d656e733a43617273072e776865656c73690000000000000004",
    "pydantic": "01237303d5931140f35e879c7a1a5f8d79aefe18e949",
    "counter": "0123ad5b01299b3a92b33224f40a4327b4161ea3b4eb",
    "path": "016f297310706174686c69622e507572655061746873052e706174687303612f6273082e77696e646f777366",
    "datetime": "0123ca5448b33e592f4be7e8f6ae281b2a18501e2ce9",
    "utc": "01239d7e634b711f9562653f43676d784f36dba4a9fc",
    "date": "016f3f730d6461746574696d652e6461746573042e64617969000000000000000173052e796561726900000000000007ea73062e6d6f6e7468690000000000000003",
    "time": "0123f5a11065a1b12125bef1f3bb280b4ca838163a7d",
    "timedelta": "0123aa305fea4d944b0186a1cd1e8bcbea2406e40f2d",
    "decimal": "016f1e730f646563696d616c2e446563696d616c73052e746578747304312e3130",
    "fraction": "016f4073126672616374696f6e732e4672616374696f6e730a2e6e756d657261746f72690000000000000001730c2e64656e6f6d696e61746f72690000000000000003",
    "uuid": "016f347309757569642e5555494473052e7465787473203030303030303030303030303030303030303030303030303030303030303037",
    "pattern": "016f2b730a72652e5061747465726e73062e666c61677369000000000000002273082e7061747465726e7302612b",
    "range": "0123f83028f072ae485c401ef26248ea3e5d49b55cab",
    "slice": "016f31730e6275696c74696e732e736c69636573052e737465706e73052e73746f706e73062e7374617274690000000000000001",
    "partial": "0123700e1cb61fcf60e1b5b5ab1054103834ba941bee",
    "exception": "016f277319636c617373206275696c74696e733a56616c75654572726f7273052e617267737503730161",
    "builtin": "014e0c6275696c74696e732e6c656e",
    "class": "014e0c6275696c74696e732e696e74",
    "numpy scalar": "0167083c6634000000c03f",
    "array": "01237afe74c23f35e9dfa573ff15331cd4aca5cc075a",
    "small array": "01411f73033c6638690000000000000001690000000000000001000000000000f03f",
    "dates": "01412273063c4d385b445d6900000000000000016900000000000000012150000000000000",
    "object array": "016f37730c6e756d7079206f626a65637473052e666c61746c0d6900000000000000017301616e73062e73686170657509690000000000000003",
    "structured": "0123f3384b094a48a66ea3d138c33a013e4ffa26271c",
    "masked": "0123b1734d7173142b22d49b5281158062406aa095c0",
    "frame": "012390a12365d7d33a0a1a940df6fb4a854f8b51038c",
    "series": "01233d396800f5001eea506838eca8494ec8b13deea0",
    "date index": "016f3d730c70616e6461732e496e64657873052e6672657173014473052e6e616d656e73062e617272617923fcff8d2de8f41317747f0ad8d65a3c5ec9038b18",
    "timestamp": "0123a612d5cb1f01e303ba304e319a0fdb7cdd8f6a65",
    "arrow table": "0123185de10dab73b507b9c468ba24a8c9ec14f911df",
    "arrow array": "012324433fff851a93f8b86daff503b4c034d77da6b1",
    "polars": "01230c8095612d98e5d26e79e3d8366caac551bc134b",
    "xarray": "0123d5c6401e0de54bcb8c1de924441492da06b8bace",
    "data array": "0123d4da2cbcf898c85a9513f0f2a0cb93ef878779a6",
    "sparse": "0123188c0aa9d78002cc9fcec6eee6ec56286615f34c",
    "function": "0146141ac079a4d6fa4f75772a489107c80937586549a1",
    "lambda": "014614fcfd1861cb29a0693398edcd1a463f99adfd8606",
    "source class": "014614bd9c20d324f2892d802fedeb7c1ca372bce20806",
}
"""Never to change while CANONICAL_VERSION is what it is: every stored result is found by these."""


NEW_PANDAS = ("frame", "date index", "timestamp")


@pytest.mark.parametrize("name", SPECIMENS)
def test_forms_never_change(name: str) -> None:
    """The form is the one that was written down when this version of the form was made."""
    assert CANONICAL_VERSION == 1
    if name in NEW_PANDAS and int(pd.__version__.split(".")[0]) < 3:
        pytest.skip("older versions of pandas have other types of strings and times")
    assert encode(SPECIMENS[name]).hex() == FROZEN[name]
