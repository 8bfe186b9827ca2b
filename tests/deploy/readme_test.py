#!/usr/bin/env python3
"""Runs the README's commands as they stand there, block after block in one directory, as somebody would in a clone.
Usage: readme_test.py, with NASHSWARM_BIN_DIR set."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "integration"), str(ROOT / "tests" / "support")]

from cli_harness import BIN, ENVIRONMENT, MODEL, TemporaryTest  # noqa: E402
from hub_server import Hub  # noqa: E402

# Blocks that are not run here, by how they begin, and what runs them instead.
ELSEWHERE = {
    "make demo": "tests/run.sh runs the demo, and is what make test runs",
    "python3 -m venv": "client/python/tests/run.sh builds and installs the package",
    "docker build": "container_test.sh builds and runs the image, manifests.sh renders the overlay",
}


def blocks(language):
    return re.findall(r"^```%s\n(.*?)^```$" % language, (ROOT / "README.md").read_text(), re.M | re.S)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class ReadmeTest(TemporaryTest):
    def setUp(self):
        super().setUp()
        # What a clone has that the commands name.
        (self.directory / "tests").symlink_to(ROOT / "tests")
        (self.directory / "build" / "release").mkdir(parents=True)
        (self.directory / "build" / "release" / "bin").symlink_to(BIN)
        self.hub = Hub({"openai-community/gpt2": MODEL})
        self.addCleanup(self.hub.close)

    def test_commands(self):
        ports = {"7070": str(free_port()), "7071": str(free_port())}
        ran = 0
        for block in blocks("sh"):
            if any(block.startswith(beginning) for beginning in ELSEWHERE):
                continue
            script = block.replace("/var/lib/nashswarm", str(self.directory / "var"))
            for port, other in ports.items():
                script = script.replace(port, other)
            if "nashswarmd" in script:  # a person would wait until it says that it serves
                script = script.replace("&\n", "&\ntrap 'kill %%1; wait' EXIT\nfor i in $(seq 100); do curl -sf "
                                        "http://127.0.0.1:%s/readyz >/dev/null && break; sleep 0.1; done\n" % ports["7071"], 1)
            result = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script], cwd=self.directory, capture_output=True, text=True, timeout=900,
                env={**ENVIRONMENT, "PATH": "%s:%s" % (BIN, os.environ["PATH"]), "HF_ENDPOINT": self.hub.endpoint,
                     "HF_HOME": str(self.directory / "hf")})
            self.assertEqual(result.returncode, 0, script + result.stdout[-2000:] + result.stderr[-2000:])
            ran += script.count("nashswarm")
        for made in ("out/model.gguf", "gpt2.gguf", "out-nsq/model.nsq", "dense/model.safetensors", "frontier.svg",
                     "out-calibrated/report.html", "out-served/model.gguf"):
            self.assertTrue((self.directory / made).exists(), made)
        self.assertGreater(ran, 20)

    def test_python(self):
        python = ROOT / "build" / "python-venv" / "bin" / "python"  # client/python/tests/run.sh makes it
        if not python.exists():
            self.skipTest("there is no Python with the package; make test installs one")
        self.assertTrue(blocks("python"))
        for script in blocks("python"):
            result = subprocess.run([python, "-c", script], cwd=self.directory, capture_output=True, text=True, timeout=600,
                                    env={**os.environ, "PATH": "%s:%s" % (BIN, os.environ["PATH"])})
            self.assertEqual(result.returncode, 0, script + result.stdout + result.stderr)

    def test_every_block_and_link_is_accounted_for(self):
        for beginning in ELSEWHERE:
            self.assertTrue(any(block.startswith(beginning) for block in blocks("sh")), beginning)
        for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md")]:
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
                if "://" not in target:
                    self.assertTrue((document.parent / target).exists(), (document.name, target))


if __name__ == "__main__":
    unittest.main(verbosity=0)
