"""The client on asyncio: the names and arguments of nashswarm.Client, with await, async for and async with.

A client belongs to the event loop that runs when it is made. Files are read and hashed in threads, so the loop stays free.
"""
from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from nashswarm import _operations as ops
from nashswarm import _watch
from nashswarm._access import Path, private, resolve
from nashswarm._session import FIRST_CONTACT, TRANSFER, Session
from nashswarm._spec import Data, Number, Request, Rules
from nashswarm._transport import AsyncTransport
from nashswarm.local import PrivateServer
from nashswarm.types import Artifact, Event, Model, Result, ServerInfo
from nashswarm.v1 import nashswarm_pb2 as pb


class Job:
    """See nashswarm.Job."""

    def __init__(self, session: Session, message: pb.Job) -> None:
        self._session, self.message = session, message

    @property
    def name(self) -> str:
        return self.message.name

    @property
    def model(self) -> str:
        return self.message.model

    @property
    def state(self) -> str:
        return pb.Job.State.Name(self.message.state).lower()

    @property
    def result(self) -> Result | None:
        return Result.of(self.message.result) if self.message.HasField("result") else None

    def __repr__(self) -> str:
        return f"<Job {self.name} {self.state}>"

    async def refresh(self) -> Job:
        self.message = await ops.get_job(self._session, self.name)
        return self

    async def watch(self, *, after_sequence: int = 0) -> AsyncGenerator[Event, None]:
        events = _watch.watch(self._session, self.name, after_sequence)
        try:
            async for event in events:
                if event.HasField("snapshot"):
                    self.message = event.snapshot
                yield Event.of(event)
        finally:
            await events.aclose()

    async def wait(self, timeout: float | None = None) -> Job:
        self.message = await _watch.wait(self._session, self.name, timeout)
        _watch.check_outcome(self.message)
        return self

    async def cancel(self) -> Job:
        self.message = await self._session.call("JobService.CancelJob", pb.CancelJobRequest(name=self.name))
        return self

    async def retry(self) -> Job:
        self.message = await self._session.call("JobService.RetryJob", pb.RetryJobRequest(name=self.name))
        return self

    async def delete(self) -> None:
        await self._session.call("JobService.DeleteJob", pb.DeleteJobRequest(name=self.name))

    async def pull(self, out: Path, *, force: bool = False) -> list[str]:
        return await ops.pull(self._session, self.name, out, force)


class Client:
    """See nashswarm.Client."""

    def __init__(self, addr: str | None = None, *, tls: bool | None = None, ca: Path | None = None, cert: Path | None = None,
                 key: Path | None = None, token: str | None = None, token_file: Path | None = None, send_token_unencrypted: bool = False,
                 progress: bool | None = None, traceparent: str | None = None, first_contact: float = FIRST_CONTACT,
                 transfer: float = TRANSFER) -> None:
        access = resolve(addr, tls=tls, ca=ca, cert=cert, key=key, token=token, token_file=token_file,
                         send_token_unencrypted=send_token_unencrypted)
        self._session = Session(access, AsyncTransport(access), progress=progress, traceparent=traceparent, first_contact=first_contact,
                                transfer=transfer)

    @classmethod
    def _of(cls, session: Session) -> Client:
        client = cls.__new__(cls)
        client._session = session
        return client

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.transport.close()

    async def push(self, directory: Path, *, model_id: str | None = None, labels: Mapping[str, str] | None = None) -> Model:
        return await ops.push(self._session, directory, False, model_id, labels)

    async def push_data(self, file: Path, *, model_id: str | None = None, labels: Mapping[str, str] | None = None) -> Model:
        return await ops.push(self._session, file, True, model_id, labels)

    async def compress(self, source: Path | Model, *, bpw: Number | None = None, size: int | str | None = None, ratio: Number | None = None,
                       max_ppl_increase: Number | None = None, max_kl: Number | None = None, format: str = "gguf",
                       calibrate: Data | None = None, imatrix: Data | None = None, evaluate: Data | None = None, calibration_tokens: int = 0,
                       evaluation_tokens: int = 0, evaluation_context: int = 0, context_rounds: int = 0, swarm: int = 0,
                       swarm_seconds: float = 0, rules: Rules = (), threads: int = 0, seed: int = 0, zero_non_finite: bool = False,
                       expert_order: str = "original", name: str = "",
                       allow_tokenizer_mismatch: bool = False, priority: int | None = None, labels: Mapping[str, str] | None = None,
                       request_id: str | None = None, traceparent: str | None = None) -> Job:
        """See nashswarm.Client.compress."""
        request = Request(bpw=bpw, size=size, ratio=ratio, max_ppl_increase=max_ppl_increase, max_kl=max_kl, format=format,
                          calibrate=calibrate, imatrix=imatrix, evaluate=evaluate, calibration_tokens=calibration_tokens,
                          evaluation_tokens=evaluation_tokens, evaluation_context=evaluation_context, context_rounds=context_rounds,
                          swarm=swarm, swarm_seconds=swarm_seconds, rules=rules, threads=threads, seed=seed,
                          zero_non_finite=zero_non_finite, expert_order=expert_order,
                          name=name, allow_tokenizer_mismatch=allow_tokenizer_mismatch)
        session = ops.traced(self._session, traceparent)
        return Job(self._session, await ops.compress(session, source, request, priority=priority, labels=labels, request_id=request_id))

    async def pull(self, source: str | Artifact | Job, out: Path, *, force: bool = False) -> list[str]:
        return await ops.pull(self._session, source.name if isinstance(source, Job) else source, out, force)

    async def job(self, name: str) -> Job:
        return Job(self._session, await ops.get_job(self._session, name))

    async def jobs(self, state: str | None = None) -> list[Job]:
        request = pb.ListJobsRequest(state=ops.state_of(state))
        return [Job(self._session, job) async for job in self._list("JobService.ListJobs", request, "jobs")]

    async def model(self, name: str) -> Model:
        return Model.of(await self._session.call("ModelService.GetModel", pb.GetModelRequest(name=ops.qualified("models", name))))

    async def models(self) -> list[Model]:
        return [Model.of(model) async for model in self._list("ModelService.ListModels", pb.ListModelsRequest(), "models")]

    async def delete_model(self, name: str) -> None:
        await self._session.call("ModelService.DeleteModel", pb.DeleteModelRequest(name=ops.qualified("models", name)))

    async def artifact(self, name: str) -> Artifact:
        return Artifact.of(await ops.artifact_of(self._session, name))

    async def artifacts(self) -> list[Artifact]:
        return [Artifact.of(item) async for item in self._list("ArtifactService.ListArtifacts", pb.ListArtifactsRequest(), "artifacts")]

    async def delete_artifact(self, name: str) -> None:
        await self._session.call("ArtifactService.DeleteArtifact", pb.DeleteArtifactRequest(name=ops.qualified("artifacts", name)))

    async def server_info(self) -> ServerInfo:
        return ServerInfo.of(await self._session.call("InfoService.GetServerInfo", pb.GetServerInfoRequest()))

    def _list(self, method: str, request: Any, field: str) -> AsyncGenerator[Any, None]:
        return ops.pages(self._session, method, request, field)


@contextlib.asynccontextmanager
async def local(data: Path | None = None, *, progress: bool | None = None, traceparent: str | None = None) -> AsyncIterator[Client]:
    """See nashswarm.local."""
    server = await asyncio.to_thread(PrivateServer, data)
    try:
        access = private(server.address)
        session = Session(access, AsyncTransport(access), progress=progress, traceparent=traceparent)
        session.alive = server.check_alive
        async with Client._of(session) as client:
            yield client
    finally:
        await asyncio.to_thread(server.stop)
