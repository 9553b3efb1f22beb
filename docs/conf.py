"""How Sphinx builds this documentation."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT), str(ROOT / "results"), str(ROOT / "integrations")]

from pictures import draw_layers, draw_way  # noqa: E402 - the paths above come first

settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

project = "dataflow"
author = "the dataflow contributors"
copyright = author
version = release = settings["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["toc.empty_glob"]  # decisions/ may be empty

html_theme = "furo"
html_title = f"dataflow {release}"
html_static_path = ["_static"]
html_show_copyright = False
html_show_sphinx = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_use_admonition_for_examples = False

# The pictures are drawn from the facts they show: the layers from the very contract that the tests check.
static = HERE / "_static"
static.mkdir(exist_ok=True)
contract = settings["tool"]["importlinter"]["contracts"][0]
(static / "layers.svg").write_text(draw_layers(contract["layers"]), encoding="utf-8")
(static / "way.svg").write_text(draw_way(), encoding="utf-8")
