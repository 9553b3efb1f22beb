"""What the tests of serializers share: there and back, and what may not get through."""

from __future__ import annotations

from typing import Any

from dataflow_results.serializers import Serializer


def written(serializer: Serializer, value: Any) -> bytes:
    """The bytes of a value."""
    return b"".join(serializer.dump(value))


def again(serializer: Serializer, value: Any) -> Any:
    """The value after it was written and read, from writable memory as a store gives it."""
    return serializer.load(memoryview(bytearray(written(serializer, value))))
