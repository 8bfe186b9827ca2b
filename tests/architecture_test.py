"""The arrows of the architecture: which folder may include which. Fails with every line that breaks them."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Folder -> the project's folders it may include, besides itself.
ALLOWED = {
    "core/base": [],
    "core/blas": [],
    "base/commandline": [],
    "core/quant": ["core/base"],
    "core/coding": ["core/base"],
    "core/feedback": ["core/base", "core/blas", "core/quant"],
    "core/expert_cache": ["core/base"],
    "core/nsq": ["core/base", "core/coding", "core/feedback"],
    "core/game/routing": ["core/base"],
    "core/checkpoint": ["core/base", "core/quant"],
    "core/model": ["core/base", "core/quant", "core/checkpoint"],
    "core/tokenizer": ["core/base", "core/checkpoint", "core/model"],
    "core/forward": ["core/base", "core/blas", "core/quant", "core/checkpoint", "core/model"],
    "core/evaluate": ["core/base", "core/tokenizer", "core/forward"],
    "core/calibrate": ["core/base", "core/blas", "core/quant", "core/feedback", "core/nsq", "core/checkpoint", "core/model",
                       "core/tokenizer", "core/forward", "core/evaluate"],
    "core/game": ["core/base", "core/quant", "core/checkpoint", "core/model"],
    "core/artifact": ["core/base", "core/quant", "core/coding", "core/expert_cache", "core/nsq", "core/checkpoint", "core/model",
                      "core/game"],
    "core/report": ["core/base"],
    "core/route": ["core/base", "core/checkpoint", "core/model", "core/forward", "core/evaluate", "core/game/routing", "core/expert_cache",
                   "core/artifact", "core/report"],
    "core/pipeline/files": ["core/base", "core/quant", "core/checkpoint", "core/evaluate", "core/game", "core/artifact", "core/report"],
    "core/pipeline": ["core/base", "core/quant", "core/coding", "core/expert_cache", "core/nsq", "core/checkpoint", "core/model",
                      "core/tokenizer", "core/forward", "core/evaluate", "core/calibrate", "core/game", "core/artifact", "core/report",
                      "core/pipeline/files"],
    "core/engine": ["core/base", "core/blas", "base/commandline", "core/quant", "core/nsq", "core/checkpoint", "core/model", "core/tokenizer",
                    "core/forward", "core/evaluate", "core/calibrate", "core/game", "core/artifact", "core/report", "core/route",
                    "core/pipeline", "core/game/routing", "core/expert_cache"],
    "core/capi": ["core/base", "core/checkpoint", "core/artifact"],
    "server/log": ["core/base"],
    "server/metrics": [],
    "server/auth": ["core/base", "server/log"],
    "server/store": ["core/base", "nashswarm/v1"],
    "server/store/s3": ["core/base", "server/store"],
    "server/stages": ["core/base", "nashswarm/v1", "server/store"],
    "server/store/sql": ["core/base", "server/store", "server/stages"],
    "server/events": ["core/base", "server/log", "server/store/sql"],
    "server/worker": ["core/base", "server/log", "server/metrics", "server/store", "server/stages", "server/events"],
    "server/scheduler": ["core/base", "server/log", "server/metrics", "server/store", "server/stages", "server/events", "server/worker"],
    "server/rpc": ["core/base", "server/log", "server/metrics", "server/store"],
    "server/services": ["core/base", "nashswarm/v1", "server/log", "server/metrics", "server/auth", "server/store",
                        "server/stages", "server/events", "server/worker", "server/scheduler", "server/rpc"],
    "server/config": ["core/base", "server/log", "server/auth", "server/scheduler", "server/services"],
    "server/daemon": ["core/base", "server/log", "server/metrics", "server/auth", "server/store", "server/store/s3", "server/store/sql",
                      "server/events", "server/worker", "server/scheduler", "server/rpc", "server/services", "server/config"],
    "server/main.cc": ["server/auth", "server/config", "server/daemon"],
    "client": ["nashswarm/v1", "base/commandline"],
}
# Libraries the engine must not know.
FOREIGN = re.compile(r'#include *[<"](grpc|google/protobuf|sqlite3|libpq|curl|prometheus|nashswarm/v1|[^>"]*\.pb\.h)')
# Whom gRPC is for; its messages may go everywhere.
GRPC = re.compile(r'#include *[<"](grpc|[^>"]*\.grpc\.pb\.h)')
KNOW_GRPC = ("server/rpc", "server/services", "server/daemon", "client")
INCLUDE = re.compile(r'#include *"([^"]+)"')


# What each room of the pipeline keeps to itself: the folder, and what no line of core/pipeline outside of it has.
ROOMS = {
    "core/pipeline/files": (re.compile(r'\.(at|value)\("|\w\["\w'), "a field of a stage's file goes by a member of its structure"),
    "core/pipeline/kinds": (re.compile(r'\b(is_nsq|is_coded)\(|[!=]= *"(gguf|nsq)"'), "what depends on the kind of an artifact is a function of ArtifactKind"),
}


def folder_of(path):
    return next((f for f in sorted(ALLOWED, key=len, reverse=True) if path == f or path.startswith(f + "/")), None)


def broken_arrows():
    for top in ("base", "core", "server", "client"):
        for directory, _, files in os.walk(os.path.join(ROOT, top)):
            for name in files:
                if not name.endswith((".h", ".cc")):
                    continue
                path = os.path.relpath(os.path.join(directory, name), ROOT)
                own = folder_of(path)
                if own is None:
                    yield f"{path}: its folder is not in the list of folders"
                    continue
                for number, line in enumerate(open(os.path.join(ROOT, path), encoding="utf8"), 1):
                    if top in ("base", "core") and FOREIGN.match(line):
                        yield f"{path}:{number}: the engine knows no RPC, SQL or HTTP: {line.strip()}"
                    if GRPC.match(line) and own not in KNOW_GRPC:
                        yield f"{path}:{number}: {own} knows no gRPC: {line.strip()}"
                    found = INCLUDE.match(line)
                    if not found or "/" not in found[1]:
                        continue
                    target = folder_of(found[1]) or ("nashswarm/v1" if found[1].startswith("nashswarm/v1/") else None)
                    if target and target != own and target not in ALLOWED[own]:
                        yield f"{path}:{number}: {own} must not include {found[1]}"
                    elif target is None and found[1].split("/")[0] in ("base", "core", "server", "client", "tests"):
                        yield f"{path}:{number}: {own} must not include {found[1]}"


def circles():
    """Folders that may include themselves by way of others."""
    for start in ALLOWED:
        reached, waiting = set(), [start]
        while waiting:
            new = set(ALLOWED.get(waiting.pop(), ())) - reached
            reached |= new
            waiting += new
        if start in reached:
            yield f"{start}: the arrows lead back to it"


def outside_of_its_room():
    for directory, _, files in os.walk(os.path.join(ROOT, "core/pipeline")):
        for name in sorted(files):
            path = os.path.relpath(os.path.join(directory, name), ROOT)
            for number, line in enumerate(open(os.path.join(ROOT, path), encoding="utf8"), 1):
                for room, (pattern, rule) in ROOMS.items():
                    if pattern.search(line) and not path.startswith(room + "/"):
                        yield f"{path}:{number}: {rule}: {line.strip()}"


def left_out_of_the_image():
    """Folders that the build enters, and .dockerignore does not let in."""
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf8") as file:
        entered = {folder.split("/")[0] for folder in re.findall(r"add_subdirectory\(([\w/]+)\)", file.read())}
    with open(os.path.join(ROOT, ".dockerignore"), encoding="utf8") as file:
        let_in = {line[1:].split("/")[0] for line in file.read().split() if line.startswith("!")}
    for folder in sorted(entered - let_in):
        yield f".dockerignore: {folder}/ is built, and is left out of the image's sources"


broken = list(broken_arrows()) + list(circles()) + list(outside_of_its_room()) + list(left_out_of_the_image())
print("\n".join(broken) if broken else "ok      every include follows the arrows of the architecture")
sys.exit(1 if broken else 0)
