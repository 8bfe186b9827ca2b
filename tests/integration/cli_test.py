#!/usr/bin/env python3
"""The client program against the real server and the real engine. See cli_harness.py for what it needs."""
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

sys.dont_write_bytecode = True  # a test leaves nothing behind in the source

from cli_data_test import DataFilesTest  # noqa: F401: found and run by unittest.main
from cli_frontier_test import FrontierTest  # noqa: F401
from cli_route_test import RouteTest  # noqa: F401
from cli_harness import BIN, CLI, ENVIRONMENT, LIMIT, MODEL, Cutter, Server, TemporaryTest, processes_naming, run, wait_for


class PrivateServerTest(TemporaryTest):
    """compress without --server."""

    def setUp(self):
        super().setUp()
        self.sockets = pathlib.Path(tempfile.mkdtemp(prefix="nashswarm-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.sockets, ignore_errors=True)
        before = ENVIRONMENT.get("TMPDIR")
        ENVIRONMENT["TMPDIR"] = str(self.sockets)
        self.addCleanup(lambda: ENVIRONMENT.update(TMPDIR=before) if before else ENVIRONMENT.pop("TMPDIR"))

    def assert_nothing_left(self):
        self.assertEqual(processes_naming(str(self.directory)), [])
        self.assertEqual([p for p in self.directory.iterdir() if p.name.startswith(".")], [])
        self.assertEqual(list(self.sockets.iterdir()), [])

    def test_compress_writes_a_directory_and_leaves_nothing_behind(self):
        result = run("compress", MODEL, "-o", self.directory / "out", "--bpw", "4.5", "--json")
        self.assert_exit(result, 0)
        summary = json.loads(result.stdout)
        gguf = self.directory / "out" / "model.gguf"
        self.assertEqual(gguf.read_bytes()[:4], b"GGUF")
        self.assertEqual(summary["bytes"], gguf.stat().st_size)
        self.assertLessEqual(summary["bytes"] * 8 / summary["parameters"], 4.5)
        self.assertIn(str(gguf), summary["paths"])
        for key in ("job", "artifact", "bits_per_weight", "ratio_fp32", "ratio_source", "relative_error", "warnings",
                    "seconds"):
            self.assertIn(key, summary)
        json.loads((self.directory / "out" / "manifest.json").read_text())
        self.assertIn("encode", result.stderr)
        self.assert_nothing_left()

    def test_compress_to_one_file_for_people(self):
        out = self.directory / "tiny.gguf"
        result = run("compress", MODEL, "-o", out, "--ratio", "80%")
        self.assert_exit(result, 0)
        beside = {"tiny.report.html", "tiny.report.json"}  # of engines that write a report
        self.assertEqual(set(self.files()) - beside, {"tiny.gguf", "tiny.manifest.json"})
        self.assertIn("bits per weight", result.stdout)
        self.assertIn("llama-completion -m %s" % out, result.stdout)
        self.assertNotIn("\x1b", result.stdout + result.stderr)
        again = run("compress", MODEL, "-o", out, "--ratio", "80%")
        self.assert_exit(again, 1)
        self.assertIn("--force", again.stderr)
        self.assert_nothing_left()

    def test_artifact_and_report_say_what_the_model_is_called(self):
        model = self.directory / "My-Tune-6M-Instruct"
        shutil.copytree(MODEL, model)
        (model / "README.md").write_text("---\nlicense: mit\nbase_model: org/Base-6M\n---\n")
        for flags, name in (([], "My-Tune-6M-Instruct"), (["--name", "org/Other-6M"], "Other-6M")):
            out = self.directory / name
            self.assert_exit(run("compress", model, "-o", out, "--bpw", "4.5", *flags), 0)
            self.assertEqual(json.loads((out / "report.json").read_text())["model_name"], name)
            header = (out / "model.gguf").read_bytes()[:4096]
            for value in (name, "Base-6M", "mit"):
                self.assertIn(value.encode(), header)

    def test_a_directory_whose_name_is_not_utf8(self):
        model = os.fsencode(self.directory) + b"/caf\xe9"
        shutil.copytree(os.fsencode(MODEL), model)
        result = subprocess.run([os.fsencode(CLI), b"compress", model, b"-o", os.fsencode(self.directory / "out"), b"--bpw", b"4.5"],
                                capture_output=True, env=ENVIRONMENT, timeout=LIMIT)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue((self.directory / "out" / "model.gguf").exists())

    def test_kept_data_serves_a_second_target(self):
        kept = self.directory / "kept"
        for bits in ("4.5", "3.5"):
            result = run("compress", MODEL, "-o", self.directory / bits, "--bpw", bits, "--keep-server-data", kept,
                         "--json")
            self.assert_exit(result, 0)
            self.assertLessEqual(json.loads(result.stdout)["bits_per_weight"], float(bits))
        self.assertTrue(kept.is_dir())
        self.assert_nothing_left()

    def test_an_infeasible_target_says_what_is_feasible(self):
        result = run("compress", MODEL, "-o", self.directory / "out", "--bpw", "0.1", "--json")
        self.assert_exit(result, 1)
        error = json.loads(result.stdout)["error"]
        self.assertEqual(error["reason"], "TARGET_INFEASIBLE")
        self.assertTrue(error["hint"])
        self.assertEqual(self.files(), [])
        self.assert_nothing_left()

    def test_a_damaged_checkpoint_is_refused_by_name(self):
        broken = self.directory / "broken"
        shutil.copytree(MODEL, broken)
        with open(broken / "model.safetensors", "r+b") as file:
            file.truncate(1_000_000)
        result = run("compress", broken, "-o", self.directory / "out", "--bpw", "4.5")
        self.assertEqual(result.returncode, 7, result.stderr)
        self.assertIn("model.safetensors", result.stderr)
        self.assertFalse((self.directory / "out").exists())
        self.assert_nothing_left()

    def interrupt(self, how, moment):
        """Sends a signal to the client's process group, as a terminal does, once `moment` is on its stderr."""
        client = subprocess.Popen([CLI, "compress", MODEL, "-o", self.directory / "out", "--bpw", "4.5"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
                                  start_new_session=True)
        seen = ""
        for line in client.stderr:
            seen += line
            if moment in line:
                break
        else:
            self.fail(seen)
        os.killpg(client.pid, how)
        _, rest = client.communicate(timeout=60)
        return client.returncode, seen + rest

    def test_ctrl_c_cancels_and_cleans_up(self):
        for moment in ("upload", "measure"):
            with self.subTest(moment):
                code, text = self.interrupt(signal.SIGINT, moment)
                self.assertEqual(code, 130, text)
                self.assertEqual(self.files(), [])
                self.assert_nothing_left()

    def test_sigterm_cleans_up_too(self):
        code, text = self.interrupt(signal.SIGTERM, "measure")
        self.assertEqual(code, 130, text)
        self.assertEqual(self.files(), [])
        self.assert_nothing_left()

    def test_the_server_dies_with_a_killed_client(self):
        code, text = self.interrupt(signal.SIGKILL, "measure")
        self.assertEqual(code, -signal.SIGKILL, text)
        wait_for(lambda: not processes_naming(str(self.directory)), "the server and its engines to die", 30)

    def test_a_terminal_gets_a_bar_and_no_color_is_respected(self):
        for env, colored in (({}, True), ({"NO_COLOR": "1"}, False)):
            try:
                leader, follower = pty.openpty()
            except OSError as error:
                self.skipTest(f"this machine has no pseudo-terminals: {error}")
            client = subprocess.Popen([CLI, "compress", MODEL, "-o", self.directory / ("out%d" % colored), "--bpw",
                                       "4.5"], stdout=subprocess.DEVNULL, stderr=follower, env={**ENVIRONMENT, **env})
            os.close(follower)
            seen = b""
            while True:
                try:
                    data = os.read(leader, 65536)
                except OSError:
                    break
                if not data:
                    break
                seen += data
            os.close(leader)
            self.assertEqual(client.wait(60), 0, seen)
            self.assertIn(b"[####", seen)
            self.assertEqual(b"\x1b[36m" in seen, colored)
            self.assertTrue(seen.endswith(b"\r\x1b[K"), seen[-80:])


class ServerTest(TemporaryTest):
    """Everything with --server."""

    def setUp(self):
        super().setUp()
        self.server = Server(self.directory)
        self.addCleanup(self.server.stop, signal.SIGKILL)
        self.env = {"NASHSWARM_SERVER": self.server.address}

    def cli(self, *arguments):
        return run(*arguments, env=self.env)

    def json(self, *arguments, code=0):
        result = self.cli(*arguments, "--json")
        self.assert_exit(result, code)
        return json.loads(result.stdout)

    def test_the_steps_one_by_one(self):
        pushed = self.json("push", MODEL, "--model-id", "tiny")
        self.assertEqual(pushed["model"]["name"], "models/tiny")
        self.assertGreater(pushed["bytes_sent"], 10_000_000)
        self.assertEqual(self.json("push", MODEL, "--model-id", "tiny")["bytes_sent"], 0)
        self.assertEqual(self.json("models", "get", "tiny")["architecture"], "gpt2")
        self.assertEqual(len(self.json("models", "list")["models"]), 1)

        job = self.json("submit", "tiny", "--bpw", "4.5")["name"]
        watched = self.cli("jobs", "watch", job)
        self.assert_exit(watched, 0)
        self.assertIn("SUCCEEDED", watched.stdout)
        self.assertEqual(self.json("jobs", "wait", job)["state"], "SUCCEEDED")
        self.assertEqual(self.json("jobs", "get", job)["name"], job)
        self.assertEqual([j["name"] for j in self.json("jobs", "list", "--state", "succeeded")["jobs"]], [job])
        events = self.cli("jobs", "watch", job, "--events")
        self.assert_exit(events, 0)
        parsed = [json.loads(line) for line in events.stdout.splitlines()]
        self.assertTrue(any("tensor_done" in event for event in parsed))

        artifact = self.json("artifacts", "list")["artifacts"][0]
        pulled = self.json("pull", job, "-o", self.directory / "out")
        self.assertEqual(pulled["artifact"], artifact["name"])
        self.assertEqual((self.directory / "out" / "model.gguf").read_bytes()[:4], b"GGUF")
        self.assert_exit(self.cli("pull", artifact["name"], "-o", self.directory / "out"), 0)  # all there already

        self.json("jobs", "delete", job)
        self.json("artifacts", "delete", artifact["name"])
        self.json("models", "delete", "tiny")
        self.assertEqual(self.json("models", "list"), {"models": []})

    def test_exit_codes(self):
        for arguments in (("jobs", "get", "none"), ("jobs", "watch", "none"), ("pull", "none", "-o", "x"),
                          ("models", "get", "none"), ("artifacts", "get", "none"), ("submit", "none", "--bpw", "4")):
            error = self.json(*arguments, code=3)["error"]
            self.assertTrue(error["reason"], arguments)
            self.assertTrue(error["message"], arguments)
        self.assert_exit(self.cli("jobs", "list", "--nonsense"), 2)
        self.server.stop()
        unreachable = self.cli("jobs", "list")
        self.assert_exit(unreachable, 5)
        self.assertIn(self.server.address, unreachable.stderr)

    def test_server_info(self):
        info = self.json("server", "info")
        self.assertIn("Q6_K", [f["name"] for f in info["formats"]])
        self.assertGreater(info["limits"]["max_chunk_bytes"], 0)

    def test_transfers_outlive_broken_connections(self):
        cutter = Cutter(self.server.address, after=4_000_000, cuts=2)
        self.addCleanup(cutter.close)
        self.env["NASHSWARM_SERVER"] = cutter.address
        result = self.cli("compress", MODEL, "-o", self.directory / "out", "--bpw", "4.5")
        self.assert_exit(result, 0)
        self.assertEqual(cutter.cuts_made, 2)

    def test_a_pull_goes_on_from_its_partial_file(self):
        self.assert_exit(self.cli("compress", MODEL, "-o", self.directory / "whole", "--bpw", "8"), 0)
        artifact = self.json("artifacts", "list")["artifacts"][0]
        whole = (self.directory / "whole" / "model.gguf").read_bytes()
        digest = next(f["sha256"] for f in artifact["files"] if f["path"] == "model.gguf")
        (self.directory / "out").mkdir()
        part = self.directory / "out" / ("model.gguf.%s.part" % digest[:12])
        part.write_bytes(whole[:1_000_000])
        relay = Cutter(self.server.address, after=0, cuts=0)
        self.addCleanup(relay.close)
        self.env["NASHSWARM_SERVER"] = relay.address
        self.assert_exit(self.cli("pull", artifact["name"], "-o", self.directory / "out"), 0)
        self.assertEqual((self.directory / "out" / "model.gguf").read_bytes(), whole)
        self.assertFalse(part.exists())
        everything = sum(f["size_bytes"] for f in artifact["files"])
        self.assertLess(relay.passed, everything - 900_000, "what was there was fetched again")

    def test_compress_is_not_disturbed_by_a_restart_of_the_server(self):
        client = subprocess.Popen([CLI, "compress", MODEL, "-o", self.directory / "out", "--bpw", "4.5", "--json"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env={**ENVIRONMENT, **self.env})
        wait_for(lambda: "measure" in client.stderr.readline(), "the job to run")
        reader = threading.Thread(target=client.stderr.read, daemon=True)
        reader.start()
        self.server.stop(signal.SIGKILL)
        self.server.start(self.server.address)
        out = client.stdout.read()
        self.assertEqual(client.wait(LIMIT), 0, out)
        self.assertEqual((self.directory / "out" / "model.gguf").read_bytes()[:4], b"GGUF")

    def test_ctrl_c_detaches_and_the_job_goes_on(self):
        self.json("push", MODEL, "--model-id", "tiny")
        job = self.json("submit", "tiny", "--bpw", "4.5")["name"]
        client = subprocess.Popen([CLI, "jobs", "watch", job], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True, env={**ENVIRONMENT, **self.env})
        client.stderr.readline()
        client.send_signal(signal.SIGINT)
        _, text = client.communicate(timeout=60)
        if client.returncode != 0:  # 0: the job was faster
            self.assertEqual(client.returncode, 130, text)
            self.assertIn("nashswarm jobs watch %s --server %s" % (job, self.server.address), text)
        self.assertEqual(self.json("jobs", "wait", job)["state"], "SUCCEEDED")

    def test_cancel(self):
        self.json("push", MODEL, "--model-id", "tiny")
        job = self.json("submit", "tiny", "--bpw", "4.5")["name"]
        cancelled = self.cli("jobs", "cancel", job)
        self.assert_exit(cancelled, 0)
        waited = self.cli("jobs", "wait", job)
        self.assert_exit(waited, 1)
        self.assertIn("CANCELLED", waited.stdout)
        self.assert_exit(self.cli("jobs", "retry", job), 0)
        self.assert_exit(self.cli("jobs", "wait", job), 0)


class EngineTest(TemporaryTest):
    def test_engine_commands_are_handed_over(self):
        schemes = run("schemes", "--json")
        self.assert_exit(schemes, 0)
        known = json.loads(schemes.stdout)["schemes"]
        described = json.loads(subprocess.run([BIN / "nashswarm-engine", "describe"], capture_output=True, check=True).stdout)
        self.assertEqual([f["name"] for f in described["number_formats"]], [f["format"] for f in known])
        self.assertIn({"model_type": "mixtral", "gguf": "llama"}, described["architectures"])
        self.assertEqual(described["artifact_kinds"], ["gguf", "nsq"])
        inspect = run("inspect", MODEL, "--json")
        self.assert_exit(inspect, 0)
        json.loads(inspect.stdout)
        self.assert_exit(run("--json", "inspect", MODEL), 0)
        self.assertNotEqual(run("inspect", "/nonexistent").returncode, 0)

    def test_both_programs_say_the_same_of_a_command(self):
        """The client's usage is written by hand, for when there is no engine; completion reads the options out of it."""
        alone = self.directory / "nashswarm"
        shutil.copy2(CLI, alone)
        for command in ("inspect", "verify", "unpack", "eval", "calibrate", "frontier", "bench quality", "route", "schemes"):
            help = subprocess.run([alone, command.split()[0], "--help"], capture_output=True, text=True, timeout=LIMIT,
                                  env={**ENVIRONMENT, "PATH": "/nonexistent"}).stdout
            usage = re.search("^Usage: .*(?:\n  .*)*", help, re.MULTILINE)[0]  # over a few lines
            engine = subprocess.run([BIN / "nashswarm-engine", *command.split(), "--help"], capture_output=True, text=True,
                                    timeout=LIMIT, env=ENVIRONMENT).stdout
            said = set(re.findall(r"--[a-z][a-z-]*", usage))
            known = set(re.findall(r"^  (?:-\w,)?(--[a-z][a-z-]*)", engine, re.MULTILINE)) - {"--help", "--output"}  # -o in the usage
            self.assertIn("--json", known)
            if command == "route":  # its usage names the main ones
                self.assertLessEqual(said, known)
            else:
                self.assertEqual(said, known, command)
        self.assertIn("--dtype f32", run("unpack", "--help").stdout.partition("Example")[2])

    def test_the_client_alone_says_what_to_install(self):
        alone = self.directory / "nashswarm"
        shutil.copy2(CLI, alone)
        for arguments in (("inspect", MODEL), ("compress", MODEL, "-o", self.directory / "out", "--bpw", "4")):
            result = subprocess.run([alone, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT,
                                    env={**ENVIRONMENT, "PATH": "/nonexistent"})
            self.assertEqual(result.returncode, 3)
            self.assertIn("install nashswarm", result.stderr)
        self.assertFalse((self.directory / "out").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
