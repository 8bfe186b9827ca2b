"""`make load`: one upload against what loopback and disk can do, then a crowd, with what it met.

usage: run.py --bin BIN_DIR --load LOAD_PROGRAM [--gib 1] [--watchers 200] [--uploads 32] [--jobs 1000] [--json FILE]
Fails on any error but the documented ones, and when an upload is below 70 % of the slower limit in the median of its turns.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TURNS = 5


class Server:
    def __init__(self, binaries, directory, *flags, **environment):
        info = directory / "info.json"
        self.log = open(directory / "log", "w")
        self.process = subprocess.Popen(
            [binaries / "nashswarmd", "--data", directory / "data", "--listen", "127.0.0.1:0", "--metrics", "none",
             "--info-file", info, *flags], stdout=self.log, stderr=self.log, env={**os.environ, **environment})
        while not info.exists():
            if self.process.poll() is not None:
                sys.exit((directory / "log").read_text())
            time.sleep(0.01)
        self.address = json.loads(info.read_text())["grpc"]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def write_to_disk(path, size):
    """Bytes a second of plain writes that are durable at the end."""
    chunk = os.urandom(1 << 20)
    begin = time.monotonic()
    with open(path, "wb", buffering=0) as out:
        for _ in range(size >> 20):
            out.write(chunk)
        os.fdatasync(out.fileno())
    seconds = time.monotonic() - begin
    os.unlink(path)
    return size / seconds


def single_upload(args, directory):
    size = int(args.gib * (1 << 30)) >> 20 << 20
    sink = subprocess.Popen([args.load, "sink"], stdout=subprocess.PIPE, text=True)
    sink_address = "127.0.0.1:" + sink.stdout.readline().strip()
    server = Server(args.bin, directory, "--gc-grace", "1s", "--gc-interval", "1s", "--upload-ttl", "1s")

    def send(address):
        result = json.loads(subprocess.run([args.load, "upload", address, str(size)], capture_output=True, text=True,
                                           check=True).stdout)
        if result["errors"]:
            sys.exit(f"upload failed: {result['errors']}")
        return size / result["seconds"]

    turns = []
    for _ in range(TURNS):
        turn = {"loopback": send(sink_address), "disk": write_to_disk(directory / "plain", size),
                "upload": send(server.address)}
        turn["share"] = turn["upload"] / min(turn["loopback"], turn["disk"])
        turns.append(turn)
    sink.kill()
    server.stop()
    return {key: statistics.median(turn[key] for turn in turns) for key in turns[0]} | {"turns": turns}


def crowd(args, directory):
    work = directory / "work"
    work.mkdir()
    model = directory / "model"
    model.mkdir()
    (model / "fake.json").write_text(json.dumps({"runs": str(work / "runs"), "shards": 2, "steps": {}, "search_rounds": 0}))
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"\0" * 1024)
    server = Server(args.bin, directory, "--engine", SOURCE / "tests" / "integration" / "fake_engine.py", "--workers", "1",
                    "--max-queued-jobs", str(args.jobs), "--max-streams", str(args.watchers + args.uploads + 8),
                    NASHSWARM_SANDBOX_WRITABLE=str(work))
    pushed = subprocess.run([args.bin / "nashswarm", "push", model, "--model-id", "m", "--server", server.address],
                            capture_output=True, text=True)
    if pushed.returncode != 0:
        sys.exit(pushed.stderr)
    result = subprocess.run([args.load, "crowd", server.address, str(server.process.pid), "models/m", str(args.watchers),
                             str(args.uploads), str(args.jobs)], capture_output=True, text=True)
    server.stop()
    if result.returncode != 0:
        sys.exit(result.stdout + result.stderr)
    return json.loads(result.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=lambda p: pathlib.Path(p).resolve(), required=True)
    parser.add_argument("--load", type=lambda p: pathlib.Path(p).resolve(), required=True)
    parser.add_argument("--gib", type=float, default=1)
    parser.add_argument("--watchers", type=int, default=200)
    parser.add_argument("--uploads", type=int, default=32)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--json")
    args = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="nashswarm-load-") as directory:
        (one := pathlib.Path(directory) / "one").mkdir()
        single = single_upload(args, one)
    print(f"one upload of {args.gib} GiB, medians of {TURNS} turns: loopback {single['loopback'] / 1e6:.0f} MB/s, "
          f"disk {single['disk'] / 1e6:.0f} MB/s, upload {single['upload'] / 1e6:.0f} MB/s: "
          f"{single['share']:.0%} of the slower")
    if single["share"] < 0.7:
        print("FAILED: less than 70 %")
        failed = True
    with tempfile.TemporaryDirectory(prefix="nashswarm-load-") as directory:
        many = crowd(args, pathlib.Path(directory))
    print(f"{args.watchers} watchers ({many['kib_per_watcher']:.0f} KiB each, {many['events']} events), {many['jobs']} jobs, "
          f"{args.uploads} uploads at once at {many['upload_mb_per_second']:.0f} MB/s together")
    for method, times in many["calls"].items():
        print(f"  {method:15} {times['count']:6} calls  p50 {times['p50_ms']:7.1f} ms  p99 {times['p99_ms']:7.1f} ms")
    for error, count in many["errors"].items():
        print(f"FAILED: {count} x {error}")
        failed = True
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"single": single, "crowd": many}, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
