#!/usr/bin/env python3
"""Inputs as people have them: what is no source to compress, GGUF files in parts and in types that cannot be decoded, checkpoints
that are only awkward. Messages name the user's files and no directory of a server. See cli_harness.py for what it needs."""
import array
import json
import math
import random
import struct
import sys
import unittest

sys.dont_write_bytecode = True  # a test leaves nothing behind in the source

from cli_harness import SOURCE, TemporaryTest, run

TEXT = SOURCE / "tests" / "data" / "text.txt"
WIDTH, FFN, VOCABULARY, LAYERS = 64, 96, 266, 2
MERGES = ["t h", "th e", "Ġ the", "i n", "a n", "an d", "Ġ and", "e r", "o f", "Ġ of"]
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "ab" * 32 + "\nsize 5000000\n"


def byte_characters():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) if byte in plain else chr(256 + others.index(byte)) for byte in range(256)]


def vocabulary():
    tokens = byte_characters() + [merge.replace(" ", "") for merge in MERGES]
    return {token: place for place, token in enumerate(tokens)}


def tokenizer():
    return {"version": "1.0", "added_tokens": [], "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": vocabulary(), "merges": MERGES}}


def weights(seed, *shape, mean=0.0, deviation=0.08):
    source = random.Random(seed)
    return shape, array.array("f", (source.gauss(mean, deviation) for _ in range(math.prod(shape)))).tobytes()


def write_safetensors(path, tensors):
    """tensors: name -> (shape, bytes of floats) or (shape, bytes, dtype)."""
    head, data = {}, b""
    for name, tensor in tensors.items():
        end = len(data) + len(tensor[1])
        head[name] = {"dtype": tensor[2] if len(tensor) > 2 else "F32", "shape": list(tensor[0]), "data_offsets": [len(data), end]}
        data += tensor[1]
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def llama():
    tensors = {"model.embed_tokens.weight": weights("embed", VOCABULARY, WIDTH), "model.norm.weight": weights("norm", WIDTH, mean=1)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        shapes = {"self_attn.q_proj": (WIDTH, WIDTH), "self_attn.k_proj": (WIDTH // 2, WIDTH), "self_attn.v_proj": (WIDTH // 2, WIDTH),
                  "self_attn.o_proj": (WIDTH, WIDTH), "mlp.gate_proj": (FFN, WIDTH), "mlp.up_proj": (FFN, WIDTH),
                  "mlp.down_proj": (WIDTH, FFN)}
        for name, shape in shapes.items():
            tensors[prefix + name + ".weight"] = weights(prefix + name, *shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[prefix + name + ".weight"] = weights(prefix + name, WIDTH, mean=1)
    config = {"model_type": "llama", "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
              "num_key_value_heads": 2, "intermediate_size": FFN, "vocab_size": VOCABULARY, "max_position_embeddings": 128,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True}
    return config, tensors


def gpt2():
    tensors = {"wte.weight": weights("wte", VOCABULARY, WIDTH, deviation=0.15), "wpe.weight": weights("wpe", 64, WIDTH, deviation=0.15)}
    for layer in range(3):
        for name, inputs, outputs in (("attn.c_attn", WIDTH, 3 * WIDTH), ("attn.c_proj", WIDTH, WIDTH), ("mlp.c_fc", WIDTH, 4 * WIDTH),
                                      ("mlp.c_proj", 4 * WIDTH, WIDTH)):
            tensors[f"h.{layer}.{name}.weight"] = weights(f"{layer}{name}", inputs, outputs, deviation=0.2)
            tensors[f"h.{layer}.{name}.bias"] = weights(f"{layer}{name}b", outputs)
    for norm in [f"h.{layer}.ln_{n}" for layer in range(3) for n in (1, 2)] + ["ln_f"]:
        tensors[norm + ".weight"] = weights(norm, WIDTH, mean=1)
        tensors[norm + ".bias"] = weights(norm + "b", WIDTH)
    config = {"model_type": "gpt2", "n_layer": 3, "n_head": 4, "n_embd": WIDTH, "n_positions": 64, "vocab_size": VOCABULARY}
    return config, tensors


def gguf_value(key, value):
    text = lambda s: struct.pack("<Q", len(s.encode())) + s.encode()
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", 6, value)
    if isinstance(value, int):
        return text(key) + struct.pack("<II", 4, value)
    kind, code = (8, None) if isinstance(value[0], str) else (5, "<i")
    items = b"".join(text(v) if kind == 8 else struct.pack(code, v) for v in value)
    return text(key) + struct.pack("<IIQ", 9, kind, len(value)) + items


def write_gguf(path, values, tensors):
    """tensors: (name, GGUF's shape, bytes, ggml type)."""
    infos, data = b"", b""
    for name, shape, content, kind in tensors:
        infos += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        infos += struct.pack("<IQ", kind, len(data))
        data += content + b"\0" * (-len(content) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values)) + b"".join(gguf_value(*item) for item in values.items()) + infos
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)


def gguf_llama(width=WIDTH):
    values = {"general.architecture": "llama", "llama.block_count": 1, "llama.context_length": 128, "llama.embedding_length": width,
              "llama.feed_forward_length": width, "llama.attention.head_count": 4, "llama.attention.head_count_kv": 4,
              "llama.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2",
              "tokenizer.ggml.tokens": list(vocabulary()), "tokenizer.ggml.token_type": [1] * VOCABULARY,
              "tokenizer.ggml.merges": MERGES}
    tensors = [("token_embd.weight", (width, VOCABULARY), weights("e", VOCABULARY * width)[1], 0)]
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        tensors.append((name + ".weight", (width,), weights(name, width, mean=1)[1], 0))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        tensors.append((f"blk.0.{name}.weight", (width, width), weights(name, width * width)[1], 0))
    return values, tensors


class InputsTest(TemporaryTest):
    def model(self, name, made, tokens=True, config_text=None):
        directory = self.directory / name
        directory.mkdir()
        config, tensors = made
        (directory / "config.json").write_text(config_text or json.dumps(config))
        if tokens:
            (directory / "tokenizer.json").write_text(json.dumps(tokenizer()))
        write_safetensors(directory / "model.safetensors", tensors)
        return directory

    def compress(self, source, code, *words, bits="6", out="out.gguf", flags=()):
        result = run("compress", source, "-o", self.directory / out, "--bpw", bits, *flags)
        self.assert_exit(result, code)
        for word in words:
            self.assertIn(word, result.stdout + result.stderr)
        # What the private server laid out, and where, is nobody's business.
        for hidden in ("/work/", "/blobs/", "nashswarm-", "data/work"):
            said = (result.stdout + result.stderr).replace(str(self.directory), "")
            self.assertNotIn(hidden, said)
        return result

    def engine(self, command, path, code, *words, flags=()):
        result = run(command, path, *flags)
        self.assert_exit(result, code)
        for word in words:
            self.assertIn(word, result.stdout + result.stderr)
        return result

    def perplexity(self, path, *flags):
        result = run("eval", path, "--text", TEXT, "--max-tokens", "600", "--json", *flags)
        self.assert_exit(result, 0)
        return json.loads(result.stdout)

    def test_git_lfs_pointers(self):
        for name in ("model.safetensors", "tokenizer.json", "config.json"):
            directory = self.model("lfs-" + name, llama())
            (directory / name).write_text(POINTER)
            self.compress(directory, 7, name, "Git LFS pointer", "5000000 bytes", "git lfs pull")
            self.engine("verify", directory, 7, name, "5000000 bytes")

    def test_adapters_name_their_base(self):
        adapter = self.directory / "adapter"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "org/base"}))
        write_safetensors(adapter / "adapter_model.safetensors", {"base_model.model.q_proj.lora_A.weight": weights("a", 4, 64)})
        result = self.compress(adapter, 1, "adapter", "org/base", "merge")
        self.assertNotIn("copy config.json", result.stderr)
        self.engine("eval", adapter, 1, "org/base", flags=("--text", TEXT))
        config, tensors = llama()
        tensors = {"base_model.model." + name.replace(".weight", ".lora_B.weight"): tensor for name, tensor in tensors.items()}
        self.compress(self.model("renamed", (config, tensors)), 1, "adapter", "merge")

    def test_already_quantized(self):
        config, tensors = llama()
        for name in [name for name in tensors if "_proj" in name]:
            (outputs, inputs), _ = tensors.pop(name)
            base = name.removesuffix("weight")
            tensors[base + "qweight"] = ((inputs // 8, outputs), bytes(inputs // 8 * outputs * 4), "I32")
            tensors[base + "g_idx"] = ((inputs,), bytes(4 * inputs), "I32")
        config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
        self.compress(self.model("gptq", (config, tensors)), 1, "already quantized (gptq)", "original checkpoint")
        config, tensors = llama()
        fp8 = {name: (tensor[0], bytes(math.prod(tensor[0])), "F8_E4M3") for name, tensor in tensors.items() if "_proj" in name}
        self.compress(self.model("fp8", (config, {**tensors, **fp8})), 1, "already quantized (fp8)")

    def test_artifacts_and_ggufs_are_no_sources(self):
        source = self.model("source", llama())
        self.assert_exit(run("compress", source, "-o", self.directory / "nsq", "--bpw", "6", "--format", "nsq"), 0)
        self.compress(self.directory / "nsq", 1, "nsq artifact", "nashswarm unpack")
        only = self.directory / "only"
        only.mkdir()
        write_gguf(only / "model.gguf", *gguf_llama())
        for given in (only / "model.gguf", only):
            self.compress(given, 1, "is a GGUF file", "no source", "original safetensors checkpoint")

    def test_pickles(self):
        directory = self.model("pickles", llama())
        (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
        self.compress(directory, 3, "pytorch_model.bin", "save_pretrained")
        self.engine("eval", directory, 3, "pytorch_model.bin", "save_pretrained", flags=("--text", TEXT))

    def test_shards_without_an_index(self):
        config, tensors = llama()
        names = list(tensors)
        directory = self.model("shards", (config, tensors))
        (directory / "model.safetensors").unlink()
        for part, some in enumerate((names[:9], names[9:])):
            write_safetensors(directory / f"model-0000{part + 1}-of-00002.safetensors", {name: tensors[name] for name in some})
        self.compress(directory, 0)
        (directory / "model-00001-of-00002.safetensors").unlink()
        self.compress(directory, 7, "missing: model-00001-of-00002.safetensors", out="other.gguf")

    def test_messages_name_the_users_files(self):
        self.compress(self.model("no-tokenizer", llama(), tokens=False), 3, "tokenizer.json")
        config, tensors = llama()
        config["rope_theta"] = "10000"
        self.compress(self.model("text-theta", (config, tensors)), 1, "config.json: 'rope_theta' is \"10000\"")
        directory = self.model("index", llama())
        (directory / "model.safetensors").rename(directory / "model-00001-of-00002.safetensors")
        index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index))
        self.compress(directory, 7, "model.safetensors.index.json names model-00002-of-00002.safetensors")

    def test_split_gguf(self):
        values, tensors = gguf_llama()
        whole = self.directory / "whole.gguf"
        write_gguf(whole, values, tensors)
        split = {"split.count": 2, "split.tensors.count": len(tensors)}
        parts = [self.directory / f"m-0000{number}-of-00002.gguf" for number in (1, 2)]
        write_gguf(parts[0], {**values, "split.no": 0, **split}, tensors[:5])
        for command, flags in (("eval", ("--text", TEXT)), ("verify", ()), ("inspect", ()), ("unpack", ("-o", self.directory / "u"))):
            self.engine(command, parts[0], 7, "part 1 of 2", parts[1].name, "llama-gguf-split --merge", flags=flags)
        write_gguf(parts[1], {"split.no": 1, **split}, tensors[5:])
        self.assertEqual(self.perplexity(parts[1])["perplexity"], self.perplexity(whole)["perplexity"])
        self.engine("verify", parts[0], 0, "all 2 parts")
        shown = json.loads(self.engine("inspect", parts[0], 0, flags=("--json",)).stdout)
        self.assertEqual(len(shown["tensors"]), len(tensors))
        self.assertEqual(shown["bytes"], sum(part.stat().st_size for part in parts))

    def test_types_that_cannot_be_decoded(self):
        for name, number, block, size in (("IQ3_XXS", 18, 256, 98), ("NVFP4", 40, 64, 36), ("TQ1_0", 34, 256, 54)):
            values, tensors = gguf_llama(256)
            content = bytes(256 * 256 // block * size)
            tensors[-1] = (tensors[-1][0], (256, 256), content, number)
            path = self.directory / (name + ".gguf")
            write_gguf(path, values, tensors)
            shown = json.loads(self.engine("inspect", path, 0, flags=("--json",)).stdout)
            last = shown["tensors"][-1]
            self.assertEqual((last["format"], last["bytes"]), (name, len(content)))
            for command, flags in (("eval", ("--text", TEXT)), ("verify", ()), ("unpack", ("-o", self.directory / "u"))):
                self.engine(command, path, 1, name + " is not supported", flags=flags)

    def test_awkward_names_tensors_and_literals(self):
        config, tensors = llama()
        plain = self.perplexity(self.model("plain", (config, tensors)))["perplexity"]
        text = json.dumps({**config, "unused": math.inf, "other": [math.nan, -math.inf]})
        for number, rename in enumerate((lambda name: name.removeprefix("model."), lambda name: "_orig_mod." + name)):
            renamed = {rename(name): tensor for name, tensor in tensors.items()}
            renamed["model.dummy"] = ((0, 64), b"")
            directory = self.model(f"awkward{number}", (config, renamed), config_text=text)
            (directory / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656, "x": Infinity}')
            self.assertEqual(self.perplexity(directory)["perplexity"], plain)
            self.compress(directory, 0, "'model.dummy' has no elements", out=f"{number}.gguf")
            self.compress(directory, 0, out=f"nsq{number}", flags=("--format", "nsq"))
            self.assertIn('"other": [\n    NaN,\n    -Infinity\n  ]', (self.directory / f"nsq{number}" / "config.json").read_text())
        config["tie_word_embeddings"] = False
        self.compress(self.model("untied", (config, tensors)), 0, "the head is not tied, but there is no lm_head.weight: the embedding is used",
                      out="untied.gguf")

    def test_gpt2_scores_by_layer(self):
        config, tensors = gpt2()
        plain = self.model("plain", (config, tensors))
        scaled = self.model("scaled", ({**config, "scale_attn_by_inverse_layer_idx": True}, tensors))
        # The queries divided by hand.
        by_hand = dict(tensors)
        for layer in range(1, 3):
            for name, width in ((f"h.{layer}.attn.c_attn.weight", WIDTH), (f"h.{layer}.attn.c_attn.bias", 1)):
                values = array.array("f", tensors[name][1])
                for place in range(len(values)):
                    if place % (3 * WIDTH) < WIDTH:
                        values[place] /= layer + 1
                by_hand[name] = (tensors[name][0], values.tobytes())
        expected = self.perplexity(self.model("by-hand", (config, by_hand)))["perplexity"]
        self.assertAlmostEqual(self.perplexity(scaled)["perplexity"], expected, delta=1e-4 * expected)
        self.assertGreater(abs(self.perplexity(plain)["perplexity"] - expected), 1e-3 * expected)
        for name, flags in (("s.gguf", ()), ("s-nsq", ("--format", "nsq"))):
            self.compress(scaled, 0, "scale_attn_by_inverse_layer_idx", bits="9", out=name, flags=flags)
            lost = self.perplexity(self.directory / name, "--against", scaled)["mean_kl"]
            self.assertLess(lost, 5e-3)
            self.assertGreater(self.perplexity(self.directory / name, "--against", plain)["mean_kl"], 3 * lost + 1e-2)


if __name__ == "__main__":
    unittest.main()
