"""Generates the messages of the API from proto/nashswarm/v1 while the package is built; they are not in the repository."""
import pathlib
import re
import shutil
import tempfile

from grpc_tools import protoc
from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = pathlib.Path(__file__).resolve().parent
PROTO = "nashswarm/v1/nashswarm.proto"
# In a source distribution the API's definition lies beside this file, in a clone in the repository's own folder.
SOURCES = [folder for folder in (HERE / "proto", HERE.parents[1] / "proto") if (folder / PROTO).is_file()]
CMAKE = HERE.parents[1] / "CMakeLists.txt"


def generate(out: pathlib.Path) -> list[pathlib.Path]:
    if not SOURCES:
        raise SystemExit(f"{PROTO} is neither in {HERE} nor two folders above it: build from a clone or from the sdist")
    out.mkdir(parents=True, exist_ok=True)
    status = protoc.main(["protoc", f"-I{SOURCES[0]}", f"-I{protoc_include()}", f"--python_out={out}", f"--pyi_out={out}", PROTO])
    if status != 0:
        raise SystemExit("protoc failed")
    return [out / "nashswarm" / "v1" / name for name in ("nashswarm_pb2.py", "nashswarm_pb2.pyi")]


def protoc_include() -> pathlib.Path:
    import grpc_tools
    return pathlib.Path(grpc_tools.__file__).parent / "_proto"


def needed_protobuf() -> str:
    """Generated code runs on its own version of protobuf and later ones, up to the end of the next major version."""
    with tempfile.TemporaryDirectory() as directory:
        text = generate(pathlib.Path(directory))[0].read_text()
    version = re.search(r"Protobuf Python Version: (\d+)([.\d]+)", text)
    assert version, "protoc no longer says its version"
    return f"protobuf>={version[1]}{version[2]},<{int(version[1]) + 2}"


def version() -> str:
    """The project's, from its CMakeLists.txt; a source distribution keeps a copy of it."""
    own = HERE / "proto" / "VERSION"
    if own.is_file():
        return own.read_text().strip()
    return re.search(r"project\(nashswarm VERSION ([\d.]+)", CMAKE.read_text())[1]


class BuildWithMessages(build_py):
    def run(self) -> None:
        super().run()
        generate(HERE / "src" if self.editable_mode else pathlib.Path(self.build_lib))


class SourceWithProto(sdist):
    def make_release_tree(self, base_dir, files) -> None:
        super().make_release_tree(base_dir, files)
        target = pathlib.Path(base_dir) / "proto"
        (target / PROTO).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SOURCES[0] / PROTO, target / PROTO)
        (target / "VERSION").write_text(version() + "\n")


setup(version=version(), install_requires=["grpcio>=1.60", needed_protobuf(), "numpy>=1.24", "tqdm>=4.60"],
      cmdclass={"build_py": BuildWithMessages, "sdist": SourceWithProto})
