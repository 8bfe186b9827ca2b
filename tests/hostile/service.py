"""A nashswarmd with the fake engine, and a client that says whatever it likes over gRPC and plain sockets.

Needs Debian's python3-grpcio and python3-protobuf, and protoc. NASHSWARM_BIN_DIR names the directory with the programs.
"""
import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ["NASHSWARM_BIN_DIR"]).resolve()
PACKAGE = "nashswarm.v1."


class Skipped(Exception):
    pass


def messages():
    """The API's messages, and grpc. Skipped where Python does not have it."""
    try:
        import grpc
        import google.protobuf  # noqa: F401
    except ImportError as missing:
        raise Skipped(f"{missing} (apt-get install python3-grpcio python3-protobuf)")
    out = tempfile.mkdtemp(prefix="nashswarm-hostile-proto-")
    subprocess.run(["protoc", "-I", SOURCE / "proto", "--python_out", out, "nashswarm/v1/nashswarm.proto"], check=True)
    sys.path.insert(0, out)
    from nashswarm.v1 import nashswarm_pb2
    return grpc, nashswarm_pb2


grpc, pb = messages()
CRC_TABLE = []
for value in range(256):
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    CRC_TABLE.append(value)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Failed(Exception):
    """A call that the server refused."""

    def __init__(self, error):
        self.code = error.code()
        self.message = error.details()
        details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
        self.info = pb.ErrorInfo()
        if details:
            self.info.ParseFromString(pb.Error.FromString(details).details[0].value)
        super().__init__(f"{self.code.name} {self.reason}: {self.message}")

    @property
    def reason(self):
        return self.info.reason


# Method -> what it answers.
ANSWERS = {"UploadService": {"CreateUpload": "Upload", "GetUpload": "Upload", "CompleteUpload": "Model", "AbortUpload": None},
           "ModelService": {"GetModel": "Model", "ListModels": "ListModelsResponse", "DeleteModel": None},
           "JobService": {"CreateJob": "Job", "GetJob": "Job", "ListJobs": "ListJobsResponse", "CancelJob": "Job", "DeleteJob": None},
           "InfoService": {"GetServerInfo": "ServerInfo"}}


class Server:
    """One nashswarmd; its data directory stays from one start to the next."""

    def __init__(self, directory, data):
        self.directory, self.data = pathlib.Path(directory), pathlib.Path(data)
        self.log = self.directory / "log"
        self.process = None

    def start(self, *flags):
        info = self.directory / "info.json"
        info.unlink(missing_ok=True)
        command = [BIN / "nashswarmd", "--data", self.data, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--info-file", info,
                   "--engine", SOURCE / "tests/integration/fake_engine.py", *flags]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log,
                                            env={**os.environ, "NASHSWARM_SANDBOX_WRITABLE": str(self.directory)})
        deadline = time.monotonic() + 30
        while not info.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("the server does not start: " + self.last_words())
            time.sleep(0.01)
        addresses = json.loads(info.read_text())
        self.address, self.admin = addresses["grpc"], addresses["metrics"]
        self.channel = grpc.insecure_channel(self.address)
        grpc.channel_ready_future(self.channel).result(timeout=20)

    def last_words(self):
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self, number=signal.SIGTERM, timeout=60):
        """Seconds until it had ended."""
        begin = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(timeout)
        took = time.monotonic() - begin
        self.channel.close()
        assert status == (0 if number == signal.SIGTERM else -number), f"exit status {status}: {self.last_words()}"
        return took

    def kill_leftover(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def call(self, method, request=None, timeout=30, **fields):
        """call("DeleteModel", name="models/m"): the answer, or Failed."""
        for service, answers in ANSWERS.items():
            if method in answers:
                break
        answer = answers[method]
        request = request or getattr(pb, method + "Request")(**fields)
        stub = self.channel.unary_unary(f"/{PACKAGE}{service}/{method}", request_serializer=type(request).SerializeToString,
                                        response_deserializer=getattr(pb, answer).FromString if answer else bytes)
        try:
            return stub(request, timeout=timeout)
        except grpc.RpcError as error:
            raise Failed(error) from None

    def create(self, files, kind="DATA", **fields):
        """files: {path: size or content}."""
        request = pb.CreateUploadRequest(kind=pb.Model.Kind.Value(kind), **fields)
        for path, content in files.items():
            size = content if isinstance(content, int) else len(content)
            request.files.append(pb.FileEntry(path=path, digest=pb.Digest(size_bytes=size)))
        return self.call("CreateUpload", request)

    def write(self, upload, path, content, offset=0, chunk=1 << 20, finish=None, timeout=60):
        def messages():
            yield pb.WriteFileRequest(header=pb.WriteFileRequest.Header(upload=upload, path=path, write_offset=offset))
            for begin in range(offset, len(content), chunk):
                data = content[begin:begin + chunk]
                yield pb.WriteFileRequest(chunk=pb.WriteFileRequest.Chunk(data=data, crc32c=crc_of(data)))
            yield pb.WriteFileRequest(finish=finish or pb.Digest(sha256=hashlib.sha256(content).digest(), size_bytes=len(content)))
        return self.send(messages(), timeout)

    def send(self, messages, timeout=60):
        stub = self.channel.stream_unary(f"/{PACKAGE}UploadService/WriteFile", request_serializer=pb.WriteFileRequest.SerializeToString,
                                         response_deserializer=pb.WriteFileResponse.FromString)
        try:
            return stub(messages, timeout=timeout)
        except grpc.RpcError as error:
            raise Failed(error) from None

    def push(self, files, kind="DATA", model_id=""):
        upload = self.create(files, kind, model_id=model_id)
        for path, content in files.items():
            self.write(upload.name, path, content)
        return self.call("CompleteUpload", name=upload.name)

    def connect(self, address):
        host, port = address.rsplit(":", 1)
        return socket.create_connection((host, int(port)), 5)

    def get(self, page, timeout=30):
        """Status code and seconds of one GET on the admin port, by a connection of its own."""
        begin = time.monotonic()
        with self.connect(self.admin) as connection:
            connection.settimeout(timeout)
            connection.sendall(f"GET {page} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = b""
            while piece := connection.recv(1 << 16):
                answer += piece
        return int(answer.split()[1]), time.monotonic() - begin


CRCS = {}


def crc_of(data):
    """Contents here repeat a megabyte, whose checksum in Python takes a while."""
    key = hashlib.sha256(data).digest()
    if key not in CRCS:
        CRCS[key] = crc32c(data)
    return CRCS[key]
