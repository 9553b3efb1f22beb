"""What went wrong below us, in our words: errors of the system and of the cloud libraries become errors of ours.

The libraries are not imported for that. Their errors are told apart by codes they carry (of S3, of HTTP, of the
system) and by class names, in tables. What is worth another try is tried again, with growing pauses and an end.
"""

from __future__ import annotations

import errno
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeAlias, TypeVar

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

__all__ = ["Kind", "Patience", "Trouble", "diagnose", "error_for", "redact"]

T = TypeVar("T")


class Kind(Enum):
    """What a handler of trouble needs to know."""

    MISSING = auto()
    EXISTS = auto()
    """A condition was not met: somebody was faster."""
    DENIED = auto()
    FULL = auto()
    BUSY = auto()
    """The store asks to come again later."""
    UNREACHABLE = auto()
    NO_PLACE = auto()
    """The bucket or container itself is not there."""
    BEYOND_END = auto()
    """A range that begins behind the end of the file."""
    BAD_NAME = auto()
    UNSUPPORTED = auto()
    """This kind of store, or its library, cannot do it."""
    OTHER = auto()


TRANSIENT = frozenset({Kind.BUSY, Kind.UNREACHABLE})
"""What another try may cure."""

OF_CODE = {
    "AccessDenied": Kind.DENIED,
    "AccountProblem": Kind.DENIED,
    "AllAccessDisabled": Kind.DENIED,
    "AuthenticationFailed": Kind.DENIED,
    "AuthorizationFailure": Kind.DENIED,
    "ConditionalRequestConflict": Kind.BUSY,
    "ContainerNotFound": Kind.NO_PLACE,
    "ExpiredToken": Kind.DENIED,
    "InternalError": Kind.BUSY,
    "InvalidAccessKeyId": Kind.DENIED,
    "InvalidBucketName": Kind.NO_PLACE,
    "InvalidRange": Kind.BEYOND_END,
    "InvalidToken": Kind.DENIED,
    "KeyTooLongError": Kind.BAD_NAME,
    "NoSuchBucket": Kind.NO_PLACE,
    "NoSuchKey": Kind.MISSING,
    "NoSuchUpload": Kind.MISSING,
    "NotImplemented": Kind.UNSUPPORTED,
    "OperationAborted": Kind.BUSY,
    "OperationTimedOut": Kind.BUSY,
    "PreconditionFailed": Kind.EXISTS,
    "QuotaExceeded": Kind.FULL,
    "RequestTimeTooSkewed": Kind.DENIED,
    "RequestTimeout": Kind.BUSY,
    "ServerBusy": Kind.BUSY,
    "ServiceUnavailable": Kind.BUSY,
    "SignatureDoesNotMatch": Kind.DENIED,
    "SlowDown": Kind.BUSY,
    "Throttling": Kind.BUSY,
    "ThrottlingException": Kind.BUSY,
    "XMinioStorageFull": Kind.FULL,
}
"""Codes in the answers of S3 and Azure. S3 says ConditionalRequestConflict for two creates at once: ask again."""

OF_STATUS = {
    401: Kind.DENIED,
    403: Kind.DENIED,
    404: Kind.MISSING,
    405: Kind.DENIED,
    408: Kind.BUSY,
    409: Kind.BUSY,
    412: Kind.EXISTS,
    416: Kind.BEYOND_END,
    425: Kind.BUSY,
    429: Kind.BUSY,
    500: Kind.BUSY,
    501: Kind.UNSUPPORTED,
    502: Kind.BUSY,
    503: Kind.BUSY,
    504: Kind.BUSY,
    507: Kind.FULL,
}
"""Status codes of HTTP."""

OF_CLASS = {
    "ChecksumError": Kind.BUSY,
    "ClientAuthenticationError": Kind.DENIED,
    "ClientConnectionError": Kind.UNREACHABLE,
    "ClientPayloadError": Kind.UNREACHABLE,
    "ConnectionError": Kind.UNREACHABLE,
    "CredentialRetrievalError": Kind.DENIED,
    "DefaultCredentialsError": Kind.DENIED,
    "EOFError": Kind.UNREACHABLE,
    "FileExistsError": Kind.EXISTS,
    "FileNotFoundError": Kind.MISSING,
    "HTTPClientError": Kind.UNREACHABLE,
    "IncompleteRead": Kind.UNREACHABLE,
    "IsADirectoryError": Kind.MISSING,
    "NoCredentialsError": Kind.DENIED,
    "NotADirectoryError": Kind.MISSING,
    "NotImplementedError": Kind.UNSUPPORTED,
    "PartialCredentialsError": Kind.DENIED,
    "PermissionError": Kind.DENIED,
    "ProxyConnectionError": Kind.UNREACHABLE,
    "RefreshError": Kind.DENIED,
    "ResourceExistsError": Kind.EXISTS,
    "ResourceNotFoundError": Kind.MISSING,
    "ResponseParserError": Kind.BUSY,
    "SSHException": Kind.UNREACHABLE,
    "ServiceRequestError": Kind.UNREACHABLE,
    "ServiceResponseError": Kind.UNREACHABLE,
    "TimeoutError": Kind.UNREACHABLE,
    "TransportError": Kind.UNREACHABLE,
    "gaierror": Kind.UNREACHABLE,
}
"""Names of error classes, looked up along the bases of an error's class."""

OF_ERRNO = {
    errno.EACCES: Kind.DENIED,
    errno.EBUSY: Kind.BUSY,
    errno.EDQUOT: Kind.FULL,
    errno.EHOSTUNREACH: Kind.UNREACHABLE,
    errno.EIO: Kind.BUSY,
    errno.ENAMETOOLONG: Kind.BAD_NAME,
    errno.ENETUNREACH: Kind.UNREACHABLE,
    errno.ENOSPC: Kind.FULL,
    errno.EPERM: Kind.DENIED,
    errno.EREMOTEIO: Kind.BUSY,
    errno.EROFS: Kind.DENIED,
    errno.ESTALE: Kind.BUSY,
}
"""Numbers of the system. ESTALE: NFS, when somebody replaced the file we had open."""

OF_TEXT = ((re.compile(r"^Forbidden\b"), Kind.DENIED),)
"""The last resort, for libraries that tell it by words only (gcsfs, status 403)."""

OURS_TO_MEND = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError, ImportError)
"""Errors that mean a mistake in a program, not trouble of a store; they pass as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What went wrong, judged."""

    kind: Kind
    summary: str
    """One line, without credentials."""


def diagnose(error: BaseException, secrets: tuple[str, ...] = ()) -> Trouble:
    """Judge an error of a library below us.

    Args:
        error: what was raised.
        secrets: texts that must not appear in the summary.

    Example:
        >>> diagnose(OSError(28, "No space left on device")).kind
        <Kind.FULL: 4>
    """
    chain = list(_chain(error))
    looks = (_of_code, _of_status, _of_class, _of_errno, _of_text)
    kinds = (kind for look in looks for one in chain if (kind := look(one)))
    return Trouble(kind=next(kinds, Kind.OTHER), summary=redact(_one_line(error), secrets))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(5):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__


def _of_code(error: BaseException) -> Kind | None:
    response = getattr(error, "response", None)
    told = response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(error, "error_code", None)
    text = str(told)
    return OF_STATUS.get(int(text)) if text.isdigit() else OF_CODE.get(text)


def _of_status(error: BaseException) -> Kind | None:
    response = getattr(error, "response", None)
    meta = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    numbers = (int(one) for one in _statuses(error, meta) if isinstance(one, int) or str(one).isdigit())
    return next((OF_STATUS[number] for number in numbers if number in OF_STATUS), None)


def _statuses(error: BaseException, meta: dict[str, Any]) -> Iterator[Any]:
    """Where libraries keep the status, up to the first number: aiohttp warns of its second name if it is looked at."""
    yield meta.get("HTTPStatusCode")
    for name in ("status_code", "status", "code"):
        found = getattr(error, name, None)
        yield found
        if isinstance(found, int):
            return


def _of_class(error: BaseException) -> Kind | None:
    return next((OF_CLASS[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in OF_CLASS), None)


def _of_errno(error: BaseException) -> Kind | None:
    return OF_ERRNO.get(error.errno) if isinstance(error, OSError) and error.errno is not None else None


def _of_text(error: BaseException) -> Kind | None:
    text = str(error)
    return next((kind for pattern, kind in OF_TEXT if pattern.search(text)), None)


SUMMARY_CHARACTERS = 300
HIDDEN = (
    (re.compile(r"(\w+://)[^/\s:@]+:[^/\s@]*@"), r"\1***@"),
    (
        re.compile(r"(?i)\b(sig|signature|x-(?:amz|goog)-\w+|token|(?:account)?key|secret|password)=[^&\s'\";]+"),
        r"\1=***",
    ),
)
"""Credentials as they stand in URLs and connection strings."""


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """The text without credentials.

    Example:
        >>> redact("cannot reach https://me:pw@host/x?sig=abc")
        'cannot reach https://***@host/x?sig=***'
    """
    for secret in secrets:
        text = text.replace(secret, "***")
    for pattern, shown in HIDDEN:
        text = pattern.sub(shown, text)
    return text


def _one_line(error: BaseException) -> str:
    said = " ".join(str(error).split())[:SUMMARY_CHARACTERS]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


Telling: TypeAlias = tuple[type[ResultsError], str, str]
"""Class, problem and fix."""
NO_PLACE: Telling = (
    StoreUrlError,
    "there is no place to write to: the bucket, container or folder does not exist, or is no folder",
    "make it, or correct the URL",
)
TELLS_NO_PLACE = frozenset({Kind.MISSING, Kind.NO_PLACE, Kind.EXISTS})
TELL: dict[Kind, Telling] = {
    Kind.MISSING: (ResultMissing, "there is no such file", ""),
    Kind.EXISTS: (StoreError, "somebody else made this file", ""),
    Kind.DENIED: (
        StoreDenied,
        "the store refuses this",
        "check the credentials in the environment or the fsspec configuration, and whether they may do it",
    ),
    Kind.FULL: (StoreFull, "no space is left", "free some: `dataflow results gc`, or another store"),
    Kind.BUSY: (StoreUnreachable, "the store does not answer as it should", "try again later"),
    Kind.UNREACHABLE: (StoreUnreachable, "the store cannot be reached", "check the network and the endpoint"),
    Kind.NO_PLACE: NO_PLACE,
    Kind.BEYOND_END: (StoreError, "the range begins behind the end of the file", ""),
    Kind.BAD_NAME: (TemplateError, "the store takes no such name", "a shorter name"),
    Kind.UNSUPPORTED: (StoreError, "the store cannot do this", ""),
    Kind.OTHER: (StoreError, "the store failed", ""),
}
"""How each kind is told."""


def error_for(trouble: Trouble, where: str, *, writing: bool = False) -> ResultsError:
    """The error that tells a trouble.

    Args:
        trouble: what went wrong.
        where: URL and name.
        writing: whether we were about to write; then what is missing is the place, not the file.

    Example:
        >>> error_for(Trouble(kind=Kind.FULL, summary="OSError: 28"), "file:///tmp/r").problem
        'no space is left (OSError: 28)'
    """
    cls, problem, fix = NO_PLACE if writing and trouble.kind in TELLS_NO_PLACE else TELL[trouble.kind]
    told = problem if cls is ResultMissing else f"{problem} ({trouble.summary})"
    return cls(told, where=where, fix=fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often, and for how long, something is tried that may succeed later."""

    tries: int = 5
    first_pause_seconds: float = 0.1
    longest_pause_seconds: float = 5.0
    budget_seconds: float = 30.0
    """No further try begins after this: the libraries below have a patience of their own, and the two multiply."""
    clock: Callable[[], float] = field(default=time.monotonic, compare=False)
    sleep: Callable[[float], None] = field(default=time.sleep, compare=False)
    spread: Callable[[], float] = field(default=random.random, compare=False)
    """Gives 0 to 1; so that a thousand workers that failed together do not come back together."""

    def pauses(self) -> Iterator[float]:
        """The seconds to wait before the second try, the third, and so on; ends when patience does."""
        began = self.clock()
        for number in range(self.tries - 1):
            pause = min(self.first_pause_seconds * 2**number, self.longest_pause_seconds) * (0.5 + self.spread() / 2)
            if self.clock() + pause - began > self.budget_seconds:
                return
            yield pause

    def attempt(self, action: Callable[[], T], judge: Callable[[BaseException], Trouble]) -> T | Trouble:
        """Do something until it succeeds or patience ends: its value, or the last trouble.

        Trouble is given back instead of raised, so that the error of the library, whose text may hold anything, is
        not chained to the one that the caller raises.
        """
        pauses = self.pauses()
        while True:
            outcome = _once(action, judge)
            if not isinstance(outcome, Trouble) or outcome.kind not in TRANSIENT:
                return outcome
            pause = next(pauses, None)
            if pause is None:
                return outcome
            self.sleep(pause)


def _once(action: Callable[[], T], judge: Callable[[BaseException], Trouble]) -> T | Trouble:
    try:
        return action()
    except (*OURS_TO_MEND, ResultsError):
        raise
    except Exception as error:  # noqa: BLE001 - boundary: libraries of stores, whose errors share no base class
        return judge(error)
