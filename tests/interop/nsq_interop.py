"""Our nsq artifacts in another reader's hands: nsq_reader.py, which knows the format from its documents alone, decodes every
tensor to the bits that unpack gives, and refuses damaged files.

usage: nsq_interop.py --bin BIN_DIR --root SOURCE_DIR
"""
import json
import os
import shutil
import struct
import subprocess
import time
import zlib

import numpy as np

import nsq_reader

from checks import arguments, check, run_checks, work_directory

# What the artifacts below have in them, if they are to show anything.
EXPECTED = {"1 lanes", "2 lanes", "8 lanes", "32 lanes", "escapes", "side array of mode 0", "side array of mode 1",
            "several tiles"}


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


def read_safetensors(directory):
    with open(os.path.join(directory, "model.safetensors"), "rb") as f:
        length = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(length))
        data = f.read()
    return {name: np.frombuffer(data[e["data_offsets"][0]:e["data_offsets"][1]], "<u4").reshape(e["shape"])
            for name, e in header.items() if name != "__metadata__"}


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + 4 * values.size]}
        at += 4 * values.size
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(v.astype("<f4").tobytes() for v in tensors.values()))


def tiny_gpt2(bundled, path):
    """One layer of odd sizes, with outliers and a matrix of zeros; tokenizer and configuration from the bundled model."""
    shutil.copytree(bundled, path, ignore=shutil.ignore_patterns("*.safetensors"))
    with open(os.path.join(bundled, "config.json")) as f:
        config = json.load(f)
    width, vocabulary = 24, config["vocab_size"]
    config.update(n_embd=width, n_layer=1, n_head=2, n_positions=40, n_ctx=40, n_inner=None)
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump(config, f)
    with open(os.path.join(bundled, "model.safetensors"), "rb") as f:
        names = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    prefix = "transformer." if any(n.startswith("transformer.") for n in names) else ""
    layer = prefix + "h.0."
    shapes = {prefix + "wte.weight": (vocabulary, width), prefix + "wpe.weight": (40, width),
              layer + "attn.c_attn.weight": (width, 3 * width), layer + "attn.c_attn.bias": (3 * width,),
              layer + "attn.c_proj.weight": (width, width), layer + "attn.c_proj.bias": (width,),
              layer + "mlp.c_fc.weight": (width, 4 * width), layer + "mlp.c_fc.bias": (4 * width,),
              layer + "mlp.c_proj.weight": (4 * width, width), layer + "mlp.c_proj.bias": (width,)}
    for norm in (layer + "ln_1", layer + "ln_2", prefix + "ln_f"):
        shapes[norm + ".weight"] = shapes[norm + ".bias"] = (width,)
    random = np.random.default_rng(1)
    tensors = {}
    for name, shape in shapes.items():
        values = 0.05 * random.standard_normal(shape)
        if len(shape) == 2:
            values *= 1 + 3 * random.random(shape[1])
            values[random.random(shape) < 1e-3] *= 100
        tensors[name] = values
    tensors[layer + "mlp.c_proj.weight"][:] = 0
    write_safetensors(os.path.join(path, "model.safetensors"), tensors)


def same_bits(bin_dir, artifact, name):
    dense = artifact + "-dense"
    run(os.path.join(bin_dir, "nashswarm"), "unpack", artifact, "-o", dense, "--dtype", "f32")
    ours = read_safetensors(dense)
    begun = time.monotonic()
    theirs = nsq_reader.Artifact(artifact)
    wrong = [n for n in theirs.entries if n not in ours or not np.array_equal(theirs.tensor(n).view("<u4"), ours[n])]
    weights = sum(values.size for values in ours.values())
    check(f"{name}: {len(ours)} tensors, {weights} weights decode to the same bits ({time.monotonic() - begun:.0f} s)", not wrong,
          ", ".join(wrong))
    check(f"{name}: transformers is told what to do", "import nashswarm" in json.load(open(os.path.join(artifact, "config.json")))["transformers_weights"])
    check(f"{name}: the reader sees the same tensors", set(theirs.entries) == set(ours))
    coded = [e["coding"] for e in theirs.entries.values()]
    check(f"{name}: it has matrices and plain tensors", any(c.startswith("nsq") for c in coded) and
          any(not c.startswith("nsq") for c in coded), str(coded))


def refuses_damage(artifact, work):
    """One bit, somewhere in each part of the file."""
    good = nsq_reader.Artifact(artifact)
    with open(os.path.join(artifact, "model.nsq"), "rb") as f:
        data = f.read()
    block = len(data) - len(good.block)
    places = {"the length": (3, None), "the header": (30, None), "the index": (block - 30, None)}
    for name, entry in good.entries.items():
        for share in (0.02, 0.5, 0.98):
            places[f"{name} at {share}"] = (block + entry["offset"] + int(share * (entry["bytes"] - 1)), name)
    missed = []
    for where, (at, tensor) in places.items():
        changed = bytearray(data)
        changed[at] ^= 4
        with open(os.path.join(work, "model.nsq"), "wb") as f:
            f.write(changed)
        try:
            damaged = nsq_reader.Artifact(work)
            for name in damaged.entries if tensor is None else [tensor]:
                damaged.tensor(name)
            missed.append(where)
        except (nsq_reader.Damage, zlib.error, ValueError):
            pass
    check(f"damage: a flipped bit is refused in each of {len(places)} places", not missed, ", ".join(missed))


def main():
    args = arguments()
    bundled = os.path.join(args.root, "tests/data/gpt2-wiki-6m")
    compress = [os.path.join(args.bin, "nashswarm"), "compress", "--json", "--format", "nsq"]
    with work_directory() as work:
        tiny, out = os.path.join(work, "tiny"), os.path.join(work, "tiny-nsq")
        tiny_gpt2(bundled, tiny)
        run(*compress, tiny, "-o", out, "--bpw", "4")
        same_bits(args.bin, out, "a tiny model")
        first = os.path.join(work, "tiny-as-first-written")
        shutil.copytree(out, first)
        os.rename(os.path.join(first, "model.nsq"), os.path.join(first, "model.safetensors"))
        same_bits(args.bin, first, "a tiny model under the first writers' name")
        os.mkdir(os.path.join(work, "damaged"))
        refuses_damage(out, os.path.join(work, "damaged"))
        # With a text the scales of columns differ.
        out = os.path.join(work, "wiki-nsq")
        run(*compress, bundled, "-o", out, "--bpw", "2.5", "--calibrate", os.path.join(args.root, "tests/data/text.txt"),
            "--calibration-tokens", "2048")
        same_bits(args.bin, out, "gpt2-wiki-6m, calibrated")
    missing = EXPECTED - nsq_reader.seen
    check("what was read has everything that the format has to offer here", not missing, ", ".join(sorted(missing)) + " was not met")


if __name__ == "__main__":
    run_checks("nsq interop", main)
