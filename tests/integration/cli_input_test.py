#!/usr/bin/env python3
"""What people give the client that is not as it should be, and what it says: their own paths, the same exit code wherever a fault
is found, suggestions, tables that fit. See cli_harness.py for what it needs."""
import json
import os
import shutil
import signal
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True

from cli_harness import BIN, CLI, ENVIRONMENT, LIMIT, MODEL, SOURCE, Server, TemporaryTest, run

TEXT = SOURCE / "tests" / "data" / "text.txt"
ENGINE = str(BIN / "nashswarm-engine")


class InputTest(TemporaryTest):
    def copy(self, *without):
        """A copy of the model that may be spoiled."""
        model = self.directory / "my model"
        if not model.exists():
            shutil.copytree(MODEL, model)
        for name in without:
            (model / name).unlink()
        return model

    def compress(self, model, *arguments, bits="8"):
        return run("compress", model, "-o", self.directory / "out", "--bpw", bits, *arguments)

    def assert_names(self, result, path):
        """The user's path, and no directory of ours."""
        self.assertIn(str(path), result.stderr)
        for ours in (".nashswarm-", "/work/", "/stages/"):
            self.assertNotIn(ours, result.stderr)


class PathsTest(InputTest):
    """A private server works in a directory that is gone when the message is read."""

    def test_a_missing_tokenizer(self):
        model = self.copy("tokenizer.json", "vocab.json", "merges.txt")
        result = self.compress(model)
        self.assertNotEqual(result.returncode, 0)
        self.assert_names(result, model)
        self.assertNotIn("jobs/", result.stderr)

    def test_a_missing_shard(self):
        model = self.copy()
        names = ["wte.weight", "wpe.weight"]
        (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
        (model / "model.safetensors.index.json").write_text(json.dumps(
            {"weight_map": {n: "model-0000%d-of-00002.safetensors" % (i + 1) for i, n in enumerate(names)}}))
        for result in (self.compress(model), run("eval", model, "--text", TEXT), run("inspect", model)):
            self.assertNotEqual(result.returncode, 0)
            self.assert_names(result, model)
            self.assertIn("model-00002-of-00002.safetensors", result.stderr)

    def test_broken_json(self):
        model = self.copy()
        (model / "config.json").write_text('{"model_type": ')
        for result in (self.compress(model), run("eval", model, "--text", TEXT), run("verify", model)):
            self.assert_names(result, model / "config.json")

    def test_an_importance_matrix(self):
        matrix = self.directory / "some.dat"
        matrix.write_bytes(b"no matrix")
        result = self.compress(MODEL, "--imatrix", matrix)
        self.assert_exit(result, 1)
        self.assert_names(result, matrix)


class TextsTest(InputTest):
    PROSE = "the end of the day and the one thing that is of interest in it.\n" * 200
    KINDS = {"utf16.txt": (PROSE.encode("utf-16"), "UTF-16", "iconv"),
             "utf16le.txt": (PROSE.encode("utf-16-le"), "UTF-16LE", "iconv"),
             "image.png": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "PNG", "plain text"),
             "text.gz": (b"\x1f\x8b\x08\0" + bytes(range(1, 250)) * 20, "gzip", "gunzip"),
             "data.parquet": (b"PAR1\x15" + bytes(range(256)) * 20, "Parquet", "plain file"),
             "pointer.txt": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n", "Git LFS", "git lfs pull"),
             "blank.txt": (b" \n \n", "empty", "give a text")}

    def write(self, name):
        path = self.directory / name
        path.write_bytes(self.KINDS[name][0])
        return path

    def assert_refused(self, result, path):
        _, what, remedy = self.KINDS[path.name]
        self.assert_exit(result, 1)
        self.assert_names(result, path)
        self.assertIn(what, result.stderr)
        self.assertIn(remedy, result.stderr)

    def test_every_kind_is_refused_by_name(self):
        for name in self.KINDS:
            with self.subTest(name):
                self.assert_refused(run("eval", MODEL, "--text", self.write(name)), self.directory / name)

    def test_every_command_refuses_utf16(self):
        text = self.write("utf16.txt")
        commands = [("calibrate", MODEL, "--text", text, "-o", self.directory / "i.gguf"),
                    ("frontier", MODEL, "--bpw", "4:5", "--text", text),
                    ("bench", "quality", MODEL, "--text", text),
                    ("bench", "quality", MODEL, "--text", TEXT, "--calibrate", text),
                    ("compress", MODEL, "-o", self.directory / "out", "--bpw", "8", "--calibrate", text),
                    ("compress", MODEL, "-o", self.directory / "out", "--bpw", "8", "--evaluate", text)]
        for command in commands:
            with self.subTest(command[0]):
                self.assert_refused(run(*command), text)
        self.assertFalse((self.directory / "out").exists())

    def test_a_mark_of_utf8_is_no_part_of_the_text(self):
        plain, marked = self.directory / "plain.txt", self.directory / "marked.txt"
        plain.write_text(self.PROSE)
        marked.write_bytes(b"\xef\xbb\xbf" + self.PROSE.encode())
        values = [json.loads(run("eval", MODEL, "--text", t, "--ctx", "64", "--max-tokens", "256", "--json").stdout)["perplexity"]
                  for t in (plain, marked)]
        self.assertEqual(values[0], values[1])


class ExitCodesTest(InputTest):
    """The same fault has the same code, by a job and by the engine's own command."""

    def expect(self, code, evaluated, compressed):
        self.assertEqual((evaluated.returncode, compressed.returncode), (code, code), evaluated.stderr + compressed.stderr)

    def test_faults_of_models(self):
        def truncate(model):
            os.truncate(model / "model.safetensors", 1_000_000)

        def spoil_json(model):
            (model / "config.json").write_text("{")

        def unknown_architecture(model):
            (model / "config.json").write_text('{"model_type": "abacus"}')

        for spoil, code in ((truncate, 7), (spoil_json, 7), (unknown_architecture, 1)):
            with self.subTest(spoil.__name__):
                model = self.copy()
                spoil(model)
                self.expect(code, run("eval", model, "--text", TEXT), self.compress(model))
                shutil.rmtree(model)
        missing = self.directory / "none"
        self.expect(3, run("eval", missing, "--text", TEXT), self.compress(missing))

    def test_faults_of_texts_and_flags(self):
        empty, missing = self.directory / "empty.txt", self.directory / "none.txt"
        empty.write_bytes(b"")
        for text, code in ((empty, 1), (missing, 3)):
            self.expect(code, run("eval", MODEL, "--text", text), self.compress(MODEL, "--evaluate", text))
        self.expect(2, run("eval", MODEL, "--text", TEXT, "--ctx", "99999"),
                    self.compress(MODEL, "--evaluate", TEXT, "--evaluation-context", "99999"))


class RulesTest(InputTest):
    def test_a_rule_that_matches_nothing_is_said_before_any_work(self):
        result = self.compress(MODEL, "--rule", "blk.0.atn_qkv.weight=Q8_0")
        self.assert_exit(result, 2)
        self.assertIn("matches no tensor", result.stderr)
        self.assertIn("blk.0.attn_qkv.weight", result.stderr)
        self.assertNotIn("measure", result.stderr)

    def test_names_of_both_files_match(self):
        for rule in ("blk\\.0\\.attn_qkv\\.weight=F16", "h\\.0\\.attn\\.c_attn\\.weight=F16"):
            result = self.compress(MODEL, "--rule", rule, "--force")
            self.assert_exit(result, 0)
            tensors = json.loads(run("inspect", self.directory / "out", "--json").stdout)["tensors"]
            self.assertEqual([t["format"] for t in tensors if t["name"] == "blk.0.attn_qkv.weight"], ["F16"])


class HelpTest(InputTest):
    COMMANDS = ("inspect", "verify", "unpack", "eval", "calibrate", "frontier", "bench", "route", "schemes")

    def test_engine_commands_explain_themselves(self):
        for command in self.COMMANDS:
            result = run(command, "--help")
            self.assert_exit(result, 0)
            self.assertIn("Usage: nashswarm %s " % command, result.stdout)
            self.assertIn("  nashswarm %s" % command, result.stdout.split("Example")[1])
            engine = subprocess.run([ENGINE, command, "--help"], capture_output=True, text=True, timeout=LIMIT)
            self.assertEqual(engine.returncode, 0)
            for line in result.stdout.splitlines():
                self.assertLessEqual(len(line), 80, line)
        self.assertIn("--bpw", run("bench", "quality", "--help").stdout)
        self.assertIn("Reads ", run("eval", "--help").stdout)
        self.assertIn("Writes ", run("unpack", "--help").stdout)

    def test_unknown_words_are_usage_with_a_suggestion(self):
        engine = subprocess.run([ENGINE, "evla", "x"], capture_output=True, text=True, timeout=LIMIT)
        for result, word in ((run("compres", MODEL), "compress"), (run("eval", MODEL, "--txt", TEXT), "--text"), (engine, "eval")):
            self.assertEqual(result.returncode, 2)
            self.assertIn("did you mean %s?" % word, result.stderr)


class WidthTest(InputTest):
    """Eighty columns: what a terminal has unless somebody makes it wider."""

    def lines(self, *arguments, server=None):
        env = {**ENVIRONMENT, **({"NASHSWARM_SERVER": server} if server else {})}
        result = subprocess.run([CLI, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT, env=env,
                                cwd=self.directory)
        self.assert_exit(result, 0)
        self.assertTrue(result.stdout)
        return result.stdout.splitlines()

    def assert_fits(self, *arguments, server=None):
        for line in self.lines(*arguments, server=server):
            self.assertLessEqual(len(line), 80, "%s: %s" % (arguments[0], line))

    def test_tables_fit(self):
        shutil.copytree(MODEL, self.directory / "m")
        shutil.copy2(TEXT, self.directory / "t.txt")
        hints = ("run it: ", "report: ", "warning: ")
        for line in self.lines("compress", "m", "-o", "out", "--bpw", "8", "--evaluate", "t.txt", "--evaluation-context", "64"):
            if not line.startswith(hints):
                self.assertLessEqual(len(line), 80, line)
        for command in (("report", "out"), ("inspect", "m"), ("inspect", "out"), ("schemes",),
                        ("eval", "m", "--text", "t.txt", "--ctx", "64", "--max-tokens", "256", "--against", "out"),
                        ("frontier", "m", "--bpw", "4:8", "--points", "4")):
            with self.subTest(command):
                self.assert_fits(*command)

    def test_lists_of_a_server_fit(self):
        shutil.copytree(MODEL, self.directory / "m")
        server = Server(self.directory)
        self.addCleanup(server.stop, signal.SIGKILL)
        at = server.address
        self.lines("push", "m", "--model-id", "a-model-with-a-rather-long-name-of-fifty-letters", server=at)
        job = json.loads("\n".join(self.lines("submit", "a-model-with-a-rather-long-name-of-fifty-letters", "--bpw", "8",
                                              "--watch", "--json", server=at)))["name"]
        for command in (("jobs", "list"), ("jobs", "get", job), ("models", "list"), ("artifacts", "list"), ("server", "info"),
                        ("report", job)):
            with self.subTest(command):
                self.assert_fits(*command, server=at)
        self.assertIn(job.split("/")[1], "\n".join(self.lines("jobs", "list", server=at)), "names are whole: they are copied")


if __name__ == "__main__":
    unittest.main(verbosity=2)
