#!/usr/bin/env python3
"""Kills (SIGKILL) and stops (SIGSTOP) api and worker processes at random, and restarts the database, while clients upload
and submit; then checks that nothing was lost and nothing happened twice.

usage: crash_test.py --store sqlite|postgres [--seconds 60] [--seed N] [--program FILE] [--only-stops] [--expect-damage]

What must hold afterwards, whatever was killed:
  lost          every job whose name a client was told reaches an end, and the end is success
  double ends   no job has two artifacts, no two processes say that they ended the same job
  wrong bytes   every artifact is, byte for byte, what an undisturbed run makes of the same model
  broken tasks  every task of a job that succeeded has succeeded
  orphans       every model and artifact in the lists can be read whole
--program runs another nashswarmd; with --expect-damage the test passes only if it finds damage: what a server without
fencing is for. --only-stops stops workers for longer than their lease and kills nobody: the worst for fencing. Exit status 0 passed, 77 skipped (it says why), else failed.
"""
import argparse
import collections
import hashlib
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

from cluster import BIN, STORES, TESTS, Cluster, Skipped, client

MODELS = 3
CLIENTS = 3
TARGETS = ["4.5", "8.5"]
SETTLE_SECONDS = 180


def make_models(directory):
    """Small checkpoints of one shape whose weights differ."""
    first = directory / "model0"
    subprocess.run([sys.executable, TESTS / "bench" / "make_checkpoint.py", first, "--layers", "2", "--width", "256",
                    "--ffn", "512", "--vocabulary", "1024"], check=True, capture_output=True)
    models = [first]
    for i in range(1, MODELS):
        model = directory / f"model{i}"
        shutil.copytree(first, model)
        weights = next(model.glob("*.safetensors"))
        content = weights.read_bytes()
        begin = 8 + struct.unpack("<Q", content[:8])[0]
        cut = begin + 1000 * i  # of two-byte weights: every one stays a number
        weights.write_bytes(content[:begin] + content[cut:] + content[begin:cut])
        models.append(model)
    return models


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class Chaos(threading.Thread):
    """One blow after another until told to end."""

    def __init__(self, cluster, seed, only_stops):
        super().__init__(daemon=True)
        self.cluster, self.random, self.only_stops = cluster, random.Random(seed), only_stops
        self.end = threading.Event()
        self.kills = self.stops = self.restarts = 0

    def run(self):
        while not self.end.wait(self.random.uniform(0.2, 1.0)):
            process = self.random.choice(self.cluster.of_role("worker") if self.only_stops else self.cluster.processes)
            blow = 1 if self.only_stops else self.random.random()
            if blow < 0.08 and self.cluster.store.has_server:
                self.cluster.store.restart_database()
                self.restarts += 1
            elif blow < 0.6:
                process.kill()
                self.kills += 1
                self.end.wait(self.random.uniform(0, 0.5))
                process.start()
            else:
                process.signal(signal.SIGSTOP)
                self.stops += 1
                # Longer than a lease, often: its tasks go to somebody else, and it wakes up believing they are its own.
                self.end.wait(self.random.uniform(2.5 if self.only_stops else 0.2, 4.0))
                process.signal(signal.SIGCONT)


class Client(threading.Thread):
    """Pushes, submits and pulls, through whichever api process answers."""

    def __init__(self, number, cluster, models, deadline, seed):
        super().__init__(daemon=True)
        self.number, self.cluster, self.models, self.deadline = number, cluster, models, deadline
        self.random = random.Random(seed)
        self.jobs = {}  # name -> (model, target)
        self.unexpected = []

    def call(self, *arguments, timeout=20):
        """Until it succeeds or the time is over. Exit codes of a server that is not there (5) are part of the test."""
        while time.monotonic() < self.deadline:
            api = self.random.choice(self.cluster.of_role("api"))
            code, value, errors = client(*arguments, address=api.address, timeout=timeout)
            if code == 0:
                return value
            if code != 5:
                self.unexpected.append((arguments[0], code, errors.strip()[-300:]))
        return None

    def run(self):
        turn = 0
        while time.monotonic() < self.deadline:
            model = self.random.randrange(len(self.models))
            target = self.random.choice(TARGETS)
            turn += 1
            name = f"c{self.number}-{turn}"
            pushed = self.call("push", self.models[model], "--model-id", name)
            if pushed is None:
                return
            job = self.call("submit", name, "--bpw", target, "--format", "gguf", "--threads", "1")
            if job is not None:
                self.jobs[job["name"]] = (model, target)


def settle(cluster, names):
    """Waits until the jobs have ended; their last state, by name."""
    deadline = time.monotonic() + SETTLE_SECONDS
    states = {}
    waiting = list(names)
    while waiting and time.monotonic() < deadline:
        for name in list(waiting):
            code, job, errors = client("jobs", "get", name, address=cluster.of_role("api")[0].address)
            if code == 3:
                states[name] = ("GONE", errors)
            elif code == 0:
                states[name] = (job["state"], job.get("error"))
            if states.get(name, ("",))[0] in ("SUCCEEDED", "FAILED", "CANCELLED", "GONE"):
                waiting.remove(name)
        time.sleep(0.2)
    return states


def check(cluster, jobs, expected, directory):
    """What is wrong, by kind."""
    wrong = collections.defaultdict(list)
    states = settle(cluster, jobs)
    for name in jobs:
        state = states.get(name, ("UNKNOWN", None))
        if state[0] != "SUCCEEDED":
            wrong["lost"].append((name, *state))

    address = cluster.of_role("api")[0].address
    for i, (name, what) in enumerate(jobs.items()):
        if states.get(name, ("",))[0] != "SUCCEEDED":
            continue
        out = directory / f"pulled{i}"
        code, _, errors = client("pull", name, "-o", out, address=address)
        if code != 0:
            wrong["orphans"].append((name, errors))
        elif digest(out / "model.gguf") != expected[what]:
            wrong["wrong bytes"].append(name)
        shutil.rmtree(out, ignore_errors=True)

    rows = cluster.store.rows
    for job, count in rows("SELECT job_id, count(*) FROM artifacts GROUP BY job_id HAVING count(*) > 1"):
        wrong["double ends"].append((job, f"{count} artifacts"))
    ends = collections.Counter(job for process in cluster.processes for job in process.ended_jobs())
    for job, count in ends.items():
        if count > 1:
            wrong["double ends"].append((job, f"{count} ends in the logs"))
    for row in rows("SELECT t.job_id, t.stage, t.shard, t.state FROM tasks t JOIN jobs j ON j.id = t.job_id "
                    "WHERE j.state = 3 AND t.state <> 'succeeded'"):
        wrong["broken tasks"].append(row)

    code, models, errors = client("models", "list", address=address)
    for model in (models or {}).get("models", []):
        code, _, errors = client("models", "get", model["name"], address=address)
        if code != 0:
            wrong["orphans"].append((model["name"], errors))
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", choices=STORES, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--program", default=BIN / "nashswarmd")
    parser.add_argument("--only-stops", action="store_true")
    parser.add_argument("--expect-damage", action="store_true")
    args = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="nashswarm-crash-"))
    os.chmod(directory, 0o755)  # PostgreSQL runs as somebody else
    try:
        store = STORES[args.store](directory)
    except Skipped as skipped:
        print(f"SKIPPED: {skipped}")
        return 77
    try:
        models = make_models(directory)
        expected = {}
        for i, model in enumerate(models):
            for target in TARGETS:
                out = directory / f"expected-{i}-{target}"
                code, _, errors = client("compress", model, "-o", out, "--bpw", target, "--format", "gguf",
                                         "--threads", "1")
                if code != 0:
                    raise RuntimeError(errors)
                expected[i, target] = digest(out / "model.gguf")
        assert len(set(expected.values())) == len(expected), "the models do not differ"

        cluster = Cluster(directory, store, pathlib.Path(args.program))
        deadline = time.monotonic() + args.seconds
        chaos = Chaos(cluster, args.seed, args.only_stops)
        clients = [Client(i, cluster, models, deadline, args.seed + 1 + i) for i in range(CLIENTS)]
        for thread in [chaos, *clients]:
            thread.start()
        for thread in clients:
            thread.join()
        chaos.end.set()
        chaos.join()
        cluster.everybody_runs()
        jobs = {name: what for c in clients for name, what in c.jobs.items()}
        wrong = check(cluster, jobs, expected, directory)
        for c in clients:
            wrong["unexpected errors"] += c.unexpected
        cluster.stop()

        kinds = ["lost", "double ends", "wrong bytes", "broken tasks", "orphans", "unexpected errors"]
        print(f"{args.store}: seed {args.seed}, {args.seconds:.0f} s, {chaos.kills} kills, {chaos.stops} stops, "
              f"{chaos.restarts} database restarts, "
              f"{len(jobs)} jobs, " + ", ".join(f"{kind} {len(wrong[kind])}" for kind in kinds))
        for kind in kinds:
            for what in wrong[kind][:10]:
                print(f"  {kind}: {what}")
        damaged = any(wrong[kind] for kind in kinds)
        if not jobs or chaos.kills + chaos.stops < args.seconds / 6:
            print("too little happened for this to mean anything")
            return 1
        return 0 if damaged == args.expect_damage else 1
    finally:
        store.stop()
        if "KEEP" not in os.environ:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            print(directory)


if __name__ == "__main__":
    sys.exit(main())
