#!/usr/bin/env python3
"""hf:// names: models of the hub, from a server with its URLs. Run with NASHSWARM_BIN_DIR set."""
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True  # a test leaves nothing behind in the source

from cli_harness import CLI, ENVIRONMENT, MODEL, SOURCE, Server, TemporaryTest, run, wait_for

sys.path.insert(0, str(SOURCE / "tests" / "support"))
from hub_server import LARGE, Hub  # noqa: E402

NAME = "acme/wiki-6m"


class HubTest(TemporaryTest):
    def setUp(self):
        super().setUp()
        self.model = self.directory / "model"
        shutil.copytree(MODEL, self.model)
        (self.model / "pytorch_model.bin").write_bytes(b"a pickle")
        (self.model / "onnx").mkdir()
        (self.model / "onnx" / "config.json").write_text("{}")
        self.hub = Hub({NAME: self.model})
        self.addCleanup(self.hub.close)
        self.home = self.directory / "hf"
        self.repository = self.home / "hub" / ("models--" + NAME.replace("/", "--"))

    def environment(self, **more):
        return {"HF_ENDPOINT": self.hub.endpoint, "HF_HOME": str(self.home), **more}

    def inspect(self, name="hf://" + NAME, **more):
        return run("inspect", name, "--json", env=self.environment(**more))

    def refused(self, code, *texts, name="hf://" + NAME, **more):
        result = self.inspect(name, **more)
        self.assertEqual(result.returncode, code, result.stderr)
        for text in texts:
            self.assertIn(text, result.stderr)
        return result

    def snapshot(self):
        return self.repository / "snapshots" / self.hub.commit

    def check_snapshot(self):
        for file in ("config.json", "model.safetensors", "tokenizer.json", "vocab.json"):
            if (self.model / file).exists():
                self.assertEqual((self.snapshot() / file).read_bytes(), (self.model / file).read_bytes(), file)
        self.assertEqual(list(self.repository.glob("blobs/*.incomplete")), [])

    def test_compress_downloads_once(self):
        for turn in range(2):
            out = self.directory / ("out%d" % turn)
            result = run("compress", "hf://" + NAME, "-o", out, "--bpw", "4.5", "--json", env=self.environment())
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertTrue((out / "model.gguf").exists())
        self.check_snapshot()
        self.assertEqual((self.repository / "refs" / "main").read_text(), self.hub.commit)
        weights = [path for path in self.hub.gets() if path.endswith("model.safetensors")]
        self.assertEqual(len(weights), 2, "one at the hub and one where it redirects to; the second run has it all")
        everything = self.hub.gets()
        self.assertFalse(any("pytorch_model.bin" in path or "onnx" in path for path in everything), everything)

    def test_layout_is_that_of_other_programs(self):
        self.assertEqual(self.inspect().returncode, 0)
        link = self.snapshot() / "model.safetensors"
        self.assertTrue(link.is_symlink())
        self.assertTrue(os.readlink(link).startswith("../../blobs/"))
        self.assertEqual(len(os.readlink(link).rsplit("/", 1)[1]), 64, "named by SHA-256")
        self.assertEqual(len(os.readlink(self.snapshot() / "config.json").rsplit("/", 1)[1]), 40, "as Git names it")

    def test_revisions(self):
        self.assertEqual(self.inspect("hf://%s@refs/pr/1" % NAME).returncode, 0)
        self.assertEqual((self.repository / "refs" / "refs" / "pr" / "1").read_text(), self.hub.commit)
        self.assertEqual(self.inspect("hf://%s@%s" % (NAME, self.hub.commit)).returncode, 0)
        self.refused(3, "HUB_REVISION_NOT_FOUND", name="hf://%s@v9" % NAME)

    def test_goes_on_after_lost_connections(self):
        size = (self.model / "model.safetensors").stat().st_size
        self.assertGreater(size, LARGE)
        self.hub.cut_after, self.hub.cuts = size // 3 + 1, 2
        self.assertEqual(self.inspect().returncode, 0)
        self.check_snapshot()
        ranges = [r for method, path, r, _ in self.hub.requests if r and path.endswith("model.safetensors")]
        self.assertTrue(ranges, "it went on from where it was")
        self.assertEqual(self.hub.cuts, 0)

    def test_a_server_that_ignores_ranges_starts_over(self):
        size = (self.model / "model.safetensors").stat().st_size
        self.hub.ignore_ranges, self.hub.cut_after, self.hub.cuts = True, size // 2, 2
        self.assertEqual(self.inspect().returncode, 0)
        self.check_snapshot()

    def test_goes_on_after_ctrl_c(self):
        self.hub.cut_after, self.hub.cuts = 300_000, 1000
        process = subprocess.Popen([CLI, "inspect", "hf://" + NAME], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env={**ENVIRONMENT, **self.environment()}, text=True)
        wait_for(lambda: list(self.repository.glob("blobs/*.incomplete")), "a part of a file")
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, text)
        self.assertIn("what was downloaded is kept", text)
        self.hub.cuts = 0
        self.assertEqual(self.inspect().returncode, 0)
        self.check_snapshot()

    def test_passing_errors_are_tried_again(self):
        self.hub.errors = [503, 429, 500]
        self.assertEqual(self.inspect().returncode, 0)
        self.hub.errors = [503] * 50
        shutil.rmtree(self.home)
        self.refused(5, "HUB_UNAVAILABLE", "503")

    def test_wrong_bytes_are_not_kept(self):
        for file in ("config.json", "model.safetensors"):  # in the order of the download
            self.hub.corrupt = file
            self.refused(7, "HUB_CORRUPT", file)
            self.assertFalse((self.snapshot() / file).exists())
        self.hub.corrupt = None
        self.assertEqual(self.inspect().returncode, 0)
        self.check_snapshot()

    def test_a_part_of_other_content_is_not_believed(self):
        self.assertEqual(self.inspect().returncode, 0)
        blob = (self.snapshot() / "model.safetensors").resolve()
        content = bytearray(blob.read_bytes()[:50_000])
        content[100] ^= 255
        blob.unlink()
        pathlib.Path(str(blob) + ".incomplete").write_bytes(content)
        self.assertEqual(self.inspect().returncode, 0)
        self.check_snapshot()

    def test_tokens(self):
        self.hub.token = "hf_secret"
        self.refused(3, "HUB_NOT_FOUND", "HF_TOKEN")
        self.assertEqual(self.inspect(HF_TOKEN="hf_secret").returncode, 0, "and the storage got no token")
        shutil.rmtree(self.home / "hub")
        (self.home / "token").write_text("hf_secret\n")
        self.assertEqual(self.inspect().returncode, 0)
        self.assertNotIn("hf_secret", self.inspect(HF_TOKEN="hf_secret").stderr)

    def test_what_is_not_there(self):
        self.refused(3, "HUB_NOT_FOUND", name="hf://acme/none")
        self.refused(2, "names no model of the hub", name="hf://../etc")
        self.hub.gated.add(NAME)
        self.refused(4, "HUB_GATED", "ask for access")
        self.hub.gated.clear()
        (self.model / "model.safetensors").unlink()
        self.refused(3, "NO_WEIGHTS", "pickle")
        (self.model / "q4.gguf").write_text("GGUF")
        self.refused(1, "GGUF_AS_SOURCE", "q4.gguf")

    def test_without_the_hub(self):
        self.refused(3, "HUB_NOT_CACHED", HF_HUB_OFFLINE="1")
        self.assertEqual(self.inspect().returncode, 0)
        before = len(self.hub.requests)
        self.assertEqual(self.inspect(HF_HUB_OFFLINE="1").returncode, 0)
        self.assertEqual(len(self.hub.requests), before)
        self.hub.close()
        result = self.inspect()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("using what was downloaded before", result.stderr)
        shutil.rmtree(self.home)
        self.refused(5, "HUB_UNREACHABLE", "HF_ENDPOINT")

    def test_two_at_once_download_once(self):
        """Whoever comes second waits for the lock that other programs take too."""
        self.assertEqual(self.inspect().returncode, 0)
        blob = (self.snapshot() / "model.safetensors").resolve()
        content = blob.read_bytes()
        blob.unlink()
        lock = self.home / "hub" / ".locks" / self.repository.name / (blob.name + ".lock")
        before = len(self.hub.gets())
        with open(lock) as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            waiting = threading.Thread(target=self.inspect)
            waiting.start()
            wait_for(lambda: len(self.hub.gets()) > before, "the list of files")
            time.sleep(0.5)
            blob.write_bytes(content)
        waiting.join(60)
        self.assertFalse([p for p in self.hub.gets()[before:] if p.endswith("model.safetensors")])

    def test_push(self):
        server = Server(self.directory)
        self.addCleanup(server.stop)
        result = run("push", "hf://" + NAME, "--server", server.address, "--json", env=self.environment())
        self.assertEqual(result.returncode, 0, result.stderr)
        model = json.loads(result.stdout)["model"]
        self.assertEqual(model["architecture"], "gpt2")
        self.assertEqual(run("push", MODEL, "--server", server.address).stdout.strip(), model["name"],
                         "the same files, by whatever name")


if __name__ == "__main__":
    unittest.main(verbosity=0)
