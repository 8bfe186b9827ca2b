"""Texts and importance matrices from the command line to the engine. Run by cli_test.py, or alone."""
import json
import signal
import unittest

from cli_harness import SOURCE, Server, TemporaryTest, run


class DataFilesTest(TemporaryTest):
    """Calibration and evaluation from the command line, on an engine that computes nothing."""

    def setUp(self):
        super().setUp()
        self.server = Server(self.directory, "--engine", SOURCE / "tests" / "integration" / "fake_engine.py",
                             NASHSWARM_SANDBOX_WRITABLE=str(self.directory))  # the fake engine keeps records there
        self.addCleanup(self.server.stop, signal.SIGKILL)
        self.env = {"NASHSWARM_SERVER": self.server.address}
        self.model = self.directory / "model"
        self.model.mkdir()
        (self.model / "config.json").write_text("{}")
        (self.model / "model.safetensors").write_bytes(b"weights")
        (self.model / "fake.json").write_text(json.dumps(
            {"runs": str(self.directory / "runs"), "record": str(self.directory / "record"), "shards": 2}))
        self.train = self.directory / "train.txt"
        self.train.write_bytes(b"a text\r\nto calibrate with\n")
        self.test = self.directory / "test.txt"
        self.test.write_bytes(b"a text to measure on\n")

    def cli(self, *arguments, code=0):
        result = run(*arguments, env=self.env)
        self.assert_exit(result, code)
        return result

    def recorded(self, stage):
        return json.loads((self.directory / "record" / ("%s-0.json" % stage)).read_text())

    def test_compress_with_texts(self):
        out = self.directory / "out"
        result = self.cli("compress", self.model, "-o", out, "--max-ppl-increase", "2%", "--calibrate", self.train,
                          "--evaluate", self.test, "--evaluation-context", "64")
        calibrate = self.recorded("calibrate")
        self.assertEqual(calibrate["data"], {"calibration": self.train.read_bytes().decode(),
                                             "evaluation": self.test.read_bytes().decode()})
        self.assertEqual(calibrate["task"]["spec"]["target"], {"max_ppl_increase": 0.02})
        self.assertEqual(calibrate["task"]["spec"]["evaluation"], {"text": True, "tokens": 0, "context": 64})
        for text in ("12.50, the checkpoint's is 12.25 (+2.04 %)", "mean 0.0200 ± 0.0010, p99 0.300",
                     "95.0 % of 4.10 k tokens", "report: open %s" % (out / "report.html")):
            self.assertIn(text, result.stdout)
        report = self.cli("report", out)
        self.assertIn("near enough", report.stdout)
        self.assertIn("calibrate", report.stdout)
        self.assertEqual(json.loads(self.cli("report", out, "--json").stdout),
                         json.loads((out / "report.json").read_text()))
        job = json.loads(self.cli("jobs", "list", "--json").stdout)["jobs"][0]
        self.assertEqual(job["result"]["quality"]["mean_kl"], 0.02)
        self.assertEqual(self.cli("report", job["name"]).stdout, report.stdout)

        one = self.directory / "one.gguf"
        again = self.cli("compress", self.model, "-o", one, "--max-kl", "0.1", "--calibrate", self.train, "--evaluate",
                         self.test, "--evaluation-context", "64", "--json")
        self.assertEqual(json.loads(again.stdout)["quality"]["perplexity"], 12.5)
        self.assertTrue((self.directory / "one.report.html").exists())
        self.assertEqual(self.cli("report", one, "--json").stdout, self.cli("report", json.loads(again.stdout)["job"],
                                                                            "--json").stdout)
        runs = (self.directory / "runs").read_text().split()
        self.assertEqual([runs.count(key) for key in ("calibrate:0", "measure:0", "solve:0")], [1, 1, 2])

    def test_nsq_is_a_directory(self):
        out = self.directory / "out"
        arguments = ("compress", self.model, "--bpw", "3", "--format", "nsq", "--calibrate", "self", "--context-rounds", "2")
        self.cli(*arguments, "-o", self.directory / "one.gguf", code=2)
        result = self.cli(*arguments, "-o", out)
        self.assertEqual(self.recorded("solve")["task"]["spec"]["search"],
                         {"context_rounds": 2, "swarm_evaluations": 0, "swarm_seconds": 0})
        self.assertIn("use it: nashswarm unpack %s -o dense" % out, result.stdout)
        self.assertEqual((out / "original" / "tokenizer.model").read_text(), "tokens")
        job = json.loads(self.cli("jobs", "list", "--json").stdout)["jobs"][0]["name"]
        self.cli("pull", job, "-o", self.directory / "pulled")
        names = lambda root: sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
        self.assertEqual(names(self.directory / "pulled"), names(out))
        self.cli("pull", job, "-o", self.directory / "pulled.gguf", code=2)
        self.assertIn("near enough", self.cli("report", out).stdout)

    def test_data_by_name(self):
        pushed = self.cli("push", "--data", self.train, "--model-id", "wiki")
        self.assertEqual(pushed.stdout, "models/wiki\n")
        self.assertEqual(json.loads(self.cli("models", "get", "wiki", "--json").stdout)["kind"], "data")
        self.cli("push", self.model, "--model-id", "tiny")
        self.cli("submit", "tiny", "--bpw", "4", "--calibrate", "models/wiki", "--watch")
        self.assertEqual(self.recorded("calibrate")["data"]["calibration"], self.train.read_bytes().decode())
        for arguments, code, reason in ((("submit", "wiki", "--bpw", "4"), 2, "NOT_A_CHECKPOINT"),
                                        (("submit", "tiny", "--bpw", "4", "--calibrate", "models/tiny"), 2, "NOT_DATA"),
                                        (("submit", "tiny", "--bpw", "4", "--evaluate", "models/none"), 3,
                                         "MODEL_NOT_FOUND")):
            error = json.loads(self.cli(*arguments, "--json", code=code).stdout)["error"]
            self.assertEqual(error["reason"], reason)
            self.assertTrue(error["hint"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
