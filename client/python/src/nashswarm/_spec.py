"""What is asked of a job, from arguments to the message."""
from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from nashswarm._files import select_data
from nashswarm.errors import usage
from nashswarm.types import Model
from nashswarm.v1 import nashswarm_pb2 as pb

Number = float | str
Data = str | os.PathLike[str] | Model  # a file, a model or its name, "models/ID"; of a calibration also "self"
Rules = Mapping[str, str] | Iterable[tuple[str, str]]
_UNITS = {prefix + suffix: (1024 if suffix == "ib" else 1000) ** power
          for power, prefix in enumerate(("", "k", "m", "g", "t")) for suffix in ("", "b", "ib") if prefix or suffix != "ib"}


def _split(value: Number, what: str, hint: str) -> tuple[float, str]:
    found = re.fullmatch(r"([-+]?[0-9.]+(?:e[-+]?\d+)?)([a-z%]*)", str(value).replace(" ", "").lower())
    try:
        number = float(found[1]) if found else math.nan
    except ValueError:
        number = math.nan
    if not found or not math.isfinite(number):
        raise usage(f"'{value}' is not {what}", hint)
    return number, found[2]


def _name(data: Data) -> str:
    return data.name if isinstance(data, Model) else os.fspath(data)


def parse_size(value: int | str) -> int:
    hint = "write it like '50MB', '50MiB', '1.5GB' or plain bytes"
    number, unit = _split(value, "a size", hint)
    size = number * _UNITS.get(unit, -1)
    if not 1 <= size <= 2**62:
        raise usage(f"'{value}' is not a size", hint)
    return int(size)


def parse_ratio(value: Number) -> float:
    hint = "the share of FP32 bytes to save like 0.9 or '90%', or the factor like '10x'"
    number, unit = _split(value, "a ratio", hint)
    share = {"": number, "%": number / 100, "x": 1 - 1 / number if number > 0 else 0}.get(unit, -1)
    if not 0 < share < 1:
        raise usage(f"'{value}' is not a ratio", hint)
    return share


def parse_increase(value: Number) -> float:
    hint = "write it like 0.02 or '2%'"
    number, unit = _split(value, "an increase", hint)
    share = {"": number if number <= 1 else -1, "%": number / 100}.get(unit, -1)
    if not 0 < share <= 10:
        raise usage(f"'{value}' is not an increase", hint)
    return share


def _plain(value: Number, most: float, what: str) -> float:
    number, unit = _split(value, what, "a plain number")
    if unit or not 0 < number <= most:
        raise usage(f"'{value}' is not {what} between 0 and {most:g}")
    return number


@dataclasses.dataclass
class Request:
    """The arguments of compress(), as given."""

    bpw: Number | None = None
    size: int | str | None = None
    ratio: Number | None = None
    max_ppl_increase: Number | None = None
    max_kl: Number | None = None
    format: str = "gguf"
    calibrate: Data | None = None
    imatrix: Data | None = None
    evaluate: Data | None = None
    calibration_tokens: int = 0
    evaluation_tokens: int = 0
    evaluation_context: int = 0
    context_rounds: int = 0
    swarm: int = 0
    swarm_seconds: float = 0
    rules: Rules = ()
    threads: int = 0
    seed: int = 0
    zero_non_finite: bool = False
    expert_order: str = "original"
    name: str = ""
    allow_tokenizer_mismatch: bool = False

    def to_message(self) -> pb.CompressionSpec:
        """Texts are still names of files. Raises for what can be refused before anything is sent."""
        spec = pb.CompressionSpec(artifact_format=self.format, threads=self.threads, seed=self.seed, zero_non_finite=self.zero_non_finite,
                                  model_name=self.name, allow_tokenizer_mismatch=self.allow_tokenizer_mismatch)
        self._set_target(spec)
        self._set_calibration(spec)
        self._set_evaluation(spec)
        self._set_search(spec)
        self._set_expert_order(spec)
        rules = self.rules.items() if isinstance(self.rules, Mapping) else self.rules
        spec.rules.extend(pb.CompressionSpec.TensorRule(pattern=pattern, format=form) for pattern, form in rules)
        for _, value in data_fields(spec):
            select_data(value)
        return spec

    def _set_target(self, spec: pb.CompressionSpec) -> None:
        targets: dict[str, Any] = {name: getattr(self, name) for name in ("bpw", "size", "ratio", "max_ppl_increase", "max_kl")}
        given = [name for name, value in targets.items() if value is not None]
        if len(given) != 1:
            raise usage("there is more than one target: " + ", ".join(given) if given else "there is no target",
                        "give exactly one of bpw=4.5, size='50MB', ratio=0.9, max_ppl_increase='2%', max_kl=0.01")
        value = targets[given[0]]
        if given[0] == "bpw":
            spec.bits_per_weight = _plain(value, 32, "a number of bits per weight")
        elif given[0] == "size":
            spec.size_bytes = parse_size(value)
        elif given[0] == "ratio":
            spec.ratio = parse_ratio(value)
        elif given[0] == "max_ppl_increase":
            spec.max_ppl_increase = parse_increase(value)
        else:
            spec.max_kl = _plain(value, 100, "a KL divergence in nats")

    def _set_calibration(self, spec: pb.CompressionSpec) -> None:
        if self.calibrate is not None and self.imatrix is not None:
            raise usage("calibrate and imatrix are two ways to say the same", "leave out one of them")
        if self.calibration_tokens and self.calibrate is None:
            raise usage("calibration_tokens is for calibrate, which is not given", "add calibrate=FILE or calibrate='self'")
        if self.calibrate == "self":
            spec.calibration.self = True
        elif self.calibrate is not None:
            spec.calibration.text = _name(self.calibrate)
        elif self.imatrix is not None:
            spec.calibration.imatrix = _name(self.imatrix)
        if self.calibration_tokens:
            spec.calibration.tokens = self.calibration_tokens

    def _set_evaluation(self, spec: pb.CompressionSpec) -> None:
        details = self.evaluation_tokens or self.evaluation_context
        wants_text = details or self.max_ppl_increase is not None or self.max_kl is not None
        if wants_text and self.evaluate is None and self.calibrate is None:
            raise usage("there is no text to measure on",
                        "name one: evaluate=FILE, or calibrate=FILE or calibrate='self', part of which is held out for it")
        if self.evaluate is not None or details:
            spec.evaluation.text = "" if self.evaluate is None else _name(self.evaluate)
            spec.evaluation.tokens = self.evaluation_tokens
            spec.evaluation.context = self.evaluation_context

    def _set_search(self, spec: pb.CompressionSpec) -> None:
        if not (self.context_rounds or self.swarm or self.swarm_seconds):
            return
        if self.swarm_seconds and not self.swarm:
            raise usage("swarm_seconds is for swarm, which is not given", "add swarm=N")
        if self.calibrate is None:
            raise usage("a search needs a text to try plans on",
                        "add calibrate=FILE or calibrate='self'; a text of evaluate must stay unseen")
        spec.search.context_rounds = self.context_rounds
        spec.search.swarm_evaluations = self.swarm
        spec.search.swarm_seconds = self.swarm_seconds

    def _set_expert_order(self, spec: pb.CompressionSpec) -> None:
        if self.expert_order == "original":
            return
        if self.expert_order != "together":
            raise usage(f"'{self.expert_order}' is no order of experts", "original and together are known")
        if self.calibrate is None:
            raise usage("expert_order='together' needs a text that shows which experts are used together",
                        "add calibrate=FILE or calibrate='self'; an importance matrix does not say")
        spec.expert_order = pb.CompressionSpec.TOGETHER


def data_fields(spec: pb.CompressionSpec) -> list[tuple[Any, str]]:
    """(a function that sets it, its value) of the fields that name a file, not a model of the server."""
    fields: list[tuple[Any, str]] = []
    if spec.calibration.HasField("text"):
        fields.append((lambda name: setattr(spec.calibration, "text", name), spec.calibration.text))
    if spec.calibration.HasField("imatrix"):
        fields.append((lambda name: setattr(spec.calibration, "imatrix", name), spec.calibration.imatrix))
    if spec.evaluation.text:
        fields.append((lambda name: setattr(spec.evaluation, "text", name), spec.evaluation.text))
    return [(setter, value) for setter, value in fields if not value.startswith("models/")]

