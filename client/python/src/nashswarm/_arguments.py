"""Arguments that both clients take, so that type checkers and editors know them."""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TypedDict

from nashswarm._access import Path
from nashswarm.types import Model

Data = str | os.PathLike[str] | Model


class ClientArguments(TypedDict, total=False):
    tls: bool | None
    ca: Path | None
    cert: Path | None
    key: Path | None
    token: str | None
    token_file: Path | None
    send_token_unencrypted: bool
    progress: bool | None
    traceparent: str | None
    first_contact: float
    transfer: float


class JobArguments(TypedDict, total=False):
    bpw: float | str                     # bits a weight of the whole file
    size: int | str                      # of the whole file: 50_000_000, "50MB"
    ratio: float | str                   # share of the FP32 bytes saved: 0.9, "90%", "10x"
    max_ppl_increase: float | str        # the smallest file whose perplexity rises by at most: 0.02, "2%"
    max_kl: float | str                  # the smallest file whose mean KL divergence is at most so many nats
    format: str                          # "gguf" (the default) or "nsq"
    calibrate: Data | None               # a text to weigh losses by; "self": the model writes its own
    imatrix: Data | None                 # llama.cpp's importance matrix, instead
    evaluate: Data | None                # a text to measure on
    calibration_tokens: int
    evaluation_tokens: int
    evaluation_context: int
    context_rounds: int                  # so often the harm of every tensor is measured again with all others compressed
    swarm: int                           # plans that a flock may try
    swarm_seconds: float
    rules: Mapping[str, str] | Iterable[tuple[str, str]]  # pattern of whole tensor names -> format, or "keep"; the first match wins
    threads: int
    seed: int
    zero_non_finite: bool                # NaN and infinite weights become 0 instead of an error
    name: str                            # what artifact and report call the model; else what the model goes by
    allow_tokenizer_mismatch: bool       # write a GGUF even where llama.cpp cuts texts otherwise than the model's tokenizer
    expert_order: str                    # "original" (the default), or "together": experts that tokens use together lie together
