"""A private server: nashswarmd on a Unix socket, for as long as it is needed."""
from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import IO

from nashswarm._access import Path, private
from nashswarm._programs import find
from nashswarm._session import Session
from nashswarm._transport import BlockingTransport
from nashswarm.client import Client
from nashswarm.errors import NashswarmError, local_files, make_error

_START_LIMIT, _STOP_LIMIT = 30.0, 15.0
# Its standard input ends with this process, however that ends; then the server, $0, is told to stop. It is not in our process group,
# so Ctrl-C does not reach it.
_GUARD = 'read -r line; kill -TERM "$0"'
_LONGEST_DIRECTORY = 70  # a socket's path has at most 107 bytes


class PrivateServer:
    """Runs from its making to stop(). `data`: a directory for what it knows, which stays; None: a temporary one."""

    def __init__(self, data: Path | None = None) -> None:
        with local_files():
            self._make(data)

    def _make(self, data: Path | None) -> None:
        program = find("nashswarmd")
        parent = tempfile.gettempdir()
        self._directory = tempfile.mkdtemp(prefix="nashswarm-", dir=parent if len(parent) <= _LONGEST_DIRECTORY else "/tmp")
        self.address = f"unix:{self._directory}/socket"
        self._log = os.path.join(self._directory, "log")
        try:
            self._start(program, os.fspath(data) if data is not None else os.path.join(self._directory, "data"))
        except BaseException:
            self.stop()
            raise

    _process: subprocess.Popen[bytes] | None = None
    _guard: subprocess.Popen[bytes] | None = None

    def _start(self, program: str, data: str) -> None:
        info = os.path.join(self._directory, "info")
        # NASHSWARM_... of the client are for another server.
        environment = {key: value for key, value in os.environ.items() if key not in ("NASHSWARM_CONFIG", "NASHSWARM_TOKEN")}
        log: IO[bytes]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [program, "--listen", self.address, "--data", data, "--metrics", "none", "--info-file", info],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True)
        self._guard = subprocess.Popen(["/bin/sh", "-c", _GUARD, str(self._process.pid)], stdin=subprocess.PIPE, start_new_session=True)
        end = time.monotonic() + _START_LIMIT
        while not (os.path.exists(info) and os.path.getsize(info) > 0):
            self.check_alive()
            if time.monotonic() > end:
                raise self._ended("did not start in time")
            time.sleep(0.01)

    def _ended(self, how: str) -> NashswarmError:
        with open(self._log, "rb") as log:
            tail = log.read().decode(errors="replace")[-2000:]
        return make_error("INTERNAL", "PRIVATE_SERVER_ENDED", f"the private server {how}" + (f"; the end of its log:\n{tail}" if tail else ""),
                          "if memory or disk ran out, free some and run it again; else start nashswarmd by hand and name it")

    def check_alive(self) -> None:
        status = self._process.poll() if self._process else None
        if status is not None:
            raise self._ended(f"was ended by signal {-status}" if status < 0 else f"ended with status {status}")

    def stop(self) -> None:
        if self._guard:
            self._guard.kill()
            self._guard.communicate()
        if self._process:
            if self._process.poll() is None:
                self._process.terminate()
            try:
                self._process.wait(_STOP_LIMIT)
            except subprocess.TimeoutExpired:
                pass
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # it, or engines it may have left
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


@contextlib.contextmanager
def local(data: Path | None = None, *, progress: bool | None = None, traceparent: str | None = None) -> Iterator[Client]:
    """A client of a private server, which ends with the block.

    Starts nashswarmd of NASHSWARM_BIN_DIR or the PATH. `data`: keep what the server knows in this directory, so that the next target of
    the same model is quick; None: nothing is left behind. Pull what is wanted before the block ends.
    """
    server = PrivateServer(data)
    try:
        access = private(server.address)
        session = Session(access, BlockingTransport(access), progress=progress, traceparent=traceparent)
        session.alive = server.check_alive
        with Client._of(session) as client:
            yield client
    finally:
        server.stop()
