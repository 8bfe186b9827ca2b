"""Bars on standard error, of tqdm."""
from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm


class Progress:
    """One bar at a time. `show` None: on a terminal alone."""

    def __init__(self, show: bool | None) -> None:
        self._show = sys.stderr.isatty() if show is None else show
        self._bar: Any = None
        self._stage = ""

    def update(self, stage: str, done: int, total: int, unit: str = "B") -> None:
        if not self._show:
            return
        if stage != self._stage:
            self.close()
            self._stage = stage
            self._bar = tqdm(desc=stage, total=total or None, unit=unit, unit_scale=True, leave=False)
        if total:
            self._bar.total = total
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar, self._stage = None, ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
