#!/usr/bin/python3
"""A real S3 server for tests: OpenStack Swift with its S3 API, which checks every signature, payload hash and part size.

  s3_server.py start DIR [--while PID]   starts it; returns when it answers. With --while it ends when process PID ends.
  s3_server.py stop DIR                  stops what `start DIR` started and removes DIR

`start` writes DIR/server.json: {"endpoint", "tls_endpoint", "ca_file", "region", "bucket", "access_key", "secret_key"}, or
{"skipped": reason} when Debian's package python3-swift is not installed. Four processes (proxy, account, container, object)
with one device, and tls_relay.py, on free loopback ports, without root. /usr/bin/python3, because only that one sees Debian's Python packages.
Swift keeps what it knows of an object in extended attributes; where DIR cannot have them, objects are kept in memory.
Configuration: https://docs.openstack.org/swift/zed/admin/middleware.html#s3api
"""
import datetime
import hashlib
import hmac
import http.client
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings

ACCESS_KEY, SECRET_KEY, BUCKET, REGION = "test:tester", "testing-secret", "nashswarm-test", "us-east-1"
ROLES = ("proxy", "account", "container", "object")
START_SECONDS = 60
MODULES = ("swift.proxy.server", "swift.account.server", "swift.container.server", "swift.obj.server",
           "swift.obj.mem_server", "swift.common.middleware.s3api.s3api", "swift.common.middleware.tempauth",
           "swift.common.middleware.copy", "swift.common.middleware.slo", "swift.common.middleware.dlo",
           "swift.common.wsgi", "swift.common.ring", "eventlet.wsgi")

# No rate limits, no replication, no fallocate: one device of a test. min_segment_size stays Swift's 5 MiB, as on AWS.
PROXY = """[DEFAULT]
swift_dir = {dir}
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 60
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = {region}
max_upload_part_num = 10000
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
max_manifest_segments = 10000
max_manifest_size = 8388608
[filter:dlo]
use = egg:swift#dlo
"""
BACKEND = """[DEFAULT]
swift_dir = {dir}
devices = {dir}/devices
mount_check = false
disable_fallocate = true
log_level = WARNING
[pipeline:main]
pipeline = {role}-server
[app:{role}-server]
use = egg:swift#{egg}
"""


def has_extended_attributes(directory):
    probe = os.path.join(directory, "probe")
    open(probe, "w", encoding="utf8").close()
    try:
        os.setxattr(probe, "user.swift", b"x" * 2048)
        return True
    except OSError:
        return False
    finally:
        os.unlink(probe)


def write_configuration(directory, sockets):
    from swift.common.ring import RingBuilder

    os.makedirs(os.path.join(directory, "devices", "d1"))
    with open(os.path.join(directory, "swift.conf"), "w", encoding="utf8") as out:
        out.write("[swift-hash]\nswift_hash_path_suffix = test\n[storage-policy:0]\nname = p\ndefault = yes\n")
    for role in ROLES:
        with open(os.path.join(directory, role + ".conf"), "w", encoding="utf8") as out:
            if role == "proxy":
                out.write(PROXY.format(dir=directory, secret=SECRET_KEY, region=REGION))
                continue
            in_memory = role == "object" and not has_extended_attributes(directory)
            out.write(BACKEND.format(dir=directory, role=role, egg="mem_object" if in_memory else role))
        port = sockets[role].getsockname()[1]
        ring = RingBuilder(1, 1, 0)
        ring.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1", "port": port, "device": "d1",
                      "replication_ip": "127.0.0.1", "replication_port": port})
        ring.rebalance()
        ring.get_ring().save(os.path.join(directory, role + ".ring.gz"))


class Cache:
    """What Swift wants of memcached, for its one proxy."""

    def __init__(self):
        self.entries = {}

    def get(self, key, raise_on_error=False):
        value, until = self.entries.get(key, (None, 0))
        return value if time.time() < until else None

    def set(self, key, value, serialize=True, time=0, min_compress_len=0, raise_on_error=False):
        self.entries[key] = (value, globals()["time"].time() + (time or 3600))

    def incr(self, key, delta=1, time=0):
        self.set(key, max(0, int(self.get(key) or 0) + delta), time=time)
        return self.get(key)

    def decr(self, key, delta=1, time=0):
        return self.incr(key, -delta, time)

    def delete(self, key, server_key=None):
        self.entries.pop(key, None)


def serve(directory, role, sock):
    """Never returns: this process becomes the server of `role`."""
    from swift.common import storage_policy, utils, wsgi
    import eventlet
    import eventlet.wsgi

    warnings.simplefilter("ignore")
    utils.SWIFT_CONF_FILE = os.path.join(directory, "swift.conf")
    utils.HASH_PATH_SUFFIX = utils.HASH_PATH_PREFIX = b""
    utils.validate_hash_conf()
    storage_policy.reload_storage_policies()
    eventlet.hubs.use_hub(utils.get_hub())
    app = wsgi.loadapp(os.path.join(directory, role + ".conf"), global_conf={"log_name": role})
    cache = Cache()

    def with_cache(environment, start_response):
        environment["swift.cache"] = cache
        return app(environment, start_response)

    eventlet.wsgi.server(sock, with_cache, wsgi.NullLogger(), protocol=wsgi.SwiftHttpProtocol,
                         capitalize_response_headers=False, socket_timeout=60)
    os._exit(0)


def make_certificate(directory):
    """A certificate for 127.0.0.1 and its key, in one file; it is its own CA."""
    pem = os.path.join(directory, "tls.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pem + ".key", "-out", pem],
                   check=True, capture_output=True)
    with open(pem, "a", encoding="utf8") as out, open(pem + ".key", encoding="utf8") as key:
        out.write(key.read())
    return pem


def serve_tls(pem, sock, port):
    """Never returns: this process becomes tls_relay.py."""
    os.set_inheritable(sock.fileno(), True)
    relay = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tls_relay.py")
    # Named as stop() expects it.
    os.execv(sys.executable, [sys.executable, relay, str(sock.fileno()), pem, str(port), os.path.basename(__file__)])


def watch(directory, children, pid):
    """Ends the servers when process `pid` ends, or when one of them did."""
    while True:
        time.sleep(0.5)
        ended = os.waitpid(-1, os.WNOHANG)[0] != 0
        if ended or (pid is not None and not os.path.exists(f"/proc/{pid}")):
            break
    for child in children:
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if not ended:
        shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


def put_bucket(port):
    """PUT of the bucket, with a signature made here: the client under test need not work for the server to start."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    host, payload = f"127.0.0.1:{port}", hashlib.sha256(b"").hexdigest()
    signed = "host;x-amz-content-sha256;x-amz-date"
    request = f"PUT\n/{BUCKET}\n\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{now}\n\n{signed}\n{payload}"
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = ("AWS4" + SECRET_KEY).encode()
    for piece in scope.split("/"):
        key = hmac.new(key, piece.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("PUT", "/" + BUCKET, headers={
        "Host": host, "X-Amz-Date": now, "X-Amz-Content-SHA256": payload,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={signed}, Signature={signature}"})
    response = connection.getresponse()
    return response.status, response.read()


def wait_for_bucket(port, alive):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            answer = put_bucket(port)
            if answer[0] == 200:
                return
        except OSError as error:
            answer = error
        if time.monotonic() > deadline or not alive():
            raise SystemExit(f"error: the S3 server does not answer: {answer}; see server.log beside server.json")
        time.sleep(0.05)


def write_result(directory, result):
    path = os.path.join(directory, "server.json")
    with open(path + ".tmp", "w", encoding="utf8") as out:
        json.dump(result, out)
    os.replace(path + ".tmp", path)
    print(json.dumps(result))


def start(directory, parent):
    stop(directory)  # what a killed run may have left
    os.makedirs(directory)
    try:
        import eventlet.patcher

        # All that the servers need, before they are forked: once instead of four times. Patching (as in
        # swift.common.utils.eventlet_monkey_patch) walks all objects there are, so it comes before the large modules.
        eventlet.patcher.monkey_patch(all=False, socket=True, select=True, thread=True)
        for module in MODULES:
            importlib.import_module(module)
    except ImportError as error:
        write_result(directory, {"skipped": f"Debian's python3-swift is not installed ({error})"})
        return
    sockets = {}
    for role in (*ROLES, "tls"):
        sockets[role] = socket.socket()
        sockets[role].bind(("127.0.0.1", 0))
        sockets[role].listen(128)
    write_configuration(directory, sockets)
    pem = make_certificate(directory)
    sys.stdout.flush()
    server = os.fork()
    if server == 0:
        os.setsid()
        log = os.open(os.path.join(directory, "server.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        children = []
        for role in ROLES:
            children.append(os.fork())
            if children[-1] == 0:
                serve(directory, role, sockets[role])
        children.append(os.fork())
        if children[-1] == 0:
            serve_tls(pem, sockets["tls"], sockets["proxy"].getsockname()[1])
        with open(os.path.join(directory, "pids"), "w", encoding="utf8") as out:
            out.write(" ".join(map(str, [os.getpid(), *children])))
        watch(directory, children, parent)
    port, tls_port = (sockets[role].getsockname()[1] for role in ("proxy", "tls"))
    for sock in sockets.values():
        sock.close()
    wait_for_bucket(port, lambda: os.waitpid(server, os.WNOHANG)[0] == 0)
    write_result(directory, {"endpoint": f"http://127.0.0.1:{port}", "tls_endpoint": f"https://127.0.0.1:{tls_port}",
                             "ca_file": pem, "region": REGION, "bucket": BUCKET, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY})


def stop(directory):
    try:
        with open(os.path.join(directory, "pids"), encoding="utf8") as pids:
            for pid in map(int, pids.read().split()):
                # A number may have gone to somebody else meanwhile.
                if os.path.basename(__file__).encode() in open(f"/proc/{pid}/cmdline", "rb").read():
                    os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError):
        pass
    shutil.rmtree(directory, ignore_errors=True)


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "stop":
        stop(os.path.abspath(arguments[1]))
    elif len(arguments) == 2 and arguments[0] == "start":
        start(os.path.abspath(arguments[1]), None)
    elif len(arguments) == 4 and arguments[0] == "start" and arguments[2] == "--while":
        start(os.path.abspath(arguments[1]), int(arguments[3]))
    else:
        sys.exit(__doc__)


main()
