"""Kinds of artifacts: the bytes that are kept of each, and what can be read from them again.

Only plain Python is imported here: elements make artifacts on workers.
"""

from __future__ import annotations

import io
import json
import math
import numbers
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dataflow.artifacts.tables import Table, table_of
from dataflow.errors import UsageError

__all__ = [
    "IMAGE_BYTES",
    "MARKDOWN_CHARACTERS",
    "checked_key",
    "image_bytes",
    "link_bytes",
    "markdown_bytes",
    "media_type",
    "progress_bytes",
    "read",
    "table_bytes",
]

IMAGE_BYTES = 10_000_000
"""Larger pictures are refused: the history of runs is a small file."""

MARKDOWN_CHARACTERS = 1_000_000
"""What a markdown text has beyond this is cut."""

KEY = re.compile(r"[a-z0-9-]+")

SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)
"""How the bytes of pictures begin."""


def checked_key(key: object, where: str) -> str:
    """The key; empty if there is none.

    Raises:
        UsageError: it is not made of lowercase letters, digits and dashes.
    """
    if key is None:
        return ""
    if isinstance(key, str) and KEY.fullmatch(key):
        return key
    proposed = re.sub(r"[^a-z0-9-]+", "-", str(key).lower()).strip("-")
    raise UsageError(
        f"{key!r} is no key of an artifact: keys are made of lowercase letters, digits and dashes",
        where=where,
        fix=f"write key={proposed!r}" if proposed else "leave key= out",
    )


def markdown_bytes(markdown: str) -> bytes:
    """What is kept of a markdown text.

    Raises:
        UsageError: it is no text.
    """
    _check_text(markdown, "create_markdown_artifact", "markdown")
    if len(markdown) > MARKDOWN_CHARACTERS:
        note = f"\n\n… {len(markdown) - MARKDOWN_CHARACTERS:,} more characters were not kept."
        markdown = markdown[:MARKDOWN_CHARACTERS] + note
    return _packed(markdown)


def table_bytes(table: Any) -> bytes:
    """What is kept of a table.

    Raises:
        UsageError: it is none.
    """
    kept = table_of(table)
    return _packed({"columns": kept.columns, "rows": kept.rows, "total_rows": kept.total_rows})


def link_bytes(link: str, link_text: str | None) -> bytes:
    """What is kept of a link.

    Raises:
        UsageError: it is no text.
    """
    _check_text(link, "create_link_artifact", "link")
    return _packed({"link": link, "link_text": link if link_text is None else str(link_text)})


def progress_bytes(progress: Any, where: str) -> bytes:
    """What is kept of a progress: a number between 0 and 100.

    Raises:
        UsageError: it is no number.
    """
    if isinstance(progress, bool) or not isinstance(progress, numbers.Real) or math.isnan(progress):
        raise UsageError(f"progress={progress!r} is no number", where=where, fix="give percents: 0 to 100")
    return _packed(min(100.0, max(0.0, float(progress))))


def image_bytes(image_url: str | None, image: Any) -> bytes:
    """What is kept of a picture: where it is, or its bytes.

    Raises:
        UsageError: both or neither were given, it is no picture, or it is too large.
    """
    where = "create_image_artifact"
    if (image_url is None) == (image is None):
        raise UsageError("a picture is either somewhere or given", where=where, fix="give image_url= or image=")
    if image is None:
        _check_text(image_url, where, "image_url")
        return _packed({"url": image_url})
    if isinstance(image, str) and "://" in image:
        return _packed({"url": image})
    data = _drawn(image)
    if media_type(data) is None:
        fix = "give a URL, a path, the bytes of a PNG, JPEG, GIF, WebP, SVG, BMP or TIFF, or a figure"
        raise UsageError(f"{_short(image)} is no picture", where=where, fix=fix)
    if len(data) > IMAGE_BYTES:
        fix = f"save a smaller one (at most {IMAGE_BYTES:,} bytes), or upload it and give image_url="
        raise UsageError(f"the picture has {len(data):,} bytes", where=where, fix=fix)
    return data


def _drawn(image: Any) -> bytes:
    """The bytes of what can be drawn; none of what cannot."""
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | Path):
        return Path(image).expanduser().read_bytes()
    if hasattr(image, "savefig"):
        file = io.BytesIO()
        image.savefig(file, format="png")
        return file.getvalue()
    shown = [getattr(image, name)() for name in ("_repr_png_", "_repr_jpeg_", "_repr_svg_") if hasattr(image, name)]
    found = next((one for one in shown if one), b"")
    return found.encode() if isinstance(found, str) else bytes(found)


def media_type(data: bytes) -> str | None:
    """The kind of picture that bytes are, by how they begin; None if they are none.

    Example:
        >>> media_type(b"GIF89a"), media_type(b"{}")
        ('image/gif', None)
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if re.match(rb"\s*(<\?xml|<!--|<!DOCTYPE svg|<svg)", data) and b"<svg" in data[:4096]:
        return "image/svg+xml"
    return next((kind for start, kind in SIGNATURES if data.startswith(start)), None)


def _read_table(data: bytes) -> Table:
    stored = json.loads(data)
    columns = stored["columns"]
    rows = tuple(map(tuple, stored["rows"]))
    return Table(columns=columns and tuple(columns), rows=rows, total_rows=stored["total_rows"])


def _read_image(data: bytes) -> str | bytes:
    """Where the picture is, or its bytes; those of a picture never begin with a brace."""
    return str(json.loads(data)["url"]) if data.startswith(b"{") else data


READERS: Mapping[str, Callable[[bytes], Any]] = {"table": _read_table, "image": _read_image}
"""Kinds that are more than their JSON."""


def read(kind: str, data: bytes) -> Any:
    """What was kept: a text, a `Table`, a dict of a link, a number, a URL or the bytes of a picture.

    Example:
        >>> read("progress", progress_bytes(150, "here")), read("markdown", markdown_bytes("# Title"))
        (100.0, '# Title')
    """
    return READERS.get(kind, json.loads)(data)


def _packed(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _check_text(value: object, where: str, name: str) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{name}={_short(value)} is no text", where=where, fix=f"write {name}=str(...)")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
