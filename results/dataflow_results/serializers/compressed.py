"""Compression around any other serializer: plain .zst and .lz4 files, made and read piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dataflow_results.serializers.protocol import Serializer, corrupt, optional, reading

if TYPE_CHECKING:
    from dataflow_results.digests import Buffer

__all__ = ["COMPRESSIONS", "CompressedSerializer"]

PIECE_BYTES = 4 * 1024 * 1024
INPUT_BYTES = 16 * 1024
LARGEST_BYTES = 1 << 46
"""No memory is asked for on the word of a file that claims to hold more than this."""


@dataclass(frozen=True, slots=True)
class CompressedSerializer:
    """Compresses what another serializer writes.

    Args:
        inner: the serializer of the value.
        compression: ``zstd`` (small) or ``lz4`` (fast).

    Raises:
        Unserializable: ``inner`` refuses the value.
        StoringError: the package of the compression is not installed.
        CorruptResult: the bytes are no such file.

    Example:
        >>> from dataflow_results.serializers import find_serializer
        >>> serializer = CompressedSerializer(find_serializer("text"))
        >>> sum(map(len, serializer.dump("a" * 100_000))) < 100
        True
        >>> serializer.name
        'zstd(text)'
    """

    inner: Serializer
    compression: str = "zstd"

    @property
    def name(self) -> str:
        """As in ``zstd(pickle)``."""
        return f"{self.compression}({self.inner.name})"

    @property
    def safe(self) -> bool:
        """What the inner one says."""
        return self.inner.safe

    def accepts(self, value: Any) -> bool:
        """What the inner one says."""
        return self.inner.accepts(value)

    def dump(self, value: Any) -> list[Buffer]:
        """The inner one's buffers, compressed."""
        return _CODECS[self.compression].compress(self.inner.dump(value), self.name)

    def load(self, data: memoryview) -> Any:
        """The value again, on memory of its own."""
        return self.inner.load(memoryview(_CODECS[self.compression].decompress(data, self.name)))


def _pieces(parts: list[Buffer]) -> Iterator[memoryview]:
    """Parts cut so small that no codec needs a second large buffer."""
    for part in parts:
        view = memoryview(part)
        yield from (view[start : start + PIECE_BYTES] for start in range(0, len(view), PIECE_BYTES))


def _room(size_bytes: int, name: str) -> bytearray:
    if not 0 <= size_bytes < LARGEST_BYTES:
        raise corrupt(name, f"it claims to hold {size_bytes} bytes")
    with reading(name, MemoryError):
        return bytearray(size_bytes)


def _zstd_compress(parts: list[Buffer], name: str) -> list[Buffer]:
    zstandard = optional("zstandard", serializer=name)
    compressor = zstandard.ZstdCompressor(write_checksum=True).compressobj(size=sum(map(len, parts)))
    compressed = [compressor.compress(piece) for piece in _pieces(parts)]
    return [piece for piece in (*compressed, compressor.flush()) if piece]


def _zstd_decompress(data: memoryview, name: str) -> bytearray:
    zstandard = optional("zstandard", serializer=name)
    with reading(name, zstandard.ZstdError, ValueError):
        size_bytes = zstandard.frame_content_size(data)
        return _decompressed(data, size_bytes, zstandard.ZstdDecompressor().decompressobj(), name)


def _lz4_compress(parts: list[Buffer], name: str) -> list[Buffer]:
    frame = optional("lz4.frame", serializer=name)
    compressor = frame.LZ4FrameCompressor(content_checksum=True)
    begin = compressor.begin(source_size=sum(map(len, parts)))
    return [begin, *(compressor.compress(piece) for piece in _pieces(parts)), compressor.flush()]


def _lz4_decompress(data: memoryview, name: str) -> bytearray:
    frame = optional("lz4.frame", serializer=name)
    with reading(name, RuntimeError, ValueError):
        size_bytes = frame.get_frame_info(data)["content_size"]
        return _decompressed(data, size_bytes, frame.LZ4FrameDecompressor(), name)


def _decompressed(data: memoryview, size_bytes: int, decompressor: Any, name: str) -> bytearray:
    """All that a frame holds; little goes in at once, so that little comes out at once beside the room it goes to."""
    room = _room(size_bytes, name)
    filled = 0
    for start in range(0, len(data), INPUT_BYTES):
        if decompressor.eof:
            break
        piece = decompressor.decompress(data[start : start + INPUT_BYTES])
        room[filled : filled + len(piece)] = piece
        filled += len(piece)
    if filled != size_bytes or not decompressor.eof:
        raise corrupt(name, f"it does not hold the {size_bytes} bytes that it claims")
    return room


@dataclass(frozen=True, slots=True)
class _Codec:
    compress: Callable[[list[Buffer], str], list[Buffer]]
    decompress: Callable[[memoryview, str], bytearray]


_CODECS: Mapping[str, _Codec] = MappingProxyType(
    {"lz4": _Codec(_lz4_compress, _lz4_decompress), "zstd": _Codec(_zstd_compress, _zstd_decompress)}
)
COMPRESSIONS = tuple(_CODECS)
"""Names that stand before the parenthesis."""
