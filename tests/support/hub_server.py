"""A server with the URLs of the Hugging Face hub, for models in directories, and a second one to which it redirects the
large files, as the hub does. Standard library alone. It misbehaves as its fields say."""
import hashlib
import http.server
import json
import pathlib
import threading
import urllib.parse

LARGE = 100_000  # bytes from which a file is redirected, with its SHA-256 as etag


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    def __init__(self, models, token=None):
        """`models`: {"org/name": directory}. With a `token` nobody gets anything without it."""
        self.models = {name: pathlib.Path(directory) for name, directory in models.items()}
        self.token = token
        self.commit = "c0ffee" * 6 + "c0ff"
        self.cut_after = None    # bytes of a body after which the connection breaks, `cuts` times
        self.cuts = 0
        self.errors = []         # statuses that the next requests get, in this order
        self.ignore_ranges = False
        self.corrupt = None      # name of a file whose bytes are wrong
        self.gated = set()       # models that need more than a token
        self.requests = []       # (method, path, range, authorization), of both servers
        self.storage = Listener(self, self.serve_storage)
        self.front = Listener(self, self.serve_front)
        self.endpoint = self.front.url

    def close(self):
        self.front.close()
        self.storage.close()

    def gets(self):
        return [path for method, path, _, _ in self.requests if method == "GET"]

    def serve_front(self, request, path):
        if self.token and request.headers.get("Authorization") != "Bearer " + self.token:
            return request.fail(401, "RepoNotFound")
        if path.startswith("/api/models/"):
            name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            if name not in self.models:
                return request.fail(404, "RepoNotFound")
            if urllib.parse.unquote(revision) not in ("main", "refs/pr/1", self.commit):
                return request.fail(404, "RevisionNotFound")
            files = sorted(p.relative_to(self.models[name]).as_posix() for p in self.models[name].rglob("*") if p.is_file())
            body = {"id": name, "sha": self.commit, "siblings": [{"rfilename": f} for f in files]}
            return request.send(json.dumps(body).encode(), {"Content-Type": "application/json"})
        name, _, rest = path[1:].partition("/resolve/")
        revision, _, file = rest.partition("/")
        if name in self.gated:
            return request.fail(403, "GatedRepo")
        location = self.models.get(name, pathlib.Path("/nonexistent")) / urllib.parse.unquote(file)
        if revision != self.commit or not location.is_file():
            return request.fail(404, "EntryNotFound")
        content = location.read_bytes()
        if len(content) >= LARGE:
            return request.send(b"", {
                "Location": self.storage.url + "/" + urllib.parse.quote(name + "/" + file) + "?signature=x",
                "X-Repo-Commit": self.commit, "X-Linked-Size": str(len(content)),
                "X-Linked-ETag": '"%s"' % hashlib.sha256(content).hexdigest()}, status=302)
        return self.send_file(request, file, content, {"ETag": 'W/"%s"' % git_sha1(content), "X-Repo-Commit": self.commit})

    def serve_storage(self, request, path):
        if request.headers.get("Authorization"):
            return request.fail(400, "the token went to another host")
        name = next(n for n in self.models if path[1:].startswith(n + "/"))
        file = path[len(name) + 2:]
        return self.send_file(request, file, (self.models[name] / file).read_bytes(), {"ETag": '"something-else"'})

    def send_file(self, request, file, content, headers):
        if file == self.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        wanted = request.headers.get("Range")
        if wanted is None or self.ignore_ranges:
            return request.send(content, headers)
        begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if begin >= len(content):
            return request.fail(416, "")
        headers["Content-Range"] = "bytes %d-%d/%d" % (begin, len(content) - 1, len(content))
        return request.send(content[begin:], headers, status=206)


class Listener:
    def __init__(self, hub, serve):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_request(self):
                path = urllib.parse.urlsplit(self.path).path
                hub.requests.append((self.command, path, self.headers.get("Range"), self.headers.get("Authorization")))
                if hub.errors:
                    return self.fail(hub.errors.pop(0), "")
                return serve(self, path)

            do_GET = do_HEAD = handle_request

            def fail(self, status, code):
                self.send(b"no", {"X-Error-Code": code}, status)

            def send(self, body, headers, status=200):
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "HEAD":
                    return
                if status < 300 and hub.cuts > 0 and hub.cut_after is not None and len(body) > hub.cut_after:
                    hub.cuts -= 1
                    self.wfile.write(body[:hub.cut_after])
                    self.wfile.flush()
                    self.connection.shutdown(2)
                    self.close_connection = True
                    return
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
