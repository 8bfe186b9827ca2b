"""Where the programs of nashswarm are."""
from __future__ import annotations

import os
import shutil

from nashswarm.errors import make_error


def directories() -> list[str]:
    """Those that may hold them: NASHSWARM_BIN_DIR, then those of PATH."""
    own = os.environ.get("NASHSWARM_BIN_DIR", "")
    return [directory for directory in [own, *os.environ.get("PATH", "").split(os.pathsep)] if directory]


def find(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join(directories()))
    if found:
        return os.path.abspath(found)
    raise make_error("NOT_FOUND", "PROGRAM_NOT_FOUND", f"the program {name} is neither in NASHSWARM_BIN_DIR nor on the PATH",
                     "install nashswarmd and nashswarm-engine there, or name a server: Client('host:port')")
