"""Our forward pass against transformers: the logits of every position of a text agree, for tiny random models of every
architecture and for the real checkpoints on this machine.

usage: forward_interop.py --bin BIN_DIR --root SOURCE_DIR
       forward_interop.py --write tests/data/forward   makes the recorded logits that tests/unit/forward/recorded_test.cc reads
"""
import os
import subprocess
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

from checks import arguments, check, run_checks, skip

SHARED = "../shared/models"
# Sums of float32 in another order, and angles of rotary embeddings that transformers computes in float32.
TOLERANCE = 1e-3
TOKENS = 96


def our_logits(bin_dir, path, tokens, work):
    with open(os.path.join(work, "tokens"), "w") as f:
        f.write(" ".join(map(str, tokens)))
    out = os.path.join(work, "logits.f32")
    done = subprocess.run([os.path.join(bin_dir, "nashswarm-engine"), "logits", path, "--tokens",
                           os.path.join(work, "tokens"), "-o", out], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"logits {path}: {done.stderr}")
    return np.fromfile(out, "<f4").reshape(len(tokens), -1)


def compare(name, model, bin_dir, path, tokens, work):
    with torch.no_grad():
        theirs = model(torch.tensor([tokens])).logits[0].numpy()
    try:
        ours = our_logits(bin_dir, path, tokens, work)
    except RuntimeError as error:
        return check(name, False, str(error))
    if ours.shape != theirs.shape:
        return check(name, False, f"{ours.shape} logits instead of {theirs.shape}")
    difference = float(np.abs(ours - theirs).max())
    check(f"{name}: {len(tokens)} positions x {ours.shape[1]} logits (spread {theirs.std():.2f}) differ by at most {difference:.1e}",
          difference <= TOLERANCE, f"more than {TOLERANCE}")


def rope(kind, **more):
    return {"rope_type": kind, "rope_theta": 10000.0, **more}


TINY = dict(hidden_size=96, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, intermediate_size=200,
            vocab_size=320, max_position_embeddings=128)
# For the recorded ones, which lie in the repository.
SMALLEST = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
                vocab_size=64, max_position_embeddings=128)


def tiny_configs(sizes):
    """Name and configuration of a tiny model of every architecture and every choice within it."""
    t = transformers
    yield "gpt2", t.GPT2Config(n_layer=sizes["num_hidden_layers"], n_head=4, n_embd=sizes["hidden_size"], n_positions=128,
                               vocab_size=sizes["vocab_size"])
    for name, flags in (("gpt2 with scores by layer", {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True}),
                        ("gpt2 with scores as they are", {"scale_attn_weights": False})):
        yield name, t.GPT2Config(n_layer=sizes["num_hidden_layers"], n_head=4, n_embd=sizes["hidden_size"], n_positions=128,
                                 vocab_size=sizes["vocab_size"], **flags)
    yield "llama with grouped heads", t.LlamaConfig(**sizes)
    yield "llama with biases, tied", t.LlamaConfig(**sizes, attention_bias=True, mlp_bias=True, tie_word_embeddings=True)
    yield "llama with wide heads", t.LlamaConfig(**sizes, head_dim=32)
    yield "llama with another base", t.LlamaConfig(**sizes, rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    yield "llama with llama3 scaling", t.LlamaConfig(**sizes, rope_parameters=rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32))
    yield "llama with linear scaling", t.LlamaConfig(**sizes, rope_parameters=rope("linear", factor=3.0))
    yield "llama with yarn scaling", t.LlamaConfig(**sizes, rope_parameters=rope(
        "yarn", factor=4.0, original_max_position_embeddings=32))
    yield "llama with yarn of its own bounds", t.LlamaConfig(**sizes, rope_parameters=rope(
        "yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=8.0, beta_slow=2.0, attention_factor=1.3))
    yield "mistral with a sliding window", t.MistralConfig(**sizes, sliding_window=24)
    yield "mistral without", t.MistralConfig(**sizes, sliding_window=None)
    yield "qwen2", t.Qwen2Config(**sizes)
    yield "qwen2 with a sliding window in some layers", t.Qwen2Config(**sizes, use_sliding_window=True, sliding_window=24,
                                                                       max_window_layers=1)
    yield "qwen3", t.Qwen3Config(**sizes, head_dim=32)
    yield "qwen3 with biases and yarn", t.Qwen3Config(**sizes, head_dim=16, attention_bias=True, rope_parameters=rope(
        "yarn", factor=4.0, original_max_position_embeddings=32))
    experts = {**sizes, "num_experts_per_tok": 2, "moe_intermediate_size": sizes["intermediate_size"] // 2}
    yield "mixtral", t.MixtralConfig(**sizes, num_local_experts=4, num_experts_per_tok=2)
    yield "qwen2 with experts", t.Qwen2MoeConfig(**experts, num_experts=5, shared_expert_intermediate_size=sizes["intermediate_size"])
    yield "qwen2 with experts and a sliding window in every other layer", t.Qwen2MoeConfig(
        **experts, num_experts=5, shared_expert_intermediate_size=sizes["intermediate_size"], use_sliding_window=True, sliding_window=24,
        qkv_bias=False)
    yield "qwen3 with experts and a sliding window", t.Qwen3MoeConfig(**experts, num_experts=5, head_dim=16, use_sliding_window=True,
                                                                      sliding_window=24)
    yield "qwen3 with experts", t.Qwen3MoeConfig(**experts, num_experts=5, head_dim=16, norm_topk_prob=True)
    yield "qwen3 with experts, weights as they are", t.Qwen3MoeConfig(**experts, num_experts=5, head_dim=16, norm_topk_prob=False)
    yield "olmoe", t.OlmoeConfig(**sizes, num_experts=6, num_experts_per_tok=3)
    yield "arcee with biases", t.ArceeConfig(**sizes, attention_bias=True, mlp_bias=True)
    yield "smollm3", t.SmolLM3Config(**{**sizes, "num_hidden_layers": 5}, pad_token_id=None)
    yield "gemma3", t.Gemma3TextConfig(**{**sizes, "num_hidden_layers": 7}, head_dim=32, sliding_window=24,
                                       query_pre_attn_scalar=32)
    yield "gemma3 with scores of another scale", t.Gemma3TextConfig(
        **{**sizes, "num_hidden_layers": 7}, head_dim=32, sliding_window=24, query_pre_attn_scalar=48)


def randomize(model):
    """Weights large enough that every part of the model shows in the logits; biases and norms are not left at 0 and 1."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 1.5 / parameter.shape[-1] ** 0.5)
            elif "norm" in name or ".ln_" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            else:
                parameter.normal_(0, 0.3)


def random_model(config):
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    randomize(model)
    tokens = torch.randint(0, config.vocab_size, (TOKENS,), generator=torch.Generator().manual_seed(2))
    return model, tokens


def write_recorded(directory):
    for name, config in tiny_configs(SMALLEST):
        model, tokens = random_model(config)
        path = os.path.join(directory, name.replace(" ", "-").replace(",", ""))
        model.save_pretrained(path)
        os.remove(os.path.join(path, "generation_config.json"))
        with torch.no_grad():
            logits = model(tokens[None]).logits[0]
        save_file({"tokens": tokens.to(torch.int32), "logits": logits.contiguous()}, path + ".logits.safetensors",
                  metadata={"made by": f"transformers {transformers.__version__}, torch {torch.__version__}"})


def check_tiny(bin_dir):
    for name, config in tiny_configs(TINY):
        model, tokens = random_model(config)
        tokens = tokens.tolist()
        with tempfile.TemporaryDirectory() as work:
            path = os.path.join(work, "model")
            model.save_pretrained(path)
            compare(name, model, bin_dir, path, tokens, work)


def check_real(bin_dir, root):
    for name in ("gpt2-wiki-6m", "stories260K/hf", "tinystories-656k-llama", "moe-wiki-8m"):
        path = os.path.join(root, SHARED, name)
        if not os.path.isdir(path):
            skip(name, f"{path} is not on this machine")
            continue
        model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
        config = model.config
        count = min(256, getattr(config, "max_position_embeddings", 256))
        # Greedy text of the model itself after a few tokens: what it was trained on, whatever its tokenizer.
        tokens = torch.randint(3, min(config.vocab_size, 300), (1, 8), generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            while tokens.shape[1] < count:
                following = model(tokens).logits[0, -1].argmax()
                tokens = torch.cat([tokens, following.reshape(1, 1)], dim=1)
        with tempfile.TemporaryDirectory() as work:
            compare(name, model, bin_dir, path, tokens[0].tolist(), work)


def main():
    args = arguments(writes=True)
    transformers.utils.logging.set_verbosity_error()
    if args.write:
        return write_recorded(args.write)
    check_tiny(args.bin)
    check_real(args.bin, args.root)


if __name__ == "__main__":
    run_checks("forward interop", main)
