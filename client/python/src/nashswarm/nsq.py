"""Reading nsq artifacts: the weights of a directory that nashswarm made, as arrays."""
from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import struct
from typing import Any

import numpy as np

from nashswarm import _library
from nashswarm.errors import NotFoundError, local_files, make_error, usage

Path = str | os.PathLike[str]
_NUMBERS = {"float32": 1, "float16": 2, "bfloat16": 3}
_NAMES = {1: "float32", 2: "float16", 3: "bfloat16", 4: "float64"}
_ALIASES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_SAFETENSORS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    name: str
    shape: tuple[int, ...]
    dtype: str         # in the checkpoint: "float32", "float16", "bfloat16" or "float64"
    stored_bytes: int  # in the artifact


class NsqFile:
    """An open artifact; a context manager. Its index has been checked, each tensor is checked when it is read.

    Threads may read at a time. Keep `threads` 0 to use every core for one tensor; it never changes the result.
    """

    def __init__(self, directory: Path, *, threads: int = 0) -> None:
        self._library = _library.load()
        self._threads = threads
        self._handle = ctypes.c_void_p()
        _library.check(self._library.nashswarm_nsq_open(os.fsencode(directory), ctypes.byref(self._handle)))
        self.tensors: dict[str, TensorInfo] = {}
        self._index: dict[str, int] = {}
        for index in range(self._library.nashswarm_nsq_tensor_count(self._handle)):
            tensor = _library.Tensor()
            _library.check(self._library.nashswarm_nsq_tensor(self._handle, index, ctypes.byref(tensor)))
            name = tensor.name.decode()
            self._index[name] = index
            self.tensors[name] = TensorInfo(name, tuple(tensor.shape[: tensor.rank]), _NAMES[tensor.dtype], tensor.stored_bytes)

    def close(self) -> None:
        handle, self._handle = self._handle, ctypes.c_void_p()
        if handle:
            self._library.nashswarm_nsq_close(handle)

    def __enter__(self) -> NsqFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self.close()

    def read_bits(self, name: str, dtype: str) -> Any:
        """The tensor as `dtype`, in an array of numpy; of bfloat16, its bits as uint16."""
        if not self._handle:
            raise usage("the artifact is closed", "read inside the with block, or open it again")
        if name not in self.tensors:
            raise NotFoundError(f"there is no tensor '{name}'", code="NOT_FOUND", reason="NO_SUCH_TENSOR")
        out = np.empty(self.tensors[name].shape, {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}[dtype])
        _library.check(self._library.nashswarm_nsq_read(self._handle, self._index[name], _NUMBERS[dtype], self._threads,
                                                        out.ctypes.data, out.nbytes))
        return out

    def read(self, name: str, dtype: Any = None) -> Any:
        """The tensor as an array of numpy. `dtype` None: the checkpoint's own, and float32 for one of float64. bfloat16 needs the
        package ml_dtypes."""
        wanted = dtype_name(dtype, self.tensors[name].dtype if name in self.tensors else "float32")
        bits = self.read_bits(name, wanted)
        return bits.view(_numpy_bfloat16()) if wanted == "bfloat16" else bits


def dtype_name(dtype: Any, own: str) -> str:
    if dtype is None:
        return "float32" if own == "float64" else own
    name = str(getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or dtype).removeprefix("torch.").lower()
    name = _ALIASES.get(name, name)
    if name not in _NUMBERS:
        raise usage(f"tensors are not decoded to {dtype}", "dtype is one of float32, float16 and bfloat16, or None for the checkpoint's own")
    return name


def _numpy_bfloat16() -> Any:
    try:
        import ml_dtypes
    except ImportError:
        raise make_error("FAILED_PRECONDITION", "NO_BFLOAT16", "numpy has no bfloat16 of its own",
                         "pip install ml_dtypes; or dtype='float32', or framework='torch'") from None
    return ml_dtypes.bfloat16


def load_state_dict(path: Path, framework: str = "numpy", dtype: Any = None, *, threads: int = 0) -> dict[str, Any]:
    """Every tensor of an nsq directory by its name in the checkpoint, just as `nashswarm unpack --dtype` would write it.

    framework: "numpy" or "torch". dtype: float32, float16 or bfloat16, by name or as the framework's own; None: each tensor in the
    checkpoint's (float32 for float64). bfloat16 in numpy needs the package ml_dtypes. Damage raises CorruptDataError.
    """
    if framework not in ("numpy", "torch"):
        raise usage(f"'{framework}' is no framework", "one of numpy and torch")
    with NsqFile(path, threads=threads) as artifact:
        if framework == "numpy":
            return {name: artifact.read(name, dtype) for name in artifact.tensors}
        import torch
        tensors = {}
        for name, info in artifact.tensors.items():
            wanted = dtype_name(dtype, info.dtype)
            tensor = torch.from_numpy(artifact.read_bits(name, wanted))
            tensors[name] = tensor.view(torch.bfloat16) if wanted == "bfloat16" else tensor
        return tensors


def unpack_weights(path: Path, out: Path, dtype: str = "float32", *, threads: int = 0) -> None:
    """Writes the weights as a safetensors file, one tensor in memory at a time."""
    with local_files(), NsqFile(path, threads=threads) as artifact, open(out, "wb") as file:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        offset = 0
        for name, info in artifact.tensors.items():
            size = int(np.prod(info.shape, dtype=np.int64)) * _BYTES[dtype]
            header[name] = {"dtype": _SAFETENSORS[dtype], "shape": list(info.shape), "data_offsets": [offset, offset + size]}
            offset += size
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        file.write(struct.pack("<Q", len(text)) + text)
        for name in artifact.tensors:
            file.write(artifact.read_bits(name, dtype).data)
