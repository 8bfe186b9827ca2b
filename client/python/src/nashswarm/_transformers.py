"""nsq directories in transformers: from_pretrained() unpacks them into dense weights while it loads.

Without this transformers finds no weights in such a directory, and its error shows what config.json has as `transformers_weights`: that
nashswarm must be imported. With it that key becomes the name of the weight file.
"""
from __future__ import annotations

import os
import tempfile
from typing import Any

import torch
import transformers
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING, register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from nashswarm.errors import make_error
from nashswarm.nsq import unpack_weights

METHOD = "nashswarm"
_FILE = "model.nsq"
_UNPACKED = "model.safetensors"  # and the name of the packed file in artifacts of the first writers
_OLDEST = 5  # major version; before it nobody says which files will be read


class _WeightFile(str):
    """A name that transformers takes for that of a safetensors file, which an nsq file is by its structure."""

    def endswith(self, suffix: Any, *_: Any) -> bool:
        return bool(suffix == ".safetensors")


class NashswarmConfig(QuantizationConfigMixin):  # type: ignore[misc]
    """What config.json of an nsq directory says of it."""

    def __init__(self, version: int = 1, bits_per_weight: float | None = None, **_: Any) -> None:
        self.quant_method = METHOD
        self.version = version
        self.bits_per_weight = bits_per_weight
        self.dequantize = True  # the model is a dense one when it is loaded: trainable, and saved like any other


class NashswarmQuantizer(HfQuantizer):  # type: ignore[misc]
    """Puts an unpacked file in the place of the packed one just before it would be read.

    The file is a temporary one, in float32, so that what is loaded is what loading the directory of `nashswarm unpack` gives, whatever
    dtype is asked for.
    """

    _directory: tempfile.TemporaryDirectory[str] | None = None

    def validate_environment(self, *_: Any, **__: Any) -> None:
        if int(transformers.__version__.partition(".")[0]) < _OLDEST:
            raise make_error("FAILED_PRECONDITION", "TRANSFORMERS_TOO_OLD",
                             f"nsq directories need transformers {_OLDEST} or later, and this is {transformers.__version__}",
                             "upgrade transformers; or make a plain checkpoint with nashswarm unpack DIRECTORY -o OUT")
        version = getattr(self.quantization_config, "version", 1)
        if version != 1:
            raise make_error("FAILED_PRECONDITION", "NSQ_VERSION", f"the artifact is of version {version} of nsq, which this package does not know",
                             "install a newer nashswarm")
        if not self.pre_quantized:
            raise make_error("INVALID_ARGUMENT", "USAGE", "transformers cannot compress to nsq", "make the artifact with nashswarm compress --format nsq")

    def _name_weights(self, config: Any) -> Any:
        """Before weights are looked for, on this machine or on the hub."""
        # Artifacts of the first writers do not have the key, whether their file has been renamed or not.
        renamed = os.path.exists(os.path.join(str(getattr(config, "name_or_path", "")), _FILE))
        if renamed or getattr(config, "transformers_weights", None) is not None:
            config.transformers_weights = _WeightFile(_FILE)
        if getattr(config, "dtype", None) is None:
            config.dtype = torch.float32  # "auto" would look into the packed file for one
        return config

    # Which of these there is depends on the version; all are asked before weights are looked for.
    def update_attn_implementation(self, config: Any) -> Any:
        return self._name_weights(config)

    def update_tp_plan(self, config: Any) -> Any:
        return self._name_weights(config)

    def _process_model_before_weight_loading(self, model: Any, checkpoint_files: list[str] | None = None, **_: Any) -> Any:
        if not checkpoint_files or len(checkpoint_files) != 1 or os.path.basename(checkpoint_files[0]) not in (_FILE, _UNPACKED):
            raise make_error("FAILED_PRECONDITION", "NOT_NSQ", f"an nsq artifact is one file, {_FILE}, and this is {checkpoint_files}",
                             "give from_pretrained the directory that nashswarm made")
        self._directory = tempfile.TemporaryDirectory(prefix="nashswarm-unpacked-")
        dense = os.path.join(self._directory.name, _UNPACKED)
        unpack_weights(os.path.dirname(checkpoint_files[0]), dense)
        checkpoint_files[0] = dense  # the list that the caller goes on with
        return model

    def _process_model_after_weight_loading(self, model: Any, **_: Any) -> Any:
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None
        if hasattr(model.config, "transformers_weights"):
            del model.config.transformers_weights
        return model

    def is_serializable(self, *_: Any, **__: Any) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return True


def register() -> None:
    if METHOD not in AUTO_QUANTIZER_MAPPING:
        register_quantization_config(METHOD)(NashswarmConfig)
        register_quantizer(METHOD)(NashswarmQuantizer)
