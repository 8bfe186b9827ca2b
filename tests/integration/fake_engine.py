#!/usr/bin/python3 -IS
"""A nashswarm-engine for tests: speaks the protocol of core/engine/README.md, computes nothing.

Instructions come with the model, in fake.json:
  runs    file to which every run appends "stage:shard"
  shards  N
  steps   {"stage:shard": [what the first attempt does, what the second does, ...]}; the default, and what follows
          the last entry, is {"do": "ok"}. See act() for the others.
"""
import json
import os
import signal
import sys
import time


def say(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def attempts_so_far(runs, key):
    try:
        with open(runs) as f:
            return f.read().split().count(key)
    except FileNotFoundError:
        return 0


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def act(step):
    do = step["do"]
    if do == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif do == "exit":
        sys.stderr.write("fake engine: last words\n")
        sys.exit(3)
    elif do == "wait":  # until a file appears; a grandchild waits too
        if step.get("grandchild"):
            if os.fork() == 0:
                while True:
                    time.sleep(60)
        if "started" in step:
            with open(step["started"], "w") as f:
                f.write(str(os.getpid()))
        wait_for(step["for"])
    elif do == "error":
        say(event="error", code=step["code"], reason=step["reason"], message=step["message"], hint=step.get("hint", ""))
        sys.exit(1)
    elif do == "garbage":
        sys.stdout.write("this is not JSON\n")
        sys.stdout.flush()
        time.sleep(60)
    elif do == "huge":
        piece = "x" * (1 << 16)
        while True:
            sys.stdout.write(piece)
    elif do == "error-flood":
        for _ in range(20000):
            sys.stderr.write("noise " * 20 + "\n")


def write(directory, name, content):
    path = os.path.join(directory, "out", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(content)


def main():
    directory = sys.argv[2]
    with open(os.path.join(directory, "task.json")) as f:
        task = json.load(f)
    stage, shard, model = task["stage"], task["shard"], task["model"]
    with open(os.path.join(model, "fake.json")) as f:
        plan = json.load(f)
    shards = plan.get("shards", 2)
    key = "%s:%d" % (stage, shard)
    attempt = attempts_so_far(plan["runs"], key)
    with open(plan["runs"], "a") as f:
        f.write(key + "\n")
    steps = plan.get("steps", {}).get(key, [])
    step = steps[attempt] if attempt < len(steps) else {"do": "ok"}

    say(event="progress", done=0, total=100, tensor="t%d" % shard)
    act(step)
    inputs = sorted(os.listdir(os.path.join(directory, "in")))
    if stage == "validate":
        say(event="result", architecture="gpt2", parameters=1000, tensors=7, weight_bytes=4000)
        return
    if step["do"] == "lie":
        say(event="result", shards=shards)
        return
    if step["do"] == "link":
        os.symlink("/etc/passwd", os.path.join(directory, "out", "prepared.json"))
        say(event="result", shards=shards)
        return
    if stage == "prepare":
        write(directory, "prepared.json", json.dumps({"shards": shards, "seed": task["spec"]["seed"]}))
        say(event="result", shards=step.get("shards", shards), architecture="gpt2", parameters=1000, tensors=7,
            weights=100 * shards)
        return
    if stage == "measure":
        assert inputs == ["prepared.json"], inputs
        write(directory, "curves-%d.json" % shard, "curves %d" % shard)
    elif stage == "solve":
        assert inputs == sorted(["prepared.json"] + ["curves-%d.json" % s for s in range(shards)]), inputs
        write(directory, "plan.json", json.dumps(task["spec"]["target"]))
    elif stage == "encode":
        assert inputs == ["plan.json", "prepared.json"], inputs
        say(event="tensor", tensor="t%d" % shard, format="Q4_K", bits_per_weight=4.5, relative_error=0.01)
        write(directory, "shard-%d.bin" % shard, "bytes of shard %d " % shard * 100)
        write(directory, "shard-%d.json" % shard, "{}")
    elif stage == "publish":
        assert len(inputs) == 2 + shards * 3, inputs
        content = ""
        for s in range(shards):
            with open(os.path.join(directory, "in", "shard-%d.bin" % s)) as f:
                content += f.read()
        write(directory, "artifact/model.gguf", content)
        write(directory, "artifact/report/report.json", json.dumps(task["source"]))
        say(event="log", severity="warning", text="a fallback was used")
        say(event="result", output_bytes=len(content), bits_per_weight=4.5, ratio_fp32=0.86, ratio_source=0.72,
            relative_error=0.01, parameters=1000, warnings=["a fallback was used"], plan_summary="near enough")
        return
    say(event="progress", done=100, total=100, tensor="t%d" % shard)
    say(event="result")


main()
