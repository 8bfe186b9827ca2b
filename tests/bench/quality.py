"""Quality at equal file size: llama.cpp's quantization with an importance matrix, ours without calibration, and ours with
calibration on the same text, all measured by `nashswarm eval` against the checkpoint. Prints a table for docs/benchmarks.md.

usage: quality.py --bin build/release/bin --llama DIR_OF_LLAMA_BINARIES --checkpoint DIR --calibrate FILE --evaluate FILE
                  [--types Q2_K,Q3_K_M,Q4_K_M] [--ctx 256] [--tokens 65536] [--threads 2] [--work DIR]
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr[-2000:]}{done.stdout[-500:]}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser()
    for name in ("bin", "llama", "checkpoint", "calibrate", "evaluate"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--types", default="Q2_K,Q3_K_S,Q3_K_M,Q4_K_S,Q4_K_M,Q5_K_M")
    parser.add_argument("--ctx", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=65536)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work")
    args = parser.parse_args()
    work = args.work or tempfile.mkdtemp()
    os.makedirs(work, exist_ok=True)
    nashswarm = os.path.join(args.bin, "nashswarm")

    def path(name):
        return os.path.join(work, name)

    def compress(out, *flags):
        return json.loads(run(nashswarm, "compress", args.checkpoint, "-o", path(out), "--force", "--json",
                              "--keep-server-data", path("server"), *map(str, flags)))

    def evaluate(model):
        return json.loads(run(nashswarm, "eval", model, "--against", args.checkpoint, "--text", args.evaluate, "--ctx",
                              args.ctx, "--max-tokens", args.tokens, "--json"))

    source = path("source.gguf")
    if not os.path.exists(source):
        compress("source.gguf", "--bpw", "32", "--rule", ".*=F16")
    imatrix = path("imatrix.gguf")
    if not os.path.exists(imatrix):
        run(os.path.join(args.llama, "llama-imatrix"), "-m", source, "-f", args.calibrate, "-o", imatrix, "-c", min(args.ctx, 512),
            "--chunks", 65536 // min(args.ctx, 512), "-t", args.threads)
    print("| size | bits | llama.cpp, type | mean KL | same top | ours, no calibration | same top | ours, calibrated | same top | KL ratio |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for kind in args.types.split(","):
        theirs = path(f"{kind}.gguf")
        run(os.path.join(args.llama, "llama-quantize"), "--imatrix", imatrix, source, theirs, kind, args.threads)
        size = os.path.getsize(theirs)
        rows = [evaluate(theirs)]
        result = compress("plain.gguf", "--size", size)
        rows.append(evaluate(path("plain.gguf")))
        result = compress("calibrated.gguf", "--size", size, "--calibrate", args.calibrate, "--evaluate", args.evaluate,
                          "--evaluation-tokens", 4096)
        rows.append(evaluate(path("calibrated.gguf")))
        assert os.path.getsize(path("plain.gguf")) <= size and os.path.getsize(path("calibrated.gguf")) <= size
        cells = [f"{r['mean_kl']:.5f} ± {r['mean_kl_stderr']:.5f} | {100 * r['same_top1']:.1f} %" for r in rows]
        print(f"| {size:,} | {8 * size / result['parameters']:.2f} | {kind}: {cells[0]} | {cells[1]} | {cells[2]} | "
              f"{rows[2]['mean_kl'] / rows[0]['mean_kl']:.2f} |", flush=True)


main()
