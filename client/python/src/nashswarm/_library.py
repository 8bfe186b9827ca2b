"""libnashswarm by ctypes: core/capi/nashswarm.h says what the functions mean."""
from __future__ import annotations

import ctypes
import ctypes.util
import functools
import os
from typing import Any

from nashswarm import _programs
from nashswarm.errors import CODES, LibraryError, of_file

NAME = "libnashswarm.so"
ABI = 1


class _Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int32), ("reason", ctypes.c_char_p), ("message", ctypes.c_char_p), ("hint", ctypes.c_char_p)]


class Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("shape", ctypes.POINTER(ctypes.c_uint64)), ("rank", ctypes.c_uint32),
                ("dtype", ctypes.c_int32), ("elements", ctypes.c_uint64), ("stored_bytes", ctypes.c_uint64)]


_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "nashswarm_abi": (ctypes.c_int32, []),
    "nashswarm_version": (ctypes.c_char_p, []),
    "nashswarm_last_error": (_Error, []),
    "nashswarm_nsq_open": (ctypes.c_int32, [ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)]),
    "nashswarm_nsq_close": (None, [ctypes.c_void_p]),
    "nashswarm_nsq_tensor_count": (ctypes.c_uint64, [ctypes.c_void_p]),
    "nashswarm_nsq_tensor": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_uint64, ctypes.POINTER(Tensor)]),
    "nashswarm_nsq_read": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int32, ctypes.c_int32, ctypes.c_void_p,
                                            ctypes.c_uint64]),
}


def _missing(message: str, hint: str, reason: str = "LIBRARY_NOT_FOUND") -> LibraryError:
    return LibraryError(message, code="NOT_FOUND", reason=reason, hint=hint)


def _candidates() -> list[str]:
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), NAME)
    beside = [os.path.join(directory, NAME) for directory in _programs.directories()]
    installed = [os.path.join(os.path.dirname(os.path.normpath(directory)), "lib", NAME) for directory in _programs.directories()]
    return [own, *beside, *installed]


def _open() -> tuple[ctypes.CDLL, str]:
    """NASHSWARM_LIBRARY; else beside this package, beside the programs, in the lib of their prefix, or where the system's loader looks."""
    named = os.environ.get("NASHSWARM_LIBRARY", "")
    if named:
        try:
            return ctypes.CDLL(named), named
        except OSError as error:
            raise _missing(f"NASHSWARM_LIBRARY names {named}, which cannot be loaded: {error}",
                           "name the libnashswarm.so that was built with the programs") from None
    for path in _candidates():
        if os.path.isfile(path):
            try:
                return ctypes.CDLL(path), path
            except OSError as error:
                raise _missing(f"{path} cannot be loaded: {error}", "install the libraries that it names, or another with NASHSWARM_LIBRARY") from None
    try:
        return ctypes.CDLL(NAME), NAME
    except OSError:
        raise _missing(f"{NAME} is neither beside the package ({os.path.dirname(_candidates()[0])}), nor in NASHSWARM_BIN_DIR or on the PATH"
                       " beside the programs (or in ../lib of them), nor known to the system's loader",
                       f"build it (make build leaves it in build/release/bin), and set NASHSWARM_LIBRARY=.../{NAME}") from None


@functools.lru_cache(maxsize=1)
def load() -> Any:
    library, path = _open()
    try:
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        abi = library.nashswarm_abi()
    except AttributeError as error:
        raise _missing(f"{path} is no {NAME} of this kind: {error}", "set NASHSWARM_LIBRARY to one that was built with the programs",
                       "LIBRARY_VERSION") from None
    if abi != ABI:
        raise _missing(f"{path} speaks version {abi} of its interface, and this package version {ABI}",
                       "install the package and the programs of one version", "LIBRARY_VERSION")
    return library


def check(status: int) -> None:
    if status == 0:
        return
    error = load().nashswarm_last_error()
    text = [(value or b"").decode(errors="replace") for value in (error.reason, error.message, error.hint)]
    raise of_file(CODES.get(status, "UNKNOWN"), text[0], text[1], text[2])
