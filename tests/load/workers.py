#!/usr/bin/env python3
"""`make load`: one job of large tensors with one worker process and with two, each on a core of its own.

usage: workers.py [--store sqlite|postgres] [--layers 16] [--turns 3]
Needs NASHSWARM_BIN_DIR. Every turn is a new store, so that nothing is known from before. Fails when two workers are not at
least 1.7 times as fast in the median of the turns, as a whole: stages that are one task count too. SKIPPED with one core.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "crash"))
from cluster import BIN, STORES, Cluster, Process, Skipped, client  # noqa: E402

GOAL = 1.7
# As in production, not as in the crash tests.
FLAGS = {"--lease": "60s", "--heartbeat": "15s", "--gc-interval": "60s", "--upload-part": "32MiB"}


def succeed(*arguments, address):
    code, value, errors = client(*arguments, address=address, timeout=3600)
    if code != 0:
        sys.exit(errors)
    return value


def seconds_of_job(model, directory, store, workers):
    cluster = Cluster(directory, store, apis=1, workers=0, flags=FLAGS)
    try:
        for core, i in zip(sorted(os.sched_getaffinity(0)), range(workers)):
            worker = Process(directory, f"worker{i}", "worker", store, BIN / "nashswarmd", FLAGS)
            worker.command = ["taskset", "-c", str(core), *worker.command]
            cluster.processes.append(worker)
            worker.start()
            cluster.wait_until_serving(worker)
        api = cluster.of_role("api")[0].address
        succeed("push", model, "--model-id", "m", address=api)
        begin = time.monotonic()
        job = succeed("submit", "models/m", "--bpw", "4.5", address=api)
        succeed("jobs", "watch", job["name"], address=api)
        return time.monotonic() - begin
    finally:
        cluster.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", choices=STORES, default="sqlite")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        print("SKIPPED: two workers need two cores")
        return 0
    with tempfile.TemporaryDirectory(prefix="nashswarm-workers-") as root:
        root = pathlib.Path(root)
        model = root / "model"
        subprocess.run([sys.executable, TESTS / "bench" / "make_checkpoint.py", model, "--layers", str(args.layers), "--width",
                        "1024", "--ffn", "4096", "--vocabulary", "4096"], check=True, capture_output=True)
        size = sum(f.stat().st_size for f in model.iterdir())
        turns = []
        for turn in range(args.turns):
            seconds = {}
            for workers in (1, 2):
                directory = root / f"{turn}-{workers}"
                directory.mkdir()
                try:
                    store = STORES[args.store](directory)
                except Skipped as skipped:
                    print(f"SKIPPED: {skipped}")
                    return 0
                seconds[workers] = seconds_of_job(model, directory, store, workers)
            turns.append(seconds[1] / seconds[2])
            print(f"  one worker {seconds[1]:.1f} s, two {seconds[2]:.1f} s: {turns[-1]:.2f} times as fast", flush=True)
    speedup = statistics.median(turns)
    print(f"a job on {size / 1e6:.0f} MB, {args.store}: two workers are {speedup:.2f} times as fast as one, median of "
          f"{args.turns} turns")
    if speedup < GOAL:
        print(f"FAILED: less than {GOAL} times")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
