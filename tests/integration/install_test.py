#!/usr/bin/env python3
"""make install: what it puts below a prefix works from there, without the build tree, and make uninstall removes it. See cli_harness.py for
what it needs."""
import os
import re
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True  # a test leaves nothing behind in the source

from cli_harness import BIN, ENVIRONMENT, LIMIT, MODEL, SOURCE, TemporaryTest

PROGRAMS = ("nashswarm", "nashswarmd", "nashswarm-engine")


class InstallTest(TemporaryTest):
    def try_make(self, *arguments):
        return subprocess.run(["make", "-s", "-C", SOURCE, f"BUILD={BIN.parent}", *arguments], capture_output=True, text=True, timeout=LIMIT)

    def make(self, *arguments):
        done = self.try_make(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def run_there(self, *command):
        environment = {name: value for name, value in ENVIRONMENT.items() if name != "LD_LIBRARY_PATH"}
        environment["PATH"] = f"{self.prefix}/bin:/usr/bin:/bin"
        self.assertNotIn(str(BIN), environment["PATH"])
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, timeout=LIMIT, env=environment)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_installed_programs_do_a_whole_job(self):
        self.prefix = self.directory / "usr"
        said = self.make("install", f"PREFIX={self.prefix}")
        for program in PROGRAMS:
            self.assertIn(str(self.prefix / "bin" / program), said)
            self.assertEqual(self.run_there("sh", "-c", f"command -v {program}").strip(), str(self.prefix / "bin" / program))
        self.run_there("nashswarm", "compress", MODEL, "-o", "out", "--bpw", "4.5")
        self.run_there("nashswarm", "verify", "out")
        # libnashswarm.so finds what it links, and what other languages need to compile against it is there.
        libraries = list(self.prefix.glob("lib*/**/libnashswarm.so"))
        self.assertEqual(len(libraries), 1)
        (self.directory / "version.c").write_text('#include <nashswarm.h>\n#include <stdio.h>\nint main(void) { puts(nashswarm_version()); }\n')
        self.run_there("cc", "version.c", f"-I{self.prefix}/include", str(libraries[0]), f"-Wl,-rpath,{libraries[0].parent}", "-o", "version")
        version = re.search(r"project\(nashswarm VERSION ([\d.]+)", (SOURCE / "CMakeLists.txt").read_text())[1]
        self.assertEqual(self.run_there("./version").strip(), version)
        share = self.prefix / "share"
        self.run_there("bash", "-n", str(share / "bash-completion" / "completions" / "nashswarm"))
        for completion in ("bash-completion/completions/nashswarm", "zsh/site-functions/_nashswarm", "fish/vendor_completions.d/nashswarm.fish"):
            self.assertIn("compress", (share / completion).read_text())
        for document in ("README.md", "CHANGELOG.md", "LICENSE", "docs/operations.md", "docs/nsq-format.md"):
            self.assertTrue((share / "doc" / "nashswarm" / document).is_file(), document)
        installed = [path for path in self.prefix.rglob("*") if path.is_file()]
        self.assertFalse([path for path in installed if str(BIN).encode() in path.read_bytes()], "the build tree is named")
        self.make("uninstall", f"PREFIX={self.prefix}")
        self.assertEqual([path for path in self.prefix.rglob("*") if path.is_file()], [])

    def test_each_prefix_knows_what_is_installed_there(self):
        """The list of files was one in the build tree: root's after sudo, and of whoever installed last."""
        for name in ("one", "two"):
            self.make("install", f"PREFIX={self.directory / name}")
        self.assertFalse((BIN.parent / "install_manifest.txt").exists(), "of root, after sudo")
        self.make("uninstall", f"PREFIX={self.directory / 'one'}")
        self.assertEqual([path for path in (self.directory / "one").rglob("*") if path.is_file()], [])
        self.assertTrue((self.directory / "two" / "bin" / "nashswarm").exists())
        again = self.try_make("uninstall", f"PREFIX={self.directory / 'one'}")
        self.assertNotEqual(again.returncode, 0)
        self.assertIn(str(self.directory / "one"), again.stderr)

    def test_a_package_is_staged_below_destdir(self):
        stage = self.directory / "stage"
        for how in ("install", "uninstall"):
            self.make(how, "PREFIX=/opt/nashswarm-that-is-nowhere", f"DESTDIR={stage}")
            self.assertEqual((stage / "opt" / "nashswarm-that-is-nowhere" / "bin" / "nashswarmd").exists(), how == "install")
        self.assertFalse(os.path.exists("/opt/nashswarm-that-is-nowhere"))

    def test_without_a_build_it_says_what_to_do(self):
        done = subprocess.run(["make", "-s", "-C", SOURCE, "install", f"BUILD={self.directory}"], capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("make build", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
