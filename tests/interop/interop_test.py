"""Our GGUF in other people's hands: every tensor decodes to the same bits in the gguf package, and llama.cpp loads the
file, splits text into the tokens the model's own tokenizer makes, and writes from it.

usage: interop_test.py --bin BIN_DIR --root SOURCE_DIR
"""
import json
import os
import re
import struct
import subprocess
import tempfile
import urllib.request

import gguf
import numpy as np
import sentencepiece
import tokenizers
import xllamacpp

from checks import arguments, check, run_checks, skip, work_directory

SHARED = "../shared/models"
TEXT = "Once upon a time there were 12 little dogs, and they didn't   know that café 😀 is open.\n\tdef f(x): return x"
# For vocabularies without byte tokens, in which llama.cpp cannot spell what is not in them.
PLAIN_TEXT = "Once upon a time there was a little dog, and she didn't know that the big red ball was hers."


def compress(bin_dir, model, out, *flags):
    command = [os.path.join(bin_dir, "nashswarm"), "compress", model, "-o", out, "--json", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)


def read_safetensors(path):
    with open(path, "rb") as f:
        length = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(length))
        data = f.read()
    return {name: np.frombuffer(data[e["data_offsets"][0]:e["data_offsets"][1]], "<u4").reshape(e["shape"])
            for name, e in header.items() if name != "__metadata__"}


def same_bits(bin_dir, artifact, name):
    """Every tensor: gguf's own dequantizer against ours."""
    dense = tempfile.mkdtemp(dir=os.path.dirname(artifact))
    subprocess.run([os.path.join(bin_dir, "nashswarm-engine"), "unpack", artifact, "-o", dense], check=True,
                   capture_output=True)
    ours = read_safetensors(os.path.join(dense, "model.safetensors"))
    reader = gguf.GGUFReader(os.path.join(artifact, "model.gguf"))
    formats, wrong = set(), []
    for tensor in reader.tensors:
        theirs = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype("<f4")
        formats.add(tensor.tensor_type.name)
        mine = ours[tensor.name]
        if not np.array_equal(theirs.reshape(mine.shape).view("<u4"), mine):
            wrong.append(f"{tensor.name} ({tensor.tensor_type.name})")
    check(f"{name}: {len(reader.tensors)} tensors in {', '.join(sorted(formats))} decode to the same bits", not wrong,
          ", ".join(wrong))
    check(f"{name}: the gguf package sees the same tensors", len(reader.tensors) == len(ours))
    return formats


def rules_for_every_format(model):
    """One format after another over the matrices of the bundled checkpoint, so that one file holds them all."""
    formats = ["Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL",
               "IQ4_XS", "MXFP4", "BF16", "F16", "F32"]
    with open(os.path.join(model, "model.safetensors"), "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    matrices = sorted(n for n, e in header.items() if n != "__metadata__" and len(e["shape"]) == 2)
    flags = []
    for i, tensor in enumerate(matrices):
        flags += ["--rule", tensor.replace(".", "\\.") + "=" + formats[i % len(formats)]]
    return flags


def llama(artifact):
    params = xllamacpp.CommonParams()
    params.model.path = os.path.join(artifact, "model.gguf")
    params.n_ctx = 128
    params.cpuparams.n_threads = 2
    params.warmup = False
    return xllamacpp.Server(params)


def ask(server, path, body):
    request = urllib.request.Request(server.listening_address + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def runs_in_llama(artifact, model, name, prompt):
    server = llama(artifact)
    answer = server.handle_completions({"prompt": prompt, "max_tokens": 16, "temperature": 0})
    if isinstance(answer, (str, bytes)):
        answer = json.loads(answer)
    text = answer["choices"][0]["text"]
    words = re.findall(r"[A-Za-z]{2,}", text)
    check(f"{name}: llama.cpp writes {text!r}", len(words) >= 4, "no words came out")
    text, expected = reference_tokens(model)
    got = ask(server, "/tokenize", {"content": text, "add_special": False})["tokens"]
    check(f"{name}: llama.cpp splits a text into the tokenizer's own {len(expected)} tokens", got == expected,
          f"{got} instead of {expected}")


def reference_tokens(model):
    """A text, and its ids in the model's own tokenizer."""
    if os.path.exists(os.path.join(model, "tokenizer.model")):
        # This model's normalizer folds runs of spaces, which llama.cpp does for no SentencePiece model.
        text = TEXT.replace("   ", " ")
        return text, sentencepiece.SentencePieceProcessor(os.path.join(model, "tokenizer.model")).encode(text)
    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    byte_level = "Ġ" in tokenizer.get_vocab() or any(t.startswith("<0x") for t in tokenizer.get_vocab())
    text = TEXT if byte_level else PLAIN_TEXT
    return text, tokenizer.encode(text, add_special_tokens=False).ids


def main():
    args = arguments()
    bundled = os.path.join(args.root, "tests/data/gpt2-wiki-6m")
    models = [(bundled, "gpt2-wiki-6m", "The history of the", ["4.5", "3.5"])]
    for path, name, prompt, bits in (
            (f"{SHARED}/stories260K/hf", "stories260K", "Once upon a time", "6.5"),
            (f"{SHARED}/tinystories-656k-llama", "tinystories-656k", "Once upon a time", "6.5"),
            (f"{SHARED}/moe-wiki-8m", "moe-wiki-8m", "The history of the", "4.5")):
        path = os.path.join(args.root, path)
        if os.path.isdir(path):
            models.append((path, name, prompt, [bits]))
        else:
            skip(name, f"{path} is not on this machine")

    with work_directory(talkative=True) as work:
        out = os.path.join(work, "every-format")
        compress(args.bin, bundled, out, "--size", "60MB", *rules_for_every_format(bundled))
        formats = same_bits(args.bin, out, "every format")
        check("every format: all 16 are in the file", len(formats) == 16, str(sorted(formats)))
        runs_in_llama(out, bundled, "every format", "The history of the")
        for path, name, prompt, rates in models:
            for bits in rates:
                out = os.path.join(work, f"{name}-{bits}")
                compress(args.bin, path, out, "--bpw", bits)
                same_bits(args.bin, out, f"{name} at {bits} bits")
                runs_in_llama(out, path, f"{name} at {bits} bits", prompt)


if __name__ == "__main__":
    run_checks("interop", main)
