"""What README.md and the docstrings promise: every exception is raised, every option is in a signature, every snippet runs."""
import asyncio
import dataclasses
import errno
import inspect
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import unittest
import unittest.mock

import grpc
from fake_server_test import Fake, Lost
from twins import MODEL, SOURCE, Server, TemporaryTest, settle

import nashswarm
from nashswarm import _library, _spec
from nashswarm.v1 import nashswarm_pb2 as pb

README = (SOURCE / "client" / "python" / "README.md").read_text()
ARTIFACT = pb.Artifact(name="artifacts/a", format="gguf", files=[pb.FileEntry(path="f", digest=pb.Digest(sha256=bytes(32), size_bytes=0))])


def failing(code, reason):
    def run(*_):
        raise Lost(code, reason, hint="do this")
    return run


def ended(state, code=0, reason=""):
    """A job as watch() sees it: it has ended."""
    detail = {"type_url": "type.googleapis.com/google.rpc.ErrorInfo", "value": pb.ErrorInfo(reason=reason).SerializeToString()}
    job = pb.Job(name="jobs/j", state=state, error=pb.Error(code=code, message="it did", details=[detail]) if code else None)
    return {"GetJob": lambda *_: job, "WatchJob": lambda *_: iter([pb.JobEvent(snapshot=job)])}


class ExceptionsTest(TemporaryTest):
    """`test_NAME` for each exception NAME: with both clients it is raised, by itself and not by a class below it."""

    def with_fake(self, call, kind, methods=None, **options):
        errors = []

        async def run(client_kind):
            fake = Fake(**(methods or {}))
            client = client_kind(options.pop("address", fake.address), **options)
            try:
                errors.append(await self.error_of(kind, lambda: call(client)))
            finally:
                await settle(client.close())
                await asyncio.to_thread(fake.server.stop(0).wait)
        address = options.get("address")
        for client_kind in (nashswarm.Client, nashswarm.aio.Client):
            asyncio.run(run(client_kind))
            if address:
                options["address"] = address
        return errors[-1]

    def waited(self, kind, methods):
        async def wait(client):
            await settle((await settle(client.job("j"))).wait())
        return self.with_fake(wait, kind, methods)

    def test_InvalidRequestError(self):
        error = self.with_fake(lambda client: client.compress("models/m"), nashswarm.InvalidRequestError)
        self.assertIsInstance(error, ValueError)
        self.with_fake(lambda client: client.compress("models/m", bpw=4), nashswarm.InvalidRequestError,
                       {"CreateJob": failing(grpc.StatusCode.INVALID_ARGUMENT, "BAD_PATTERN")})

    def test_TargetInfeasibleError(self):
        error = self.waited(nashswarm.TargetInfeasibleError, ended(pb.Job.FAILED, 9, "TARGET_INFEASIBLE"))
        self.assertIsInstance(error, nashswarm.JobFailedError)
        self.assertEqual(error.job, "jobs/j")

    def test_NotFoundError(self):
        self.with_fake(lambda client: client.model("m"), nashswarm.NotFoundError, {"GetModel": failing(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")})
        error = self.with_fake(lambda client: client.push(self.directory / "none"), nashswarm.NotFoundError)
        self.assertIsInstance(error, LookupError)
        self.with_fake(lambda client: client.models(), nashswarm.NotFoundError, token_file=self.directory / "no-token")

    def test_ConflictError(self):
        self.with_fake(lambda client: client.delete_model("m"), nashswarm.ConflictError,
                       {"DeleteModel": failing(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_IN_USE")})
        (self.directory / "f").write_text("mine")
        self.with_fake(lambda client: client.pull("artifacts/a", self.directory), nashswarm.ConflictError, {"GetArtifact": lambda *_: ARTIFACT})

    def test_AuthError(self):
        for code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            self.with_fake(lambda client: client.models(), nashswarm.AuthError, {"ListModels": failing(code, "TOKEN_UNKNOWN")})

    def test_QuotaError(self):
        self.with_fake(lambda client: client.compress("models/m", bpw=4), nashswarm.QuotaError,
                       {"CreateJob": failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")})
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "f.part")
        with unittest.mock.patch("os.makedirs", side_effect=full):
            error = self.with_fake(lambda client: client.pull("artifacts/a", self.directory / "out"), nashswarm.QuotaError,
                                   {"GetArtifact": lambda *_: ARTIFACT})
        self.assertEqual((error.reason, error.message), ("NO_SPACE", "f.part: No space left on device"))

    def test_FileAccessError(self):
        (self.directory / "directory").mkdir()
        error = self.with_fake(lambda client: client.models(), nashswarm.FileAccessError, token_file=self.directory / "directory")
        self.assertIsInstance(error, OSError)
        with unittest.mock.patch("os.makedirs", side_effect=PermissionError(errno.EACCES, "no", "out")):
            error = self.with_fake(lambda client: client.pull("artifacts/a", self.directory / "out"), nashswarm.FileAccessError,
                                   {"GetArtifact": lambda *_: ARTIFACT})
        self.assertEqual(error.reason, "FILE_PERMISSION")

    def test_UnreachableError(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        error = self.with_fake(lambda client: client.models(), nashswarm.UnreachableError, address=f"127.0.0.1:{port}", first_contact=0.2)
        self.assertIsInstance(error, ConnectionError)

    def test_TlsError(self):
        self.with_fake(lambda client: client.models(), nashswarm.TlsError, tls=True, first_contact=0.2)

    def test_CorruptDataError(self):
        def read(request, context):
            yield pb.ReadFileResponse(data=b"wrong", crc32c=1)
        artifact = pb.Artifact(name="artifacts/a", files=[pb.FileEntry(path="f", digest=pb.Digest(sha256=b"x" * 32, size_bytes=5))])
        self.with_fake(lambda client: client.pull("artifacts/a", self.directory), nashswarm.CorruptDataError,
                       {"GetArtifact": lambda *_: artifact, "ReadFile": read})

    def test_JobFailedError(self):
        error = self.waited(nashswarm.JobFailedError, ended(pb.Job.FAILED, 15, "NON_FINITE_WEIGHTS"))
        self.assertEqual((error.job, error.reason, error.code), ("jobs/j", "NON_FINITE_WEIGHTS", "DATA_LOSS"))

    def test_JobCancelledError(self):
        self.assertEqual(self.waited(nashswarm.JobCancelledError, ended(pb.Job.CANCELLED)).job, "jobs/j")

    def test_ServerError(self):
        self.with_fake(lambda client: client.models(), nashswarm.ServerError, {"ListModels": failing(grpc.StatusCode.INTERNAL, "BUG")})

    def test_LibraryError(self):
        _library.load.cache_clear()
        self.addCleanup(_library.load.cache_clear)
        text = self.directory / "libnashswarm.so"
        text.write_text("no library")
        for path, reason in ((self.directory / "none.so", "LIBRARY_NOT_FOUND"), (text, "LIBRARY_NOT_FOUND"), ("libc.so.6", "LIBRARY_VERSION")):
            with unittest.mock.patch.dict(os.environ, NASHSWARM_LIBRARY=str(path)), self.assertRaises(nashswarm.LibraryError) as caught:
                nashswarm.load_state_dict(self.directory)
            self.assertEqual(caught.exception.reason, reason)
            self.assertIsInstance(caught.exception, ImportError)

    def test_a_wait_that_takes_too_long_is_a_TimeoutError(self):
        def watch(request, context):
            while context.is_active():
                yield pb.JobEvent(keepalive={})
        fake = Fake(GetJob=lambda *_: pb.Job(name="jobs/j"), WatchJob=watch)
        self.addCleanup(fake.server.stop, 0)
        with nashswarm.Client(fake.address) as client, self.assertRaises(TimeoutError):
            client.job("j").wait(timeout=0.2)

    def test_all_are_documented_exported_and_raised(self):
        exported = {name for name in nashswarm.__all__ if isinstance(getattr(nashswarm, name), type) and issubclass(getattr(nashswarm, name), Exception)}
        table = re.findall(r"^\| (`\w+Error`.*?) \|", README, re.M)
        documented = set(re.findall(r"`(\w+)`", " ".join(table)))
        self.assertEqual(documented | {"NashswarmError"}, exported)
        raised = {name.removeprefix("test_") for name in dir(self) if name.startswith("test_") and name.endswith("Error")}
        self.assertEqual(documented, raised - {"a_wait_that_takes_too_long_is_a_TimeoutError"})
        for name in documented:
            self.assertTrue(issubclass(getattr(nashswarm, name), nashswarm.NashswarmError))
            self.assertTrue(getattr(nashswarm, name).__doc__)


class SignaturesTest(unittest.TestCase):
    def test_compress_has_every_option_of_a_spec(self):
        options = {field.name: field.default for field in dataclasses.fields(_spec.Request)}
        for kind in (nashswarm.Client, nashswarm.aio.Client):
            parameters = inspect.signature(kind.compress).parameters
            others = {"self", "source", "priority", "labels", "request_id", "traceparent"}
            self.assertEqual(set(parameters) - others, set(options))
            for name, default in options.items():
                self.assertEqual((parameters[name].default, parameters[name].kind), (default, inspect.Parameter.KEYWORD_ONLY), name)
        # "name, name: what it is": words of a description are no documentation of an option that is called so.
        lines = [line.partition(":")[0] for line in inspect.getdoc(nashswarm.Client.compress).splitlines() if ":" in line]
        documented = {name.strip() for line in lines for name in line.split(",")}
        self.assertEqual({*options, "priority", "labels", "request_id", "source"} - documented, set())

    def test_nothing_public_hides_its_arguments(self):
        seen = 0
        for module in (nashswarm, nashswarm.aio):
            for name, thing in vars(module).items():
                members = [thing, *vars(thing).values()] if isinstance(thing, type) else [thing]
                for member in members:
                    inside = getattr(member, "__module__", "") or ""
                    if name.startswith("_") or not callable(member) or not inside.startswith("nashswarm") or isinstance(member, type):
                        continue
                    seen += 1
                    kinds = {parameter.kind for parameter in inspect.signature(member).parameters.values()}
                    self.assertNotIn(inspect.Parameter.VAR_KEYWORD, kinds, member)
        self.assertGreater(seen, 40)

    def test_both_clients_take_the_same(self):
        for kind in ("Client", "Job"):
            blocking, other = getattr(nashswarm, kind), getattr(nashswarm.aio, kind)
            for name, method in vars(blocking).items():
                if callable(method) and not name.startswith("_") or name == "__init__":
                    self.assertEqual(list(inspect.signature(method).parameters), list(inspect.signature(getattr(other, name)).parameters), name)

    def test_the_version_is_the_projects(self):
        project = re.search(r"project\(nashswarm VERSION ([\d.]+)", (SOURCE / "CMakeLists.txt").read_text())[1]
        self.assertEqual(nashswarm.__version__, project)


class ReadmeTest(TemporaryTest):
    """The snippets as they stand there, one after another in one directory, with a server of the test's own."""

    def test_snippets(self):
        server = Server(self.directory)
        self.addCleanup(server.stop, signal.SIGKILL)
        (self.directory / "gpt2").symlink_to(MODEL)
        shutil.copy(SOURCE / "tests" / "data" / "text.txt", self.directory / "train.txt")
        path = "%s:%s" % (os.environ["NASHSWARM_BIN_DIR"], os.environ["PATH"])
        snippets, ran = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S), 0
        for snippet in snippets:
            if "torch" in snippet or "transformers" in snippet:
                try:
                    import torch  # noqa: F401
                    import transformers  # noqa: F401
                except ImportError:
                    continue
            result = subprocess.run([sys.executable, "-c", snippet.replace("localhost:7070", server.address)], cwd=self.directory,
                                    capture_output=True, text=True, timeout=600, env={**os.environ, "PATH": path})
            self.assertEqual(result.returncode, 0, snippet + result.stdout + result.stderr)
            ran += 1
        self.assertGreaterEqual(ran, 3)
        for made in ("out/model.gguf", "out-nsq/model.nsq", "out-async/model.gguf"):
            self.assertTrue((self.directory / made).exists(), made)

    def test_its_commands_name_what_is_there(self):
        for block in re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S):
            for target in re.findall(r"\./client/\w+", block):
                self.assertTrue((SOURCE / target).exists(), target)
        for target in re.findall(r"\]\(([^)#:]+)\)", README):
            self.assertTrue((SOURCE / "client" / "python" / pathlib.Path(target)).exists(), target)


if __name__ == "__main__":
    unittest.main(verbosity=2)
