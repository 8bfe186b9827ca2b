"""`eval` against an independent computation: perplexity by transformers, in the three ways of cutting a text.

usage: eval_interop.py --bin BIN_DIR --root SOURCE_DIR
       eval_interop.py --write tests/data/text --root SOURCE_DIR   samples a text from the bundled model and records its
                                                                   perplexities for tests/unit/evaluate/recorded_test.cc
"""
import json
import math
import os
import subprocess

import torch
import transformers

from checks import arguments, check, run_checks, work_directory

SHARED_TEXT = "../shared/data/wikitext2/eval.txt"
TEXT_BYTES = 60_000  # some 20 thousand tokens
TOLERANCE = 1e-3     # relative, as promised
CONTEXT = 256


def ours(args, text, *flags):
    done = subprocess.run([os.path.join(args.bin, "nashswarm-engine"), "eval", args.model, "--text", text, "--json", *flags],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def nll(model, tokens, first, last=None):
    """Negative log likelihoods of tokens[first:last], each predicted from all before it."""
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].double()
    logp = torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(tokens[1:])[:, None])[:, 0]
    return -logp[first - 1:]


def half(model, ids):
    losses = [nll(model, ids[i:i + CONTEXT], CONTEXT // 2 + 1) for i in range(0, len(ids) - CONTEXT + 1, CONTEXT)]
    return torch.cat(losses)


def strided(model, ids, stride):
    """The loop of the guide "Perplexity of fixed-length models", averaged over tokens."""
    losses, previous_end = [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + CONTEXT, len(ids))
        losses.append(nll(model, ids[begin:end], max(previous_end - begin, 1)))
        previous_end = end
        if end == len(ids):
            break
    return torch.cat(losses)


def padded(model, tokenizer, text, eos):
    losses = []
    for line in text.split("\n"):
        if len(line) >= 20:
            ids = tokenizer.encode(line)[:64]
            losses.append(nll(model, ids + [eos] * (64 - len(ids)), 1))
    return torch.cat(losses)


def compare(name, theirs, result):
    expected = math.exp(theirs.mean().item())
    difference = abs(result["perplexity"] / expected - 1)
    check(f"{name}: perplexity {result['perplexity']:.4f}, transformers {expected:.4f} ({difference:.1e}), {result['tokens']} and "
          f"{len(theirs)} tokens", difference <= TOLERANCE and result["tokens"] == len(theirs), f"more than {TOLERANCE} apart")


def write_recorded(model, tokenizer, out):
    torch.manual_seed(0)
    text = ""
    start = torch.tensor([[tokenizer.bos_token_id]] * 16)
    for row in model.generate(start, do_sample=True, max_length=CONTEXT, top_p=0.95, pad_token_id=tokenizer.eos_token_id):
        text += tokenizer.decode(row, skip_special_tokens=True).strip() + "\n"
    ids = tokenizer.encode(text)
    eos = tokenizer.eos_token_id
    recorded = {"made by": f"transformers {transformers.__version__}, torch {torch.__version__}"}
    for name, losses in (("half", half(model, ids)), ("strided", strided(model, ids, 100)),
                         ("padded64", padded(model, tokenizer, text, eos))):
        recorded[name] = {"perplexity": math.exp(losses.mean().item()), "tokens": len(losses)}
    with open(out + ".txt", "w", encoding="utf8", newline="") as f:
        f.write(text)
    with open(out + ".perplexity.json", "w") as f:
        json.dump(recorded, f, indent=1)


def main():
    args = arguments(writes=True)
    os.chdir(args.root or ".")
    args.model = "tests/data/gpt2-wiki-6m"
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    if args.write:
        return write_recorded(model, tokenizer, args.write)
    source = SHARED_TEXT if os.path.exists(SHARED_TEXT) else "docs/operations.md"
    text = open(source, encoding="utf8").read(TEXT_BYTES)
    ids = tokenizer.encode(text)
    with work_directory() as work:
        path = os.path.join(work, "text")
        with open(path, "w", encoding="utf8") as f:
            f.write(text)
        compare("half", half(model, ids), ours(args, path))
        compare("strided", strided(model, ids, 100), ours(args, path, "--stride", "100"))
        compare("padded64", padded(model, tokenizer, text, tokenizer.eos_token_id),
                ours(args, path, "--protocol", "padded64"))


if __name__ == "__main__":
    run_checks("eval interop", main)
