#!/usr/bin/env python3
"""Two api and two worker processes on PostgreSQL and S3: an upload that one api process began goes on at the other, and no
more than one part is sent twice; the job on it is run by whichever worker there is."""
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from cluster import BIN, ENVIRONMENT, TESTS, Cluster, PostgresStore, Skipped, client, remove

PART = 4 << 20
# The client may have so much under way that the server has received and not yet committed: HTTP/2 windows, sockets, and the
# queue between receiving and writing.
UNDER_WAY = 24 << 20
OVERHEAD = 1 << 20  # of the protocol


class Relay:
    """Passes TCP on, counts what clients send, and calls `then` once that exceeds `after`."""

    def __init__(self, target, after=None, then=None):
        host, port = target.rsplit(":", 1)
        self.target, self.after, self.then = (host, int(port)), after, then
        self.sent = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.target)
            except OSError:
                continue
            threading.Thread(target=self.copy, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self.copy, args=(far, near, False), daemon=True).start()

    def copy(self, source, sink, count):
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
                if count:
                    self.sent += len(data)
                    if self.after is not None and self.sent > self.after:
                        self.after = None
                        self.then()
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class ReplicasTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="nashswarm-replicas-"))
        os.chmod(self.directory, 0o755)  # PostgreSQL runs as somebody else
        self.addCleanup(remove, self.directory)
        try:
            store = PostgresStore(self.directory)
        except Skipped as skipped:
            print(f"SKIPPED: {skipped}")
            sys.exit(77)
        self.cluster = Cluster(self.directory, store, flags={"--upload-part": str(PART)})
        self.addCleanup(self.cluster.stop)

    def model(self, layers):
        directory = self.directory / "model"
        subprocess.run([sys.executable, TESTS / "bench" / "make_checkpoint.py", directory, "--layers", str(layers),
                        "--width", "512", "--ffn", "2048", "--vocabulary", "4096"], check=True, capture_output=True)
        return directory, sum(f.stat().st_size for f in directory.iterdir())

    def test_an_upload_goes_on_at_another_replica(self):
        model, size = self.model(layers=8)
        first, second = self.cluster.of_role("api")
        near = Relay(first.address, after=size * 2 // 3, then=first.kill)
        push = subprocess.Popen([BIN / "nashswarm", "push", model, "--model-id", "m", "--server", near.address, "--json",
                                 "--no-progress"], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while first.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertFalse(first.alive(), "the push went through before the kill")
        push.kill()
        push.wait()

        [(committed,)] = self.cluster.store.rows("SELECT sum(committed) FROM upload_files")
        far = Relay(second.address)
        code, _, errors = client("push", model, "--model-id", "m", address=far.address)
        self.assertEqual(code, 0, errors)
        print(f"{size} bytes: {near.sent} sent to the first, of which {committed} were durable; "
              f"{far.sent} sent to the second")
        self.assertLess(far.sent, size - int(committed) + OVERHEAD, "what was durable is not sent again")
        self.assertLess(near.sent - int(committed), PART + UNDER_WAY, "no more than a part was not durable")

        code, job, errors = client("submit", "m", "--bpw", "4.5", address=second.address)
        self.assertEqual(code, 0, errors)
        code, _, errors = client("jobs", "wait", job["name"], address=second.address, timeout=400)
        self.assertEqual(code, 0, errors)
        out = self.directory / "out"
        code, _, errors = client("pull", job["name"], "-o", out, address=second.address)
        self.assertEqual(code, 0, errors)
        subprocess.run([BIN / "nashswarm", "verify", out], check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    unittest.main(verbosity=2)
