"""What a client can do, once for both kinds of it."""
from __future__ import annotations

import os
import uuid
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from nashswarm import _download, _watch
from nashswarm._files import name_of_checkpoint
from nashswarm._session import Session, check_traceparent
from nashswarm._spec import Request, data_fields
from nashswarm._upload import Push
from nashswarm.errors import local_files, usage
from nashswarm.types import Artifact, Model
from nashswarm.v1 import nashswarm_pb2 as pb

Path = str | os.PathLike[str]
_PAGE = 500


def qualified(kind: str, name: str) -> str:
    return name if name.startswith(kind + "/") else f"{kind}/{name}"


async def push(session: Session, source: Path, data: bool, model_id: str | None, labels: Mapping[str, str] | None) -> Model:
    with local_files():
        path = os.fspath(source)
        named = dict(labels or {})
        if not data and (name := name_of_checkpoint(path)):
            named.setdefault("name", name)  # what its artifacts are called
        return Model.of(await Push(session, path, data=data, model_id=model_id or "", labels=named).run())


async def _push_data(session: Session, value: str) -> str:
    return (await push(session, value, True, None, None)).name


async def compress(session: Session, source: Path | Model, wanted: Request, *, priority: int | None,
                   labels: Mapping[str, str] | None, request_id: str | None) -> pb.Job:
    with local_files():
        spec = wanted.to_message()
    # The data files, which are small, before the checkpoint.
    for set_field, value in data_fields(spec):
        set_field(await _push_data(session, value))
    model = source.name if isinstance(source, Model) else os.fspath(source)
    if not model.startswith("models/"):
        # The model's own label is of whoever pushed this content first, from a directory of another name perhaps.
        spec.model_name = spec.model_name or name_of_checkpoint(model)
        model = (await push(session, model, False, None, None)).name
    # One id for all attempts: a call whose answer was lost makes no second job.
    request = pb.CreateJobRequest(model=model, spec=spec, request_id=request_id or str(uuid.uuid4()), labels=dict(labels or {}))
    if priority is not None:
        request.priority = priority
    job: pb.Job = await session.call("JobService.CreateJob", request)
    return job


async def get_job(session: Session, name: str) -> pb.Job:
    job: pb.Job = await session.call("JobService.GetJob", pb.GetJobRequest(name=qualified("jobs", name)))
    return job


async def artifact_of(session: Session, name: str) -> pb.Artifact:
    """Of an artifact's name, or of a job's that succeeded."""
    if name.startswith("jobs/"):
        job = await get_job(session, name)
        _watch.check_outcome(job)
        name = job.result.artifact
    artifact: pb.Artifact = await session.call("ArtifactService.GetArtifact", pb.GetArtifactRequest(name=qualified("artifacts", name)))
    return artifact


async def pull(session: Session, source: str | Artifact, out: Path, force: bool) -> list[str]:
    artifact = source.message if isinstance(source, Artifact) else await artifact_of(session, source)
    with local_files():
        return await _download.pull(session, artifact, os.fspath(out), force)


def state_of(name: str | None) -> Any:
    if name is None:
        return pb.Job.STATE_UNSPECIFIED
    if name.upper() not in pb.Job.State.keys():
        raise usage(f"'{name}' is no state of a job", "one of: " + ", ".join(key.lower() for key in pb.Job.State.keys()[1:]))
    return pb.Job.State.Value(name.upper())


async def pages(session: Session, method: str, request: Any, field: str) -> AsyncGenerator[Any, None]:
    """Every item of a list, page after page."""
    request.page_size = _PAGE
    while True:
        page = await session.call(method, request)
        for item in getattr(page, field):
            yield item
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def traced(session: Session, traceparent: str | None) -> Session:
    """The same session with another trace."""
    if traceparent is None:
        return session
    copy = Session.__new__(Session)
    copy.__dict__.update(session.__dict__, traceparent=check_traceparent(traceparent))
    return copy
