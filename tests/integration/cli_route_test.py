"""nashswarm route: a mixture of experts routed by the game. Run by cli_test.py, or alone."""
import array
import json
import random
import shutil
import struct
import unittest
import xml.etree.ElementTree as ElementTree

from cli_harness import MODEL, SOURCE, TemporaryTest, run

TEXT = SOURCE / "tests" / "data" / "text.txt"
WIDTH, EXPERT_WIDTH, LAYERS, EXPERTS = 32, 16, 2, 4


def write_mixture(directory):
    """A mixtral of random weights with the tokenizer of the model in tests/data."""
    directory.mkdir()
    source = json.loads((MODEL / "config.json").read_text())
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        if (MODEL / name).exists():
            shutil.copy(MODEL / name, directory / name)
    vocabulary = source["vocab_size"]
    (directory / "config.json").write_text(json.dumps({
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": WIDTH, "intermediate_size": EXPERT_WIDTH,
        "num_hidden_layers": LAYERS, "num_attention_heads": 2, "num_key_value_heads": 1, "num_local_experts": EXPERTS,
        "num_experts_per_tok": 2, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 64,
        "vocab_size": vocabulary, "tie_word_embeddings": True, "sliding_window": None,
        "bos_token_id": source.get("bos_token_id"), "eos_token_id": source.get("eos_token_id")}))
    shapes = {"model.embed_tokens.weight": [vocabulary, WIDTH], "model.norm.weight": [WIDTH]}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        shapes.update({prefix + "input_layernorm.weight": [WIDTH], prefix + "post_attention_layernorm.weight": [WIDTH],
                       prefix + "self_attn.q_proj.weight": [WIDTH, WIDTH], prefix + "self_attn.k_proj.weight": [WIDTH // 2, WIDTH],
                       prefix + "self_attn.v_proj.weight": [WIDTH // 2, WIDTH], prefix + "self_attn.o_proj.weight": [WIDTH, WIDTH],
                       prefix + "block_sparse_moe.gate.weight": [EXPERTS, WIDTH]})
        for expert in range(EXPERTS):
            name = f"{prefix}block_sparse_moe.experts.{expert}."
            shapes.update({name + "w1.weight": [EXPERT_WIDTH, WIDTH], name + "w3.weight": [EXPERT_WIDTH, WIDTH],
                           name + "w2.weight": [WIDTH, EXPERT_WIDTH]})
    numbers, header, data = random.Random(1), {}, b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [1.0] * count if len(shape) == 1 else [numbers.gauss(0, 0.3) for _ in range(count)]
        begin, data = len(data), data + array.array("f", values).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


class RouteTest(TemporaryTest):
    def setUp(self):
        super().setUp()
        self.model = self.directory / "mixture"
        write_mixture(self.model)

    def refused(self, *arguments, code):
        result = run("route", *arguments)
        self.assert_exit(result, code)
        self.assertIn("error: ", result.stderr)
        self.assertIn("hint: ", result.stderr)
        return result.stderr

    def test_table_json_and_page(self):
        page = self.directory / "route.html"
        common = (self.model, "--text", TEXT, "--ctx", "64", "--tokens", "1024", "--cache-size", "50%", "--max-loss", "0.02")
        result = run("route", *common, "--sweep", "-o", page)
        self.assert_exit(result, 0)
        for words in ("mixture: llama, 2 layers of 4 experts, a token uses 2", "load of each expert", "used together", "round by round",
                      "alpha, on the held-out text", "hit rates of the same choices", "pages of model.safetensors"):
            self.assertIn(words, result.stdout)
        html = page.read_text()
        self.assertIn("mixture", html)
        ElementTree.fromstring(html[html.index("<html"):])
        as_json = json.loads(run("route", *common, "--json", "--threads", "1").stdout)
        self.assertEqual(as_json["schema"], "nashswarm.routing/1")
        model, game = as_json["routers"]
        self.assertEqual((model["name"], game["name"]), ("model", "game"))
        self.assertEqual(game["nash_batches"], game["batches"])
        self.assertGreater(game["hit_rate"], model["hit_rate"])
        self.assertLess(game["bytes_per_token"], model["bytes_per_token"])
        expert = 3 * WIDTH * EXPERT_WIDTH * 4
        self.assertEqual(as_json["settings"]["expert_bytes"], LAYERS * EXPERTS * expert)
        self.assertEqual(as_json["settings"]["cache_bytes"], LAYERS * EXPERTS * expert // 2)
        self.assertAlmostEqual(model["bytes_per_token"], (1 - model["hit_rate"]) * LAYERS * 2 * expert, places=6)
        # The table shows the same numbers, whatever the number of threads.
        for row in (model, game):
            line = next(l for l in result.stdout.splitlines() if l.startswith(row["name"] + " "))
            self.assertIn("%.4f" % row["mean_nll"], line)
            self.assertIn("%.1f %%" % (100 * row["hit_rate"]), line)
        # The loss is that of eval on the same windows: those after the tuning ones.
        self.assertEqual(as_json["tokens"] + as_json["tuning_tokens"], 1024)

    def test_the_model_s_own_loss_is_that_of_eval(self):
        """eval over the whole text is the mean of tuning and held-out windows; with as good as nothing to tune they agree."""
        routed = json.loads(run("route", self.model, "--text", TEXT, "--ctx", "64", "--tokens", "2048", "--cache-bonus", "0", "--alpha", "0",
                                "--json").stdout)
        model, game = routed["routers"]
        self.assertEqual(model["mean_nll"], game["mean_nll"])
        self.assertEqual(game["same_choices"], 1)
        evaluated = json.loads(run("eval", self.model, "--text", TEXT, "--ctx", "64", "--max-tokens", "2048", "--json").stdout)
        self.assertAlmostEqual(model["mean_nll"], evaluated["mean_nll"], delta=0.1)

    def test_what_cannot_be_routed_is_refused(self):
        self.assertIn("has no experts", self.refused(MODEL, "--text", TEXT, code=1))
        self.assertIn("no such file", self.refused(self.model, "--text", self.directory / "none.txt", code=3))
        self.assertIn("not a size", self.refused(self.model, "--text", TEXT, "--cache-size", "much", code=2))
        for size in ("0", "-1MB", "0%", "101%", "5XB", "1e3", ""):
            self.assertIn("not a size", self.refused(self.model, "--text", TEXT, "--cache-size", size, code=2))
        self.assertIn("a cache of 100 bytes", self.refused(self.model, "--text", TEXT, "--ctx", "64", "--cache-size", "100", code=1))
        self.assertIn("the report is a page", self.refused(self.model, "--text", TEXT, "-o", "x.json", code=2))
        self.assert_exit(run("route", self.model, "--text", TEXT, "--alpha", "-1"), 2)
        self.assert_exit(run("route", self.model, "--text", TEXT, "--policy", "optimal"), 2)


if __name__ == "__main__":
    unittest.main()
