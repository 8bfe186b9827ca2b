"""push: a directory, or a data file, becomes a model on the server, whatever happens on the way."""
from __future__ import annotations

import hashlib
import os
import socket
import uuid
from collections.abc import Iterator, Mapping

from nashswarm._digest import crc32c, sha256_of_file
from nashswarm._files import LocalFile, select_checkpoint, select_data
from nashswarm._progress import Progress
from nashswarm._session import MAX_DAMAGED, Backoff, Session, is_connection_loss
from nashswarm.errors import NashswarmError, make_error
from nashswarm.v1 import nashswarm_pb2 as pb

_CHUNK_BYTES = 1 << 20
# The server reads every header before it publishes, and may read all of what it has already before it trusts it.
_CHECK_DEADLINE = 600.0


def _owner(source: str) -> str:
    """The same files pushed again from the same place by the same user go on where they were."""
    machine = ""
    if os.path.exists("/etc/machine-id"):
        with open("/etc/machine-id", encoding="ascii", errors="replace") as file:
            machine = file.read(64)
    return f"{machine}\n{socket.gethostname()}\n{os.getuid()}\n{os.path.realpath(source)}"


def _changed(path: str) -> NashswarmError:
    return make_error("FAILED_PRECONDITION", "FILE_CHANGED", f"{path} changed while it was pushed",
                      "wait until nothing writes it, then push again")


class Push:
    """One push: the files, and how many bytes of all of them the server holds."""

    def __init__(self, session: Session, source: str, *, data: bool, model_id: str, labels: Mapping[str, str]) -> None:
        self._session, self._source, self._data = session, source, data
        self._model_id, self._labels = model_id, dict(labels)
        self._files: dict[str, LocalFile] = {}
        self._entries: dict[str, pb.FileEntry] = {}
        self._chunk_bytes = _CHUNK_BYTES
        self._settled = 0  # bytes of the files that are whole on the server

    async def run(self) -> pb.Model:
        with self._session.progress() as progress:
            files = select_data(self._source) if self._data else select_checkpoint(self._source)
            self._files = {file.name: file for file in files}
            info = await self._session.call("InfoService.GetServerInfo", pb.GetServerInfoRequest())
            self._chunk_bytes = min(_CHUNK_BYTES, info.limits.max_chunk_bytes or _CHUNK_BYTES)
            await self._session.transport.offload(lambda: self._hash(progress))
            upload = await self._find_or_create()
            if isinstance(upload, pb.Model):
                return upload
            lost = 0
            while True:
                await self._send_files(upload, progress)
                try:
                    model: pb.Model = await self._session.call("UploadService.CompleteUpload", pb.CompleteUploadRequest(name=upload.name),
                                                               self._session.transfer, _CHECK_DEADLINE)
                    return model
                except NashswarmError as error:
                    # Its disk has lost something since: it says what when it is asked.
                    if error.reason != "UPLOAD_INCOMPLETE" or lost == MAX_DAMAGED:
                        raise
                lost += 1
                upload = await self._state(upload.name)

    @property
    def _total(self) -> int:
        return sum(file.size for file in self._files.values())

    def _hash(self, progress: Progress) -> None:
        hashed = 0

        def advance(count: int) -> None:
            nonlocal hashed
            hashed += count
            progress.update("hash", hashed, self._total)

        for file in self._files.values():
            sha256, size = sha256_of_file(file.path, advance)
            if size != file.size:
                raise _changed(file.path)
            self._entries[file.name] = pb.FileEntry(path=file.name, digest=pb.Digest(sha256=sha256, size_bytes=size))

    def _request_id(self, salt: str) -> str:
        parts = ["nashswarm python push", str(self._data), _owner(self._source) + salt, self._model_id]
        parts += [text for item in sorted(self._labels.items()) for text in item]
        parts += [text for entry in self._entries.values() for text in (entry.path, entry.digest.sha256.hex())]
        raw = bytearray(hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode(errors="surrogatepass")).digest()[:16])
        raw[6] = (raw[6] & 0x0F) | 0x80  # version 8: made by a rule of our own (RFC 9562)
        raw[8] = (raw[8] & 0x3F) | 0x80
        return str(uuid.UUID(bytes=bytes(raw)))

    async def _create(self, salt: str = "") -> pb.Upload:
        request = pb.CreateUploadRequest(model_id=self._model_id, files=list(self._entries.values()), request_id=self._request_id(salt),
                                         labels=self._labels, kind=pb.Model.DATA if self._data else pb.Model.KIND_UNSPECIFIED)
        upload: pb.Upload = await self._session.call("UploadService.CreateUpload", request, deadline=_CHECK_DEADLINE)
        return upload

    async def _find_or_create(self) -> pb.Upload | pb.Model:
        """An upload to go on with, or the model of a completed one. An earlier upload under our id that was dropped, or whose
        model was deleted since, is of no use: then a new id."""
        upload = await self._create()
        if upload.state == pb.Upload.ACTIVE:
            return upload
        if upload.state == pb.Upload.COMPLETED:
            try:
                model: pb.Model = await self._session.call("ModelService.GetModel", pb.GetModelRequest(name=upload.model))
                return model
            except NashswarmError as error:
                if error.code != "NOT_FOUND":
                    raise
        return await self._create(str(uuid.uuid4()))

    async def _send_files(self, upload: pb.Upload, progress: Progress) -> None:
        self._settled = sum(file.entry.digest.size_bytes for file in upload.files if file.complete)
        for file in upload.files:
            if not file.complete:
                await self._send_file(upload.name, file, progress)
                self._settled += file.entry.digest.size_bytes

    async def _send_file(self, upload: str, state: pb.Upload.File, progress: Progress) -> None:
        file, committed, damaged = self._files[state.entry.path], state.committed_size, 0
        backoff = Backoff(self._session, self._session.transfer)
        while True:
            try:
                answer = await self._session.send("UploadService.WriteFile", self._messages(upload, file, committed, progress))
                if answer.complete:
                    return
                error = make_error("ABORTED", "INCOMPLETE", "the server took only a part of the file")
            except NashswarmError as failure:
                error = failure
            if error.code == "DATA_LOSS":
                damaged += 1
                await self._check_unchanged(file)
                if damaged >= MAX_DAMAGED:
                    raise error
            elif error.reason == "FILE_CHANGED" or not (error.code == "ABORTED" or is_connection_loss(error)):
                # ABORTED: our offset is stale, or another writer has taken the file over. Where the file stands decides.
                raise error
            await backoff.wait(error)
            now = await self._file_state(upload, file.name)
            if now.complete:
                return
            if now.committed_size > committed:
                backoff.reset()
            committed = now.committed_size

    def _messages(self, upload: str, file: LocalFile, offset: int, progress: Progress) -> Iterator[pb.WriteFileRequest]:
        header = pb.WriteFileRequest.Header(upload=upload, path=file.name, write_offset=offset)
        yield pb.WriteFileRequest(header=header)
        with open(file.path, "rb") as content:
            content.seek(offset)
            position = offset
            while position < file.size:
                data = content.read(min(self._chunk_bytes, file.size - position))
                if not data:
                    raise _changed(file.path)
                yield pb.WriteFileRequest(chunk=pb.WriteFileRequest.Chunk(data=data, crc32c=crc32c(data)))
                position += len(data)
                progress.update("upload", self._settled + position, self._total)
        yield pb.WriteFileRequest(finish=self._entries[file.name].digest)

    async def _state(self, upload: str) -> pb.Upload:
        now: pb.Upload = await self._session.call("UploadService.GetUpload", pb.GetUploadRequest(name=upload), self._session.transfer)
        return now

    async def _file_state(self, upload: str, name: str) -> pb.Upload.File:
        now = await self._state(upload)
        for file in now.files:
            if file.entry.path == name:
                found: pb.Upload.File = file
                return found
        raise make_error("INTERNAL", "PROTOCOL", f"the upload has lost the file {name}")

    async def _check_unchanged(self, file: LocalFile) -> None:
        """The server holds other bytes than were announced: either the file has changed since, or they were damaged."""
        sha256, _ = await self._session.transport.offload(lambda: sha256_of_file(file.path))
        if sha256 != self._entries[file.name].digest.sha256:
            raise _changed(file.path)
