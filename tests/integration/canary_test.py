#!/usr/bin/env python3
"""No lie in a checkpoint, an index or an artifact brings a byte into what is made of it that was not in that tensor of the input:
neither of a file nearby nor of the engine's memory. Every file nearby is full of a word that is looked for in everything that
comes out. The weights are kept as they are, so that a byte that came from elsewhere would be seen; freed memory is filled with
a byte of its own (MALLOC_PERTURB_). NASHSWARM_BIN_DIR names the directory with nashswarm and nashswarm-engine."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # a test leaves nothing behind in the source

import canary_lies as lies

BIN = pathlib.Path(os.environ["NASHSWARM_BIN_DIR"]).resolve()
SOURCE = pathlib.Path(os.environ.get("NASHSWARM_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
MODEL = SOURCE / "tests" / "data" / "forward" / "llama-with-grouped-heads"
STAGES = ["prepare", "measure", "solve", "encode", "publish"]
FREED = 0xC7  # fills freed memory; new memory gets its complement
INVALID_ARGUMENT, DATA_LOSS = 3, 15
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("NASHSWARM_")}
ENVIRONMENT["XDG_CONFIG_HOME"] = "/nonexistent"


def run(*arguments, perturb=FREED):
    return subprocess.run(list(map(str, arguments)), capture_output=True, timeout=120,
                          env={**ENVIRONMENT, "MALLOC_PERTURB_": str(perturb)})


def tokenizer(size):
    vocabulary = {chr(33 + i): i for i in range(size)}
    return json.dumps({"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "ByteLevel", "use_regex": True},
                       "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": vocabulary, "merges": []}})


class CanaryTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="nashswarm-canary-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.model = self.directory / "model"
        self.model.mkdir()
        for name in ("config.json", "model.safetensors"):
            shutil.copyfile(MODEL / name, self.model / name)
        (self.model / "tokenizer.json").write_text(tokenizer(64))
        self.weights = self.model / "model.safetensors"
        self.header, self.data = lies.read(self.weights)
        # Nearby: a file of the model that no format names, one beside the directory, and a whole shard that is not the model's.
        (self.model / "notes.bin").write_bytes(lies.canary(1 << 16))
        (self.directory / "secret").write_bytes(lies.canary(1 << 16))
        secret = {name: dict(entry) for name, entry in self.header.items() if name != "__metadata__"}
        (self.directory / "outside.safetensors").write_bytes(lies.image(secret, lies.canary(len(self.data))))

    def compress(self, artifact_format, perturb=FREED):
        """All stages of a job. The error event of the one that refuses, or None; the artifact is in self.artifact."""
        task = self.directory / "task"
        shutil.rmtree(task, ignore_errors=True)
        (task / "in").mkdir(parents=True)
        rules = [{"pattern": ".*", "format": "keep"}]
        spec = {"target": {"bits_per_weight": 60}, "format": artifact_format, "seed": 1, "rules": rules}
        for stage in STAGES:
            shutil.rmtree(task / "out", ignore_errors=True)
            (task / "out").mkdir()
            (task / "task.json").write_text(json.dumps({"stage": stage, "shard": 0, "model": str(self.model), "spec": spec, "threads": 2,
                                                        "history": [], "source": {"model": "models/m", "digest": "00"}}))
            ended = run(BIN / "nashswarm-engine", "task", task, perturb=perturb)
            self.assert_clean(ended.stdout + ended.stderr, stage)
            self.assertIn(ended.returncode, (0, 1), ended)
            last = json.loads(ended.stdout.splitlines()[-1])
            if ended.returncode == 1:
                self.assertEqual(last["event"], "error")
                return last
            if stage != "publish":
                shutil.copytree(task / "out", task / "in", dirs_exist_ok=True)
        self.artifact = task / "out" / "artifact"
        return None

    def assert_clean(self, content, what):
        for pattern in (lies.WORD, lies.WORD[::-1], bytes([FREED]) * 16, bytes([FREED ^ 0xFF]) * 16):
            self.assertNotIn(pattern, content, what)

    def assert_clean_tree(self, directory):
        for path in directory.rglob("*"):
            if path.is_file():
                self.assert_clean(path.read_bytes(), path)

    def assert_refused(self, error, *names):
        self.assertIsNotNone(error, "was accepted")
        self.assertIn(error["code"], (INVALID_ARGUMENT, DATA_LOSS), error)
        for name in names:
            self.assertIn(name, error["message"])

    def test_an_honest_checkpoint_is_compressed_and_memory_does_not_show(self):
        for artifact_format in ("gguf", "nsq"):
            made = []
            for perturb in (FREED, 0x5A):
                self.assertIsNone(self.compress(artifact_format, perturb=perturb))
                self.assert_clean_tree(self.artifact)
                weights = next(self.artifact.rglob("model.*"))
                made.append(weights.read_bytes())
            self.assertEqual(made[0], made[1], artifact_format)
            begin, end = self.header[lies.TARGET]["data_offsets"]
            self.assertIn(self.data[begin:end], made[0], "the weights are kept, so that a foreign byte would be seen")

    def test_the_search_would_find_a_canary(self):
        self.weights.write_bytes((self.directory / "outside.safetensors").read_bytes())
        for artifact_format in ("gguf", "nsq"):
            self.assertIsNone(self.compress(artifact_format))
            with self.assertRaises(AssertionError) as found:
                self.assert_clean_tree(self.artifact)
            self.assertIn("model.", str(found.exception)[-200:])

    def test_no_lie_of_a_weight_file_is_believed(self):
        for what, lie in lies.FILE_LIES.items():
            with self.subTest(what):
                self.weights.write_bytes(lie(self.header, self.data))
                names = ["model.safetensors"]
                if not what.startswith(("header", "file", "bytes", "another")):
                    names.append("mlp.up_proj" if what != "overlaps its neighbour" else "tensor")
                if what in ("begins beyond the end", "far beyond the end", "wraps around 2^64", "is too long", "is empty",
                            "ends beyond the end", "is too short"):
                    names.pop()  # another tensor may be the one that no longer has its place
                for artifact_format in ("gguf", "nsq"):
                    self.assert_refused(self.compress(artifact_format), *names)
                ended = run(BIN / "nashswarm-engine", "verify", self.model)
                if what != "has another shape of the same size":  # true of the file; config.json is what it breaks
                    self.assertEqual(ended.returncode, 7, ended)
                self.assertTrue(b"model.safetensors" in ended.stderr or ended.returncode == 0, ended)
                self.assert_clean(ended.stdout + ended.stderr, what)

    def shards(self, **changes):
        """The model in two files with an index; `changes` replace entries of it, and what they name is in no shard here."""
        self.weights.unlink()
        names = [name for name in self.header if name != "__metadata__"]
        index = {}
        for number, part in enumerate((names[::2], names[1::2])):
            header, data = {}, b""
            for name in part:
                if name in changes:
                    continue
                begin, end = self.header[name]["data_offsets"]
                header[name] = {**self.header[name], "data_offsets": [len(data), len(data) + end - begin]}
                data += self.data[begin:end]
                index[name] = f"shard-{number}.safetensors"
            (self.model / f"shard-{number}.safetensors").write_bytes(lies.image(header, data))
        index.update(changes)
        (self.model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))

    def test_an_index_names_files_of_its_directory_alone(self):
        self.shards()
        self.assertIsNone(self.compress("gguf"))
        self.assert_clean_tree(self.artifact)
        outside = self.directory / "outside.safetensors"  # all that is missing, so that only where it lies is wrong
        begin, end = self.header[lies.TARGET]["data_offsets"]
        entry = {**self.header[lies.TARGET], "data_offsets": [0, end - begin]}
        outside.write_bytes(lies.image({lies.TARGET: entry}, lies.canary(end - begin)))
        (self.model / "sub").mkdir()
        for place in ("../outside.safetensors", str(outside), "sub/../../outside.safetensors", "./../outside.safetensors",
                      "sub//../outside.safetensors", "shard-0.safetensors", "none.safetensors", "notes.bin", "../secret", "",
                      "sub", "model.safetensors.index.json"):
            with self.subTest(place):
                self.weights.touch()
                self.shards(**{lies.TARGET: place})
                for artifact_format in ("gguf", "nsq"):
                    self.assert_refused(self.compress(artifact_format))

    def test_no_lie_of_a_gguf_file_is_believed(self):
        self.assertIsNone(self.compress("gguf"))
        honest = (self.artifact / "model.gguf").read_bytes()
        place = self.directory / "lie" / "model.gguf"
        place.parent.mkdir()
        for tensor in ("blk.0.ffn_up.weight", "token_embd.weight"):
            for what, (field, value) in lies.GGUF_LIES.items():
                with self.subTest(what + " of " + tensor):
                    lie = lies.lie_about_gguf(honest, tensor, field, value)
                    if lie == honest:  # the first tensor's offset is 0
                        continue
                    place.write_bytes(lie)
                    out = self.directory / "unpacked"
                    shutil.rmtree(out, ignore_errors=True)
                    ended = run(BIN / "nashswarm-engine", "unpack", place, "-o", out)
                    self.assert_clean(ended.stdout + ended.stderr, what)
                    if ended.returncode == 0:  # fewer rows of the same tensor: nothing foreign
                        self.assertEqual(what, "fewer rows")
                        self.assert_clean_tree(out)
                    else:
                        self.assertEqual(ended.returncode, 7, ended)
                        self.assertIn(b"model.gguf", ended.stderr)

    def test_an_nsq_file_that_lies_is_refused(self):
        self.assertIsNone(self.compress("nsq"))
        honest = self.artifact / "model.nsq"
        header, data = lies.read(honest)
        size = header["nsq.data"]["data_offsets"][1] - header["nsq.data"]["data_offsets"][0]
        place = self.directory / "lie"
        shutil.copytree(self.artifact, place)
        for what, change in {"longer": size + 4096, "shorter": size - 16, "far longer": 1 << 40}.items():
            with self.subTest(what):
                begin = header["nsq.data"]["data_offsets"][0]
                lie = {**header, "nsq.data": {"dtype": "U8", "shape": [change], "data_offsets": [begin, begin + change]}}
                (place / "model.nsq").write_bytes(lies.image(lie, data + (lies.canary(4096) if what == "longer" else b"")))
                out = self.directory / "unpacked"
                ended = run(BIN / "nashswarm-engine", "unpack", place, "-o", out)
                self.assertEqual(ended.returncode, 7, ended)
                self.assert_clean(ended.stdout + ended.stderr, what)

    def test_links_out_of_the_directory_are_not_followed(self):
        """What a user sends is what lies in the directory he names: a download may hold a link to any file of his."""
        for name in ("tokenizer_config.json", "README.md", "vocab.txt"):
            with self.subTest(name):
                (self.model / name).symlink_to(self.directory / "secret")
                ended = run(BIN / "nashswarm", "compress", self.model, "-o", self.directory / name, "--bpw", "20", "--format", "nsq")
                self.assertEqual(ended.returncode, 7, ended)
                self.assertIn(name.encode(), ended.stderr)
                self.assert_clean(ended.stdout + ended.stderr, name)
                (self.model / name).unlink()
        self.weights.unlink()
        self.weights.symlink_to(self.directory / "secret")  # weights may lie elsewhere, but must be weights
        ended = run(BIN / "nashswarm", "compress", self.model, "-o", self.directory / "out", "--bpw", "20")
        self.assertNotEqual(ended.returncode, 0, ended)
        self.assert_clean(ended.stdout + ended.stderr, "weights")

    def test_the_command_line_says_which_file_and_tensor(self):
        self.weights.write_bytes(lies.FILE_LIES["has a shape that is too large"](self.header, self.data))
        ended = run(BIN / "nashswarm", "compress", self.model, "-o", self.directory / "out", "--bpw", "20")
        self.assertEqual(ended.returncode, 7, ended)
        self.assertIn(b"model.safetensors", ended.stderr)
        self.assertIn(lies.TARGET.encode(), ended.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
