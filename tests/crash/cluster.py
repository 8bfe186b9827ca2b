"""Several nashswarmd processes on one store, which may be killed and stopped at any moment; and what to ask the store.

Standard library alone. NASHSWARM_BIN_DIR names the directory with the programs.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
BIN = pathlib.Path(os.environ["NASHSWARM_BIN_DIR"]).resolve()
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("NASHSWARM_")}
# Leases of two seconds, so that a process that is stopped for three has lost its tasks; tasks that lose their worker again
# and again are what this is about, so none of them is poison.
FLAGS = {"--lease": "2s", "--heartbeat": "500ms", "--retry-backoff": "50ms", "--gc-interval": "1s", "--gc-grace": "20s",
         "--max-losses": "100000", "--max-attempts": "1000", "--upload-part": "256KiB", "--workers": "1",
         "--metrics": "none"}


class Skipped(Exception):
    pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class SqliteStore:
    """SQLite and a directory, shared by the processes of one machine."""

    has_server = False

    def __init__(self, directory):
        self.database = directory / "jobs.db"
        self.flags = ["--jobs", f"sqlite:{self.database}", "--blobs", f"file:{directory / 'blobs'}"]
        self.environment = {}

    def rows(self, query):
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def stop(self):
        pass


class PostgresStore:
    """PostgreSQL and S3."""

    has_server = True

    def __init__(self, directory):
        self.postgres = directory / "postgres"
        started = subprocess.run([TESTS / "support" / "postgres.sh", "start", self.postgres],
                                 capture_output=True, text=True)
        if started.returncode == 77:
            raise Skipped(started.stderr.strip())
        if started.returncode != 0:
            raise RuntimeError(started.stderr)
        self.url = started.stdout.strip()
        self.s3 = directory / "s3"
        started = subprocess.run([TESTS / "support" / "s3_server.py", "start", self.s3],
                                 capture_output=True, text=True)
        if started.returncode != 0:
            raise RuntimeError(started.stdout + started.stderr)
        s3 = json.loads((self.s3 / "server.json").read_text())
        if "skipped" in s3:
            self.stop()
            raise Skipped(s3["skipped"])
        self.flags = ["--jobs", self.url, "--blobs", f"s3://{s3['bucket']}/crash?endpoint={s3['endpoint']}&region={s3['region']}"]
        self.environment = {"AWS_ACCESS_KEY_ID": s3["access_key"], "AWS_SECRET_ACCESS_KEY": s3["secret_key"]}

    def rows(self, query):
        out = subprocess.run(["psql", self.url, "-AtF", "\t", "-c", query], capture_output=True, text=True, check=True)
        return [tuple(line.split("\t")) for line in out.stdout.splitlines()]

    def restart_database(self):
        subprocess.run([TESTS / "support" / "postgres.sh", "restart", self.postgres], check=True, capture_output=True)

    def stop(self):
        if hasattr(self, "s3"):
            subprocess.run([TESTS / "support" / "s3_server.py", "stop", self.s3], capture_output=True)
        subprocess.run([TESTS / "support" / "postgres.sh", "stop", self.postgres], capture_output=True)


STORES = {"sqlite": SqliteStore, "postgres": PostgresStore}


class Process:
    """One nashswarmd, always on the same port."""

    def __init__(self, directory, name, role, store, program, flags):
        self.name, self.role = name, role
        self.directory = directory / name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.address = f"127.0.0.1:{free_port()}"
        self.command = [program, "--engine", BIN / "nashswarm-engine", "--data", self.directory / "data",
                        "--listen", self.address, "--role", role, *store.flags,
                        *[word for flag in {**FLAGS, **flags}.items() for word in flag]]
        self.environment = {**ENVIRONMENT, **store.environment}
        self.log = self.directory / "log"
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.environment)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.alive():
            self.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def ended_jobs(self):
        """The jobs whose end this process says it has brought about."""
        for line in open(self.log, errors="replace"):
            if '"job ended"' in line:
                yield json.loads(line)["job"]


class Cluster:
    def __init__(self, directory, store, program=BIN / "nashswarmd", apis=2, workers=2, flags=None):
        self.directory = pathlib.Path(directory)
        self.store = store
        self.processes = [Process(self.directory, f"{role}{i}", role, store, program, flags or {})
                          for role, count in (("api", apis), ("worker", workers)) for i in range(count)]
        for process in self.processes:
            process.start()
            self.wait_until_serving(process)  # one after another: the first makes the schema

    def wait_until_serving(self, process, timeout=60):
        host, port = process.address.rsplit(":", 1)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not process.alive():
                raise RuntimeError(process.log.read_text(errors="replace"))
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"{process.name} does not serve")

    def of_role(self, role):
        return [p for p in self.processes if p.role == role]

    def everybody_runs(self):
        for process in self.processes:
            process.signal(signal.SIGCONT)
            if not process.alive():
                process.start()
        for process in self.processes:
            self.wait_until_serving(process)

    def stop(self):
        for process in self.processes:
            if process.alive():
                process.signal(signal.SIGCONT)
                process.signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        self.store.stop()


def client(*arguments, address=None, timeout=120):
    """The client's exit code and what it printed; one that hangs is killed and has the code of one that reaches nobody."""
    command = [BIN / "nashswarm", *map(str, arguments), "--json", "--no-progress"]
    if address is not None:
        command += ["--server", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT)
    except subprocess.TimeoutExpired:
        return 5, None, "timeout"
    try:
        value = json.loads(done.stdout)
    except ValueError:
        value = None
    return done.returncode, value, done.stderr


def remove(directory):
    shutil.rmtree(directory, ignore_errors=True)
