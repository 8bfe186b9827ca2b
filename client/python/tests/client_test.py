"""The clients against a real server."""
import asyncio
import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import unittest

from twins import MODEL, SOURCE, Cutter, Server, TemporaryTest, listed, settle, wait_for

import nashswarm

TEXT = SOURCE / "tests" / "data" / "text.txt"


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class RealServerTest(TemporaryTest):
    def setUp(self):
        super().setUp()
        self.server = Server(self.directory)
        self.addCleanup(self.server.stop, signal.SIGKILL)

    def test_from_a_directory_to_an_artifact(self):
        async def scenario(client, directory):
            model = await settle(client.push(MODEL, labels={"a": "b"}))
            self.assertEqual((model.kind, model.architecture, model.parameters, model.labels), ("checkpoint", "gpt2", 5853184, {"a": "b", "name": "gpt2-wiki-6m"}))
            self.assertEqual((await settle(client.push(MODEL, labels={"a": "b"}))).name, model.name)
            job = await settle(client.compress(model, bpw=4.5, labels={"c": "d"}))
            events = await listed(job.watch())
            self.assertEqual((events[0].kind, events[-1].kind, job.state), ("snapshot", "snapshot", "succeeded"))
            stored = [event.sequence for event in events if event.sequence]
            self.assertEqual(stored, list(range(1, len(stored) + 1)))
            self.assertEqual(sum(event.kind == "tensor_done" for event in events), model.message.tensor_count)
            paths = await settle(job.pull(directory / "out"))
            self.assertEqual(job.result.output_bytes, os.path.getsize(directory / "out" / "model.gguf"))
            self.assertLessEqual(8 * job.result.output_bytes / model.parameters, 4.5)
            artifact = await settle(client.artifact(job.name))
            self.assertEqual([sha256(path) for path in paths], [file.sha256 for file in artifact.files])
            single = await settle(client.pull(artifact, directory / "one.gguf"))
            self.assertIn(str(directory / "one.manifest.json"), single)
            self.assertIn(job.name, [other.name for other in await settle(client.jobs("succeeded"))])
            self.assertIn(model.name, [other.name for other in await settle(client.models())])
            self.assertIn(artifact.name, [other.name for other in await settle(client.artifacts())])
            self.assertIn("gpt2", (await settle(client.server_info())).architectures)
            self.assertEqual((await settle((await settle(client.job(job.name))).wait())).result, job.result)
            await settle(job.delete())
            await settle(client.delete_artifact(artifact.name))
            await self.error_of(nashswarm.NotFoundError, lambda: client.artifact(artifact.name))
        self.with_both(scenario, self.server.address)

    def test_texts_are_pushed_and_the_artifact_is_measured(self):
        with nashswarm.Client(self.server.address) as client:
            job = client.compress(MODEL, bpw=4.5, format="nsq", calibrate=client.push_data(TEXT), evaluate=TEXT, calibration_tokens=512,
                                  evaluation_tokens=256, rules={".*wpe.*": "keep"}).wait()
            self.assertGreater(job.result.quality.perplexity, 1)
            self.assertGreater(job.result.quality.mean_kl, 0)
            self.assertEqual([model.kind for model in client.models()].count("data"), 1)

    def test_errors_have_classes_reasons_and_hints(self):
        async def scenario(client, directory):
            e = nashswarm
            error = await self.error_of(e.NotFoundError, lambda: client.job("jobs/none"))
            self.assertEqual(error.reason, "JOB_NOT_FOUND")
            self.assertIsInstance(error, LookupError)
            await self.error_of(e.NotFoundError, lambda: client.push(directory / "none"))
            await self.error_of(e.NotFoundError, lambda: client.push(SOURCE / "docs"))  # no weights
            self.assertTrue((await self.error_of(e.InvalidRequestError, lambda: client.compress(MODEL))).hint)
            await self.error_of(e.InvalidRequestError, lambda: client.compress(MODEL, bpw=4, size="1MB"))
            await self.error_of(e.InvalidRequestError, lambda: client.compress(MODEL, max_kl=0.1))
            await self.error_of(e.InvalidRequestError, lambda: client.jobs("sleeping"))
            error = await self.error_of(e.InvalidRequestError, lambda: client.compress(MODEL, bpw=4, rules={"(": "Q6_K"}))
            self.assertEqual((error.code, error.reason), ("INVALID_ARGUMENT", "BAD_PATTERN"))
            job = await settle(client.compress(MODEL, bpw=0.5))
            failed = await self.error_of(e.TargetInfeasibleError, job.wait)
            self.assertIsInstance(failed, e.JobFailedError)
            self.assertEqual((failed.job, failed.reason), (job.name, "TARGET_INFEASIBLE"))
            self.assertTrue(failed.hint)
            await self.error_of(e.TargetInfeasibleError, lambda: job.pull(directory / "out"))
            self.assertEqual((await self.error_of(e.ConflictError, job.cancel)).reason, "JOB_ENDED")
        self.with_both(scenario, self.server.address)

    def test_cancel_retry_and_a_timeout(self):
        async def scenario(client, directory):
            job = await settle(client.compress(MODEL, bpw=3.1, format="nsq", seed=len(str(directory))))
            with self.assertRaises(TimeoutError):
                await settle(job.wait(timeout=0.2))
            await settle(job.cancel())
            error = await self.error_of(nashswarm.JobCancelledError, job.wait)
            self.assertEqual((error.job, job.state), (job.name, "cancelled"))
            self.assertEqual((await settle(job.retry())).state, "queued")
            await settle(job.wait())
            self.assertEqual(job.state, "succeeded")
        self.with_both(scenario, self.server.address)

    def test_one_request_id_makes_one_job(self):
        with nashswarm.Client(self.server.address) as client:
            model = client.push(MODEL)
            name = "0b6c1d5e-4b7e-4a53-9d2c-3f0e6f1f8a01"
            jobs = {client.compress(model, bpw=4.5, request_id=name).name for _ in range(3)}
            self.assertEqual(len(jobs), 1)
            client.job(jobs.pop()).wait()

    def test_transfers_go_on_where_a_broken_connection_left_them(self):
        async def scenario(client, directory):
            job = await settle(client.compress(MODEL, bpw=8 if "aio" in str(directory) else 7.5))
            await settle((await settle(job.wait())).pull(directory / "out"))
            artifact = await settle(client.artifact(job.name))
            self.assertEqual(sha256(directory / "out" / "model.gguf"), next(f.sha256 for f in artifact.files if f.path == "model.gguf"))
            self.assertEqual([p.name for p in (directory / "out").iterdir() if p.suffix == ".part"], [])
        cutter = Cutter(self.server.address, after=4_000_000, cuts=2)  # the upload breaks twice
        self.addCleanup(cutter.close)
        with nashswarm.Client(cutter.address) as client:
            client.push(MODEL)
        self.assertEqual(cutter.cuts_made, 2)
        # What was durable is not sent again: without resuming, three beginnings would make 4 + 4 + 11.9 MB and more.
        self.assertLess(cutter.passed, 19_000_000)
        cutter.passed, cutter.after, cutter.cuts_left, cutter.cuts_made = 0, 2_000_000, 4, 0  # now downloads
        self.with_both(scenario, cutter.address)
        self.assertEqual(cutter.cuts_made, 4)

    def test_a_pull_goes_on_from_its_partial_file_and_repairs_a_damaged_one(self):
        with nashswarm.Client(self.server.address) as client:
            job = client.compress(MODEL, bpw=8).wait()
            whole = pathlib.Path(next(path for path in job.pull(self.directory / "whole") if path.endswith(".gguf"))).read_bytes()
        part = f"model.gguf.{hashlib.sha256(whole).hexdigest()[:12]}.part"

        async def scenario(client, directory):
            for name, left in (("good", whole[:5_000_000]), ("damaged", bytes(5_000_000))):
                (directory / name).mkdir()
                (directory / name / part).write_bytes(left)
                before = relay.passed
                await settle(client.pull(job.name, directory / name))
                self.assertEqual((directory / name / "model.gguf").read_bytes(), whole)
                passed = relay.passed - before
                self.assertEqual(passed < len(whole), name == "good", f"{name}: {passed} of {len(whole)}")
            (directory / "good" / "report.json").write_text("mine")
            error = await self.error_of(nashswarm.ConflictError, lambda: client.pull(job.name, directory / "good"))
            self.assertEqual(error.reason, "FILE_EXISTS")
            await settle(client.pull(job.name, directory / "good", force=True))
            self.assertNotEqual((directory / "good" / "report.json").read_text(), "mine")
        relay = Cutter(self.server.address, after=0, cuts=0)
        self.addCleanup(relay.close)
        self.with_both(scenario, relay.address)

    def test_a_watch_outlives_a_restart_of_the_server(self):
        async def scenario(client, directory):
            job = await settle(client.compress(MODEL, bpw=2.9 if "aio" in str(directory) else 2.95, format="nsq"))
            waiting = asyncio.create_task(job.wait()) if asyncio.iscoroutinefunction(job.wait) else asyncio.create_task(asyncio.to_thread(job.wait))
            await asyncio.sleep(0.3)
            await asyncio.to_thread(self.server.stop, signal.SIGKILL)
            await asyncio.to_thread(self.server.start, self.server.address)
            self.assertEqual((await waiting).state, "succeeded")
        self.with_both(scenario, self.server.address)


class LocalTest(TemporaryTest):
    def test_local_leaves_nothing_behind(self):
        os.environ["TMPDIR"] = str(self.directory)
        self.addCleanup(os.environ.pop, "TMPDIR")
        program = ("import nashswarm, sys\n"
                   "with nashswarm.local() as client:\n"
                   "  print(client._session.access.address, flush=True)\n"
                   "  if sys.argv[1] == 'hang': sys.stdin.read()\n"
                   "  print(client.server_info().version)\n")
        done = subprocess.run([sys.executable, "-c", program, "end"], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(list(self.directory.iterdir()), [])
        # Killed, the client cannot tidy up; its server ends all the same.
        killed = subprocess.Popen([sys.executable, "-c", program, "hang"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with killed.stdin, killed.stdout:
            socket = killed.stdout.readline().strip()
            running = lambda: [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if socket in _text(p)]  # noqa: E731
            self.assertTrue(running())
            killed.kill()
            killed.wait()
            wait_for(lambda: not running(), "the server to end", 20)

    def test_without_programs_the_error_says_what_to_do(self):
        kept = {name: os.environ.pop(name) for name in ("NASHSWARM_BIN_DIR", "PATH")}
        self.addCleanup(os.environ.update, kept)
        with self.assertRaises(nashswarm.NotFoundError) as caught, nashswarm.local():
            pass
        self.assertEqual(caught.exception.reason, "PROGRAM_NOT_FOUND")

    def test_local_on_asyncio(self):
        async def scenario():
            async with nashswarm.aio.local(self.directory / "data") as client:
                job = await client.compress(MODEL, bpw=4.5)
                await (await job.wait()).pull(self.directory / "out")
        asyncio.run(scenario())
        self.assertTrue((self.directory / "out" / "model.gguf").exists())
        self.assertTrue((self.directory / "data").exists())


def _text(path):
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    unittest.main(verbosity=2)
