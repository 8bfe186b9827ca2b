#!/usr/bin/env python3
"""nsq artifacts as a user meets them: compress, verify, unpack, and bench quality. See cli_harness.py for what it needs."""
import hashlib
import json
import random
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True  # a test leaves nothing behind in the source

from cli_harness import MODEL, SOURCE, TemporaryTest, run

TEXT = SOURCE / "tests" / "data" / "text.txt"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class NsqTest(TemporaryTest):
    @classmethod
    def setUpClass(cls):
        cls.kept = Path(tempfile.mkdtemp(prefix="nashswarm-nsq-"))
        cls.addClassCleanup(shutil.rmtree, cls.kept, ignore_errors=True)
        cls.artifact = cls.kept / "out"
        result = run("compress", MODEL, "-o", cls.artifact, "--bpw", "2.98", "--format", "nsq", "--json")
        assert result.returncode == 0, result.stderr
        cls.summary = json.loads(result.stdout)

    def unpack(self, name, *arguments, code=0, artifact=None):
        result = run("unpack", artifact or self.artifact, "-o", self.directory / name, *arguments)
        self.assert_exit(result, code)
        return result

    def test_every_byte_counts(self):
        size = (self.artifact / "model.nsq").stat().st_size
        self.assertEqual(self.summary["bytes"], size)
        self.assertLessEqual(8 * size / self.summary["parameters"], 2.98)
        self.assertGreater(8 * size / self.summary["parameters"], 2.97)
        self.assert_exit(run("verify", self.artifact), 0)

    def test_unpacked_bytes_do_not_depend_on_threads(self):
        for dtype in ("f32", "f16", "bf16"):
            digests = set()
            for threads in ("1", "2", "3"):
                self.unpack(dtype + threads, "--dtype", dtype, "--threads", threads)
                digests.add(sha256(self.directory / (dtype + threads) / "model.safetensors"))
            self.assertEqual(len(digests), 1, dtype)
        again = self.unpack("f321", code=1)
        self.assertIn("--force", again.stderr)
        self.assertEqual(run("verify", self.directory / "f321").returncode, 0)

    def test_an_artifact_is_not_unpacked_into_itself(self):
        for flags in ((), ("--force",)):
            refused = run("unpack", self.artifact, "-o", f"{self.artifact}/", *flags)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("is the artifact itself", refused.stderr)
        self.assertFalse((self.artifact / "model.safetensors").exists())
        self.assert_exit(run("verify", self.artifact), 0)

    def test_unpacked_to_gguf_it_predicts_the_same(self):
        said = json.loads(self.unpack("gguf", "--format", "gguf", "--json").stdout)
        gguf = self.directory / "gguf" / "model.gguf"
        self.assertEqual(said["file"], str(gguf))
        self.assertEqual(said["bytes"], gguf.stat().st_size)
        self.assertIn("Q8_0", said["notes"][-1])
        self.unpack("other.gguf", "--format", "gguf", "--threads", "1")
        self.assertEqual(sha256(self.directory / "other.gguf"), sha256(gguf))
        self.unpack("dense")
        score = run("eval", gguf, "--text", TEXT, "--against", self.directory / "dense", "--max-tokens", "1024", "--json")
        self.assert_exit(score, 0)
        # What Q8_0 does to any model of this kind, a hundredth of what 2.98 bits have done already.
        self.assertLess(json.loads(score.stdout)["mean_kl"], 1e-4)
        refused = run("unpack", gguf, "-o", self.directory / "x", "--format", "gguf")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("hint: ", refused.stderr)

    def test_a_flipped_bit_anywhere_is_found(self):
        damaged = self.directory / "damaged"
        shutil.copytree(self.artifact, damaged)
        weights = damaged / "model.nsq"
        whole = weights.read_bytes()
        header = 8 + int.from_bytes(whole[:8], "little")
        places = random.Random(7)
        for place in [places.randrange(header) for _ in range(4)] + [places.randrange(header, len(whole)) for _ in range(12)]:
            flipped = bytearray(whole)
            flipped[place] ^= 1 << places.randrange(8)
            weights.write_bytes(flipped)
            with self.subTest(place):
                verify = run("verify", damaged)
                self.assertEqual(verify.returncode, 7, verify.stdout + verify.stderr)
                unpack = run("unpack", damaged, "-o", self.directory / "none")
                # verify knows the file's digest, too; a reader without it may miss a letter of a name, not a weight.
                if place >= header:
                    self.assertEqual(unpack.returncode, 7, unpack.stderr)
                    self.assertRegex(unpack.stderr, "tensor '[^']+'|tile [0-9]+")
                    self.assertFalse((self.directory / "none" / "model.safetensors").exists())
                shutil.rmtree(self.directory / "none", ignore_errors=True)


class BenchQualityTest(TemporaryTest):
    def test_the_table(self):
        text = self.directory / "text.txt"
        text.write_text(TEXT.read_text()[:6500])  # what takes time is calibration
        result = run("bench", "quality", MODEL, "--text", text, "--tokens", "256", "--bpw", "3.2", "--json")
        self.assert_exit(result, 0)
        table = json.loads(result.stdout)
        rows = {(row["kind"], row["name"]): row for row in table["rows"]}
        self.assertEqual(len(rows), len(table["rows"]))
        self.assertGreater(table["tokens"], 0)
        nsq = [row for row in table["rows"] if row["kind"] == "nsq"]
        self.assertGreaterEqual(len(nsq), 8)
        for row in table["rows"]:
            self.assertAlmostEqual(row["bits_per_weight"], 8 * row["bytes"] / table["parameters"])
            self.assertGreater(row["mean_kl"], 0)
        for row in nsq:  # all of one size
            self.assertLessEqual(row["bits_per_weight"], 3.2)
            self.assertGreater(row["bits_per_weight"], 3.19)
        # By their definition: bits a weight plus ranges; of the magnitudes 0.8 + 0.8 + 1.4 bits, and 1.157 bits for the map at least.
        bits = {name: row["bits_per_weight"] for (kind, name), row in rows.items() if kind == "baseline"}
        for name, low, high in (("uniform, 4 bits", 4, 4.1), ("magnitude, 2/4/8 bits", 4.15, 4.3),
                                ("rounding in groups of 32, 4 bits", 5, 5.1), ("rounding in groups of 128, 3 bits", 3.25, 3.35)):
            self.assertTrue(low <= bits[name] <= high, (name, bits[name]))
        kl = {name: rows["nsq", name]["mean_kl"] for _, name in [(r["kind"], r["name"]) for r in nsq]}
        game = kl["game alone, no search"]
        self.assertLess(game, kl["without feedback"])
        self.assertLess(game, kl["without dependent quantization"])
        for name in bits:  # larger files that lose more; groups of 32 with 5 bits a weight may lose less
            if name != "rounding in groups of 32, 4 bits":
                self.assertGreater(bits[name], 3.2)
                self.assertLess(game, rows["baseline", name]["mean_kl"], name)

    def test_wrong_flags(self):
        for arguments in (("--text", self.directory / "none.txt"), ("--text", TEXT, "--bpw", "0")):
            result = run("bench", "quality", MODEL, *arguments)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("error: ", result.stderr)


if __name__ == "__main__":
    unittest.main()
