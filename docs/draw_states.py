"""Draws the picture and the tables of the page of states from the transition table: ``python docs/draw_states.py``."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "results")]

from pictures import INK, LINE, PALE, picture, text  # noqa: E402 - the paths above come first

from dataflow import states  # noqa: E402
from dataflow.states import FINAL, NAMES, State, StateType  # noqa: E402
from dataflow.transitions import SUBJECTS, grouped, table  # noqa: E402

PAGE = HERE / "states.md"
PICTURE = HERE / "states.svg"
BLOCK = re.compile(r"<!-- drawn: (?P<what>[a-z]+) -->\n.*?<!-- end -->", re.DOTALL)
BOX_WIDTH, BOX_HEIGHT = 124, 34
ENDS = ["Cached", "UpstreamFailed", "Skipped", "Failed", "Crashed", "Cancelled", "TimedOut", "Completed", "RolledBack"]
PLACES = {
    "Paused": (24, 66),
    "Pending": (164, 66),
    "AwaitingRetry": (304, 66),
    "Looping": (24, 246),
    "Running": (164, 246),
    "Retrying": (304, 246),
    "Cancelling": (164, 366),
    **{name: (600, 20 + 48 * row) for row, name in enumerate(ENDS)},
}
"""Upper left corner of the box of each state of an element."""
FRAMES = {
    "waiting": (["Paused", "Pending", "AwaitingRetry"], (10, 30, 432, 84)),
    "at work": (["Looping", "Running", "Retrying"], (10, 220, 432, 84)),
}
"""Groups of states, with x, y, width and height of their frames."""


class Arrow(NamedTuple):
    """From a state, or a frame, to a state; dashed if only some states of the frame lead there."""

    source: str
    target: str
    dashed: bool = False


def arrows() -> list[Arrow]:
    """Every transition of an element as an arrow; what leaves a frame for elsewhere is one arrow of the frame."""
    found: dict[tuple[str, str], set[str]] = {}
    for sources, target, _ in grouped("element"):
        for source in (NAMES[kind] for kind in sources):
            found.setdefault((_tail(source, NAMES[target]), NAMES[target]), set()).add(source)
    return [Arrow(tail, head, tail in FRAMES and len(of) < len(FRAMES[tail][0])) for (tail, head), of in found.items()]


def _tail(source: str, target: str) -> str:
    """Where the arrow of a transition starts: at the frame of its source if it leads out of it, at Running if not."""
    frame = next((name for name, (members, _) in FRAMES.items() if source in members), source)
    to_end = PLACES[target][0] == PLACES["Cached"][0]
    from_work = frame == "at work" and target in ("AwaitingRetry", "Cancelling")
    if frame == "at work" and target in FRAMES[frame][0]:
        return "Running"
    return frame if to_end or from_work else source


def draw() -> str:
    """The life of an element."""
    shapes = [*_frames(), *(line for arrow in arrows() for line in _drawn(arrow))]
    for name, (x, y) in PLACES.items():
        end = StateType(next(kind for kind in StateType if NAMES[kind] == name)) in FINAL
        style = f'fill="{INK if end else "white"}" stroke="{INK}"'
        shapes.append(f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8" {style}/>')
        words = text(x + BOX_WIDTH // 2, y + 22, name, 14, "bold")
        shapes.append(words.replace(f'fill="{INK}"', 'fill="white"') if end else words)
    return picture(shapes, 460)


def _frames() -> Iterator[str]:
    for name, (_, (x, y, width, height)) in FRAMES.items():
        yield f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{PALE}" stroke="{LINE}"/>'
        yield text(x + width // 2, y + 20, name, 12)


def _drawn(arrow: Arrow) -> Iterator[str]:
    x1, y1, x2, y2 = _ends(arrow)
    dash = ' stroke-dasharray="5 4"' if arrow.dashed else ""
    title = f"<title>{arrow.source} to {arrow.target}</title>"
    line = f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{LINE}" stroke-width="1.5"{dash}'
    yield f'<line {line} marker-end="url(#a)">{title}</line>'


def _ends(arrow: Arrow) -> tuple[int, int, int, int]:
    """From side to side where the target is beside, from bottom to top or back where it is not."""
    x, y = PLACES[arrow.target]
    if arrow.source in FRAMES:
        left, top, width, height = FRAMES[arrow.source][1]
        if x > left + width:
            return left + width, top + height // 2, x - 2, y + BOX_HEIGHT // 2
        middle = x + BOX_WIDTH // 2 + 24
        return (middle, top, middle, y + BOX_HEIGHT + 2) if y < top else (middle, top + height, middle, y - 2)
    from_x, from_y = PLACES[arrow.source]
    if y == from_y:
        right = x > from_x
        return from_x + BOX_WIDTH * right, y + 17, x + BOX_WIDTH * (not right) + (2 if not right else -2), y + 17
    if x > from_x + 2 * BOX_WIDTH:
        return from_x + BOX_WIDTH, from_y + 17, x - 2, y + 17
    down = y > from_y
    shift = 0 if arrow.target == "RolledBack" else -24 if down else 4
    start, end = from_x + BOX_WIDTH // 2 + shift, x + BOX_WIDTH // 2 + shift
    return start, from_y + BOX_HEIGHT * down, end, y + (-2 if down else BOX_HEIGHT + 2)


def meanings() -> dict[str, str]:
    """What each state means: the text below its line in the source."""
    body = ast.parse(inspect.getsource(StateType)).body[0]
    assert isinstance(body, ast.ClassDef)
    lines = [node for node in body.body if isinstance(node, ast.Assign | ast.Expr)][1:]
    found: dict[str, str] = {}
    for line, below in zip(lines[::2], lines[1::2], strict=True):
        assert isinstance(line, ast.Assign)
        assert isinstance(line.targets[0], ast.Name)
        assert isinstance(below, ast.Expr)
        found[NAMES[StateType[line.targets[0].id]]] = ast.literal_eval(below.value)
    return found


def questions(kind: StateType) -> list[str]:
    """The predicates that a state answers with yes."""
    state = getattr(states, NAMES[kind])()
    asked = sorted(name for name in dir(State) if name.startswith("is_"))
    return [f"`{name}`" for name in asked if getattr(state, name)() and name not in ("is_final", "is_finished")]


def all_states() -> str:
    """A table of the states, with their meaning and their predicates."""
    rows = [
        f"| `{name}` | {meaning} | {'yes' if StateType(number) in FINAL else ''} | {', '.join(questions(kind))} |"
        for kind in StateType
        for name, meaning, number in [(NAMES[kind], meanings()[NAMES[kind]], kind)]
    ]
    return "\n".join(["| state | meaning | final | answers yes to |", "|---|---|---|---|", *rows])


def blocks() -> dict[str, str]:
    """The drawn blocks of the page by their mark."""
    return {"all": all_states(), **{subject: table(subject) for subject in SUBJECTS}}


def filled(page: str) -> str:
    """The page with its blocks drawn anew."""
    drawn = blocks()
    return BLOCK.sub(lambda found: f"<!-- drawn: {found['what']} -->\n\n{drawn[found['what']]}\n\n<!-- end -->", page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    PICTURE.write_text(draw(), encoding="utf-8")
