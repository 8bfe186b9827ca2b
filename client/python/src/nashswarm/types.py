"""What the server says, as plain values. Each keeps the message it came from, with everything in it, as `message`."""
from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from nashswarm.v1 import nashswarm_pb2 as pb


def _time(message: Any, field: str) -> datetime.datetime | None:
    if not message.HasField(field):
        return None
    time: datetime.datetime = getattr(message, field).ToDatetime(datetime.timezone.utc)
    return time


@dataclasses.dataclass(frozen=True)
class File:
    path: str
    size: int
    sha256: str


def _files(entries: Any) -> tuple[File, ...]:
    return tuple(File(entry.path, entry.digest.size_bytes, entry.digest.sha256.hex()) for entry in entries)


@dataclasses.dataclass(frozen=True)
class Model:
    """An immutable set of files: a checkpoint, or ("data") a text or importance matrix."""

    name: str
    kind: str
    architecture: str
    parameters: int
    total_bytes: int
    files: tuple[File, ...]
    labels: dict[str, str]
    create_time: datetime.datetime | None
    message: pb.Model = dataclasses.field(repr=False, compare=False)

    @classmethod
    def of(cls, message: pb.Model) -> Model:
        return cls(message.name, "data" if message.kind == pb.Model.DATA else "checkpoint", message.architecture, message.parameter_count,
                   message.total_bytes, _files(message.files), dict(message.labels), _time(message, "create_time"), message)


@dataclasses.dataclass(frozen=True)
class Artifact:
    """The files that a job made."""

    name: str
    job: str
    model: str
    format: str
    total_bytes: int
    files: tuple[File, ...]
    create_time: datetime.datetime | None
    message: pb.Artifact = dataclasses.field(repr=False, compare=False)

    @classmethod
    def of(cls, message: pb.Artifact) -> Artifact:
        return cls(message.name, message.job, message.model, message.format, message.total_bytes, _files(message.files),
                   _time(message, "create_time"), message)


@dataclasses.dataclass(frozen=True)
class Quality:
    """Measured on held-out text; KL divergences in nats a token."""

    perplexity: float
    source_perplexity: float
    mean_kl: float
    p99_kl: float
    same_top1: float
    tokens: int


@dataclasses.dataclass(frozen=True)
class Result:
    """Of a job that succeeded. Ratios are shares of the bytes saved, and count every byte of the weight file."""

    artifact: str
    output_bytes: int
    bits_per_weight: float
    ratio_fp32: float
    ratio_source: float
    relative_error: float
    parameters: int
    warnings: tuple[str, ...]
    plan_summary: str
    quality: Quality | None

    @classmethod
    def of(cls, message: pb.Job.Result) -> Result:
        q = message.quality
        quality = Quality(q.perplexity, q.source_perplexity, q.mean_kl, q.p99_kl, q.same_top1, q.tokens) if message.HasField("quality") else None
        return cls(message.artifact, message.output_bytes, message.bits_per_weight, message.ratio_fp32, message.ratio_source,
                   message.relative_error, message.parameter_count, tuple(message.warnings), message.plan_summary, quality)


@dataclasses.dataclass(frozen=True)
class Event:
    """`kind` is "snapshot" (of the whole job, on every change of its state), "progress", "tensor_done" or "log", and `value` the
    message of that kind: Job, Job.Progress, JobEvent.TensorDone or JobEvent.LogLine of nashswarm.v1.

    `sequence` is 0 for those that are not stored; that of the others may be given to watch(after_sequence=...) later.
    """

    kind: str
    sequence: int
    time: datetime.datetime | None
    value: Any

    @classmethod
    def of(cls, message: pb.JobEvent) -> Event:
        kind = message.WhichOneof("event") or "unknown"
        return cls(kind, message.sequence, _time(message, "time"), getattr(message, kind, None))


@dataclasses.dataclass(frozen=True)
class ServerInfo:
    version: str
    formats: tuple[str, ...]           # of tensors, usable in rules
    artifact_formats: tuple[str, ...]
    architectures: tuple[str, ...]
    workers: int
    jobs_queued: int
    jobs_running: int
    message: pb.ServerInfo = dataclasses.field(repr=False, compare=False)

    @classmethod
    def of(cls, message: pb.ServerInfo) -> ServerInfo:
        return cls(message.version, tuple(form.name for form in message.formats), tuple(message.artifact_formats),
                   tuple(message.architectures), message.workers, message.jobs_queued, message.jobs_running, message)
