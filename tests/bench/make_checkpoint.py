"""Writes a LLaMA-shaped checkpoint with normal random weights, for benchmarks: sizes and speeds are those of a real model
of the same shape, the text it would write is noise.

usage: make_checkpoint.py DIR [--layers 8] [--width 1024] [--ffn 2816] [--vocabulary 8192] [--dtype F16|F32]
"""
import argparse
import json
import os
import random
import struct


def normal_tile(dtype, count):
    """`count` normal values with standard deviation 0.02, packed."""
    generator = random.Random(1)
    values = [generator.gauss(0, 0.02) for _ in range(count)]
    return struct.pack(f"<{count}{'e' if dtype == 'F16' else 'f'}", *values)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--ffn", type=int, default=2816)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--dtype", choices=["F16", "F32"], default="F16")
    args = parser.parse_args()
    os.makedirs(args.directory, exist_ok=True)

    width, ffn = args.width, args.ffn
    shapes = {"model.embed_tokens.weight": [args.vocabulary, width], "model.norm.weight": [width]}
    for layer in range(args.layers):
        name = f"model.layers.{layer}."
        shapes[name + "input_layernorm.weight"] = shapes[name + "post_attention_layernorm.weight"] = [width]
        for projection in "qkvo":
            shapes[f"{name}self_attn.{projection}_proj.weight"] = [width, width]
        shapes[name + "mlp.gate_proj.weight"] = shapes[name + "mlp.up_proj.weight"] = [ffn, width]
        shapes[name + "mlp.down_proj.weight"] = [width, ffn]

    element = 2 if args.dtype == "F16" else 4
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = element
        for extent in shape:
            size *= extent
        header[name] = {"dtype": args.dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    # A prime length, so that the repeated tile never lines up with rows.
    tile = normal_tile(args.dtype, 1000003)
    with open(os.path.join(args.directory, "model.safetensors"), "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        left = offset
        while left > 0:
            out.write(tile[:left])
            left -= len(tile)
    config = {"model_type": "llama", "num_hidden_layers": args.layers, "hidden_size": width, "num_attention_heads": 16,
              "num_key_value_heads": 16, "intermediate_size": ffn, "vocab_size": args.vocabulary, "rms_norm_eps": 1e-5,
              "max_position_embeddings": 2048, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True}
    with open(os.path.join(args.directory, "config.json"), "w") as out:
        json.dump(config, out)
    # A vocabulary a reader can load: bytes first, then numbered words.
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in keep]
    letters = [chr(b) for b in keep] + [chr(256 + i) for i in range(len(rest))]
    vocabulary = {letter: i for i, letter in enumerate(letters)}
    vocabulary["wo"] = len(letters)  # of the one merge
    for i in range(len(letters) + 1, args.vocabulary - 1):
        vocabulary[f"word{i}"] = i
    tokenizer = {"added_tokens": [{"id": args.vocabulary - 1, "content": "<|end|>", "special": True}],
                 "pre_tokenizer": {"type": "ByteLevel"}, "decoder": {"type": "ByteLevel"},
                 "model": {"type": "BPE", "vocab": vocabulary, "merges": ["w o"]}}
    with open(os.path.join(args.directory, "tokenizer.json"), "w") as out:
        json.dump(tokenizer, out)


main()
