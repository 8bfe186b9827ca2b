"""What no real server can be made to do on request: a server of this file's own answers."""
import asyncio
import concurrent.futures
import os
import pathlib
import time
import unittest
import unittest.mock

import grpc
from google.protobuf import any_pb2
from twins import TemporaryTest, listed, settle

import nashswarm
from nashswarm._transport import Method
from nashswarm.v1 import nashswarm_pb2 as pb

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Lost(Exception):
    """How a method of the fake fails: a code, and the details of the trailer."""

    def __init__(self, code, reason="", message="gone", **metadata):
        super().__init__(message)
        self.code, self.reason, self.metadata = code, reason, metadata

    def end(self, context):
        detail = any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo",
                             value=pb.ErrorInfo(reason=self.reason, domain="nashswarm", metadata=self.metadata).SerializeToString())
        if self.reason:
            error = pb.Error(code=self.code.value[0], message=str(self), details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", error.SerializeToString()),))
        context.abort(self.code, str(self))


class Fake(grpc.GenericRpcHandler):
    """Methods by name: a function of (request, context); of a stream, a generator. `calls`: (name, request, metadata)."""

    def __init__(self, **methods):
        self.methods, self.calls = methods, []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=(self,))
        self.address = "127.0.0.1:%d" % self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def service(self, details):
        service, name = details.method.rpartition("/")[0].rpartition(".")[2], details.method.rpartition("/")[2]
        descriptor = pb.DESCRIPTOR.services_by_name[service].methods_by_name[name]
        method = self.methods[name]

        def run(request, context):
            self.calls.append((name, request, dict(context.invocation_metadata())))
            try:
                return method(request, context)
            except Lost as lost:
                lost.end(context)

        def stream(request, context):
            self.calls.append((name, request, dict(context.invocation_metadata())))
            try:
                yield from method(request, context)
            except Lost as lost:
                lost.end(context)

        read, write = getattr(pb, descriptor.input_type.name).FromString, lambda message: message.SerializeToString()
        if descriptor.client_streaming:
            return grpc.stream_unary_rpc_method_handler(run, read, write)
        if descriptor.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, read, write)
        return grpc.unary_unary_rpc_method_handler(run, read, write)

    def of(self, name):
        return [call for call in self.calls if call[0] == name]


def failing(times, failure, method):
    """The method, after it has failed so often."""
    left = [times]

    def run(request, context):
        if left[0]:
            left[0] -= 1
            raise failure
        return method(request, context)
    return run


UNAVAILABLE = Lost(grpc.StatusCode.UNAVAILABLE)


class FakeServerTest(TemporaryTest):
    def with_fake(self, scenario, methods, **options):
        """Both clients, each with a fake of its own, that `methods()` describes."""
        for kind in (nashswarm.Client, nashswarm.aio.Client):
            with self.subTest(client=kind.__module__):
                fake = Fake(**methods())

                async def run():
                    client = kind(fake.address, **options)
                    try:
                        await scenario(client, fake)
                    finally:
                        await settle(client.close())
                        await asyncio.to_thread(fake.server.stop(0).wait)
                asyncio.run(run())

    def test_a_job_is_asked_for_again_under_the_same_id_and_trace(self):
        async def scenario(client, fake):
            job = await settle(client.compress("models/m", bpw=4, priority=2, traceparent=TRACE))
            self.assertEqual(job.name, "jobs/j")
            calls = fake.of("CreateJob")
            self.assertEqual(len(calls), 3)
            self.assertEqual(len({call[1].request_id for call in calls}), 1)
            self.assertRegex(calls[0][1].request_id, "^[0-9a-f-]{36}$")
            self.assertEqual(calls[0][1].priority, 2)
            self.assertEqual({call[2]["traceparent"] for call in calls}, {TRACE})
            await settle(client.job("j"))
            self.assertNotIn("traceparent", fake.of("GetJob")[0][2])
        job = lambda request, context: pb.Job(name="jobs/j", state=pb.Job.QUEUED)  # noqa: E731
        self.with_fake(scenario, lambda: {"CreateJob": failing(2, UNAVAILABLE, job), "GetJob": job})

    def test_the_trace_around_the_program_is_named(self):
        async def scenario(client, fake):
            for value, expected in ((TRACE, TRACE), ("nonsense", None), ("", None)):
                with unittest.mock.patch.dict(os.environ, TRACEPARENT=value):
                    await settle(client.server_info())
                self.assertEqual(fake.of("GetServerInfo")[-1][2].get("traceparent"), expected)
        self.with_fake(scenario, lambda: {"GetServerInfo": lambda *_: pb.ServerInfo()})

    def test_what_is_no_loss_of_the_connection_is_not_repeated(self):
        async def scenario(client, fake):
            error = await self.error_of(nashswarm.QuotaError, lambda: client.compress("models/m", bpw=4))
            self.assertEqual((error.reason, error.hint, error.metadata), ("QUOTA_EXCEEDED", "wait", {"limit": "3"}))
            self.assertEqual(len(fake.of("CreateJob")), 1)
        quota = Lost(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", hint="wait", limit="3")
        self.with_fake(scenario, lambda: {"CreateJob": failing(9, quota, None)})

    def test_a_busy_server_is_asked_again(self):
        busy = Lost(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")

        async def scenario(client, fake):
            self.assertEqual((await settle(client.server_info())).version, "7")
            self.assertEqual(len(fake.of("GetServerInfo")), 2)
        self.with_fake(scenario, lambda: {"GetServerInfo": failing(1, busy, lambda *_: pb.ServerInfo(version="7"))})

    def test_a_watch_resumes_after_the_last_event_and_repeats_none(self):
        def watch():
            streams = [[1, 2], [2, 3, 4], []]

            def run(request, context):
                for number in streams.pop(0):
                    yield pb.JobEvent(sequence=number, log=pb.JobEvent.LogLine(text=str(number)))
                yield pb.JobEvent(keepalive={})
                if streams:
                    raise UNAVAILABLE
                yield pb.JobEvent(snapshot=pb.Job(name="jobs/j", state=pb.Job.SUCCEEDED))
            return {"WatchJob": run, "GetJob": lambda *_: pb.Job(name="jobs/j")}

        async def scenario(client, fake):
            job = await settle(client.job("j"))
            events = await listed(job.watch())
            self.assertEqual([event.value.text for event in events if event.kind == "log"], ["1", "2", "3", "4"])
            self.assertEqual(events[-1].kind, "snapshot")
            self.assertEqual([call[1].after_sequence for call in fake.of("WatchJob")], [0, 2, 4])
        self.with_fake(scenario, watch)

    def test_upload_goes_on_from_what_is_durable(self):
        text = self.directory / "text.txt"
        content = bytes(range(256)) * 10
        text.write_bytes(content)

        def methods():
            state = {"kept": b"", "streams": 0}

            def entry(request=None):
                file = pb.Upload.File(entry=pb.FileEntry(path="text.txt", digest=pb.Digest(size_bytes=len(content))), committed_size=len(state["kept"]))
                return pb.Upload(name="uploads/u", state=pb.Upload.ACTIVE, files=[file])

            def write(requests, context):
                state["streams"] += 1
                offset = next(requests).header.write_offset
                if offset != len(state["kept"]):
                    raise Lost(grpc.StatusCode.ABORTED, "OFFSET_MISMATCH")
                for request in requests:
                    if request.HasField("finish"):
                        return pb.WriteFileResponse(complete=state["kept"] == content)
                    state["kept"] += request.chunk.data
                    if state["streams"] == 1 and len(state["kept"]) >= 1500:
                        raise UNAVAILABLE
            return {"GetServerInfo": lambda *_: pb.ServerInfo(limits={"max_chunk_bytes": 500}), "CreateUpload": lambda *_: entry(),
                    "GetUpload": lambda *_: entry(), "WriteFile": write,
                    "CompleteUpload": lambda *_: pb.Model(name="models/m", total_bytes=len(state["kept"]))}

        async def scenario(client, fake):
            self.assertEqual((await settle(client.push_data(text))).total_bytes, len(content))
            self.assertEqual(len(fake.of("WriteFile")), 2)
            create = fake.of("CreateUpload")[0][1]
            self.assertEqual((create.kind, create.files[0].path), (pb.Model.DATA, "text.txt"))
        self.with_fake(scenario, methods)

    def test_what_the_server_loses_before_the_end_is_sent_again(self):
        text = self.directory / "text.txt"
        text.write_bytes(b"some text")

        def methods(times):
            state = {"kept": b"", "left": times}

            def upload(*_):
                file = pb.Upload.File(entry=pb.FileEntry(path="text.txt", digest=pb.Digest(size_bytes=9)), committed_size=len(state["kept"]),
                                      complete=bool(state["kept"]))
                return pb.Upload(name="uploads/u", state=pb.Upload.ACTIVE, files=[file])

            def write(requests, context):
                state["kept"] = b"".join(request.chunk.data for request in requests)
                return pb.WriteFileResponse(complete=True)

            def complete(request, context):
                if state["left"]:
                    state["left"] -= 1
                    state["kept"] = b""
                    raise Lost(grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE")
                return pb.Model(name="models/m", total_bytes=len(state["kept"]))
            return {"GetServerInfo": lambda *_: pb.ServerInfo(), "CreateUpload": upload, "GetUpload": upload, "WriteFile": write,
                    "CompleteUpload": complete}

        async def once(client, fake):
            self.assertEqual((await settle(client.push_data(text))).total_bytes, 9)
            self.assertEqual(len(fake.of("WriteFile")), 2)
        self.with_fake(once, lambda: methods(1))

        async def for_ever(client, fake):
            error = await self.error_of(nashswarm.ConflictError, lambda: client.push_data(text))
            self.assertEqual(error.reason, "UPLOAD_INCOMPLETE")
            self.assertEqual(len(fake.of("WriteFile")), 4)
        self.with_fake(for_ever, lambda: methods(99))

    def test_a_server_that_verifies_what_it_has_is_waited_for(self):
        """Reading a hundred gigabytes again takes longer than an answer from memory may."""
        text, left = self.directory / "text.txt", []
        text.write_bytes(b"some text")

        def create(request, context):
            left.append(context.time_remaining())
            return pb.Upload(name="uploads/u", state=pb.Upload.COMPLETED, model="models/m")

        async def scenario(client, fake):
            await settle(client.push_data(text))
        self.with_fake(scenario, lambda: {"GetServerInfo": lambda *_: pb.ServerInfo(), "CreateUpload": create,
                                          "GetModel": lambda *_: pb.Model(name="models/m")})
        self.assertEqual(len(left), 2)
        self.assertGreater(min(left), 500)

    def test_a_directory_whose_name_is_not_utf8_is_pushed_without_it(self):
        directory = pathlib.Path(os.fsdecode(os.fsencode(self.directory) + b"/caf\xe9"))
        directory.mkdir()
        for name in ("config.json", "model.safetensors"):
            (directory / name).write_text("{}")

        async def scenario(client, fake):
            await settle(client.push(directory))
            self.assertEqual(dict(fake.of("CreateUpload")[0][1].labels), {})
        self.with_fake(scenario, lambda: {"GetServerInfo": lambda *_: pb.ServerInfo(), "GetModel": lambda *_: pb.Model(name="models/m"),
                                          "CreateUpload": lambda *_: pb.Upload(name="uploads/u", state=pb.Upload.COMPLETED, model="models/m")})

    def test_an_artifact_is_called_what_its_own_directory_is_called(self):
        for directory in ("one", "two"):
            (self.directory / directory).mkdir()
            for name in ("config.json", "model.safetensors"):
                (self.directory / directory / name).write_text("{}")

        async def scenario(client, fake):
            for source, arguments, name in (("one", {}, "one"), ("two", {}, "two"), ("two", {"name": "org/name"}, "org/name")):
                await settle(client.compress(self.directory / source, bpw=4, **arguments))
                self.assertEqual(fake.of("CreateJob")[-1][1].spec.model_name, name)
            await settle(client.compress("models/m", bpw=4))
            self.assertEqual(fake.of("CreateJob")[-1][1].spec.model_name, "")
        self.with_fake(scenario, lambda: {"GetServerInfo": lambda *_: pb.ServerInfo(), "GetModel": lambda *_: pb.Model(name="models/m"),
                                          "CreateUpload": lambda *_: pb.Upload(name="uploads/u", state=pb.Upload.COMPLETED, model="models/m"),
                                          "CreateJob": lambda *_: pb.Job(name="jobs/j")})

    def test_content_that_the_server_has_lost_is_not_asked_for_again(self):
        artifact = pb.Artifact(name="artifacts/a", files=[pb.FileEntry(path="f", digest=pb.Digest(sha256=b"x" * 32, size_bytes=5))])

        def read(reason):
            def run(request, context):
                yield pb.ReadFileResponse(data=b"abc", crc32c=0x364B3FB7)
                raise Lost(grpc.StatusCode.DATA_LOSS, reason, hint="retry the job")
            return run
        for reason in ("BLOB_DAMAGED", "BLOB_MISSING"):
            async def scenario(client, fake):
                out = self.directory / reason
                error = await self.error_of(nashswarm.CorruptDataError, lambda: client.pull("artifacts/a", out))
                self.assertEqual((error.reason, error.hint), (reason, "retry the job"))
                self.assertEqual(len(fake.of("ReadFile")), 1)
                self.assertEqual(list(out.iterdir()), [])
            self.with_fake(scenario, lambda: {"GetArtifact": lambda *_: artifact, "ReadFile": read(reason)})

    def test_a_server_that_sends_other_bytes_is_not_believed(self):
        def read(request, context):
            yield pb.ReadFileResponse(data=b"wrong", crc32c=1)
        artifact = pb.Artifact(name="artifacts/a", format="gguf", files=[pb.FileEntry(path="f", digest=pb.Digest(sha256=b"x" * 32, size_bytes=5))])

        async def scenario(client, fake):
            out = self.directory / type(client).__module__
            error = await self.error_of(nashswarm.CorruptDataError, lambda: client.pull("artifacts/a", out))
            self.assertEqual(error.reason, "CHUNK_CORRUPT")
            self.assertEqual(len(fake.of("ReadFile")), 3)
            self.assertFalse((out / "f").exists())
            artifact.files[0].path = "../f"
            error = await self.error_of(nashswarm.CorruptDataError, lambda: client.pull("artifacts/a", out))
            self.assertEqual(error.reason, "UNSAFE_PATH")
            artifact.files[0].path = "f"
        self.with_fake(scenario, lambda: {"GetArtifact": lambda *_: artifact, "ReadFile": read})

    def test_patience_ends(self):
        async def scenario(client, fake):
            begin = time.monotonic()
            error = await self.error_of(nashswarm.UnreachableError, client.server_info)
            self.assertEqual(error.reason, "SERVER_UNREACHABLE")
            self.assertLess(time.monotonic() - begin, 5)
            self.assertGreater(len(fake.of("GetServerInfo")), 1)
        self.with_fake(scenario, lambda: {"GetServerInfo": failing(99, UNAVAILABLE, None)}, first_contact=0.3)

    def test_lists_take_every_page(self):
        def models(request, context):
            page = int(request.page_token or 0)
            return pb.ListModelsResponse(models=[pb.Model(name=f"models/{page}")], next_page_token=str(page + 1) if page < 3 else "")

        async def scenario(client, fake):
            self.assertEqual([model.name for model in await settle(client.models())], [f"models/{i}" for i in range(4)])
        self.with_fake(scenario, lambda: {"ListModels": models})

    def test_every_method_of_the_api_is_known(self):
        for service in pb.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                self.assertEqual(Method(f"{service.name}.{method.name}").path, f"/nashswarm.v1.{service.name}/{method.name}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
