"""The errors of systems and cloud libraries are told in our words; what may succeed later is tried again, and ends."""

from __future__ import annotations

import errno
import os

import pytest

from dataflow_results.errors import (
    ResultMissing,
    ResultsError,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnreachable,
    StoreUrlError,
    TemplateError,
)
from dataflow_results.files import open_files
from dataflow_results.files.address import address_of
from dataflow_results.files.opening import connect
from dataflow_results.files.remote import RemoteFiles
from dataflow_results.files.trouble import Kind, Patience, Trouble, diagnose, error_for, redact
from dataflow_results.testing.faulty_filesystem import RawFault, RawScript


def s3_error(code: str, status: int, raised: BaseException | None = None) -> BaseException:
    """What s3fs raises: a translated error whose cause carries the answer of the server."""
    from botocore.exceptions import ClientError

    cause = ClientError(
        {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Put"
    )
    error = raised or OSError(errno.EINVAL, "m")
    error.__cause__ = cause
    return error


def google_error(status: int) -> BaseException:
    from gcsfs.retry import HttpError

    return HttpError({"code": status, "message": "m"})


def azure_error(name: str, status: int, code: str | None = None) -> BaseException:
    import azure.core.exceptions

    error = getattr(azure.core.exceptions, name)("m")
    error.status_code, error.error_code = status, code
    return error


def botocore_error(name: str, **facts: str) -> BaseException:
    import botocore.exceptions

    return getattr(botocore.exceptions, name)(**facts)


CASES = [
    (OSError(errno.ENOSPC, "full"), Kind.FULL, StoreFull),
    (OSError(errno.EDQUOT, "quota"), Kind.FULL, StoreFull),
    (OSError(errno.EROFS, "read-only"), Kind.DENIED, StoreDenied),
    (PermissionError(errno.EACCES, "no"), Kind.DENIED, StoreDenied),
    (FileNotFoundError(errno.ENOENT, "no"), Kind.MISSING, ResultMissing),
    (OSError(errno.ENAMETOOLONG, "long"), Kind.BAD_NAME, TemplateError),
    (OSError(errno.ESTALE, "NFS"), Kind.BUSY, StoreUnreachable),
    (TimeoutError(), Kind.UNREACHABLE, StoreUnreachable),
    (TimeoutError(), Kind.UNREACHABLE, StoreUnreachable),
    (ConnectionResetError(), Kind.UNREACHABLE, StoreUnreachable),
    (FileExistsError(), Kind.EXISTS, StoreError),
    (s3_error("PreconditionFailed", 412), Kind.EXISTS, StoreError),  # as radosgw says it
    (s3_error("PreconditionFailed", 412, FileExistsError()), Kind.EXISTS, StoreError),
    (s3_error("SlowDown", 503, OSError(errno.EBUSY, "slow")), Kind.BUSY, StoreUnreachable),
    (s3_error("InternalError", 500), Kind.BUSY, StoreUnreachable),
    (s3_error("ConditionalRequestConflict", 409), Kind.BUSY, StoreUnreachable),
    (s3_error("NoSuchBucket", 404, FileNotFoundError()), Kind.NO_PLACE, StoreUrlError),
    (s3_error("NoSuchKey", 404, FileNotFoundError()), Kind.MISSING, ResultMissing),
    (s3_error("404", 404, FileNotFoundError()), Kind.MISSING, ResultMissing),
    (s3_error("InvalidAccessKeyId", 403, PermissionError()), Kind.DENIED, StoreDenied),
    (s3_error("InvalidRange", 416), Kind.BEYOND_END, StoreError),
    (s3_error("SomethingNew", 503), Kind.BUSY, StoreUnreachable),
    (botocore_error("NoCredentialsError"), Kind.DENIED, StoreDenied),
    (botocore_error("EndpointConnectionError", endpoint_url="http://x"), Kind.UNREACHABLE, StoreUnreachable),
    (google_error(503), Kind.BUSY, StoreUnreachable),
    (google_error(429), Kind.BUSY, StoreUnreachable),
    (google_error(401), Kind.DENIED, StoreDenied),
    (OSError("Forbidden: https://storage/x"), Kind.DENIED, StoreDenied),
    (azure_error("HttpResponseError", 503, "ServerBusy"), Kind.BUSY, StoreUnreachable),
    (azure_error("ResourceNotFoundError", 404, "ContainerNotFound"), Kind.NO_PLACE, StoreUrlError),
    (azure_error("ResourceNotFoundError", 404, "BlobNotFound"), Kind.MISSING, ResultMissing),
    (azure_error("ClientAuthenticationError", 403), Kind.DENIED, StoreDenied),
    (azure_error("ServiceRequestError", 0), Kind.UNREACHABLE, StoreUnreachable),
    (ValueError("who knows"), Kind.OTHER, StoreError),
]


@pytest.mark.parametrize(
    ("error", "kind", "told"), CASES, ids=lambda value: getattr(value, "name", type(value).__name__)
)
def test_errors_are_told_apart(error: BaseException, kind: Kind, told: type[ResultsError]) -> None:
    """Each raw error has its kind, and each kind its error of ours with a place."""
    trouble = diagnose(error)
    assert trouble.kind is kind
    raised = error_for(trouble, "s3://b/x")
    assert (type(raised), raised.where) == (told, "s3://b/x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET https://me:pw@host/x", "GET https://***@host/x"),
        ("https://a.blob/x?sv=1&sig=abc%3D&se=2", "https://a.blob/x?sv=1&sig=***&se=2"),
        ("AccountName=a;AccountKey=Zm9v==;End", "AccountName=a;AccountKey=***;End"),
        ("X-Amz-Signature=00ff&X-Amz-Date=1", "X-Amz-Signature=***&X-Amz-Date=***"),
        ("plain s3://bucket/name?version=1", "plain s3://bucket/name?version=1"),
        ("it was hunter2!", "it was ***!"),
    ],
)
def test_credentials_are_struck_out(text: str, expected: str) -> None:
    """What is a secret by its place in a URL, by its name, or because we were given it, is not shown."""
    assert redact(text, ("hunter2",)) == expected


def patience(slept: list[float], **options: float) -> Patience:
    """Patience whose time passes only by sleeping."""
    return Patience(clock=lambda: sum(slept), sleep=slept.append, spread=lambda: 1.0, **options)  # type: ignore[arg-type]


def failing(times: int, error: BaseException):
    """An action that fails so many times, and then gives its number of calls."""
    calls: list[int] = []

    def action() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return action


def test_pauses_grow_and_end() -> None:
    """Five tries, each pause twice the one before; then the last trouble is given."""
    slept: list[float] = []
    assert patience(slept).attempt(failing(4, TimeoutError()), diagnose) == 5
    assert slept == [0.1, 0.2, 0.4, 0.8]
    outcome = patience(slept).attempt(failing(5, TimeoutError("no")), diagnose)
    assert outcome == Trouble(kind=Kind.UNREACHABLE, summary="TimeoutError: no")


def test_patience_ends_with_its_budget() -> None:
    """No try begins after the budget, however many are left."""
    slept: list[float] = []
    made = patience(slept, tries=1000, first_pause_seconds=1.0, longest_pause_seconds=5.0, budget_seconds=12.0)
    assert isinstance(made.attempt(failing(1000, TimeoutError()), diagnose), Trouble)
    assert slept == [1.0, 2.0, 4.0, 5.0]


@pytest.mark.parametrize("error", [PermissionError("no"), FileNotFoundError("no"), OSError(errno.ENOSPC, "full")])
def test_what_will_not_change_is_tried_once(error: OSError) -> None:
    """Refused, missing and full are told at once."""
    slept: list[float] = []
    assert isinstance(patience(slept).attempt(failing(1, error), diagnose), Trouble)
    assert slept == []


def test_mistakes_in_programs_pass() -> None:
    """A TypeError is no trouble of a store: it is raised as it is."""
    with pytest.raises(TypeError, match="a mistake"):
        patience([]).attempt(failing(1, TypeError("a mistake")), diagnose)


def faulty(script: RawScript, slept: list[float]) -> RemoteFiles:
    """Files on a filesystem that fails by script, with patience that sleeps in no time."""
    address = address_of(f"faulty://trouble-{os.urandom(6).hex()}", {"script": script})
    return RemoteFiles(address, connect, patience=patience(slept))


BURST = [RawFault(error=s3_error("SlowDown", 503)) for _ in range(3)]


def test_a_burst_of_5xx_is_survived() -> None:
    """Three refusals in a row of each operation cost pauses, no result."""
    slept: list[float] = []
    script = RawScript({name: list(BURST) for name in ("pipe_file", "cat_file", "find", "info", "rm_file")})
    files = faulty(script, slept)
    files.write("a", [b"x"])
    assert (files.read("a"), files.size("a"), [entry.name for entry in files.list()]) == (b"x", 1, ["a"])
    files.remove(["a"])
    assert dict(script.calls) == dict.fromkeys(("pipe_file", "cat_file", "find", "info", "rm_file"), 4)
    assert slept == [0.1, 0.2, 0.4] * 5


def test_only_the_reads_that_failed_are_repeated() -> None:
    """Of three ranges asked for together, the one that timed out is asked for again, alone."""
    script = RawScript({"cat_file": [None, RawFault(error=TimeoutError()), None]})
    files = faulty(script, [])
    files.write("a", [b"abc"])
    assert files.read_many([("a", 0, 1), ("a", 1, 2), ("a", 2, 3)]) == [b"a", b"b", b"c"]
    assert script.calls["cat_file"] == 4


def test_a_store_that_stays_away_is_told_without_its_own_words() -> None:
    """The last error is ours, says where, and drags no error of the library behind it."""
    script = RawScript({"cat_file": [RawFault(error=TimeoutError("to https://me:pw@host/x")) for _ in range(9)]})
    files = faulty(script, [])
    with pytest.raises(StoreUnreachable, match=r"TimeoutError: to https://\*\*\*@host/x") as raised:
        files.read("a")
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


def test_a_lost_answer_to_a_create_that_somebody_else_won() -> None:
    """The create that was answered by a time-out is repeated, and the content tells that another one made the file."""
    script = RawScript({"pipe_file": [None, None, None, RawFault(error=TimeoutError())]})
    files = faulty(script, [])
    assert files.create("a", b"theirs") is True
    assert files.create("a", b"ours") is False


def test_writing_to_no_bucket_says_so() -> None:
    """A bucket that does not exist is a wrong URL, not a missing result."""
    files = faulty(RawScript({"pipe_file": [RawFault(error=FileNotFoundError("no such bucket"))]}), [])
    with pytest.raises(StoreUrlError, match="no place to write to"):
        files.write("a", [b"x"])


def test_a_folder_that_is_a_file(tmp_path) -> None:
    """Writing below a file is a wrong place, on a disk too."""
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(StoreUrlError, match="no place to write to"):
        open_files(tmp_path).write("a/b", [b"x"])


def test_a_name_that_is_too_long(tmp_path) -> None:
    """A template that makes endless names is told as such."""
    with pytest.raises(TemplateError, match="takes no such name"):
        open_files(tmp_path).write("x" * 300, [b"x"])
