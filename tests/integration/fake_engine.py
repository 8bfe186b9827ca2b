#!/usr/bin/python3 -IS
"""A nashswarm-engine for tests: speaks the protocol of core/engine/README.md, computes nothing.

Instructions come with the model, in fake.json:
  runs    file to which every run appends "stage:shard"
  record  directory that receives, as "stage-shard.json", the task.json of each run and the text of its data files;
          may be absent
  shards  N
  artifact_bytes  the weight file has this many bytes instead of what the shards give; may be absent
  search_rounds  how many rounds of a search SOLVE asks for when the spec has a text for it and does not forbid it
  steps   {"stage:shard": [what the first attempt does, what the second does, ...]}; the default, and what follows
          the last entry, is {"do": "ok"}. See act() for the others. A round of a search whose last entry has
          "done": true says that it was the last.
"""
import json
import os
import re
import signal
import sys
import time


STAGES = ("validate", "prepare", "calibrate", "measure", "solve", "search", "encode", "evaluate", "publish")


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


def write_large(directory, name, size):
    path = os.path.join(directory, "out", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    noise = os.urandom(1 << 20)
    with open(path, "wb") as f:
        for _ in range(size >> 20):
            f.write(noise)


def record(directory, task):
    data = {}
    for purpose, path in task["data"].items():
        assert os.path.dirname(path) == os.path.join(os.path.dirname(task["model"]), "data"), path
        with open(path, newline="") as f:  # every byte as it is
            data[purpose] = f.read()
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "%s-%d.json" % (task["stage"], task["shard"])), "w") as f:
        json.dump({"task": task, "data": data}, f)


def rounds_asked_for(plan, spec):
    off = spec.get("search", {}).get("off") or spec.get("calibration", {}).get("source") not in ("text", "self")
    return 0 if off else plan.get("search_rounds", 0)


def ends_search(plan, round):
    return any(step.get("done") for step in plan.get("steps", {}).get("search:%d" % round, [])[-1:])


def rounds_run(plan, spec):
    """How many rounds of the search there are once it has ended."""
    rounds = range(rounds_asked_for(plan, spec))
    return next((r + 1 for r in rounds if ends_search(plan, r)), len(rounds))


def expected_inputs(stage, shard, plan, spec):
    """The table of core/engine/README.md."""
    every = range(plan.get("shards", 2))
    prepared = ["prepared.json"]
    calibration = ["calibration.json", "moments.safetensors"] if calibrates(spec) else []
    curves = ["curves-%d.json" % s for s in every]
    rounds = shard if stage == "search" else rounds_run(plan, spec)
    planned = ["plan.json"] + ["search-%d.json" % r for r in range(rounds)]
    encoded = ["shard-%d.%s" % (s, kind) for s in every for kind in ("bin", "json")]
    evaluation = ["evaluation.json"] if evaluates(spec) else []
    return sorted({
        "validate": [],
        "prepare": [],
        "calibrate": [],
        "measure": prepared + calibration,
        "solve": prepared + calibration + curves,
        "search": prepared + calibration + curves + planned,
        "encode": prepared + calibration + planned,
        "evaluate": prepared + calibration + planned + encoded,
        "publish": prepared + calibration + curves + planned + encoded + evaluation,
    }[stage])


def calibrates(spec):
    return "calibration" in spec or "evaluation" in spec or bool({"max_kl", "max_ppl_increase"} & set(spec.get("target", {})))


def evaluates(spec):
    return spec.get("evaluation", {}).get("text") or spec.get("calibration", {}).get("source") in ("text", "self")


QUALITY = {"perplexity": 12.5, "source_perplexity": 12.25, "mean_kl": 0.02, "mean_kl_stderr": 0.001, "p99_kl": 0.3,
           "same_top1": 0.95, "tokens": 4096}


def report(task, size):
    row = {"name": "nashswarm", "is_artifact": True, "bytes": size, "bits_per_weight": 4.5}
    if evaluates(task["spec"]):
        row["quality"] = {k: v for k, v in QUALITY.items() if k != "source_perplexity"}
    costs = [{"stage": e["stage"], "tasks": 1, "seconds": e["result"]["seconds"]} for e in task["history"]]
    return {"schema": "nashswarm.report/1", "engine": "fake", "model_name": task["source"]["model"],
            "target": json.dumps(task["spec"]["target"]), "plan_summary": "near enough", "headline": [row],
            "costs": costs}


def describe():
    """Of the version it is tested with."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "CMakeLists.txt")) as f:
        version = re.search(r"project\(nashswarm VERSION ([0-9.]+)", f.read()).group(1)
    formats = (("Q2_K", 2.625, 256), ("Q3_K", 3.4375, 256), ("Q4_0", 4.5, 32), ("Q4_K", 4.5, 256), ("Q5_K", 5.5, 256), ("Q6_K", 6.5625, 256),
               ("Q8_0", 8.5, 32), ("F16", 16, 1), ("F32", 32, 1))
    json.dump({"version": version, "architectures": [{"model_type": "gpt2", "gguf": "gpt2"}, {"model_type": "llama", "gguf": "llama"}],
               "number_formats": [{"name": n, "bits_per_weight": b, "block_weights": w} for n, b, w in formats],
               "artifact_kinds": ["gguf", "nsq"], "stages": list(STAGES), "limits": {"header_bytes": 100 << 20}}, sys.stdout)


def main():
    if sys.argv[1] == "describe":
        return describe()
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
    assert inputs == expected_inputs(stage, shard, plan, task["spec"]), inputs
    if "record" in plan and stage != "validate":
        record(plan["record"], task)
    cost = {"seconds": 0.5, "peak_bytes": 1 << 20}
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
        write(directory, "prepared.json", json.dumps(
            {"shards": shards, "seed": task["spec"]["seed"], "format": task["spec"].get("format")}))
        say(event="result", shards=step.get("shards", shards), architecture="gpt2", parameters=1000, tensors=7,
            weights=100 * shards, **cost)
        return
    if stage == "calibrate":
        assert calibrates(task["spec"])
        write(directory, "calibration.json", json.dumps(task["spec"].get("calibration", {})))
        write(directory, "moments.safetensors", "moments")
    elif stage == "measure":
        write(directory, "curves-%d.json" % shard, "curves %d" % shard)
    elif stage == "solve":
        write(directory, "plan.json", json.dumps(task["spec"]["target"]))
        cost["search_rounds"] = step.get("search_rounds", rounds_asked_for(plan, task["spec"]))
    elif stage == "search":
        write(directory, "search-%d.json" % shard, json.dumps({"round": shard, "spec": task["spec"].get("search")}))
        if ends_search(plan, shard):
            cost["done"] = True
    elif stage == "encode":
        say(event="tensor", tensor="t%d" % shard, format="Q4_K", bits_per_weight=4.5, relative_error=0.01)
        write(directory, "shard-%d.bin" % shard, "bytes of shard %d " % shard * 100)
        write(directory, "shard-%d.json" % shard, "{}")
    elif stage == "evaluate":
        assert evaluates(task["spec"])
        write(directory, "evaluation.json", json.dumps(QUALITY))
    elif stage == "publish":
        content = ""
        for s in range(shards):
            with open(os.path.join(directory, "in", "shard-%d.bin" % s)) as f:
                content += f.read()
        if "artifact_bytes" in plan:
            write_large(directory, "artifact/model.gguf", plan["artifact_bytes"])
        elif task["spec"].get("format") == "nsq":
            write(directory, "artifact/model.nsq", content)
            write(directory, "artifact/config.json", "{}")
            write(directory, "artifact/original/tokenizer.model", "tokens")
        else:
            write(directory, "artifact/model.gguf", content)
        write(directory, "artifact/deep/source.json", json.dumps(task["source"]))
        write(directory, "artifact/report.json", json.dumps(report(task, len(content))))
        write(directory, "artifact/report.html", "<!doctype html>")
        say(event="log", severity="warning", text="a fallback was used")
        quality = {"quality": QUALITY} if evaluates(task["spec"]) else {}
        say(event="result", output_bytes=len(content), bits_per_weight=4.5, ratio_fp32=0.86, ratio_source=0.72,
            relative_error=0.01, parameters=1000, warnings=["a fallback was used"], plan_summary="near enough",
            **quality, **cost)
        return
    say(event="progress", done=100, total=100, tensor="t%d" % shard)
    say(event="result", **cost)


main()
