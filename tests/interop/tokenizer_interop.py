"""Our token ids against the tokenizers other people wrote: Hugging Face's tokenizers, SentencePiece, llama.cpp.

Texts are meant to be nasty, and the tokenizers cover every kind of file the engine reads: the models at hand, and small
ones trained here with the pre-tokenizers of GPT-2, Llama 2 and 3, Qwen2 and SmolLM.

usage: tokenizer_interop.py --bin BIN_DIR --root SOURCE_DIR
"""
import json
import os
import random
import subprocess
import urllib.request

import gguf
import numpy as np
import sentencepiece
import tokenizers
import xllamacpp
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from checks import arguments, check, run_checks, skip, work_directory

SHARED = "../shared/models"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

NASTY = [
    "Hello world, it's 2024: she'LL say 'tis 'S fine; don't DON'T we'Ve I'M you're 'd'll '\u017f",
    "👩‍👩‍👧‍👦 family 👍🏽 flags 🇩🇪🇫🇷 keycap 1️⃣ heart ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "中文字符，日本語テキスト、한국어 텍스트。「引用」１２３ 全角",
    "العربية نص تجريبي ١٢٣ עברית हिन्दी १२३ ไทย ၁၂၃",
    "cafe\u0301 vs café, A\u030a Å \u212b, ﬁ ligature, \u1e9b\u0323, q\u0307\u0323, \u0344, 가 vs \u1100\u1161",
    "def f(x):\n\treturn {'a': [1, 2.5e-3], \"b\": x**2}  # comment\n\n\nif __name__ == \"__main__\":\n    f(0x1F)\n",
    "tabs\t\t\tand CRLF\r\nlines\r\n\r\n\r\nend\r", " leading", "  two leading", "trailing ", "trailing   ", "\n", " ", "   ",
    "a" + " " * 500 + "b" + "\n" * 300 + "c" + " \n" * 50 + "\t \t d", "x " * 100, "word" * 300, "é" * 400, "😀" * 50,
    "1234567890 12 345 6 ½ ² ³¹ Ⅷ ٣ 1,000,000.00 -7",
    "".join(chr(c) for c in range(0, 0x180)), "\x00\x01\x02 NUL \x00", "\u00a0\u2003\u3000\u200b\u2028\u2029\u0085\u180e x\u180ey",
    "\ufeffBOM \ufffd \uffff \U0010ffff \ue000", "ǅ Ǆ ǆ ß ẞ İ ı ſ K",
    "<|endoftext|>", "a<|endoftext|>b <|endoftext|> <|endoftext|>\n", "<s>text</s> <unk> <s> </s>", "<|start_story|>Once <|end_story|>",
    "<tool>  call </tool> x<tool>y mask  <mask>  end <word>-<word> a<word> <word>b", "<|endoftext", "|endoftext|>", "<0x0A> <0x41>",
    "▁under ▁▁ score▁", "http://example.com/a?b=c&d=%20#e user@example.org C:\\path\\file.txt",
    "The quick brown fox jumps over the lazy dog. " * 20, "",
]
# Broken UTF-8: bytes to us, and to others what Python decodes them to.
BROKEN = [b"\xff", b"a\xc3", b"\xe2\x82", b"\xe2\x82(", b"\xf0\x9f\x98", b"\xf0\x9f\x98 x", b"\xed\xa0\x80\xed\xbf\xbf", b"\xc0\xaf\xc1",
          b"\xf5\x80\x80\x80", b"\xf4\x90\x80\x80", b"\x80\xbf ok \xe0\x80\x80", b"good \xe4\xbd\xa0 bad \xe4\xbd end"]


def fuzz_texts(count, seed):
    rng = random.Random(seed)
    alphabets = ["etaoin shrdlu", "ETAOIN'sS tTlLdD", " \t\n\r\u00a0\u3000", "0123456789٣½", ".,;:!?'\"()[]{}<>|/\\-_=+", "éüßñçøåÅ",
                 "\u0301\u0308\u0323\u0327\u20dd", "中文日本語한국", "العربيةעברית", "😀👍🏽\u200d❤\ufe0f🇩🇪", "\x00\x01\x1b\x7f\u200b\ufeff", "▁ĠĊ"]
    words = ["<|endoftext|>", "<s>", "</s>", "<tool>", "<mask>", "<word>", " the", "n't", "'ll", "function", "\r\n", "    "]
    for _ in range(count):
        text = ""
        while len(text) < rng.randint(1, 400):
            kind = rng.random()
            if kind < 0.1:
                text += rng.choice(words)
            elif kind < 0.15:
                text += chr(rng.choice([c for c in (rng.randint(0, 0x2fff), rng.randint(0x1f300, 0x1f64f)) if not 0xd800 <= c < 0xe000]))
            else:
                text += "".join(rng.choice(rng.choice(alphabets)) for _ in range(rng.randint(1, 8)))
        yield text


TEXTS = [text.encode() for text in NASTY] + BROKEN + [text.encode() for text in fuzz_texts(60, 7)]


def ours(bin_dir, path, data):
    done = subprocess.run([os.path.join(bin_dir, "nashswarm-engine"), "tokenize", path, "--json"], input=data, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"tokenize {path}: {done.stderr.decode()}")
    return json.loads(done.stdout)


def compare(bin_dir, name, path, reference, texts=None):
    """`reference`: text -> ids."""
    texts = TEXTS if texts is None else texts
    wrong, ids = [], 0
    for data in texts:
        expected = reference(data.decode(errors="replace"))
        got = ours(bin_dir, path, data)
        ids += len(expected)
        if got != expected:
            at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), min(len(got), len(expected)))
            wrong.append(f"{data[:80]!r} at {at}: {got[at:at + 8]} instead of {expected[at:at + 8]}")
    check(f"{name}: {len(texts)} texts, {ids} ids", not wrong, f"{len(wrong)} texts differ: " + "; ".join(wrong[:3]))


def corpus(root):
    with open(os.path.join(root, "README.md"), encoding="utf8") as f:
        lines = f.read().splitlines(keepends=True)
    return [text for text in NASTY if text] * 3 + lines


def trained(pre, normalizer=None, vocab=600, added=(), model=None, alphabet=True, decoder=None):
    tokenizer = Tokenizer(model or models.BPE())
    if pre is not None:
        tokenizer.pre_tokenizer = pre
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoder or decoders.ByteLevel()
    return tokenizer, trainers.BpeTrainer(vocab_size=vocab, show_progress=False,
                                          initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [],
                                          special_tokens=["<unk>", "<s>", "</s>", "<|endoftext|>"] + list(added))


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_level(**flags):
    return pre_tokenizers.ByteLevel(**({"add_prefix_space": False} | flags))


def synthetic():
    """name -> (tokenizer, trainer), for every kind of tokenizer.json."""
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    llama2 = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level()])
    falcon = pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), byte_level(), pre_tokenizers.Digits(False),
                                      pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])
    fallback = dict(byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    return {
        "GPT-2": trained(byte_level()),
        "GPT-2 with a space before": trained(byte_level(add_prefix_space=True)),
        "Llama 3": trained(split(LLAMA3)),
        "Llama 3, ignore_merges": trained(split(LLAMA3), model=models.BPE(ignore_merges=True)),
        "Qwen2": trained(split(QWEN2), normalizers.NFC()),
        "GPT-4o": trained(split(GPT4O)),
        "SmolLM (digits)": trained(digits),
        "Falcon (punctuation, digits)": trained(falcon),
        "digits together": trained(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), byte_level()])),
        "NFKC": trained(byte_level(), normalizers.NFKC()), "NFD": trained(byte_level(), normalizers.NFD()),
        "NFKD, lower case": trained(byte_level(), normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase()])),
        "strip": trained(byte_level(), normalizers.Strip()),
        "replaced pattern": trained(byte_level(), normalizers.Replace(Regex(r"\s{2,}"), " ")),
        "removed spaces": trained(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), byte_level(use_regex=False)])),
        "Whitespace": trained(pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), byte_level(use_regex=False)])),
        "Llama 2 (byte fallback)": trained(None, llama2, 800, bytes_, models.BPE(**fallback), False),
        "Gemma (split at spaces)": trained(pre_tokenizers.Split(" ", "merged_with_previous"), normalizers.Replace(" ", "▁"), 800, bytes_,
                                           models.BPE(**fallback), False),
        "Metaspace, first": trained(pre_tokenizers.Metaspace(prepend_scheme="first"), None, 800, bytes_, models.BPE(**fallback), False),
        "Metaspace, always, whole": trained(pre_tokenizers.Metaspace(prepend_scheme="always", split=False), None, 800, bytes_,
                                            models.BPE(**fallback), False),
        "unknown, fused": trained(pre_tokenizers.Metaspace(), None, 150, (), models.BPE(unk_token="<unk>", fuse_unk=True), False),
        "unknown, each": trained(pre_tokenizers.Metaspace(), None, 150, (), models.BPE(unk_token="<unk>"), False),
        "no unknown": trained(pre_tokenizers.Metaspace(), None, 150, (), models.BPE(), False),
        "merged with next": trained(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\s"), "merged_with_next"), byte_level(use_regex=False)])),
        "inverted, contiguous": trained(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\w"), "contiguous", invert=True), byte_level(use_regex=False)])),
    }


def train_all(bin_dir, root, work):
    text = corpus(root)
    for number, (name, (tokenizer, trainer)) in enumerate(synthetic().items()):
        if name.startswith(("unknown", "no unknown")):
            tokenizer.train_from_iterator(["the quick brown fox doesn't know that the dog is lazy"] * 5, trainer)
        else:
            tokenizer.train_from_iterator(text, trainer)
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
        tokenizer.add_tokens([AddedToken("<tool>", rstrip=True, normalized=False), AddedToken("<word>", single_word=True, normalized=False),
                              AddedToken(" the dog", normalized=True), AddedToken("É", normalized=True), AddedToken("don't", normalized=False)])
        path = os.path.join(work, f"synthetic-{number}")
        os.mkdir(path)
        tokenizer.save(os.path.join(path, "tokenizer.json"))
        compare(bin_dir, f"{name} (trained)", path, lambda s, t=tokenizer: t.encode(s, add_special_tokens=False).ids)
        if name == "GPT-2":
            files = os.path.join(work, "vocab-and-merges")
            os.mkdir(files)
            tokenizer.model.save(files)
            bare = Tokenizer(models.BPE.from_file(os.path.join(files, "vocab.json"), os.path.join(files, "merges.txt")))
            bare.pre_tokenizer = byte_level()
            bare.add_special_tokens(["<|endoftext|>"])
            compare(bin_dir, "vocab.json with merges.txt", files, lambda s: bare.encode(s, add_special_tokens=False).ids)


def at_hand(bin_dir, root):
    bundled = os.path.join(root, "tests/data/gpt2-wiki-6m")
    for name, path in (("gpt2-wiki-6m", bundled), ("tinystories-656k-llama", os.path.join(root, SHARED, "tinystories-656k-llama"))):
        if not os.path.isdir(path):
            skip(name, f"{path} is not on this machine")
            continue
        tokenizer = Tokenizer.from_file(os.path.join(path, "tokenizer.json"))
        compare(bin_dir, name, path, lambda s, t=tokenizer: t.encode(s, add_special_tokens=False).ids)
    path = os.path.join(root, SHARED, "stories260K/hf")
    if not os.path.isdir(path):
        return skip("stories260K", f"{path} is not on this machine")
    processor = sentencepiece.SentencePieceProcessor(os.path.join(path, "tokenizer.model"))
    # The library takes control tokens written in a text for text; transformers and we do not.
    texts = [data for data in TEXTS if not any(token in data for token in (b"<s>", b"</s>", b"<unk>"))]
    compare(bin_dir, "stories260K (sentencepiece)", path, processor.encode, texts)


def rewritten(source, target, changes):
    """A copy of a GGUF file with other tokenizer metadata: key -> (value, type or None to leave it out)."""
    reader = gguf.GGUFReader(source)
    architecture = reader.get_field("general.architecture").contents()
    writer = gguf.GGUFWriter(target, architecture)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture" or field.name in changes:
            continue
        sub = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=sub)
    for key, (value, kind) in changes.items():
        if kind is not None:
            writer.add_key_value(key, value, kind)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def against_llama(bin_dir, name, path, texts):
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = 128
    params.warmup = False
    server = xllamacpp.Server(params)

    def reference(text):
        request = urllib.request.Request(server.listening_address + "/tokenize",
                                         json.dumps({"content": text, "add_special": False, "parse_special": True}).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["tokens"]

    compare(bin_dir, f"{name} (llama.cpp)", path, reference, texts)
    del server


def ggufs(bin_dir, root, work):
    valid = [data for data in TEXTS if data.decode(errors="replace").encode() == data and data]
    pre = "tokenizer.ggml.pre"
    string = gguf.GGUFValueType.STRING
    variants = {
        os.path.join(root, "tests/data/gpt2-wiki-6m"): [("gpt-2", {})] + [(p, {pre: (p, string)}) for p in ("llama-bpe", "qwen2", "smollm", "default")],
        os.path.join(root, SHARED, "stories260K/hf"): [
            ("llama", {}), ("llama without a space before", {"tokenizer.ggml.add_space_prefix": (False, gguf.GGUFValueType.BOOL)})],
        os.path.join(root, SHARED, "tinystories-656k-llama"): [("llama from merges", {})],
    }
    for model, changes in variants.items():
        name = os.path.relpath(model, os.path.dirname(os.path.dirname(model))) if model.endswith("hf") else os.path.basename(model)
        if not os.path.isdir(model):
            skip(f"{name} as GGUF", f"{model} is not on this machine")
            continue
        out = os.path.join(work, "gguf-" + name.replace("/", "-"))
        done = subprocess.run([os.path.join(bin_dir, "nashswarm"), "compress", model, "-o", out, "--bpw", "8"], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        for number, (kind, change) in enumerate(changes):
            path = os.path.join(work, f"{os.path.basename(out)}-{number}.gguf")
            rewritten(os.path.join(out, "model.gguf"), path, change)
            # Without byte tokens llama.cpp refuses what is not in the vocabulary.
            texts = valid if "tinystories" not in name else [d for d in valid if d.isascii() and d.decode().replace(" ", "").isalpha()]
            against_llama(bin_dir, f"{name}, {kind}", path, texts)


def main():
    args = arguments()
    print(f"tokenizers {tokenizers.__version__}, sentencepiece {sentencepiece.__version__}, gguf and llama.cpp as in requirements.txt")
    with work_directory(talkative=True) as work:
        at_hand(args.bin, args.root)
        train_all(args.bin, args.root, work)
        ggufs(args.bin, args.root, work)


if __name__ == "__main__":
    run_checks("tokenizer interop", main)
