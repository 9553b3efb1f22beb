"""Large writes in parts, with bounded memory: several at a time on S3, one after the other elsewhere."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from dataflow_results.errors import ResultMissing, ResultsError

__all__ = ["PARALLEL", "PART_BYTES", "THREADS", "Call", "part_bytes", "remove_s3", "upload", "upload_s3"]

T = TypeVar("T")
P = TypeVar("P")

PART_BYTES = 16 * 1024 * 1024
"""Length of the parts of a large transfer."""
PARALLEL = 4
"""Parts on their way at once: four hide the latency, and cost 64 MiB."""
GROWS_AFTER = 1000
"""S3 takes 10,000 parts: after so many, parts grow to twice the length, so that 16 TB would fit."""
THREADS = "dataflow-results"
BULK_KEYS = 1000
"""Files that S3 removes in one request."""


class Call(Protocol):
    """Do something patiently, and raise our errors."""

    def __call__(self, action: Callable[[], T], /) -> T:
        """The value of the action."""


def part_bytes(number: int) -> int:
    """Length of one part of an upload.

    Example:
        >>> part_bytes(0), part_bytes(1000)
        (16777216, 33554432)
    """
    return PART_BYTES << (number // GROWS_AFTER)


def upload(filesystem: Any, path: str, pieces: Iterator[bytes], call: Call) -> None:
    """Write pieces to one file that appears when the last has arrived, by what fsspec has for that."""
    file = call(lambda: filesystem.open(path, "wb", block_size=PART_BYTES))
    try:
        for piece in pieces:
            call(partial(file.write, piece))
        call(file.close)
    except BaseException:
        _abandon(file)
        raise


def _abandon(file: Any) -> None:
    """Let go of a file without publishing what it has: closing it, even by the garbage collector, would.

    What was sent expires at Google and Azure after a week, unseen.
    """
    try:
        file.closed = True
    except AttributeError:  # not one of the buffered files of fsspec; the name it has is a passing one
        file.close()


def upload_s3(filesystem: Any, path: str, pieces: Iterator[bytes], call: Call) -> None:
    """Write pieces to one object of S3, `PARALLEL` of them at a time."""
    bucket, key, _ = filesystem.split_path(path)
    place = {"Bucket": bucket, "Key": key}
    place["UploadId"] = call(lambda: filesystem.call_s3("create_multipart_upload", **place))["UploadId"]

    def put(number: int, piece: bytes) -> tuple[int, dict[str, Any], int]:
        answer = call(lambda: filesystem.call_s3("upload_part", **place, PartNumber=number, Body=piece))
        return number, answer, len(piece)

    try:
        parts = list(_in_parallel(enumerate(pieces, start=1), put))
        _complete(filesystem, path, place, parts, call)
    except BaseException:
        with contextlib.suppress(ResultsError):  # as above; what stays is removed by the bucket's rule for such
            call(lambda: filesystem.call_s3("abort_multipart_upload", **place))
        raise


def _complete(filesystem: Any, path: str, place: dict[str, str], parts: list[Any], call: Call) -> None:
    listed = [_described(number, answer) for number, answer, _ in parts]
    try:
        call(lambda: filesystem.call_s3("complete_multipart_upload", **place, MultipartUpload={"Parts": listed}))
    except ResultMissing:
        # There is no such upload: it may be that it was completed, the answer lost, and the request repeated.
        if call(lambda: filesystem.info(path))["size"] != sum(size for *_, size in parts):
            raise


def _described(number: int, answer: dict[str, Any]) -> dict[str, Any]:
    checksums = {
        name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"
    }
    return {"PartNumber": number, "ETag": answer["ETag"], **checksums}


def _in_parallel(numbered: Iterator[tuple[int, P]], action: Callable[[int, P], T]) -> Iterator[T]:
    """The values of an action for each piece, in order; no more than `PARALLEL` pieces are held at once."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix=THREADS) as pool:
        try:
            for number, piece in numbered:
                waiting.append(pool.submit(action, number, piece))
                del piece
                if len(waiting) >= PARALLEL:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def remove_s3(filesystem: Any, paths: list[str], call: Call) -> None:
    """Remove objects, a thousand with each request; absent ones are no error."""
    for begin in range(0, len(paths), BULK_KEYS):
        split = [filesystem.split_path(path) for path in paths[begin : begin + BULK_KEYS]]
        wanted = {"Objects": [{"Key": key} for _, key, _ in split], "Quiet": True}
        call(partial(_delete, filesystem, split[0][0], wanted))


def _delete(filesystem: Any, bucket: str, wanted: dict[str, Any]) -> None:
    answer = filesystem.call_s3("delete_objects", Bucket=bucket, Delete=wanted)
    refused = [error for error in answer.get("Errors", ()) if error.get("Code") != "NoSuchKey"]
    if refused:
        raise _Refused(refused[0])


class _Refused(OSError):
    """An error that stood in an answer instead of being one."""

    def __init__(self, error: dict[str, str]) -> None:
        super().__init__(error.get("Message", "not removed"))
        self.response = {"Error": error}
