"""Tells transformers about nsq once the program imports it, and never imports it by itself.

A finder at the front of sys.meta_path waits for the one module of transformers that keeps the lists of quantization methods. When it
is imported, by whoever needs it, ours is added to the lists, and the finder removes itself.
"""
from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import logging
import sys
import types
from collections.abc import Sequence

_LISTS = "transformers.quantizers.auto"


def _register() -> None:
    try:
        from nashswarm import _transformers
        _transformers.register()
    except Exception as error:  # transformers must go on working for everything else
        logging.getLogger("nashswarm").warning("nsq directories cannot be loaded by this version of transformers: %s", error)


class _Loader(importlib.abc.Loader):
    def __init__(self, real: importlib.abc.Loader) -> None:
        self._real = real

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__loader__ = self._real
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        self._real.exec_module(module)
        _register()


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        if name != _LISTS:
            return None
        remove()
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


_finder = _Finder()


def remove() -> None:
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


def install() -> None:
    if _LISTS in sys.modules:
        _register()
    elif _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
