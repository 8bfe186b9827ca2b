#!/usr/bin/env python3
"""The stages that `compress` keeps between runs, and how soon it ends. See cli_harness.py for what it needs."""
import fcntl
import os
import signal
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True

from cli_harness import CLI, ENVIRONMENT, LIMIT, MODEL, SOURCE, TemporaryTest, processes_naming, run, wait_for

TEXT = SOURCE / "tests" / "data" / "text.txt"
# Said by the engine itself: not when the results of its stage were there already.
MEASURED = "calibration: loss weights"


class CacheTest(TemporaryTest):
    def setUp(self):
        super().setUp()
        self.cache = self.directory / "cache"
        self.env = {"XDG_CACHE_HOME": str(self.cache)}

    def arguments(self, out, bits, *more):
        return ["compress", MODEL, "-o", self.directory / out, "--bpw", bits, "--calibrate", TEXT, "--calibration-tokens", "1024",
                "--evaluation-tokens", "512", *more]

    def compress(self, out, bits, *more):
        result = run(*self.arguments(out, bits, *more), env=self.env)
        self.assert_exit(result, 0)
        return result.stderr

    def kept(self):
        return [p for p in self.cache.rglob("*") if p.is_file() and p.parent.parent.name == "sha256"]

    def test_another_target_begins_where_the_first_ended(self):
        self.assertIn(MEASURED, self.compress("a", "8"))
        model = (MODEL / "model.safetensors").stat().st_size
        self.assertTrue(self.kept())
        self.assertNotIn(model, [p.stat().st_size for p in self.kept()], "no second copy of the model")
        self.assertNotIn(MEASURED, self.compress("b", "6"))
        # The same bytes as without a cache.
        fresh = self.compress("c", "6", "--no-cache")
        self.assertIn(MEASURED, fresh)
        self.assertEqual((self.directory / "b" / "model.gguf").read_bytes(), (self.directory / "c" / "model.gguf").read_bytes())

    def test_no_cache_keeps_nothing(self):
        self.compress("a", "8", "--no-cache")
        self.assertFalse(self.cache.exists())

    def test_the_size_is_bounded(self):
        self.compress("a", "8", "--cache-size", "1kB")
        self.assertLessEqual(sum(p.stat().st_size for p in self.kept()), 1000)
        self.assertIn(MEASURED, self.compress("b", "8"))

    def start(self, out, bits):
        return subprocess.Popen([CLI, *map(str, self.arguments(out, bits))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**ENVIRONMENT, **self.env}, start_new_session=True)

    def stop_when_measuring(self, how):
        client = self.start("a", "8")
        seen = ""
        for line in client.stderr:
            seen += line
            if line.startswith(("measure", "solve")):
                break
        os.killpg(client.pid, how)
        _, rest = client.communicate(timeout=LIMIT)
        wait_for(lambda: not processes_naming(str(self.directory)), "the server to go", 60)
        return client.returncode, seen + rest

    def test_an_interrupted_run_goes_on(self):
        code, text = self.stop_when_measuring(signal.SIGINT)
        self.assertEqual(code, 130, text)
        self.assertIn(MEASURED, text)
        self.assertIn("finished stages are kept: run the same command again", text)
        self.assertFalse((self.directory / "a").exists())
        self.assertNotIn(MEASURED, self.compress("a", "8"))

    def test_so_does_one_that_was_killed(self):
        code, text = self.stop_when_measuring(signal.SIGKILL)
        self.assertEqual(code, -signal.SIGKILL, text)
        self.assertNotIn(MEASURED, self.compress("a", "8"))

    def test_two_at_once_do_not_meet(self):
        both = [self.start(out, "8") for out in ("a", "b")]
        texts = [client.communicate(timeout=LIMIT)[1] for client in both]
        self.assertEqual([client.returncode for client in both], [0, 0], texts)
        self.assertEqual(sum("another compress has the cache" in text for text in texts), 1, texts)
        self.assertEqual((self.directory / "a" / "model.gguf").read_bytes(), (self.directory / "b" / "model.gguf").read_bytes())

    def test_what_another_version_has_kept_is_thrown_away_and_so_is_what_is_broken(self):
        self.compress("a", "8")
        (self.cache / "nashswarm" / "made-by").write_text("nashswarm 0.0.1\n")
        self.assertIn(MEASURED, self.compress("b", "8"))
        (self.cache / "nashswarm" / "stages" / "nashswarm.db").write_bytes(b"no database" * 1000)
        self.assertIn(MEASURED, self.compress("c", "8"))

    def test_a_server_that_starts_on_no_cache_costs_none(self):
        self.compress("a", "8")
        result = run(*self.arguments("b", "8"), env={**self.env, "NASHSWARM_WORKERS": "nonsense"})
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("nonsense", result.stderr)
        self.assertNotIn(MEASURED, self.compress("b", "8"))

    def test_variables_for_servers_that_share_their_stores_are_not_for_the_private_one(self):
        self.compress("a", "8")
        result = run(*self.arguments("b", "6"), env={**self.env, "NASHSWARM_JOBS": "postgres://nobody@nowhere.invalid/none",
                                                     "NASHSWARM_BLOBS": "s3://none", "NASHSWARM_ROLE": "worker"})
        self.assert_exit(result, 0)
        self.assertNotIn(MEASURED, result.stderr)

    def interrupt_when_calibrating(self, *more):
        client = subprocess.Popen([CLI, *map(str, self.arguments("a", "8", *more))], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, env={**ENVIRONMENT, **self.env}, start_new_session=True)
        for line in client.stderr:
            if line.startswith("calibrat"):
                break
        os.killpg(client.pid, signal.SIGINT)
        _, text = client.communicate(timeout=LIMIT)
        self.assertEqual(client.returncode, 130, text)
        return text

    def test_ctrl_c_without_a_cache_says_how_to_keep_stages(self):
        self.assertIn("leave out --no-cache or give --keep-server-data DIR", self.interrupt_when_calibrating("--no-cache"))
        (self.cache / "nashswarm").mkdir(parents=True)
        with open(self.cache / "nashswarm" / "lock", "w") as busy:
            fcntl.flock(busy, fcntl.LOCK_EX)
            text = self.interrupt_when_calibrating()
        self.assertIn("give --keep-server-data DIR", text)
        self.assertNotIn("--no-cache", text)


class EndTest(TemporaryTest):
    def test_compress_ends_when_its_work_ends(self):
        """Seven of ten runs used to wait five seconds for threads of gRPC."""
        limit = 4 * int(os.environ.get("NASHSWARM_TEST_SLOWNESS", "1"))
        for attempt in range(4):
            out = self.directory / str(attempt)
            client = subprocess.Popen([CLI, "compress", MODEL, "-o", out, "--bpw", "8"], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, env=ENVIRONMENT)
            wait_for(lambda: (out / "report.json").exists() or client.poll() is not None, "the last file")
            done = time.monotonic()
            self.assertEqual(client.wait(LIMIT), 0)
            self.assertLess(time.monotonic() - done, limit)


if __name__ == "__main__":
    unittest.main(verbosity=2)
