"""The blocking client. Its twin on asyncio, nashswarm.aio, has the same names and arguments."""
from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from nashswarm import _operations as ops
from nashswarm import _watch
from nashswarm._access import Path, resolve
from nashswarm._session import FIRST_CONTACT, TRANSFER, Session
from nashswarm._spec import Data, Number, Request, Rules
from nashswarm._transport import BlockingTransport, iterate, run
from nashswarm.types import Artifact, Event, Model, Result, ServerInfo
from nashswarm.v1 import nashswarm_pb2 as pb


class Job:
    """A job on the server. What it says of itself is as of the last call; refresh() asks again."""

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
        """"queued", "running", "succeeded", "failed" or "cancelled"."""
        return pb.Job.State.Name(self.message.state).lower()

    @property
    def result(self) -> Result | None:
        """Of a job that succeeded."""
        return Result.of(self.message.result) if self.message.HasField("result") else None

    def __repr__(self) -> str:
        return f"<Job {self.name} {self.state}>"

    def refresh(self) -> Job:
        self.message = run(ops.get_job(self._session, self.name))
        return self

    def watch(self, *, after_sequence: int = 0) -> Generator[Event, None, None]:
        """Its events until it has ended, across lost connections; each stored one exactly once."""
        for event in iterate(_watch.watch(self._session, self.name, after_sequence)):
            if event.HasField("snapshot"):
                self.message = event.snapshot
            yield Event.of(event)

    def wait(self, timeout: float | None = None) -> Job:
        """Until it has succeeded; JobFailedError or JobCancelledError if it has not, TimeoutError after `timeout` seconds (the
        job goes on then)."""
        self.message = run(_watch.wait(self._session, self.name, timeout))
        _watch.check_outcome(self.message)
        return self

    def cancel(self) -> Job:
        self.message = run(self._session.call("JobService.CancelJob", pb.CancelJobRequest(name=self.name)))
        return self

    def retry(self) -> Job:
        """Queues a failed or cancelled job again; its finished tasks are kept."""
        self.message = run(self._session.call("JobService.RetryJob", pb.RetryJobRequest(name=self.name)))
        return self

    def delete(self) -> None:
        """Of a job that has ended. Its artifact stays."""
        run(self._session.call("JobService.DeleteJob", pb.DeleteJobRequest(name=self.name)))

    def pull(self, out: Path, *, force: bool = False) -> list[str]:
        """Downloads its artifact; returns the paths. See Client.pull."""
        return run(ops.pull(self._session, self.name, out, force))


class Client:
    """A connection to a server; a context manager that closes it. Threads may share it.

    addr: "host:port", "https://host:port" or "unix:/path"; without one NASHSWARM_SERVER.
    tls, ca, cert, key: encryption, and PEM files: the server's CA, our own certificate and its key.
    token, token_file: shown to the server; a file is read again for every call.
    progress: bars on standard error; None: when that is a terminal.
    traceparent: the W3C trace that calls belong to; None: OpenTelemetry's current one, where that is
        installed, else that of the variable TRACEPARENT.
    first_contact, transfer: seconds to keep trying while the server is away, at first and in the middle of something.
    """

    def __init__(self, addr: str | None = None, *, tls: bool | None = None, ca: Path | None = None, cert: Path | None = None,
                 key: Path | None = None, token: str | None = None, token_file: Path | None = None, send_token_unencrypted: bool = False,
                 progress: bool | None = None, traceparent: str | None = None, first_contact: float = FIRST_CONTACT,
                 transfer: float = TRANSFER) -> None:
        access = resolve(addr, tls=tls, ca=ca, cert=cert, key=key, token=token, token_file=token_file,
                         send_token_unencrypted=send_token_unencrypted)
        self._session = Session(access, BlockingTransport(access), progress=progress, traceparent=traceparent, first_contact=first_contact,
                                transfer=transfer)

    @classmethod
    def _of(cls, session: Session) -> Client:
        client = cls.__new__(cls)
        client._session = session
        return client

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        run(self._session.transport.close())

    def push(self, directory: Path, *, model_id: str | None = None, labels: Mapping[str, str] | None = None) -> Model:
        """Uploads a Hugging Face directory. What the server has is not sent; what a lost connection has cut short goes on."""
        return run(ops.push(self._session, directory, False, model_id, labels))

    def push_data(self, file: Path, *, model_id: str | None = None, labels: Mapping[str, str] | None = None) -> Model:
        """Uploads a text or an importance matrix, for calibrate, evaluate and imatrix."""
        return run(ops.push(self._session, file, True, model_id, labels))

    def compress(self, source: Path | Model, *, bpw: Number | None = None, size: int | str | None = None, ratio: Number | None = None,
                 max_ppl_increase: Number | None = None, max_kl: Number | None = None, format: str = "gguf",
                 calibrate: Data | None = None, imatrix: Data | None = None, evaluate: Data | None = None, calibration_tokens: int = 0,
                 evaluation_tokens: int = 0, evaluation_context: int = 0, context_rounds: int = 0, swarm: int = 0,
                 swarm_seconds: float = 0, rules: Rules = (), threads: int = 0, seed: int = 0, zero_non_finite: bool = False,
                 expert_order: str = "original", name: str = "",
                 allow_tokenizer_mismatch: bool = False, priority: int | None = None, labels: Mapping[str, str] | None = None,
                 request_id: str | None = None, traceparent: str | None = None) -> Job:
        """Creates a job: exactly one target of bpw, size, ratio, max_ppl_increase and max_kl.

        source: a directory, which is pushed first, or a model or its name, "models/ID".
        bpw: bits a weight of the whole file.
        size: of the whole file: 50_000_000, "50MB".
        ratio: share of the FP32 bytes saved: 0.9, "90%", "10x".
        max_ppl_increase: the smallest file whose perplexity rises by at most: 0.02, "2%".
        max_kl: the smallest file whose mean KL divergence is at most so many nats.
        format: "gguf" or "nsq".
        calibrate: a text to weigh losses by; "self": the model writes its own.
        imatrix: llama.cpp's importance matrix, instead.
        evaluate: a text to measure on. Texts and matrices are files, or models of the kind data.
        calibration_tokens, evaluation_tokens, evaluation_context: 0: as many as the server thinks right.
        context_rounds: so often the harm of every tensor is measured again with all others compressed.
        swarm, swarm_seconds: plans that a flock may try, and for how long.
        rules: pattern of whole tensor names -> format, or "keep"; the first match wins.
        threads, seed: 0: the server's choice.
        zero_non_finite: NaN and infinite weights become 0 instead of an error.
        name: what artifact and report call the model; else what the model goes by.
        allow_tokenizer_mismatch: write a GGUF even where llama.cpp cuts texts otherwise than the model's tokenizer.
        expert_order: "together": experts that tokens use together lie together; "original": as in the checkpoint.
        priority: 0, the most urgent, to 9; None: 5.
        labels: kept with the job.
        request_id: the same id, a UUID, gives the same job, however often it is asked for.
        """
        request = Request(bpw=bpw, size=size, ratio=ratio, max_ppl_increase=max_ppl_increase, max_kl=max_kl, format=format,
                          calibrate=calibrate, imatrix=imatrix, evaluate=evaluate, calibration_tokens=calibration_tokens,
                          evaluation_tokens=evaluation_tokens, evaluation_context=evaluation_context, context_rounds=context_rounds,
                          swarm=swarm, swarm_seconds=swarm_seconds, rules=rules, threads=threads, seed=seed,
                          zero_non_finite=zero_non_finite, expert_order=expert_order,
                          name=name, allow_tokenizer_mismatch=allow_tokenizer_mismatch)
        session = ops.traced(self._session, traceparent)
        return Job(self._session, run(ops.compress(session, source, request, priority=priority, labels=labels, request_id=request_id)))

    def pull(self, source: str | Artifact | Job, out: Path, *, force: bool = False) -> list[str]:
        """Downloads an artifact, or that of a job, into the directory `out`; returns the paths.

        A name that ends in .gguf is that of the one GGUF file; others stand beside it. Files get their names once their digest is
        right. Files with other content are in the way unless `force`.
        """
        return run(ops.pull(self._session, source.name if isinstance(source, Job) else source, out, force))

    def job(self, name: str) -> Job:
        return Job(self._session, run(ops.get_job(self._session, name)))

    def jobs(self, state: str | None = None) -> list[Job]:
        """The newest first."""
        request = pb.ListJobsRequest(state=ops.state_of(state))
        return [Job(self._session, job) for job in self._list("JobService.ListJobs", request, "jobs")]

    def model(self, name: str) -> Model:
        return Model.of(run(self._session.call("ModelService.GetModel", pb.GetModelRequest(name=ops.qualified("models", name)))))

    def models(self) -> list[Model]:
        return [Model.of(model) for model in self._list("ModelService.ListModels", pb.ListModelsRequest(), "models")]

    def delete_model(self, name: str) -> None:
        run(self._session.call("ModelService.DeleteModel", pb.DeleteModelRequest(name=ops.qualified("models", name))))

    def artifact(self, name: str) -> Artifact:
        """Of its name, or that of a job."""
        return Artifact.of(run(ops.artifact_of(self._session, name)))

    def artifacts(self) -> list[Artifact]:
        return [Artifact.of(item) for item in self._list("ArtifactService.ListArtifacts", pb.ListArtifactsRequest(), "artifacts")]

    def delete_artifact(self, name: str) -> None:
        run(self._session.call("ArtifactService.DeleteArtifact", pb.DeleteArtifactRequest(name=ops.qualified("artifacts", name))))

    def server_info(self) -> ServerInfo:
        return ServerInfo.of(run(self._session.call("InfoService.GetServerInfo", pb.GetServerInfoRequest())))

    def _list(self, method: str, request: Any, field: str) -> Generator[Any, None, None]:
        return iterate(ops.pages(self._session, method, request, field))
