"""nashswarm: compress large language models on a nashswarm server, and read what comes out.

    with nashswarm.Client("localhost:7070") as client:
        client.compress("./gpt2", bpw=4.5).wait().pull("out")

nashswarm.aio has the same client for asyncio, nashswarm.local() starts a private server, load_state_dict() reads nsq directories, and
after `import nashswarm` transformers' from_pretrained() does as well.
"""
import importlib.metadata

from nashswarm import _hook, aio
from nashswarm.client import Client, Job
from nashswarm.errors import (AuthError, ConflictError, CorruptDataError, FileAccessError, InvalidRequestError, JobCancelledError, JobFailedError,
                              LibraryError, NashswarmError, NotFoundError, QuotaError, ServerError, TargetInfeasibleError, TlsError,
                              UnreachableError)
from nashswarm.local import local
from nashswarm.nsq import NsqFile, load_state_dict
from nashswarm.types import Artifact, Event, File, Model, Quality, Result, ServerInfo

__all__ = [
    "Artifact", "AuthError", "Client", "ConflictError", "CorruptDataError", "Event", "File", "FileAccessError", "InvalidRequestError", "Job",
    "JobCancelledError", "JobFailedError", "LibraryError", "Model", "NashswarmError", "NotFoundError", "NsqFile", "Quality", "QuotaError",
    "Result", "ServerError", "ServerInfo", "TargetInfeasibleError", "TlsError", "UnreachableError", "aio", "load_state_dict", "local",
]

try:
    __version__ = importlib.metadata.version("nashswarm")
except importlib.metadata.PackageNotFoundError:  # it lies on the path without having been installed
    __version__ = "unknown"

_hook.install()
