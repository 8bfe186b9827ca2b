"""What the tests of the client program share: running it, a server for it, a network that breaks.

NASHSWARM_BIN_DIR names the directory with nashswarm, nashswarmd and nashswarm-engine. Standard library alone.
"""
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

BIN = pathlib.Path(os.environ["NASHSWARM_BIN_DIR"]).resolve()
SOURCE = pathlib.Path(os.environ.get("NASHSWARM_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
MODEL = SOURCE / "tests" / "data" / "gpt2-wiki-6m"
CLI = str(BIN / "nashswarm")
# Seconds; a run that takes longer hangs. Sanitizers make everything slower.
LIMIT = 600 * int(os.environ.get("NASHSWARM_TEST_SLOWNESS", "1"))

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("NASHSWARM_")}
ENVIRONMENT["XDG_CONFIG_HOME"] = "/nonexistent"
ENVIRONMENT["XDG_CACHE_HOME"] = "/dev/null/none"  # no cache: tests begin with nothing, and leave nothing


def run(*arguments, env=None, timeout=LIMIT):
    return subprocess.run([CLI, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          env={**ENVIRONMENT, **(env or {})})


def wait_for(condition, what, timeout=LIMIT):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("waited in vain for " + what)


def processes_naming(text):
    """Pids of the processes, zombies excepted, with `text` in their command line."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if text in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                pass
    return found


class Server:
    """A nashswarmd on a port of its own choice. `environment` is added to what every run has."""

    def __init__(self, directory, *flags, listen="127.0.0.1:0", **environment):
        self.directory = pathlib.Path(directory)
        self.flags = flags
        self.environment = environment
        self.start(listen)

    def start(self, listen):
        info = self.directory / "info.json"
        info.unlink(missing_ok=True)
        with open(self.directory / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [BIN / "nashswarmd", "--listen", listen, "--data", self.directory / "data", "--metrics", "none",
                 "--info-file", info, *self.flags], stdout=log, stderr=log, env={**ENVIRONMENT, **self.environment})

        def address():
            if self.process.poll() is not None:
                raise AssertionError((self.directory / "server.log").read_text())
            try:
                return json.loads(info.read_text())["grpc"]
            except (OSError, ValueError):
                return None

        self.address = wait_for(address, "the server")

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(60)


class Cutter:
    """A TCP relay that breaks every connection once so many bytes have passed, for the first `cuts` connections."""

    def __init__(self, target, after, cuts):
        host, port = target.rsplit(":", 1)
        self.target = (host.strip("[]"), int(port))
        self.after = after
        self.cuts_left = cuts
        self.cuts_made = 0
        self.passed = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client):
        with client, socket.create_connection(self.target) as server:
            passed = 0
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for source in ready:
                    try:
                        data = source.recv(65536)
                        if not data:
                            return
                        (server if source is client else client).sendall(data)
                    except OSError:
                        return
                    passed += len(data)
                    self.passed += len(data)
                if passed > self.after and self.cuts_left > 0:
                    self.cuts_left -= 1
                    self.cuts_made += 1
                    return

    def close(self):
        self.listener.close()


class TemporaryTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="nashswarm-cli-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def files(self):
        return sorted(str(p.relative_to(self.directory)) for p in self.directory.rglob("*"))

    def assert_exit(self, result, code):
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
