"""Calls over gRPC, blocking or on asyncio, behind one interface.

Everything above is written once, as coroutines over a Transport. The blocking transport's coroutines never wait for an event
loop: they block where they stand, and run() carries such a coroutine from its beginning to its end in one step.
"""
from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from nashswarm import errors
from nashswarm._access import Access
from nashswarm.v1 import nashswarm_pb2 as pb

T = TypeVar("T")
Metadata = list[tuple[str, str]]

_OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),  # a page of 1000 jobs with long reports passes gRPC's default of 4 MB
    ("grpc.initial_reconnect_backoff_ms", 100),     # gRPC's own pause is shorter than ours, so that ours is the one that counts
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.use_local_subchannel_pool", 1),          # two connections to one address must not share a broken one
]


class Method:
    """A method of the API, "JobService.GetJob", as its definition says."""

    def __init__(self, name: str) -> None:
        service, _, method = name.partition(".")
        descriptor = pb.DESCRIPTOR.services_by_name[service].methods_by_name[method]
        output = descriptor.output_type.name
        self.path = f"/{pb.DESCRIPTOR.package}.{service}/{method}"
        self.answer: Callable[[bytes], Any] = (empty_pb2.Empty if output == "Empty" else getattr(pb, output)).FromString


class Transport(Protocol):
    async def unary(self, method: Method, request: Message, timeout: float, metadata: Metadata) -> Any: ...

    def stream(self, method: Method, request: Message, metadata: Metadata, silence: float,
               timeout: float | None) -> AsyncGenerator[Any, None]:
        """The answers, until the server ends them. A stream that is silent for longer than `silence` is lost."""

    async def send(self, method: Method, requests: Iterator[Message], metadata: Metadata, silence: float) -> Any:
        """Sends all of `requests` and returns the one answer."""

    async def sleep(self, seconds: float) -> None: ...

    async def offload(self, work: Callable[[], T]) -> T:
        """Runs what takes time without the network."""

    async def close(self) -> None: ...


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Of a coroutine over the blocking transport."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a blocking call waited for an event loop")


def iterate(events: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Of an asynchronous generator over the blocking transport."""
    try:
        while True:
            try:
                item = run(events.__anext__())
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(events.aclose())


def _lost(message: str) -> errors.NashswarmError:
    return errors.make_error("UNAVAILABLE", "CONNECTION_LOST", message)


_SILENT = "the server has gone silent"


class _Watchdog:
    """Cancels a blocking call that has not moved for so many seconds."""

    def __init__(self, cancel: Callable[[], object], seconds: float) -> None:
        self._cancel, self._seconds = cancel, seconds
        self._ended = threading.Event()
        self._moved = time.monotonic()
        self.stalled = False
        threading.Thread(target=self._watch, name="nashswarm-watchdog", daemon=True).start()

    def _watch(self) -> None:
        while (left := self._moved + self._seconds - time.monotonic()) > 0:
            if self._ended.wait(left):
                return
        self.stalled = True
        self._cancel()

    def touch(self) -> None:
        self._moved = time.monotonic()

    def end(self) -> None:
        self._ended.set()


class BlockingTransport:
    def __init__(self, access: Access) -> None:
        credentials = access.credentials()
        self._channel: Any = (grpc.secure_channel(access.target, credentials, _OPTIONS) if credentials
                              else grpc.insecure_channel(access.target, _OPTIONS))

    async def unary(self, method: Method, request: Message, timeout: float, metadata: Metadata) -> Any:
        call = self._channel.unary_unary(method.path, _serialize, method.answer)
        try:
            return call(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise _of(error) from None

    async def stream(self, method: Method, request: Message, metadata: Metadata, silence: float,
                     timeout: float | None) -> AsyncGenerator[Any, None]:
        call = self._channel.unary_stream(method.path, _serialize, method.answer)(request, timeout=timeout, metadata=metadata)
        watchdog = _Watchdog(call.cancel, silence)
        try:
            for answer in call:
                watchdog.touch()
                yield answer
                watchdog.touch()  # what is done with an answer is no silence of the server
        except grpc.RpcError as error:
            raise (_lost(_SILENT) if watchdog.stalled else _of(error)) from None
        finally:
            watchdog.end()
            call.cancel()

    async def send(self, method: Method, requests: Iterator[Message], metadata: Metadata, silence: float) -> Any:
        failure: list[BaseException] = []
        watchdog: list[_Watchdog] = []

        def watched() -> Iterator[Message]:
            try:
                for request in requests:
                    if watchdog:
                        watchdog[0].touch()
                    yield request
            except GeneratorExit:  # the server has ended the call, and nobody asks for more
                raise
            except BaseException as error:  # gRPC would only say that there was one
                failure.append(error)
                raise

        call = self._channel.stream_unary(method.path, _serialize, method.answer).future(watched(), metadata=metadata)
        watchdog.append(_Watchdog(call.cancel, silence))
        try:
            return call.result()
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            if failure:
                raise failure[0] from None
            raise (_lost(_SILENT) if watchdog[0].stalled else _of(error)) from None
        finally:
            watchdog[0].end()
            call.cancel()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def offload(self, work: Callable[[], T]) -> T:
        return work()

    async def close(self) -> None:
        self._channel.close()


class AsyncTransport:
    """Of one event loop: that which runs when it is made."""

    def __init__(self, access: Access) -> None:
        credentials = access.credentials()
        self._channel: Any = (grpc.aio.secure_channel(access.target, credentials, _OPTIONS) if credentials
                              else grpc.aio.insecure_channel(access.target, _OPTIONS))

    async def unary(self, method: Method, request: Message, timeout: float, metadata: Metadata) -> Any:
        call = self._channel.unary_unary(method.path, _serialize, method.answer)
        try:
            return await call(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise _of(error) from None

    async def stream(self, method: Method, request: Message, metadata: Metadata, silence: float,
                     timeout: float | None) -> AsyncGenerator[Any, None]:
        call = self._channel.unary_stream(method.path, _serialize, method.answer)(request, timeout=timeout, metadata=metadata)
        try:
            while (answer := await asyncio.wait_for(call.read(), silence)) is not grpc.aio.EOF:
                yield answer
        except (TimeoutError, asyncio.TimeoutError):
            raise _lost(_SILENT) from None
        except grpc.RpcError as error:
            raise _of(error) from None
        finally:
            call.cancel()

    async def send(self, method: Method, requests: Iterator[Message], metadata: Metadata, silence: float) -> Any:
        call = self._channel.stream_unary(method.path, _serialize, method.answer)(metadata=metadata)
        try:
            while (request := await asyncio.to_thread(next, requests, None)) is not None:
                try:
                    await asyncio.wait_for(call.write(request), silence)
                except asyncio.InvalidStateError:  # the server has ended the call; its answer says why
                    break
            else:
                await call.done_writing()
            return await asyncio.wait_for(call, silence)
        except (TimeoutError, asyncio.TimeoutError):
            raise _lost(_SILENT) from None
        except grpc.RpcError as error:
            raise _of(error) from None
        finally:
            call.cancel()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def offload(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)

    async def close(self) -> None:
        await self._channel.close()


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


# What grpc.aio says, in place of the server's own status, when a write and the call's end meet.
_WRITE_AFTER_END = "Internal error from Core"


def _of(error: Any) -> errors.NashswarmError:
    if isinstance(error, grpc.FutureCancelledError):
        return _lost("the server broke off the call")
    if error.details() == _WRITE_AFTER_END:
        return _lost("the server ended the call")
    return errors.from_grpc(error.code(), error.details() or "", error.trailing_metadata())
