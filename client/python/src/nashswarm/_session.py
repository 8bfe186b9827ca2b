"""A server, and calls that outlive its short absences."""
from __future__ import annotations

import dataclasses
import os
import random
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from google.protobuf.message import Message

from nashswarm._access import Access, explain_unreachable
from nashswarm._progress import Progress
from nashswarm._transport import Metadata, Method, Transport
from nashswarm.errors import FileAccessError, NashswarmError, usage

SILENCE = 60.0         # four keepalives of 15 s; a stream that has not moved for so long is dead
UNARY_DEADLINE = 60.0  # of one attempt
# The first contact fails soon: most likely the address is wrong. In the middle of a transfer a server may be restarted or moved to
# another machine.
FIRST_CONTACT, TRANSFER = 2.0, 180.0
MAX_DAMAGED = 3        # damage on the way happens; damage every time is something else
# Not UNAVAILABLE, but good later: the server has as many streams as it allows, or the network was slow.
_LATER = {"TOO_MANY_STREAMS", "UPLOAD_TOO_SLOW", "DOWNLOAD_TOO_SLOW"}
_FINAL = {"SERVER_UNREACHABLE", "PRIVATE_SERVER_ENDED"}


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long to keep trying while nothing moves. Delays double up to the longest, each drawn from its upper half."""

    give_up_after: float
    first_delay: float = 0.2
    longest_delay: float = 10.0


def is_connection_loss(error: NashswarmError) -> bool:
    """Whether the same call may succeed later without any change."""
    if error.reason in _LATER:
        return True
    if isinstance(error, FileAccessError):
        return False
    return error.code == "UNAVAILABLE" and error.reason not in _FINAL and not error.reason.startswith("TLS_")


_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def check_traceparent(value: str) -> str:
    """Of the W3C recommendation "Trace Context"."""
    if not _TRACEPARENT.fullmatch(value):
        raise usage(f"'{value}' is no traceparent", "it looks like 00-<32 hex digits>-<16 hex digits>-01")
    return value


def _surrounding_trace() -> Metadata:
    """OpenTelemetry's current one, where the program uses it; else that of TRACEPARENT, unless it holds something else."""
    carrier: dict[str, str] = {}
    try:
        from opentelemetry.propagate import inject
        inject(carrier)
    except ImportError:
        pass
    found = [(key, value) for key, value in carrier.items() if key in ("traceparent", "tracestate") and value]
    variable = os.environ.get("TRACEPARENT", "")
    return found or ([("traceparent", variable)] if _TRACEPARENT.fullmatch(variable) else [])


class Session:
    """What every operation needs: the server, the patience, the progress to show, the trace to name."""

    def __init__(self, access: Access, transport: Transport, *, progress: bool | None = None, traceparent: str | None = None,
                 first_contact: float = FIRST_CONTACT, transfer: float = TRANSFER) -> None:
        self.access, self.transport = access, transport
        self.show_progress = progress
        self.traceparent = check_traceparent(traceparent) if traceparent else None
        self.first_contact, self.transfer = Patience(first_contact), Patience(transfer)
        self.alive: Callable[[], None] = lambda: None  # raises once there is no use in waiting

    def progress(self) -> Progress:
        return Progress(self.show_progress)

    def metadata(self) -> Metadata:
        metadata: Metadata = [("traceparent", self.traceparent)] if self.traceparent else _surrounding_trace()
        if token := self.access.current_token():
            metadata.append(("authorization", f"Bearer {token}"))
        return metadata

    async def call(self, method: str, request: Message, patience: Patience | None = None,
                   deadline: float = UNARY_DEADLINE) -> Any:
        """One unary call, repeated while the server is unreachable; every unary method of the API is idempotent."""
        backoff = Backoff(self, patience or self.first_contact)
        while True:
            try:
                return await self.transport.unary(Method(method), request, deadline, self.metadata())
            except NashswarmError as error:
                if not is_connection_loss(error):
                    raise
                await backoff.wait(error)

    def stream(self, method: str, request: Message, timeout: float | None = None) -> AsyncGenerator[Any, None]:
        return self.transport.stream(Method(method), request, self.metadata(), SILENCE, timeout)

    async def send(self, method: str, requests: Iterator[Message]) -> Any:
        return await self.transport.send(Method(method), requests, self.metadata(), SILENCE)


class Backoff:
    """Waits between attempts."""

    def __init__(self, session: Session, patience: Patience) -> None:
        self._session, self._patience = session, patience
        self.reset()

    def reset(self) -> None:
        """Something moved: delays and patience start over."""
        self._delay, self._waited = self._patience.first_delay, 0.0

    async def wait(self, cause: NashswarmError, until: float | None = None) -> None:
        """Sleeps; raises `cause` when the patience is used up. `until`: an end set by the caller, monotonic."""
        self._session.alive()
        if self._waited >= self._patience.give_up_after:
            if cause.code == "UNAVAILABLE" and is_connection_loss(cause):
                raise explain_unreachable(self._session.access, cause) from cause
            raise cause
        delay = random.uniform(self._delay / 2, self._delay)
        if until is not None:
            delay = max(0.0, min(delay, until - time.monotonic()))
        await self._session.transport.sleep(delay)
        self._waited += delay
        self._delay = min(self._delay * 2, self._patience.longest_delay)
