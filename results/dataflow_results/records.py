"""What is known of stored results besides their values: where they come from, and how to find one again."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Provenance", "ResultReference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the results of one batch come from; stored once per batch."""

    task: str
    """Name of the task, as people call it."""
    created_at: float
    """Seconds since the epoch."""
    expires_at: float | None = None
    """Seconds since the epoch after which the results are not given any more; None: never."""
    node: str = ""
    """Slug of the node."""
    flow: str = ""
    run_id: str = ""
    attempt_seconds: float = 0.0
    """What computing the results of this batch took."""
    writer: str = ""
    """Host and process that wrote them."""
    preimage: bytes = b""
    """What the keys were made of, as `dataflow_results.keying.preimages` packs it; empty if nobody asked for it."""
    python: str = ""
    version: str = ""
    """Version of this library that wrote the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultReference:
    """Names one stored result, so that another process can load it. Holds no credentials.

    The text form is ``<store url>#<collection>/<key in hex>``.
    """

    url: str
    """URL of the store, without credentials."""
    collection: str
    """Group of results in the store; for results of tasks, the identity of the task."""
    key: bytes
    """Digest the result is stored under."""

    def __str__(self) -> str:
        return f"{self.url}#{self.collection}/{self.key.hex()}"

    @classmethod
    def parse(cls, text: str) -> ResultReference:
        """The reference that ``str`` wrote.

        Raises:
            ValueError: the text is no reference.

        Example:
            >>> ResultReference.parse("file:///tmp/r#load/00ff").collection
            'load'
        """
        url, hash_sign, rest = text.rpartition("#")
        collection, slash, key = rest.rpartition("/")
        if not hash_sign or not slash:
            raise ValueError(f"not a result reference: {text!r}; it looks like file:///path#task/0a1b2c")
        return cls(url=url, collection=collection, key=bytes.fromhex(key))
