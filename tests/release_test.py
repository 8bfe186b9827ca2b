"""What must say the same wherever it is said: the version (of CMakeLists.txt) and the default ports (of server/config/config.h).
Names every line that differs. Programs are asked too, where NASHSWARM_BIN_DIR has them."""
import ctypes
import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
VERSION = re.search(r"project\(nashswarm VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
CONFIG = (ROOT / "server" / "config" / "config.h").read_text()
GRPC, ADMIN = (re.search(r'std::string %s = "127\.0\.0\.1:(\d+)"' % name, CONFIG)[1] for name in ("listen", "metrics"))
OTHERS = {"9090": "Prometheus", "3000": "Grafana"}
# Numbers behind a colon that name a server of ours.
ADDRESS = r"(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\bHOST|\bnashswarm(?:\.nashswarm\.svc)?|[\w.]+\.example\.org):(\d{2,5})\b(?!\.\d)"


def documents():
    """Files that a user reads or deploys, by their names from the root."""
    for pattern in ("*.md", "Dockerfile", "docs/*.md", "client/python/README.md", "client/python/src/**/*.py", "client/cli/**/*.cc", "server/*.md",
                    "server/config/*.cc", "deploy/**/*"):
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and path.name not in ("CHANGELOG.md", "alerts_test.yml") and path.suffix != ".json":  # the first speaks of the past
                yield str(path.relative_to(ROOT)), path.read_text()


def lines(pattern):
    """(file, line number, what the group caught) of every match in the documents."""
    return [(name, text[:found.start()].count("\n") + 1, found[1]) for name, text in documents() for found in re.finditer(pattern, text, re.M)]


def one(name, pattern):
    """The one match in a file."""
    found = re.findall(pattern, (ROOT / name).read_text(), re.M)
    assert len(found) == 1, (name, pattern, found)
    return found[0]


class VersionTest(unittest.TestCase):
    def test_images_and_manifests(self):
        found = lines(r"nashswarm:(\d+\.\d+\.\d+)") + lines(r"newTag: (\S+)") + lines(r'image\.version="([^"]+)"')
        self.assertGreaterEqual(len(found), 10)
        self.assertEqual([entry for entry in found if entry[2] != VERSION], [])

    def test_documents_and_header(self):
        found = lines(r'"nashswarm (\d+\.\d+\.\d+)"')
        found.append(("core/capi/nashswarm.h", 0, one("core/capi/nashswarm.h", r'nashswarm_version\(void\); /\* "([^"]+)" \*/')))
        self.assertEqual([entry for entry in found if entry[2] != VERSION], [])
        self.assertIn("CMakeLists.txt", (ROOT / "client" / "python" / "setup.py").read_text(), "where the Python package's version is from")

    def test_changelog(self):
        sections = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
        self.assertEqual(sections[0], "Unreleased")
        self.assertEqual(sections[1], VERSION, "the newest released version is the project's")
        self.assertEqual(len(set(sections)), len(sections))

    @unittest.skipUnless("NASHSWARM_BIN_DIR" in os.environ, "NASHSWARM_BIN_DIR is not set")
    def test_programs(self):
        binaries = pathlib.Path(os.environ["NASHSWARM_BIN_DIR"])
        for program in ("nashswarm", "nashswarmd", "nashswarm-engine"):
            said = subprocess.run([binaries / program, "--version"], capture_output=True, text=True, check=True).stdout
            self.assertIn(VERSION, said.split(), program)
        library = ctypes.CDLL(str(binaries / "libnashswarm.so"))
        library.nashswarm_version.restype = ctypes.c_char_p
        self.assertEqual(library.nashswarm_version().decode(), VERSION)


class PortsTest(unittest.TestCase):
    def test_every_address(self):
        found = lines(ADDRESS)
        self.assertGreater(len(found), 25)
        self.assertEqual([entry for entry in found if entry[2] not in {GRPC, ADMIN, *OTHERS}], [])

    def test_each_port_where_it_belongs(self):
        wrong = [entry for pattern, port in (
            (r"--listen[ =][\w.]+:(\d+)", GRPC), (r"--metrics[ =][\w.]+:(\d+)", ADMIN), (r"--server[ =](?:https?://)?[\w.]+:(\d+)", GRPC),
            (r"NASHSWARM_SERVER=(?:https?://)?[\w.]+:(\d+)", GRPC), (r"NASHSWARM_LISTEN=[\w.]+:(\d+)", GRPC),
            (r"NASHSWARM_METRICS=[\w.]+:(\d+)", ADMIN), (r"Client\(\"[\w.]+:(\d+)", GRPC), (r"http://[\w.]+:(\d+)/(?:metrics|readyz|healthz)", ADMIN),
            (r"port-forward service/nashswarm (\d+)", GRPC)) for entry in lines(pattern) if entry[2] not in (port, "0")]
        self.assertEqual(wrong, [])

    def test_image(self):
        self.assertEqual(one("Dockerfile", r"^EXPOSE (.*)$"), f"{GRPC} {ADMIN}")
        self.assertEqual(one("Dockerfile", r"/dev/tcp/127\.0\.0\.1/(\d+)"), ADMIN)

    def test_compose(self):
        self.assertEqual(one("deploy/compose.yaml", r'ports: \["127\.0\.0\.1:7\d+:(\d+)'), GRPC)
        for port in (GRPC, ADMIN):
            self.assertIn(f'"127.0.0.1:{port}:{port}"', (ROOT / "deploy" / "compose.yaml").read_text())
        self.assertEqual(one("deploy/monitoring/prometheus.yml", r"targets: \[nashswarm:(\d+)\]"), ADMIN)

    def test_kubernetes(self):
        for name, port in (("base/deployment.yaml", ADMIN), ("components/clients/deployment.yaml", GRPC)):
            self.assertEqual(one("deploy/kubernetes/" + name, r"value: 0\.0\.0\.0:(\d+)"), port)
            self.assertEqual(one("deploy/kubernetes/" + name, r"containerPort: (\d+)"), port)
        for overlay in ("single", "ha"):
            text = (ROOT / "deploy" / "kubernetes" / "overlays" / overlay / "service.yaml").read_text()
            self.assertEqual(re.findall(r"^ +port: (\d+)", text, re.M), [GRPC, ADMIN])


if __name__ == "__main__":
    unittest.main()
