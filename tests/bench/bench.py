"""Measures whole programs: encoding a model on one and two threads with its memory, next to llama-quantize when that is
on the PATH, and upload and download over loopback next to a plain copy. Each pair of figures comes from one run, turn by
turn, since machines drift; medians are shown.

usage: bench.py --bin BIN_DIR [--model CHECKPOINT_DIR] [--repeat 5] [--json FILE]
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

FORMATS = ["Q4_K", "Q6_K", "Q8_0"]


def table(title, header, rows):
    print(f"\n{title}")
    rows = [header] + [[str(cell) for cell in row] for row in rows]
    width = [max(len(row[c]) for row in rows) for c in range(len(header))]
    for row in rows:
        print("  " + "  ".join(cell.rjust(w) for cell, w in zip(row, width)))


def timed(command, **kwargs):
    """Seconds, and the peak resident memory of the program in MiB."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **kwargs)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{error.decode()[-2000:]}")
    return time.monotonic() - begin, usage.ru_maxrss / 1024


class Engine:
    """Runs single stages of the engine on prepared inputs."""

    def __init__(self, binary, model, work):
        self.binary, self.model, self.work = binary, model, work

    def stage(self, name, inputs, out, fmt, threads=0, shard=0):
        task = os.path.join(self.work, "task")
        shutil.rmtree(task, ignore_errors=True)
        os.makedirs(task)
        os.symlink(inputs, os.path.join(task, "in"))
        os.makedirs(out, exist_ok=True)
        os.symlink(out, os.path.join(task, "out"))
        with open(os.path.join(task, "task.json"), "w") as f:
            json.dump({"stage": name, "shard": shard, "model": self.model, "threads": threads, "source": {"digest": ""},
                       "spec": {"target": {"bits_per_weight": 33}, "format": "gguf",
                                "rules": [{"pattern": ".*", "format": fmt}]}}, f)
        return timed([self.binary, "task", task])

    def plan(self, fmt):
        """Everything ENCODE needs, in a directory of its own."""
        out = os.path.join(self.work, fmt)
        self.stage("prepare", out, out, fmt)
        shards = len(json.load(open(os.path.join(out, "prepared.json")))["shards"])
        for shard in range(shards):
            self.stage("measure", out, out, fmt, shard=shard)
        self.stage("solve", out, out, fmt)
        return out, shards

    def encode(self, plan, shards, fmt, threads):
        seconds, memory = 0, 0
        for shard in range(shards):
            s, m = self.stage("encode", plan, os.path.join(self.work, "encoded"), fmt, threads, shard)
            seconds, memory = seconds + s, max(memory, m)
        return seconds, memory

    def publish(self, plan, fmt):
        for shard in range(len(json.load(open(os.path.join(plan, "prepared.json")))["shards"])):
            self.stage("encode", plan, plan, fmt, shard=shard)
        self.stage("publish", plan, plan, fmt)
        return os.path.join(plan, "artifact", "model.gguf")


def bench_encode(args, work, weights):
    engine = Engine(os.path.join(args.bin, "nashswarm-engine"), args.model, work)
    peer = shutil.which("llama-quantize")
    source = None
    if peer:
        plan, _ = engine.plan("F16")
        source = engine.publish(plan, "F16")
    rows, out = [], []
    for fmt in FORMATS:
        plan, shards = engine.plan(fmt)
        for threads in (1, 2):
            ours, theirs, memory = [], [], 0
            for _ in range(args.repeat):
                seconds, peak = engine.encode(plan, shards, fmt, threads)
                ours.append(seconds)
                memory = max(memory, peak)
                if peer:
                    theirs.append(timed([peer, "--pure", source, os.path.join(work, "peer.gguf"), fmt, str(threads)])[0])
            speed = weights / statistics.median(ours) / 1e6
            row = {"format": fmt, "threads": threads, "mweights_per_second": speed, "peak_mib": memory}
            cells = [fmt, threads, f"{speed:.1f}", f"{memory:.0f}"]
            if peer:
                row["llama_quantize_mweights_per_second"] = weights / statistics.median(theirs) / 1e6
                row["ratio"] = statistics.median(t / o for t, o in zip(theirs, ours))
                cells += [f'{row["llama_quantize_mweights_per_second"]:.1f}', f'{row["ratio"]:.2f}']
            rows.append(cells)
            out.append(row)
    table("Encoding a whole model, processes and files included (million weights a second)",
          ["format", "threads", "nashswarm", "peak MiB"] + (["llama-quantize", "ratio"] if peer else []), rows)
    print("  (peak MiB counts the mapped checkpoint pages too: "
          f"{os.path.getsize(os.path.join(args.model, 'model.safetensors')) / 2**20:.0f} MiB)")
    if not peer:
        print("  SKIPPED llama-quantize: not on the PATH")
    return out


def ask(binary, address, *arguments):
    """What the client printed, and how long it took."""
    begin = time.monotonic()
    done = subprocess.run([binary, "--server", address, "--json", "--quiet", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"nashswarm {' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout), time.monotonic() - begin


def bench_transfer(args, work):
    binary = os.path.join(args.bin, "nashswarm")
    size = os.path.getsize(os.path.join(args.model, "model.safetensors"))
    info = os.path.join(work, "info.json")
    server = subprocess.Popen([os.path.join(args.bin, "nashswarmd"), "--data", os.path.join(work, "data"), "--listen",
                               "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--info-file", info],
                              stderr=open(os.path.join(work, "server.log"), "w"))
    try:
        while not os.path.exists(info) and server.poll() is None:
            time.sleep(0.05)
        address = json.load(open(info))["grpc"]
        seconds = {"push (hash, send, store durably, validate)": [], "plain copy + fsync": [],
                   "pull (receive, write durably, verify)": []}
        for turn in range(args.repeat):
            # Another last byte each turn, or the server would already have the file.
            model = os.path.join(work, f"push-{turn}")
            shutil.copytree(args.model, model)
            with open(os.path.join(model, "model.safetensors"), "r+b") as f:
                f.seek(-2, 2)
                f.write(bytes([turn, 0x20]))
            pushed, elapsed = ask(binary, address, "push", model)
            seconds["push (hash, send, store durably, validate)"].append(elapsed)
            begin = time.monotonic()
            with open(os.path.join(model, "model.safetensors"), "rb") as a, open(os.path.join(work, "copy"), "wb") as b:
                shutil.copyfileobj(a, b, 1 << 20)
                b.flush()
                os.fsync(b.fileno())
            seconds["plain copy + fsync"].append(time.monotonic() - begin)
            shutil.rmtree(model)
            job, _ = ask(binary, address, "submit", pushed["model"]["name"], "--size", "1GB", "--rule", ".*=F16")
            ask(binary, address, "jobs", "wait", job["name"])
            out_dir = os.path.join(work, f"pull-{turn}")
            _, elapsed = ask(binary, address, "pull", job["name"], "-o", out_dir)
            seconds["pull (receive, write durably, verify)"].append(elapsed)
            shutil.rmtree(out_dir)
        out = [{"what": what, "mb_per_second": size / statistics.median(times) / 1e6} for what, times in seconds.items()]
        table(f"Transfer over loopback, {size / 1e6:.0f} MB, whole commands", ["what", "MB/s"],
              [[row["what"], f'{row["mb_per_second"]:.0f}'] for row in out])
        return out
    finally:
        server.terminate()
        server.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--model")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nashswarm-bench-") as work:
        if args.model is None:
            args.model = os.path.join(work, "checkpoint")
            subprocess.run([sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "make_checkpoint.py"),
                            args.model], check=True)
        args.model = os.path.abspath(args.model)
        info = json.loads(subprocess.run([os.path.join(args.bin, "nashswarm-engine"), "inspect", args.model, "--json"],
                                         capture_output=True, text=True, check=True).stdout)
        print(f'{info["parameters"]:,} weights, {os.cpu_count()} cores')
        result = {"weights": info["parameters"], "encode": bench_encode(args, work, info["parameters"]),
                  "transfer": bench_transfer(args, work)}
    if args.json:
        with open(args.json, "w") as f:
            json.dump(result, f, indent=1)


main()
