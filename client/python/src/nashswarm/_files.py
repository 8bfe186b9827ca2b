"""Which files are sent, and where those that arrive may go: the rules of the command line client."""
from __future__ import annotations

import dataclasses
import json
import os
import pathlib

from nashswarm.errors import make_error, usage
from nashswarm.v1 import nashswarm_pb2 as pb

_WANTED = (".safetensors", ".json", ".model", ".txt", ".jinja")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_TEMPLATES = "additional_chat_templates"  # the one folder whose files are sent
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
_DOCUMENTS = ("license", "notice", "vocab.")
_MAX_NAME_BYTES = 200  # of CompressionSpec.model_name


@dataclasses.dataclass(frozen=True)
class LocalFile:
    name: str
    path: str
    size: int


def _is_wanted(name: str) -> bool:
    lower = name.lower()
    if lower.endswith(".bin.index.json") or lower.endswith(_PICKLES):  # the first is of no use without its pickle
        return False
    return lower.endswith(_WANTED) or lower == "readme.md" or lower.startswith(_DOCUMENTS)


def _check_link(directory: pathlib.Path, entry: pathlib.Path) -> None:
    """A directory from elsewhere may hold a link to any file of the user's, and what is sent ends up in artifacts.

    A link may lead within the directory, and to the blobs of a Hugging Face cache.
    """
    own, target = directory.resolve(), entry.resolve()
    if own in target.parents or target.parent == own.parent.parent / "blobs":
        return
    raise make_error("DATA_LOSS", "LINK_OUTSIDE", f"{entry} is a symbolic link that leads out of {directory}",
                     "if the file belongs to the model, put a copy in the link's place; otherwise remove the link")


def _gguf_as_source(path: str) -> Exception:
    return make_error("FAILED_PRECONDITION", "GGUF_AS_SOURCE", f"{path} is a GGUF file, which is no source to compress",
                      "give the directory of the original safetensors checkpoint: the weights of a GGUF file are already quantized")


def _adapter_as_source(directory: pathlib.Path) -> Exception:
    base = "its base model"
    try:
        base += f" {json.loads((directory / _ADAPTER[0]).read_text())['base_model_name_or_path']}"
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return make_error("FAILED_PRECONDITION", "ADAPTER_AS_SOURCE",
                      f"{directory} is a LoRA adapter, not a model: it must be merged into {base}",
                      "with peft: PeftModel.from_pretrained(base, ADAPTER).merge_and_unload().save_pretrained(DIR), then give DIR")


def select_checkpoint(source: str) -> list[LocalFile]:
    directory = pathlib.Path(source)
    if not directory.exists():
        raise make_error("NOT_FOUND", "FILE_NOT_FOUND", f"{source} does not exist", "give the directory of a Hugging Face checkpoint")
    if not directory.is_dir():
        if directory.suffix.lower() == ".gguf":
            raise _gguf_as_source(source)
        raise usage(f"{source} is not a directory",
                    "give the directory that holds it, with config.json and the tokenizer beside the weights")
    files, skipped = [], []
    entries = [(entry.name, entry) for entry in sorted(directory.iterdir())]
    if (directory / _TEMPLATES).is_dir():
        entries += [(f"{_TEMPLATES}/{entry.name}", entry) for entry in sorted((directory / _TEMPLATES).iterdir())]
    for name, entry in entries:
        if entry.name.startswith(".") or not entry.is_file():
            continue
        if not _is_wanted(entry.name):
            skipped.append(name)
            continue
        # Weights are often kept on another disk, and nothing but weights is accepted as such.
        if entry.is_symlink() and not entry.name.lower().endswith(".safetensors"):
            _check_link(directory, entry)
        files.append(LocalFile(name, str(entry), entry.stat().st_size))
    weights = [file for file in files if file.name.lower().endswith(".safetensors")]
    if any(file.name.startswith("model") for file in weights):  # Mistral's repositories hold every weight twice
        files = [file for file in files if not (file in weights and file.name.startswith("consolidated"))]
    adapters = [file for file in files if file.name in _ADAPTER]
    if adapters and all(file in adapters for file in weights):
        raise _adapter_as_source(directory)
    if not weights:
        ggufs = [name for name in skipped if name.lower().endswith(".gguf")]
        if ggufs:
            raise _gguf_as_source(str(directory / ggufs[0]))
        if "model.nsq" in skipped:
            raise make_error("FAILED_PRECONDITION", "NSQ_AS_SOURCE", f"{source} is an nsq artifact, which nashswarm has compressed already",
                             f"give the original checkpoint; or unpack it first: nashswarm unpack {source} -o OUT, then give OUT")
        pickles = [name for name in skipped if name.lower().endswith(_PICKLES)]
        raise make_error("NOT_FOUND", "NO_WEIGHTS", f"there are no *.safetensors weights in {source}",
                         f"{pickles[0]} is a pickle, which can run code, and is not read: convert it where you trust it" if pickles
                         else "give the directory of a Hugging Face checkpoint: config.json, the tokenizer and *.safetensors")
    if all(file.name != "config.json" for file in files):
        raise make_error("NOT_FOUND", "NO_CONFIG", f"there is no config.json in {source}",
                         "copy config.json and the tokenizer files of the model beside its weights")
    return files


def name_of_checkpoint(source: str) -> str:
    """What people call the model: ORG/NAME of a directory in the hub's cache, else the directory's own name; as much of it as an
    artifact's name may have. "" for a name that is none for people: not UTF-8, or with control characters."""
    path = pathlib.Path(source).resolve()
    name, cached = path.name, path.parent.parent.name  # models--ORG--NAME/snapshots/COMMIT
    if path.parent.name == "snapshots" and cached.startswith("models--"):
        name = cached.removeprefix("models--").replace("--", "/", 1)
    if any(character < " " or character == "\x7f" for character in name):
        return ""
    try:
        return name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore")
    except UnicodeEncodeError:  # what is not UTF-8 comes as surrogates
        return ""


def select_data(source: str) -> list[LocalFile]:
    hint = "give one file: a UTF-8 text or an importance matrix of llama.cpp"
    if not os.path.exists(source):
        raise make_error("NOT_FOUND", "FILE_NOT_FOUND", f"{source} does not exist", hint)
    if os.path.isdir(source):
        raise usage(f"{source} is a directory", hint)
    size = os.path.getsize(source)
    if size == 0:
        raise make_error("INVALID_ARGUMENT", "EMPTY_FILE", f"{source} is empty")
    return [LocalFile(os.path.basename(source), source, size)]


def _is_safe(path: str) -> bool:
    return bool(path) and "\0" not in path and "\\" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def plan_paths(artifact: pb.Artifact, out: str) -> list[str]:
    """Where each file of the artifact goes. `out` is a directory; or a name that ends in .gguf, for the artifact's one GGUF
    file, and its other files stand beside it."""
    single = out.endswith(".gguf") and len(out) > len(".gguf")
    stem = out[:-len(".gguf")]
    if single and artifact.format == "nsq":
        raise usage(f"an nsq artifact is a directory and does not fit into the file {out}", f"give a directory: '{stem}'")
    paths, ggufs = [], 0
    for file in artifact.files:
        if not _is_safe(file.path):
            raise make_error("DATA_LOSS", "UNSAFE_PATH", f"the artifact names a file outside of itself: '{file.path}'")
        is_gguf = file.path.endswith(".gguf")
        ggufs += is_gguf
        if not single:
            paths.append(os.path.join(out, file.path))
        else:
            paths.append(out if is_gguf else f"{stem}.{file.path.replace('/', '.')}")
    if single and ggufs != 1:
        raise make_error("FAILED_PRECONDITION", "NOT_ONE_FILE", f"{artifact.name} has {ggufs} GGUF files, so it does not fit into {out}",
                         f"give a directory: '{stem}'")
    return paths
