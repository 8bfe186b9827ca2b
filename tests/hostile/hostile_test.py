#!/usr/bin/python3
"""A hostile client against a real nashswarmd: a disk that is full, connections that say nothing, a stop in the middle of a collection,
lists that are too long, and lies. Prints what it measured, which docs/reliability.md quotes; fails at any finding.

usage: hostile_test.py [NAME...]   (the functions below, without "check_")
Exit status 0 passed, 77 skipped (it says why), else failed. A part that cannot run here is named as SKIPPED.
"""
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True  # a test leaves nothing behind in the source
sys.path.insert(0, str(pathlib.Path(__file__).parent))
if "NASHSWARM_BIN_DIR" not in os.environ:
    sys.exit("set NASHSWARM_BIN_DIR to the directory with the programs")
try:
    import service
    from service import Failed, Server, Skipped, pb
except Exception as problem:
    if type(problem).__name__ != "Skipped":
        raise
    print("SKIPPED hostile:", problem)
    sys.exit(77)

MIB = 1 << 20
SILENT, HALF = 300, 100
findings = []


def expect(true, what):
    if not true:
        findings.append(what)
        print("FINDING ", what)


def refused(reason, what, action, *arguments, **fields):
    """The refusal, which must have this reason."""
    try:
        action(*arguments, **fields)
    except Failed as failed:
        expect(failed.reason == reason, f"{what}: {failed}, not {reason}")
        return failed
    expect(False, f"{what} was not refused with {reason}")
    return None


def figure(what, value):
    print(f"        {what}: {value}", flush=True)


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def free(directory):
    info = os.statvfs(directory)
    return info.f_bavail * info.f_frsize


class SmallDisk:
    """A file system of 60 MiB in memory."""

    def __init__(self, directory):
        self.path = pathlib.Path(directory) / "disk"
        self.path.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", self.path], capture_output=True, text=True)
        if mounted.returncode != 0:
            raise Skipped("no tmpfs can be mounted here: " + mounted.stderr.strip())

    def fill(self):
        """As others on the machine might, to the last byte."""
        file = os.open(self.path / "of-others", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for size in (MIB, 4096, 1):
            try:
                while os.write(file, b"\xA5" * size) > 0:
                    pass
            except OSError:
                pass
        os.close(file)
        return free(self.path)

    def clear(self):
        (self.path / "of-others").unlink(missing_ok=True)

    def unmount(self):
        subprocess.run(["umount", "-l", self.path], capture_output=True)


def waiting_job(server, directory):
    """A job whose engine has begun and waits for a file that never comes."""
    started = directory / "started"
    started.unlink(missing_ok=True)
    plan = ('{"runs": "%s", "shards": 1, "steps": {"prepare:0": [{"do": "wait", "started": "%s", "for": "/nonexistent"}]}}' %
            (directory / "runs", started)).encode()
    model = server.push({"fake.json": plan}, "CHECKPOINT")
    job = server.call("CreateJob", model=model.name, spec=pb.CompressionSpec(bits_per_weight=4))
    expect(wait_for(started.exists), "a job does not begin on a disk with room")
    return model.name, job.name


def check_full_disk(directory):
    disk = SmallDisk(directory)
    server = Server(directory, disk.path / "data")
    try:
        full_disk(server, disk, directory)
    finally:
        server.kill_leftover()
        disk.unmount()


def full_disk(server, disk, directory):
    server.start("--gc-grace=0s", "--gc-interval=500ms")
    piece = bytes(range(256)) * 4096
    content = piece * 20
    tidy = server.push({"kept": content}, model_id="kept").name
    # Declared too large; each fits, and together they do not.
    error = refused("NO_SPACE", "an upload larger than the disk", server.create, {"big": 1 << 29})
    expect(error is None or str(disk.path) not in error.message, "the refusal names the server's directory")
    # Each chunk is checked against what is left, so what comes in is kept up to the reserve and no further.
    first, second = (server.create({name: 27 * MIB}) for name in ("a", "b"))
    results = []

    def send(upload, path, seed):
        try:
            server.write(upload.name, path, (seed + piece[1:]) * 27, chunk=MIB)
            results.append("whole")
        except Failed as failed:
            results.append(failed.reason)
    threads = [threading.Thread(target=send, args=(u, p, s)) for u, p, s in ((first, "a", b"1"), (second, "b", b"2"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = free(disk.path)
    figure("two uploads of 27 MiB for less room", f"{sorted(results)}, {left / MIB:.1f} MiB stay free")
    expect("NO_SPACE" in results, f"uploads that do not fit end as {results}")
    expect(left > 4 * MIB, f"uploads leave only {left} bytes free")
    for upload in (first, second):
        if (state := server.call("GetUpload", name=upload.name)).files[0].committed_size < 1:
            expect(False, f"nothing of an upload was kept: {state}")
    server.call("AbortUpload", name=second.name)
    expect(wait_for(lambda: free(disk.path) > left), "an aborted upload frees nothing")
    model, job = waiting_job(server, directory)

    expect(disk.fill() == 0, "the test cannot fill the disk")
    refused("NO_SPACE", "an upload on a full disk", server.create, {"more": 1})
    refused("NO_SPACE", "an upload of nothing on a full disk", server.create, {"more": b""}, "CHECKPOINT")
    refused("NO_SPACE", "a job on a full disk", server.call, "CreateJob", model=model, spec=pb.CompressionSpec(bits_per_weight=5))
    expect(server.call("GetModel", name=tidy).total_bytes == len(content), "nothing can be read on a full disk")
    begin = time.monotonic()
    server.call("CancelJob", name=job)
    expect(wait_for(lambda: server.call("GetJob", name=job).state == pb.Job.CANCELLED), "a cancelled job does not end on a full disk")
    server.call("DeleteJob", name=job)
    server.call("AbortUpload", name=first.name)
    server.call("DeleteModel", name=model)
    figure("cancel, delete job, abort upload, delete model with 0 bytes free", f"{time.monotonic() - begin:.2f} s")
    expect(wait_for(lambda: free(disk.path) > MIB), "what was deleted on a full disk is not freed")

    for number in (signal.SIGTERM, signal.SIGKILL):
        expect(disk.fill() == 0, "the test cannot fill the disk")
        server.stop(number)
        left = disk.fill()  # what closing the database has freed
        begin = time.monotonic()
        server.start("--gc-grace=0s", "--gc-interval=500ms")
        figure(f"start with {left} bytes free, after {number.name}", f"{time.monotonic() - begin:.2f} s")
        expect(server.call("GetModel", name=tidy).total_bytes == len(content), "a model is lost")
    disk.fill()
    server.call("DeleteModel", name=tidy)
    expect(wait_for(lambda: free(disk.path) > 10 * MIB), "what was deleted on a full disk is not freed")
    disk.clear()
    again = server.push({"again": content[1:]}).name
    expect(server.call("GetModel", name=again).total_bytes == len(content) - 1, "the disk has room and an upload fails")
    ballast = disk.path / "data" / "nashswarm.db-ballast"
    expect(ballast.stat().st_blocks * 512 > 4 * MIB, "the room for deletes was not set aside again")
    server.stop()


def check_silent_connections(directory):
    server = Server(directory, directory / "data")
    server.start()
    try:
        silent_connections(server)
    finally:
        server.kill_leftover()


def silent_connections(server):
    expect(wait_for(lambda: server.get("/readyz")[0] == 200), "the server is not ready")
    for address in (server.admin, server.address):
        times = {what: [] for what in ("/healthz", "/readyz", "/metrics", "GetServerInfo")}
        for _ in range(2):  # what is closed comes back at once
            connections = [server.connect(address) for _ in range(SILENT)]
            halves = [server.connect(address) for _ in range(HALF)]
            for half in halves:
                half.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
            opened = time.monotonic()
            while time.monotonic() - opened < 1.2:
                for page in ("/healthz", "/readyz", "/metrics"):
                    code, seconds = server.get(page)
                    expect(code == 200, f"{page} answers {code} beside silent connections")
                    times[page].append(seconds)
                begin = time.monotonic()
                server.call("GetServerInfo")
                times["GetServerInfo"].append(time.monotonic() - begin)
            if address == server.admin:
                for connection in connections + halves:
                    connection.settimeout(5)
                    try:
                        expect(connection.recv(100) == b"", "a silent connection is told something")
                    except ConnectionResetError:
                        pass
                    except TimeoutError:
                        expect(False, "a silent connection to the probes stays")
                        break
                closed = time.monotonic() - opened
                expect(closed < 3, f"silent connections stay for {closed:.1f} s")
            for connection in connections + halves:
                connection.close()
        port = "the probes' port" if address == server.admin else "the API's port"
        late = {what: sorted(seconds)[len(seconds) * 95 // 100] for what, seconds in times.items()}
        figure(f"{SILENT} silent and {HALF} half requests on {port}; 95 % of {len(times['/healthz'])} calls within",
               ", ".join(f"{what} {1000 * seconds:.0f} ms" for what, seconds in late.items()) +
               f"; the slowest of all {1000 * max(map(max, times.values())):.0f} ms")
        if address == server.admin:
            figure("silent connections closed after", f"{closed:.1f} s")
        for what, seconds in late.items():
            expect(seconds < 0.1, f"{what} takes {seconds:.3f} s beside silent connections")
            expect(max(times[what]) < 1, f"{what} takes {max(times[what]):.3f} s once beside silent connections")


def check_stop_in_collection(directory):
    server = Server(directory, directory / "data")
    server.start("--gc-interval=1h")
    server.stop()
    database = sqlite3.connect(server.data / "nashswarm.db")
    with database:  # content that nothing names, enough for a long collection
        database.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000) "
                         "INSERT INTO blobs SELECT randomblob(32), 1, 0, 0 FROM n")
    blobs = lambda: database.execute("SELECT count(*) FROM blobs").fetchone()[0]
    all_blobs = blobs()
    try:
        server.start("--gc-interval=200ms", "--gc-grace=0s", "--upload-ttl=1s", "--drain-timeout=3s")
        upload = server.create({"abandoned": 100})
        expect(wait_for(lambda: blobs() < all_blobs), "collection does not begin")
        begin = time.monotonic()
        expect(wait_for(lambda: server.call("GetUpload", name=upload.name).state == pb.Upload.EXPIRED, 8), "an upload does not expire")
        expired = time.monotonic() - begin
        before = blobs()
        took = server.stop()
        after = blobs()
        figure("upload with --upload-ttl=1s beside a collection", f"expired after {expired:.1f} s")
        figure(f"SIGTERM with {after} of {all_blobs} blobs still to collect, --drain-timeout=3s", f"{took:.2f} s")
        expect(before < all_blobs and after > 0, "the collection was not under way, so nothing was tested")
        expect(took < 3, f"SIGTERM takes {took:.1f} s while garbage is collected")
    finally:
        database.close()
        server.kill_leftover()


def check_long_lists(directory):
    # A thousand files are as many writes, and this is not about the disk.
    fast = pathlib.Path(tempfile.mkdtemp(prefix="nashswarm-hostile-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    server = Server(directory, fast / "data")
    server.start()
    try:
        content = b"x"
        names = set()
        for i in range(8):
            files = {"fake.json": b'{"runs": "%s", "shards": 1}' % str(directory / "runs").encode()}
            files.update({f"{'d' * 200}/{'e' * 200}/{'f' * 200}/{'g' * 200}/{i}-{n:04}": content for n in range(1000)})
            sizes = {path: len(data) for path, data in files.items()}
            request = pb.CreateUploadRequest(kind=pb.Model.CHECKPOINT, model_id=f"m{i}")
            for path, size in sizes.items():
                digest = service.hashlib.sha256(files[path]).digest()
                request.files.append(pb.FileEntry(path=path, digest=pb.Digest(size_bytes=size, sha256=digest)))
            upload = server.call("CreateUpload", request)
            sent = set()
            for file in upload.files:  # one of each content: the others are known by then
                if not file.complete and file.entry.digest.sha256 not in sent:
                    server.write(upload.name, file.entry.path, files[file.entry.path])
                    sent.add(file.entry.digest.sha256)
            server.call("AbortUpload", name=upload.name) if i == 0 else None
            if i == 0:
                continue
            upload = server.call("CreateUpload", request)
            expect(all(file.complete for file in upload.files), "content that is there has to be sent again")
            names.add(server.call("CompleteUpload", name=upload.name).name)
        token, seen, pages, largest = "", [], 0, 0
        while True:
            page = server.call("ListModels", page_size=1000, page_token=token)
            seen += [model.name for model in page.models]
            pages, largest = pages + 1, max(largest, page.ByteSize())
            token = page.next_page_token
            if not token:
                break
        figure(f"a list of {len(names)} models with 1000 long names each", f"{pages} pages, the largest {largest / MIB:.2f} MiB")
        expect(sorted(seen) == sorted(names), f"the pages hold {len(seen)} models, not {len(names)}")
        expect(pages > 1, "everything fits into one page, so nothing was tested")
        server.stop()
    finally:
        server.kill_leftover()
        shutil.rmtree(fast, ignore_errors=True)


def check_lies(directory):
    server = Server(directory, directory / "data")
    server.start("--upload-idle-timeout=300ms")
    try:
        lies(server)
        server.stop()
    finally:
        server.kill_leftover()


def lies(server):
    expect(server.data.stat().st_mode & 0o777 == 0o700, f"the data directory has mode {server.data.stat().st_mode:o}")
    for name in ("a\u202Egpj.exe", "a\u2066b", "a\u200Bb", "\uFEFFa", "a\u0085b", "a\u00ADb", "a\u2028b", "a\U000E0041b"):
        error = refused("BAD_PATH", f"the file name {name!r}", server.create, {name: 1})
        expect(error is None or name not in error.message, f"the refusal shows {name!r} as it is")
    expect(server.create({"naïve-模型.bin": 1}).name, "an honest name is refused")
    upload = server.create({"a": b"abc"})
    digest = service.hashlib.sha256(b"abc").digest()
    refused("BAD_SIZE", "a lie about the size", server.write, upload.name, "a", b"abc", finish=pb.Digest(sha256=digest, size_bytes=4))
    expect(server.call("GetUpload", name=upload.name).files[0].committed_size == 3, "a lie about the size costs what has come")
    server.write(upload.name, "a", b"abc", offset=3, finish=pb.Digest(sha256=digest))
    request = "0123ABCD-0123-4abc-8def-0123456789AB"
    one = server.create({"b": 1}, request_id=request)
    expect(one.name == server.create({"b": 1}, request_id=request.lower()).name, "a request_id in small letters makes another upload")

    hold = threading.Event()

    def stands_still():
        yield pb.WriteFileRequest(header=pb.WriteFileRequest.Header(upload=one.name, path="b"))
        hold.wait(20)
    begin = time.monotonic()
    error = refused("UPLOAD_TOO_SLOW", "an upload that stands still", server.send, stands_still())
    hold.set()
    figure("upload that stands still, --upload-idle-timeout=300ms", f"ended after {time.monotonic() - begin:.2f} s")
    expect(error is None or "hint" in error.info.metadata, "UPLOAD_TOO_SLOW has no hint")


CHECKS = {name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")}


def main():
    skipped = 0
    for name in sys.argv[1:] or CHECKS:
        print(f"==      {name.replace('_', ' ')}", flush=True)
        before, begin = len(findings), time.monotonic()
        directory = pathlib.Path(tempfile.mkdtemp(prefix="nashswarm-hostile-"))
        try:
            CHECKS[name](directory)
        except Skipped as why:
            skipped += 1
            print(f"SKIPPED {name}: {why}")
            continue
        except (Failed, AssertionError, OSError, subprocess.TimeoutExpired) as failed:
            findings.append(f"{name}: {failed}")
            print("FINDING ", findings[-1])
        finally:
            log = directory / "log"
            if len(findings) > before and log.exists():
                print(log.read_text(errors="replace")[-4000:])
            shutil.rmtree(directory, ignore_errors=True)
        print(f"{'ok    ' if len(findings) == before else 'FAILED'}  {name.replace('_', ' ')} ({time.monotonic() - begin:.0f} s)", flush=True)
    print(f"{len(findings)} findings, {skipped} parts skipped")
    return 1 if findings else 77 if skipped == len(CHECKS) else 0


sys.exit(main())
