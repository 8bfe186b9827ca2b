"""Runs every stage of a job as the worker would and prints the private memory and disk it took beside what PREPARE said it
would need (`needs`, core/engine/README.md).

usage: measure_needs.py ENGINE MODEL [--format gguf|nsq] [--calibrate self|FILE] [--tokens N] [--search] [--threads N]

Private memory is RssAnon of /proc/PID/status, looked at every two milliseconds: a peak that lasts less is missed. VmData is what
RLIMIT_DATA counts. Exit status 1 when a stage took more than its need.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

FIELDS = re.compile(r"(RssAnon|VmData):\s+(\d+) kB")


def peaks(process):
    """The greatest RssAnon and VmData until the process ends, in bytes."""
    most = {"RssAnon": 0, "VmData": 0}
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status") as status:
                for name, kilobytes in FIELDS.findall(status.read()):
                    most[name] = max(most[name], int(kilobytes) * 1024)
        except (FileNotFoundError, ProcessLookupError):
            break
        time.sleep(0.002)
    return most


def disk_of(directory):
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(directory) for name in names)


def run(engine, root, stage, shard, spec, model, data, threads):
    out = os.path.join(root, "out")
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    task = {"stage": stage, "shard": shard, "model": model, "spec": spec, "threads": threads, "data": data,
            "source": {"model": "models/m", "digest": "00"}, "history": []}
    with open(os.path.join(root, "task.json"), "w") as file:
        json.dump(task, file)
    with open(os.path.join(root, "stdout"), "w") as stdout:
        process = subprocess.Popen([engine, "task", root], stdout=stdout, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
        most = peaks(process)
    result = json.loads(open(os.path.join(root, "stdout")).read().strip().splitlines()[-1])
    if process.wait() != 0 or result["event"] != "result":
        sys.exit(f"{stage} {shard}: {result}")
    taken = disk_of(out)
    if stage != "publish":
        for name in os.listdir(out):
            os.replace(os.path.join(out, name), os.path.join(root, "in", name))
    return result, most, taken


def stages(shards, calibrated, evaluated, rounds):
    yield from [("calibrate", 0)] if calibrated else []
    yield from [("measure", i) for i in range(shards)]
    yield "solve", 0
    yield from [("search", i) for i in range(rounds)]
    yield from [("encode", i) for i in range(shards)]
    yield from [("evaluate", 0)] if evaluated else []
    yield "publish", 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("engine")
    parser.add_argument("model")
    parser.add_argument("--format", default="gguf")
    parser.add_argument("--calibrate")
    parser.add_argument("--tokens", type=int, default=0, help="to calibrate and to evaluate with")
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bits", type=float, default=4.5)
    args = parser.parse_args()
    model = os.path.abspath(args.model)
    spec = {"target": {"bits_per_weight": args.bits}, "format": args.format, "seed": 1, "rules": [], "zero_non_finite": False, "expert_order": "original"}
    data = {}
    if args.calibrate:
        spec["calibration"] = {"source": "self" if args.calibrate == "self" else "text", "tokens": args.tokens}
        spec["evaluation"] = {"text": False, "tokens": args.tokens, "context": 0}
        if args.calibrate != "self":
            data["calibration"] = os.path.abspath(args.calibrate)
    if args.search:
        spec["search"] = {"context_rounds": 1, "swarm_evaluations": 2, "swarm_seconds": 0}
    mib = 1 << 20
    bad = False
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "in"))
        prepared, most, taken = run(args.engine, root, "prepare", 0, spec, model, data, args.threads)
        needs = prepared.get("needs", {})
        print(f"{'stage':12}{'seconds':>9}{'private':>10}{'need':>10}{'ratio':>7}{'VmData':>10}{'out':>10}{'need':>10}   MiB, {args.threads} threads")
        print(f"{'prepare':12}{prepared['seconds']:9.2f}{most['RssAnon'] / mib:10.1f}{'':17}{most['VmData'] / mib:10.1f}{taken / mib:10.1f}")
        for stage, shard in stages(prepared["shards"], args.calibrate, args.calibrate, 3 if args.search else 0):
            result, most, taken = run(args.engine, root, stage, shard, spec, model, data, args.threads)
            need = needs.get(stage, {})
            need = need[shard] if isinstance(need, list) else need
            memory = need.get("memory_bytes", 0) + args.threads * need.get("thread_bytes", 0)
            bad |= memory < most["RssAnon"] or need.get("disk_bytes", 0) < taken
            print(f"{stage + ' ' + str(shard):12}{result['seconds']:9.2f}{most['RssAnon'] / mib:10.1f}{memory / mib:10.1f}"
                  f"{memory / max(most['RssAnon'], 1):7.2f}{most['VmData'] / mib:10.1f}{taken / mib:10.1f}"
                  f"{need.get('disk_bytes', 0) / mib:10.1f}", flush=True)
            if stage == "search" and result.get("done"):
                break
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
