"""pull: the files of an artifact, whole and verified or not at all."""
from __future__ import annotations

import fcntl
import functools
import hashlib
import os
from typing import Any

from nashswarm._digest import crc32c, sha256_of_file
from nashswarm._files import plan_paths
from nashswarm._progress import Progress
from nashswarm._session import MAX_DAMAGED, Backoff, Session, is_connection_loss
from nashswarm.errors import NashswarmError, make_error
from nashswarm.v1 import nashswarm_pb2 as pb

# Its disk has lost the content: the answer stays the same, and says what to do.
_LOST_ON_SERVER = {"BLOB_DAMAGED", "BLOB_MISSING"}


async def pull(session: Session, artifact: pb.Artifact, out: str, force: bool) -> list[str]:
    """A file that is there already with the same content is left alone, one with other content is an error unless `force`.
    An interrupted download leaves NAME.<digest>.part and goes on from it."""
    paths = plan_paths(artifact, out)
    present = [await session.transport.offload(functools.partial(_is_present, file, path, force))
               for file, path in zip(artifact.files, paths)]
    total, before = sum(file.digest.size_bytes for file in artifact.files), 0
    with session.progress() as progress:
        for file, path, here in zip(artifact.files, paths, present):
            if not here:
                with _Download(session, artifact.name, file, path, progress, before, total) as download:
                    await download.run()
            before += file.digest.size_bytes
    return paths


def _is_present(file: pb.FileEntry, path: str, force: bool) -> bool:
    if not os.path.lexists(path):
        return False
    if os.path.isfile(path) and os.path.getsize(path) == file.digest.size_bytes and sha256_of_file(path)[0] == file.digest.sha256:
        return True
    if force and not os.path.isdir(path):
        return False
    raise make_error("ALREADY_EXISTS", "FILE_EXISTS", f"{path} exists", "choose another place, or force=True to replace it")


class _Download:
    """One file into its partial file. The digest is part of the partial file's name, so that what is resumed is always the
    same content."""

    def __init__(self, session: Session, name: str, entry: pb.FileEntry, to: str, progress: Progress, before: int, total: int) -> None:
        self._session, self._name, self._entry, self._to = session, name, entry, to
        self._progress, self._before, self._total = progress, before, total
        self._part = f"{to}.{entry.digest.sha256.hex()[:12]}.part"
        self._hash: Any = None  # of the first _position bytes
        self._position = 0

    def __enter__(self) -> _Download:
        os.makedirs(os.path.dirname(self._to) or ".", exist_ok=True)
        self._file = open(self._part, "r+b" if os.path.exists(self._part) else "w+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise make_error("ABORTED", "PULL_RUNNING", f"another client is writing {self._part}", "wait for it to end") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    async def run(self) -> None:
        offload = self._session.transport.offload
        await offload(self._resume)
        damaged = 0
        while True:
            resumed = self._position > 0
            await self._fetch()
            if self._hash.digest() == self._entry.digest.sha256:
                await offload(self._commit)
                return
            self._start_over()
            damaged += 1
            if not resumed or damaged >= MAX_DAMAGED:  # what an earlier run left may be damaged; a whole one that is wrong is wrong
                break
        os.unlink(self._part)
        raise make_error("DATA_LOSS", "DIGEST_MISMATCH", f"the bytes received for {self._entry.path} do not match the digest of the artifact",
                         "pull again; if it stays, retry the job, since the stored artifact is damaged")

    def _resume(self) -> None:
        self._hash, self._position = hashlib.sha256(), 0
        size = os.fstat(self._file.fileno()).st_size
        if size > self._entry.digest.size_bytes:
            self._start_over()
            return
        while block := self._file.read(1 << 20):
            self._hash.update(block)
            self._position += len(block)

    def _start_over(self) -> None:
        self._hash, self._position = hashlib.sha256(), 0
        self._file.seek(0)
        self._file.truncate()

    def _commit(self) -> None:
        os.fsync(self._file.fileno())
        os.replace(self._part, self._to)
        directory = os.open(os.path.dirname(self._to) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    async def _fetch(self) -> None:
        backoff, damaged = Backoff(self._session, self._session.transfer), 0
        while self._position < self._entry.digest.size_bytes:
            start = self._position
            try:
                await self._fetch_rest()
                continue
            except NashswarmError as failure:
                error = failure
            if self._position > start:
                backoff.reset()
            if error.reason in _LOST_ON_SERVER:
                os.unlink(self._part)  # what came before the server noticed is of no use
                raise error
            if error.code == "DATA_LOSS":
                damaged += 1
                if damaged >= MAX_DAMAGED:
                    raise error
            elif not is_connection_loss(error):
                raise error
            await backoff.wait(error)

    async def _fetch_rest(self) -> None:
        size = self._entry.digest.size_bytes
        request = pb.ReadFileRequest(name=self._name, path=self._entry.path, read_offset=self._position)
        answers = self._session.stream("ArtifactService.ReadFile", request)
        try:
            async for answer in answers:
                data = answer.data
                if crc32c(data) != answer.crc32c:
                    raise make_error("DATA_LOSS", "CHUNK_CORRUPT", "a chunk arrived damaged")
                if len(data) > size - self._position:
                    raise make_error("DATA_LOSS", "TOO_LONG", "the server sent more than the file holds")
                self._write(data)
                self._progress.update("download", self._before + self._position, self._total)
        finally:
            await answers.aclose()
        if self._position < size:
            raise make_error("UNAVAILABLE", "", "the stream ended early")

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view):]
        self._hash.update(data)
        self._position += len(data)
