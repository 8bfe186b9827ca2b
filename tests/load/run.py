"""`make load`: one upload, a push and a pull against what loopback and disk can do, then a crowd, with what it met.

usage: run.py --bin BIN_DIR --load LOAD_PROGRAM [--gib 1] [--watchers 200] [--uploads 32] [--jobs 1000] [--json FILE]
Fails on any error but the documented ones, and when one of the three is below 70 % of the slower limit in the median of its turns.
"""
import argparse
import json
import os
import pathlib
import shutil
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


def run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def seconds_of(command):
    begin = time.monotonic()
    run(command)
    return time.monotonic() - begin


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


def copy_to_disk(source, path):
    """Bytes a second of a plain copy that is durable at the end."""
    begin = time.monotonic()
    with open(source, "rb", buffering=0) as file, open(path, "wb", buffering=0) as out:
        while chunk := file.read(1 << 20):
            out.write(chunk)
        os.fsync(out.fileno())
    seconds = time.monotonic() - begin
    size = path.stat().st_size
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


def fake_model(args, directory, **plan):
    """A checkpoint as the fake engine wants it, and a server with that engine."""
    work = directory / "work"
    work.mkdir()
    model = directory / "model"
    model.mkdir()
    (model / "fake.json").write_text(
        json.dumps({"runs": str(work / "runs"), "shards": 2, "steps": {}, "search_rounds": 0, **plan}))
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"\0" * 1024)
    flags = ["--engine", SOURCE / "tests" / "integration" / "fake_engine.py", "--workers", "1"]
    return model, lambda *more: Server(args.bin, directory, *flags, *more, NASHSWARM_SANDBOX_WRITABLE=str(work))


def transfers(args, directory):
    """The client's own commands, from start to end: what they say is durable and verified."""
    size = int(args.gib * (1 << 30)) >> 20 << 20
    model, serve = fake_model(args, directory, artifact_bytes=size)
    server = serve("--gc-grace", "1s", "--gc-interval", "1s")
    client = [args.bin / "nashswarm"]
    where = ["--server", server.address]
    run([*client, "push", model, "--model-id", "m", *where])
    job = run([*client, "submit", "m", "--bpw", "4", "--watch", *where]).split()[0]
    sink = subprocess.Popen([args.load, "sink"], stdout=subprocess.PIPE, text=True)
    sink_address = "127.0.0.1:" + sink.stdout.readline().strip()
    turns = []
    for number in range(TURNS):
        noise = os.urandom(1 << 20)
        with open(model / "model.safetensors", "wb") as out:
            for _ in range(size >> 20):
                out.write(noise)
            os.fsync(out.fileno())
        name = f"turn-{number}"
        turn = {"loopback": size / json.loads(run([args.load, "upload", sink_address, size]))["seconds"],
                "disk": copy_to_disk(model / "model.safetensors", directory / "plain"),
                "push": size / seconds_of([*client, "push", model, "--model-id", name, *where]),
                "pull": size / seconds_of([*client, "pull", job, "-o", directory / "pulled", *where])}
        run([*client, "models", "delete", name, *where])
        shutil.rmtree(directory / "pulled")
        for way in ("push", "pull"):
            turn[way + "_share"] = turn[way] / min(turn["loopback"], turn["disk"])
        turns.append(turn)
    sink.kill()
    server.stop()
    return {key: statistics.median(turn[key] for turn in turns) for key in turns[0]} | {"turns": turns}


def crowd(args, directory):
    model, serve = fake_model(args, directory)
    server = serve("--max-queued-jobs", str(args.jobs), "--max-streams", str(args.watchers + args.uploads + 8))
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
        ways = transfers(args, pathlib.Path(directory))
    print(f"the client's commands on {args.gib} GiB, medians of {TURNS} turns: loopback {ways['loopback'] / 1e6:.0f} MB/s, "
          f"plain copy {ways['disk'] / 1e6:.0f} MB/s, push {ways['push'] / 1e6:.0f} MB/s ({ways['push_share']:.0%} of the slower), "
          f"pull {ways['pull'] / 1e6:.0f} MB/s ({ways['pull_share']:.0%})")
    for way in ("push", "pull"):
        if ways[way + "_share"] < 0.7:
            print(f"FAILED: {way} is below 70 %")
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
        pathlib.Path(args.json).write_text(json.dumps({"single": single, "transfers": ways, "crowd": many}, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
