"""GGUFs of every kind of tokenizer in llama.cpp against the tokenizers and sentencepiece libraries on the checkpoint's own files:
token ids with special tokens parsed and not, one chat turn rendered, and a turn that ends at every end token of the model.

usage: vocabulary_interop.py --bin BIN_DIR --root SOURCE_DIR
"""
import json
import os
import struct
import subprocess
import unicodedata
import urllib.request

import gguf
import numpy as np
import sentencepiece
import xllamacpp
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from checks import arguments, check, run_checks, work_directory
from tokenizer_interop import GPT4O, LLAMA3, NASTY, QWEN2, byte_level, corpus, split

TEKKEN = GPT4O.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "").replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SEED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK3 = [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
             r"[!" + '"' + r"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
DEEPSEEK_CODER = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"]
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}<|im_start|>assistant{{ '\\n' }}"
RENDERED = "<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n"
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|stop|>"]  # and <tool>, which is added and not special


def several(*patterns, then=()):
    cuts = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
    return pre_tokenizers.Sequence(cuts + list(then) + [byte_level(use_regex=False)])


def kinds():
    """name of tokenizer.ggml.pre -> (pre-tokenizer, normalizer, options of BPE, which texts agree)."""
    everything = lambda text: True
    # What llama.cpp is known to cut otherwise; compress warns of each.
    no_mixed_case = lambda text: not any(ord(c) > 127 and c.isalpha() for c in text)
    nfc = lambda text: unicodedata.normalize("NFC", text) == text
    digits = pre_tokenizers.Digits(individual_digits=True)
    return {
        "gpt-2": (byte_level(), None, {}, everything),
        "llama-bpe": (split(LLAMA3), None, {"ignore_merges": True}, everything),
        "dbrx": (split(LLAMA3), None, {}, everything),
        "qwen2": (split(QWEN2), normalizers.NFC(), {}, nfc),
        "qwen35": (split(QWEN35), normalizers.NFC(), {}, nfc),
        "smollm": (pre_tokenizers.Sequence([digits, byte_level()]), None, {}, everything),
        "seed-coder": (split(SEED), None, {}, everything),
        "tekken": (split(TEKKEN), None, {"ignore_merges": True}, no_mixed_case),
        "gpt-4o": (split(GPT4O), None, {}, no_mixed_case),
        "deepseek-v3": (several(*DEEPSEEK3), None, {}, everything),
        "deepseek-coder": (several(*DEEPSEEK_CODER, then=[digits]), None, {}, everything),
        "bloom": (several(BLOOM), None, {}, everything),
    }


def write_model(path, rows, **config):
    rng = np.random.default_rng(3)
    width, heads, layers, ffn = 64, 4, 1, 96
    tensors = {"model.embed_tokens.weight": (rows, width), "model.norm.weight": (width,)}
    for name, shape in (("input_layernorm", (width,)), ("post_attention_layernorm", (width,)), ("self_attn.q_proj", (width, width)),
                        ("self_attn.k_proj", (width, width)), ("self_attn.v_proj", (width, width)), ("self_attn.o_proj", (width, width)),
                        ("mlp.gate_proj", (ffn, width)), ("mlp.up_proj", (ffn, width)), ("mlp.down_proj", (width, ffn))):
        tensors[f"model.layers.0.{name}.weight"] = shape
    head, blob = {}, b""
    for name, shape in tensors.items():
        data = (rng.standard_normal(shape) * 0.08 + (1 if len(shape) == 1 else 0)).astype("<f4").tobytes()
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(blob), len(blob) + len(data)]}
        blob += data
    text = json.dumps(head).encode()
    with open(os.path.join(path, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + blob)
    dump(path, "config.json", {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": width, "num_hidden_layers": layers,
                               "num_attention_heads": heads, "num_key_value_heads": heads, "intermediate_size": ffn, "vocab_size": rows,
                               "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True} | config)


def dump(path, name, value):
    with open(os.path.join(path, name), "w", encoding="utf8") as f:
        json.dump(value, f, ensure_ascii=False)


class Llama:
    """A GGUF in llama.cpp's server, in this process."""

    def __init__(self, path):
        params = xllamacpp.CommonParams()
        params.model.path = path
        params.n_ctx = 256
        params.warmup = False
        params.use_jinja = True
        self.server = xllamacpp.Server(params)

    def ask(self, what, **body):
        request = urllib.request.Request(f"{self.server.listening_address}/{what}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def ids(self, text, parse_special):
        return self.ask("tokenize", content=text, add_special=False, parse_special=parse_special)["tokens"]

    def ends_at(self, token):
        """Whether a turn ends where this token is all but certain."""
        done = self.ask("completion", prompt="Hello", n_predict=4, logit_bias=[[token, 1000.0]], temperature=0.0)
        return done.get("stop_type") == "eos"


def same_ids(name, llama, reference, texts):
    wrong = []
    for parse_special in (True, False):
        for text in texts:
            expected, got = reference(text, parse_special), llama.ids(text, parse_special)
            if got != expected:
                at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), min(len(got), len(expected)))
                wrong.append(f"{text[:60]!r} at {at} (special {parse_special}): {got[at:at + 6]} instead of {expected[at:at + 6]}")
    check(f"{name}: ids of {len(texts)} texts, special tokens parsed and not", not wrong, f"{len(wrong)} differ: " + "; ".join(wrong[:3]))


def compressed(bin_dir, path, out):
    done = subprocess.run([os.path.join(bin_dir, "nashswarm"), "compress", path, "-o", out, "--bpw", "9", "--no-cache"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return os.path.join(out, "model.gguf")


def plain(text):
    """No special token that llama.cpp would see in any model, and what it refuses."""
    return text and "\x00" not in text and not any(word in text for word in ("<s>", "</s>", "<unk>", "<|end", "<tool>", "\u017f"))


def byte_levels(bin_dir, root, work):
    lines = corpus(root)
    for name, (pre, normalizer, options, agrees) in kinds().items():
        tokenizer = Tokenizer(models.BPE(**options))
        tokenizer.pre_tokenizer, tokenizer.decoder = pre, decoders.ByteLevel()
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=600, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
        tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in SPECIAL])
        tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
        path = os.path.join(work, name)
        os.mkdir(path)
        tokenizer.save(os.path.join(path, "tokenizer.json"))
        token = tokenizer.token_to_id
        dump(path, "tokenizer_config.json", {"eos_token": "<|im_end|>", "chat_template": TEMPLATE})
        dump(path, "generation_config.json", {"eos_token_id": [token("<|im_end|>"), token("<|stop|>")]})
        write_model(path, tokenizer.get_vocab_size())
        file = compressed(bin_dir, path, path + "-out")
        fields = gguf.GGUFReader(file).fields
        check(f"{name}: tokenizer.ggml.pre", fields["tokenizer.ggml.pre"].contents() == name, fields["tokenizer.ggml.pre"].contents())
        check(f"{name}: general.name is the directory's", fields["general.name"].contents() == name, fields["general.name"].contents())
        llama = Llama(file)

        def reference(text, parse_special):
            tokenizer.encode_special_tokens = not parse_special
            return tokenizer.encode(text, add_special_tokens=False).ids
        texts = [t for t in NASTY if plain(t) and agrees(t)] + ["a<|im_start|>user b<|im_end|>\n", "x<tool>y <tool> z", "<|stop|><|im_end|>"]
        same_ids(name, llama, reference, texts)
        if name in ("gpt-2", "qwen2"):
            prompt = llama.ask("apply-template", messages=[{"role": "user", "content": "Hello there"}])["prompt"]
            check(f"{name}: a chat turn", prompt == RENDERED, repr(prompt))
            ends = {t: llama.ends_at(token(t)) for t in ("<|im_end|>", "<|stop|>", "<tool>")}
            check(f"{name}: a turn ends at every end token, and nowhere else", ends == {"<|im_end|>": True, "<|stop|>": True, "<tool>": False}, str(ends))
        del llama


def pieces(bin_dir, root, work):
    """A SentencePiece model with symbols of its own, and the same as tokenizer.json alone."""
    text = os.path.join(work, "text.txt")
    with open(text, "w", encoding="utf8") as f:
        f.writelines(line.replace("\x00", "") for line in corpus(root))
    path = os.path.join(work, "sentencepiece")
    os.mkdir(path)
    sentencepiece.SentencePieceTrainer.train(input=text, model_prefix=os.path.join(path, "tokenizer"), vocab_size=1200, model_type="bpe",
                                             byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
                                             add_dummy_prefix=False, user_defined_symbols=["<start_of_turn>", "<end_of_turn>", "<b>"],
                                             hard_vocab_limit=False, minloglevel=2)
    processor = sentencepiece.SentencePieceProcessor(os.path.join(path, "tokenizer.model"))
    os.remove(os.path.join(path, "tokenizer.vocab"))
    end = processor.piece_to_id("<end_of_turn>")
    dump(path, "tokenizer_config.json", {"tokenizer_class": "GemmaTokenizer", "added_tokens_decoder": {
        str(processor.piece_to_id(t)): {"content": t, "special": True} for t in ("<start_of_turn>", "<end_of_turn>")}})
    dump(path, "generation_config.json", {"eos_token_id": [processor.eos_id(), end]})
    write_model(path, processor.get_piece_size(), bos_token_id=1, eos_token_id=2)
    llama = Llama(compressed(bin_dir, path, path + "-out"))
    texts = [t for t in NASTY if plain(t) and "▁" not in t] + ["a<b>c <b>", "<start_of_turn>user\nhi<end_of_turn>\n"]
    wrong = [(t, llama.ids(t, True), processor.encode(t)) for t in texts if llama.ids(t, True) != processor.encode(t)]
    check(f"sentencepiece: ids of {len(texts)} texts with symbols", not wrong, str(wrong[:2])[:600])
    check("sentencepiece: a turn ends at <end_of_turn>", llama.ends_at(end) and llama.ends_at(processor.eos_id()))
    del llama


def main():
    args = arguments()
    with work_directory(talkative=True) as work:
        byte_levels(args.bin, args.root, work)
        pieces(args.bin, args.root, work)


if __name__ == "__main__":
    run_checks("vocabulary interop", main)
