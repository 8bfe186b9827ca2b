"""What the scripts here share: checks that are counted, the command line, and how a script ends."""
import argparse
import contextlib
import os
import sys
import tempfile
import traceback

passed, failed, skipped = [], [], []


def check(name, ok, why=""):
    (passed if ok else failed).append(name)
    print(("ok      " if ok else "FAILED  ") + name + ("" if ok else ": " + why), flush=True)


def skip(name, why):
    skipped.append(name)
    print(f"SKIPPED {name}: {why}", flush=True)


def arguments(writes=False):
    """--bin and --root; with `writes` also --write, in whose place the other two may be left out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=not writes)
    parser.add_argument("--root", required=not writes)
    if writes:
        parser.add_argument("--write")
    return parser.parse_args()


@contextlib.contextmanager
def work_directory(talkative=False):
    """A temporary directory; of `talkative` libraries (llama.cpp is one) it takes what they write on standard error."""
    with tempfile.TemporaryDirectory() as work:
        if talkative:
            os.dup2(os.open(os.path.join(work, "library.log"), os.O_WRONLY | os.O_CREAT, 0o600), 2)
        yield work


def run_checks(title, body):
    """Runs a script's `body`, counts, and exits."""
    try:
        body()
    except Exception:
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
    print(f"{title}: {len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    sys.exit(1 if failed else 0)
