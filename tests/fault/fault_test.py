"""Every step of making a file durable fails, falls short or is the last before a crash; then the power goes.

fault_test.py PROBE FAULTS_LIBRARY [OPERATION...]. For each operation of publish_probe.cc, each kind of fault and each call it makes:
the operation says why it failed, or what it made survives the loss of all that was not synced; never is anything else than
the whole content to be seen under the final name; and doing it again afterwards makes it whole. The kind "skip" checks the
check: an fsync left out must be noticed, but for as many as OPERATIONS says.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

import replay

PROBE, LIBRARY = (os.path.abspath(path) for path in sys.argv[1:3])
CONTENT = bytes((i * 7 + i // 251) & 0xFF for i in range(50_001))
OLD = b"what was there before\n" * 100
REASONS = {"enospc": "NO_SPACE", "eio": "IO_ERROR"}
BLOB = "store/sha256/%s/%s" % (hashlib.sha256(CONTENT).hexdigest()[:2], hashlib.sha256(CONTENT).hexdigest())
PART = "store/staging/u1/part-first-0"
# Operation -> (final name, what is there before, how many syncs nobody would notice the absence of). Those are: of opening a
# store that an earlier process has made durable (three, and one for each directory of blobs; in an empty store only that of
# sha256/); of staging, for who commits in the same process without having told anybody about the parts; of sealing parts that
# are durable since they were staged; of a blob over an equal one; of the first name of a rename.
OPERATIONS = {
    "write": ("work/final", "empty", 0),
    "write over": ("work/final", "old", 0),
    "rename": ("work/final", "empty", 1),
    "put": (BLOB, "empty", 1),
    "put over": (BLOB, "same", 5),
    "stage1": (PART, "empty", 1),
    "upload1": (BLOB, "empty", 5),
    "upload3": (BLOB, "empty", 10),
    "commit1": (BLOB, "staged1", 4),
    "commit3": (BLOB, "staged3", 3),
    "retry1": (BLOB, "staged1", 4),
}


class Scene:
    """A fresh directory, and a probe that runs in it under faults."""

    def __init__(self, operation):
        self.operation = operation.split()[0]
        self.final, before, _ = OPERATIONS[operation]
        self.top = os.path.realpath(tempfile.mkdtemp(prefix="nashswarm-fault-"))
        self.root, self.journal = self.top + "/root", self.top + "/journal"
        self.content = self.top + "/content"
        with open(self.content, "wb") as f:
            f.write(CONTENT)
        os.makedirs(self.root + "/work")
        self.old = None
        if before == "old":
            self.old = OLD
            with open(os.path.join(self.root, self.final), "wb") as f:
                f.write(OLD)
        elif before == "same":
            self.old = CONTENT
            assert self.probe("put", "before") == "ok"
        elif before.startswith("staged"):
            assert self.probe("stage" + before[-1], "stage") == "ok"
        self.disk = replay.Disk(self.root)
        self.applied = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.top)

    def probe(self, operation, attempt, **environment):
        command = [PROBE, operation, self.root, self.content, attempt]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
        if done.returncode == -9:
            return "crashed"
        assert done.returncode == 0, (command, environment, done)
        return done.stdout.strip()

    def run(self, kind, at, attempt, operation=None):
        """What the probe said, and the call at which the fault came (None when there were fewer calls)."""
        said = self.probe(operation or self.operation, attempt, LD_PRELOAD=LIBRARY, FAULTS_UNDER=self.root, FAULTS_KIND=kind, FAULTS_AT=str(at),
                          FAULTS_JOURNAL=self.journal)
        with open(self.journal) as f:
            lines = f.readlines()
        fired = None
        for line in lines[self.applied:]:
            self.disk.apply(line)
            if line.startswith("fired"):
                fired = line.split("\t")[3].strip()
        self.applied = len(lines)
        return said, fired

    def visible(self):
        path = os.path.join(self.root, self.final)
        if not os.path.exists(path):
            return None
        with open(path, "rb") as f:
            return f.read()

    def after_power_failure(self):
        """What the final name may show: with all that was not synced gone, and with the names kept and the data gone."""
        path = os.path.join(self.root, self.final)
        return [self.disk.lose(keep_names).get(path) for keep_names in (False, True)]


def describe(content):
    return {None: "nothing", CONTENT: "the content", OLD: "the old content"}.get(content, "%d other bytes" % len(content or b""))


def check(scene, said, kind, where):
    """What must hold after any run."""
    problems = []
    seen = scene.after_power_failure() + [scene.visible()]
    if said == "ok":
        problems += ["it said ok, but %s is there" % describe(c) for c in seen if c != CONTENT]
    else:
        # A part may grow in sight: the database says how much of it counts.
        if scene.final != PART:
            problems += ["%s is there" % describe(c) for c in seen if c not in (CONTENT, scene.old)]
        if said.startswith("error") and said != "error " + REASONS.get(kind, "?"):
            problems.append("it said '%s'" % said)
    return ["%s: %s" % (where, problem) for problem in problems]


def again(scene, where):
    said, _ = scene.run("none", 0, "second")
    problems = check(scene, said, "none", where + ", then again")
    return problems if said == "ok" else problems + [where + ": doing it again says " + said]


def ask_next_process(scene, where):
    """A process that starts after the crash finds a blob, or does not; what it finds must be durable, for it will rely on it."""
    said, _ = scene.run("none", 0, "", "has")
    if said == "error ABSENT":
        return check(scene, "crashed", "none", where + ", then absent")
    return check(scene, said, "none", where + ", then found")


def run_one(operation, kind, at):
    """Problems, and whether the fault came at all."""
    with Scene(operation) as scene:
        said, fired = scene.run(kind, at, "first")
        where = "%s, %s at call %d (%s)" % (operation, kind, at, fired)
        problems = check(scene, said, kind, where)
        if fired is None or kind == "skip":
            return problems, fired is not None
        if said == "crashed" and kind != "crash":
            problems.append(where + ": it crashed")
        if said == "crashed" and scene.final == BLOB:
            problems += ask_next_process(scene, where)
        if scene.final == PART:
            return problems, True  # no part is written twice
        return problems + again(scene, where), True


def main():
    failures, runs = [], 0
    for operation in sys.argv[3:] or OPERATIONS:
        redundant = OPERATIONS[operation][2]
        unnoticed = []
        for kind in ("enospc", "eio", "short", "crash", "skip"):
            for at in range(1, 200):
                problems, fired = run_one(operation, kind, at)
                runs += 1
                if kind != "skip" or not fired:
                    failures += problems
                elif not problems:
                    unnoticed.append(at)
                if not fired:
                    break
            else:
                failures.append("%s: %s never ends" % (operation, kind))
        print("%-10s  syncs whose absence nobody notices: %s" % (operation, unnoticed))
        if len(unnoticed) != redundant:
            failures.append("%s: %d syncs are redundant, not %d: %s" % (operation, len(unnoticed), redundant, unnoticed))
    print("\n".join(failures[:60]))
    print("%d runs, %d failures" % (runs, len(failures)))
    return 1 if failures else 0


sys.exit(main())
