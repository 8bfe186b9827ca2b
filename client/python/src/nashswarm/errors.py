"""Errors: what happened, why (`reason`, stable), and what to do next (`hint`).

Every error of this package is a NashswarmError. Its class says what kind of trouble it is, its `reason` says which.
"""
from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator

import grpc

from nashswarm.v1 import nashswarm_pb2 as pb

DETAILS = "grpc-status-details-bin"
CODES = {code.value[0]: code.name for code in grpc.StatusCode}


class NashswarmError(Exception):
    """`code`: the name of a gRPC status code; `reason`: UPPER_SNAKE_CASE or ""; `hint` and `metadata` may be empty."""

    def __init__(self, message: str, *, code: str = "UNKNOWN", reason: str = "", hint: str = "",
                 metadata: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.hint = hint
        self.metadata = metadata or {}

    def __str__(self) -> str:
        text = self.message
        if self.reason and self.reason != "USAGE":
            text += f" [{self.reason}]"
        return f"{text}\nhint: {self.hint}" if self.hint else text


class InvalidRequestError(NashswarmError, ValueError):
    """What was asked for makes no sense, here or to the server (INVALID_ARGUMENT, OUT_OF_RANGE)."""


class NotFoundError(NashswarmError, LookupError):
    """No such model, job, artifact, file or program (NOT_FOUND)."""


class AuthError(NashswarmError):
    """The server refused who called (UNAUTHENTICATED, PERMISSION_DENIED)."""


class ConflictError(NashswarmError):
    """Not in the present state of things (FAILED_PRECONDITION, ALREADY_EXISTS, ABORTED): MODEL_IN_USE, JOB_ENDED, FILE_EXISTS."""


class QuotaError(NashswarmError):
    """A quota or space is used up (RESOURCE_EXHAUSTED)."""


class CorruptDataError(NashswarmError):
    """Damaged data (DATA_LOSS)."""


class UnreachableError(NashswarmError, ConnectionError):
    """No answer, after all retries (UNAVAILABLE, DEADLINE_EXCEEDED)."""


class TlsError(UnreachableError):
    """There was no connection, for TLS: TLS_UNTRUSTED, TLS_WRONG_NAME, TLS_NOT_SPOKEN, ..."""


class ServerError(NashswarmError):
    """The server failed (INTERNAL, UNKNOWN, UNIMPLEMENTED and whatever else)."""


class FileAccessError(NashswarmError, OSError):
    """A file of this machine cannot be read or written (FILE_PERMISSION, IO_ERROR)."""


class JobFailedError(NashswarmError):
    """The job ended FAILED; code, reason and hint are the job's. `job` is its name."""

    job: str = ""


class TargetInfeasibleError(JobFailedError):
    """No artifact of this model meets the target (TARGET_INFEASIBLE), which the job has found out; the hint names the nearest that works."""


class JobCancelledError(NashswarmError):
    """The job ended CANCELLED. `job` is its name."""

    job: str = ""


class LibraryError(NashswarmError, ImportError):
    """libnashswarm was not found, or is of another version."""


_BY_CODE: dict[str, type[NashswarmError]] = {
    "INVALID_ARGUMENT": InvalidRequestError, "OUT_OF_RANGE": InvalidRequestError,
    "NOT_FOUND": NotFoundError,
    "UNAUTHENTICATED": AuthError, "PERMISSION_DENIED": AuthError,
    "FAILED_PRECONDITION": ConflictError, "ALREADY_EXISTS": ConflictError, "ABORTED": ConflictError,
    "RESOURCE_EXHAUSTED": QuotaError,
    "DATA_LOSS": CorruptDataError,
    "UNAVAILABLE": UnreachableError, "DEADLINE_EXCEEDED": UnreachableError,
}


def make_error(code: str, reason: str, message: str, hint: str = "", metadata: dict[str, str] | None = None) -> NashswarmError:
    """The error of the class that fits: by its reason where there is a class for it, else by its code."""
    kind = _BY_CODE.get(code, ServerError)
    if reason == "TARGET_INFEASIBLE":
        kind = TargetInfeasibleError
    elif reason.startswith("TLS_"):
        kind = TlsError
    return kind(message, code=code, reason=reason, hint=hint, metadata=metadata)


def of_file(code: str, reason: str, message: str, hint: str = "") -> NashswarmError:
    """An error with a file of this machine: no server is away and nobody was refused."""
    if reason in ("FILE_PERMISSION", "IO_ERROR"):
        return FileAccessError(message, code=code, reason=reason, hint=hint)
    return make_error(code, reason, message, hint)


_BY_ERRNO = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR), ("NOT_FOUND", "FILE_NOT_FOUND", "")),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), ("PERMISSION_DENIED", "FILE_PERMISSION", "give yourself the rights, or name another place")),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), ("RESOURCE_EXHAUSTED", "NO_SPACE", "free disk space and try again")),
    errno.EEXIST: ("ALREADY_EXISTS", "FILE_EXISTS", ""),
}


@contextlib.contextmanager
def local_files() -> Iterator[None]:
    """What goes wrong with files of this machine inside is a NashswarmError too."""
    try:
        yield
    except (NashswarmError, TimeoutError, asyncio.TimeoutError):
        raise
    except OSError as error:
        code, reason, hint = _BY_ERRNO.get(error.errno or 0, ("UNAVAILABLE", "IO_ERROR", ""))
        where = f"{os.fspath(error.filename)!s}: " if isinstance(error.filename, (str, os.PathLike)) else ""
        raise of_file(code, reason, f"{where}{error.strerror or error}", hint) from error


def usage(message: str, hint: str = "") -> NashswarmError:
    return make_error("INVALID_ARGUMENT", "USAGE", message, hint)


def from_proto(error: pb.Error) -> NashswarmError:
    """The error of a job, or of a call's details."""
    code = CODES.get(error.code or 2, "UNKNOWN")
    for detail in error.details:
        # It travels under google.rpc's type name, so the name is not compared in full.
        if detail.type_url.endswith("ErrorInfo"):
            info = pb.ErrorInfo.FromString(detail.value)
            metadata = dict(info.metadata)
            return make_error(code, info.reason, error.message, metadata.pop("hint", ""), metadata)
    # A stream that the server cuts off carries no details: its reason is in front of the message.
    found = re.fullmatch(r"([A-Z_]+): (.*)", error.message, re.DOTALL) if code == "DEADLINE_EXCEEDED" else None
    return make_error(code, found[1], found[2]) if found else make_error(code, "", error.message)


def from_grpc(code: grpc.StatusCode, message: str, trailer: Iterable[tuple[str, str | bytes]] | None) -> NashswarmError:
    """The error of a call. A call that the server, not we, cancelled was lost with its connection."""
    if code is grpc.StatusCode.CANCELLED:
        return make_error("UNAVAILABLE", "CONNECTION_LOST", "the server broke off the call")
    error = pb.Error()
    for key, value in trailer or ():
        if key == DETAILS and isinstance(value, bytes):
            error = pb.Error.FromString(value)
    error.code = code.value[0]
    error.message = message
    return from_proto(error)
