"""load_state_dict against what `nashswarm unpack` writes, bit by bit."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np
from twins import MODEL, SOURCE

import nashswarm

BIN = pathlib.Path(os.environ["NASHSWARM_BIN_DIR"]).resolve()
TYPES = {"F32": np.uint32, "F16": np.uint16, "BF16": np.uint16}


def run(*arguments):
    result = subprocess.run([BIN / "nashswarm", *map(str, arguments)], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr


def safetensors(path):
    """{name: (dtype, shape, bits)}, read without the package under test."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            tensors[name] = (entry["dtype"], tuple(entry["shape"]), data[8 + size + begin:8 + size + end])
    return tensors


class NsqTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="nashswarm-nsq-")
        cls.addClassCleanup(directory.cleanup)
        cls.directory = pathlib.Path(directory.name)
        cls.artifact = cls.directory / "nsq"
        run("compress", MODEL, "-o", cls.artifact, "--bpw", "2.98", "--format", "nsq")

    def check(self, unpack_dtype, **arguments):
        dense = self.directory / ("dense-" + unpack_dtype)
        run("unpack", self.artifact, "-o", dense, "--dtype", unpack_dtype, "--force")
        expected = safetensors(dense / "model.safetensors")
        got = nashswarm.load_state_dict(self.artifact, **arguments)
        self.assertEqual(set(got), set(expected))
        for name, (kind, shape, bits) in expected.items():
            self.assertEqual(got[name].shape, shape, name)
            self.assertEqual(got[name].dtype.itemsize, TYPES[kind]().itemsize, (name, kind))
            self.assertEqual(got[name].tobytes(), bits, name)
        self.assertGreater(len(expected), 50)

    def test_bits_are_those_of_unpack(self):
        self.check("f32", dtype="float32")
        self.check("f16", dtype="float16")
        self.check("bf16", dtype="bfloat16")
        self.check("f32", dtype=np.float32, threads=1)
        self.check("f16")  # the checkpoint's own

    def test_damage_and_what_is_no_artifact(self):
        damaged = self.directory / "damaged"
        shutil.copytree(self.artifact, damaged)
        weights = bytearray((damaged / "model.nsq").read_bytes())
        weights[len(weights) // 2] ^= 4
        (damaged / "model.nsq").write_bytes(weights)
        with self.assertRaises(nashswarm.CorruptDataError) as caught:
            nashswarm.load_state_dict(damaged)
        self.assertIn(str(damaged), str(caught.exception))
        with self.assertRaises(nashswarm.NashswarmError):
            nashswarm.load_state_dict(MODEL)
        with self.assertRaises(nashswarm.NotFoundError):
            nashswarm.load_state_dict(self.directory / "none")

    def test_the_library_is_looked_for_and_missed_clearly(self):
        code = "import nashswarm; nashswarm.load_state_dict(%r)" % str(self.artifact)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("NASHSWARM_")}
        missing = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**environment, "PATH": "/usr/bin"})
        self.assertNotEqual(missing.returncode, 0)
        self.assertIn("libnashswarm.so", missing.stderr)
        self.assertIn("NASHSWARM_LIBRARY", missing.stderr)
        prefix = self.directory / "prefix"
        (prefix / "bin").mkdir(parents=True)
        (prefix / "lib").mkdir()
        (prefix / "lib" / "libnashswarm.so").symlink_to(BIN / "libnashswarm.so")
        for found in ({"PATH": "%s:/usr/bin" % BIN}, {"PATH": "%s:/usr/bin" % (prefix / "bin")}, {"NASHSWARM_LIBRARY": str(BIN / "libnashswarm.so")}):
            result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**environment, **found})
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_transformers(self):
        try:
            import torch
            from transformers import AutoModelForCausalLM
        except ImportError:
            self.skipTest("torch and transformers are not here; make interop-torch has them")
        dense = self.directory / "dense-transformers"
        run("unpack", self.artifact, "-o", dense, "--dtype", "f32")
        ids = torch.arange(1, 65).reshape(1, 64)
        with torch.no_grad():
            ours = AutoModelForCausalLM.from_pretrained(self.artifact, dtype=torch.float32)(ids).logits
            theirs = AutoModelForCausalLM.from_pretrained(dense, dtype=torch.float32)(ids).logits
            first = self.as_the_first_writers_made_it()
            self.assertTrue(torch.equal(AutoModelForCausalLM.from_pretrained(first, dtype=torch.float32)(ids).logits, theirs))
            (first / "model.safetensors").rename(first / "model.nsq")  # as its README advises
            self.assertTrue(torch.equal(AutoModelForCausalLM.from_pretrained(first, dtype=torch.float32)(ids).logits, theirs))
        self.assertTrue(torch.equal(ours, theirs))
        saved = self.directory / "saved"
        AutoModelForCausalLM.from_pretrained(self.artifact).save_pretrained(saved)
        self.assertNotIn("transformers_weights", (saved / "config.json").read_text())
        state = nashswarm.load_state_dict(self.artifact, framework="torch", dtype=torch.bfloat16)
        self.assertTrue(all(tensor.dtype == torch.bfloat16 for tensor in state.values()))

    def test_transformers_from_a_cache_of_the_hub(self):
        try:
            import transformers  # noqa: F401
        except ImportError:
            self.skipTest("torch and transformers are not here; make interop-torch has them")
        place = self.directory / "hub" / "models--org--nsq"
        shutil.copytree(self.artifact, place / "snapshots" / "0123abcd")
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text("0123abcd")
        code = ("import nashswarm\nfrom transformers import AutoModelForCausalLM\n"
                "print('parameters:', AutoModelForCausalLM.from_pretrained('org/nsq').num_parameters())\n")
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600,
                               env={**os.environ, "HF_HUB_CACHE": str(place.parent), "HF_HUB_OFFLINE": "1"})
        self.assertIn("parameters: 5853184", ended.stdout, ended.stderr)
        self.assertNotIn("MISSING", ended.stdout + ended.stderr)

    def as_the_first_writers_made_it(self):
        first = self.directory / "first"
        shutil.copytree(self.artifact, first)
        (first / "model.nsq").rename(first / "model.safetensors")
        config = json.loads((first / "config.json").read_text())
        del config["transformers_weights"]
        (first / "config.json").write_text(json.dumps(config))
        return first

    def test_transformers_without_the_package_fails_and_says_what_to_do(self):
        """It used to answer with a model of random weights."""
        try:
            import transformers  # noqa: F401
        except ImportError:
            self.skipTest("torch and transformers are not here; make interop-torch has them")
        code = ("from transformers import AutoModel, AutoModelForCausalLM\n"
                "for kind in (AutoModel, AutoModelForCausalLM):\n"
                "  try: kind.from_pretrained(%r)\n"
                "  except (OSError, ValueError) as error: print('refused:', error)\n" % str(self.artifact))
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
        self.assertEqual(ended.stdout.count("refused:"), 2, ended.stdout + ended.stderr)
        self.assertEqual(ended.stdout.count("import nashswarm"), 2, ended.stdout)
        self.assertIn("nashswarm unpack", ended.stdout)


if __name__ == "__main__":
    unittest.main()
