"""Following a job until it ends, across lost connections."""
from __future__ import annotations

import time
from collections.abc import AsyncGenerator

from nashswarm._session import Backoff, Session, is_connection_loss
from nashswarm.errors import JobCancelledError, JobFailedError, NashswarmError, TargetInfeasibleError, from_proto, make_error
from nashswarm.v1 import nashswarm_pb2 as pb

ENDED = (pb.Job.SUCCEEDED, pb.Job.FAILED, pb.Job.CANCELLED)


async def watch(session: Session, name: str, after_sequence: int = 0, until: float | None = None) -> AsyncGenerator[pb.JobEvent, None]:
    """Every event but keepalives; each stored one exactly once. Ends after the snapshot of an ended job.

    `until`, of time.monotonic(): TimeoutError then.
    """
    first, later = Backoff(session, session.first_contact), Backoff(session, session.transfer)
    connected = has_ended = False
    while True:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError(f"{name} has not ended in time")
        events = session.stream("JobService.WatchJob", pb.WatchJobRequest(name=name, after_sequence=after_sequence), left)
        error = make_error("UNAVAILABLE", "", "the event stream ended early")
        try:
            async for event in events:
                later.reset()
                connected = True
                if event.sequence > 0:
                    if event.sequence <= after_sequence:  # came before the connection broke
                        continue
                    after_sequence = event.sequence
                if event.WhichOneof("event") != "keepalive":
                    yield event
                if event.HasField("snapshot"):
                    has_ended = event.snapshot.state in ENDED
            if has_ended:
                return
        except NashswarmError as failure:
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"{name} has not ended in time") from None
            if not is_connection_loss(failure):
                raise
            error = failure
        finally:
            await events.aclose()
        await (later if connected else first).wait(error, until)


async def wait(session: Session, name: str, timeout: float | None) -> pb.Job:
    """The job once it has ended, whatever its outcome; bars on a terminal."""
    until = None if timeout is None else time.monotonic() + timeout
    job = pb.Job()
    with session.progress() as bars:
        events = watch(session, name, until=until)
        try:
            async for event in events:
                if event.HasField("snapshot"):
                    job = event.snapshot
                    progress = job.progress
                elif event.HasField("progress"):
                    progress = event.progress
                else:
                    continue
                if progress.stage != pb.Job.STAGE_UNSPECIFIED and job.state not in ENDED:
                    bars.update(pb.Job.Stage.Name(progress.stage).lower(), progress.weights_done, progress.weights_total,
                                progress.unit and f" {progress.unit}")
        finally:
            await events.aclose()
    return job


def check_outcome(job: pb.Job) -> None:
    """Nothing for SUCCEEDED, else what went wrong and what to do."""
    if job.state == pb.Job.SUCCEEDED:
        return
    if job.state == pb.Job.CANCELLED:
        cancelled = JobCancelledError(f"{job.name} was cancelled", code="CANCELLED", reason="JOB_CANCELLED", hint="start it again with job.retry()")
        cancelled.job = job.name
        raise cancelled
    if job.state == pb.Job.FAILED:
        cause = from_proto(job.error)
        kind = TargetInfeasibleError if cause.reason == "TARGET_INFEASIBLE" else JobFailedError
        failed = kind(f"{job.name} failed: {cause.message}", code=cause.code, reason=cause.reason, hint=cause.hint,
                                metadata=cause.metadata)
        failed.job = job.name
        raise failed
    raise make_error("FAILED_PRECONDITION", "JOB_NOT_ENDED", f"{job.name} is {pb.Job.State.Name(job.state).lower()}",
                     "wait for it with job.wait()")
