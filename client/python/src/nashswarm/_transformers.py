"""nsq directories in transformers: from_pretrained() unpacks them into dense weights while it loads."""
from __future__ import annotations

import os
import tempfile
from typing import Any

from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING, register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from nashswarm.errors import make_error
from nashswarm.nsq import unpack_weights

METHOD = "nashswarm"
_FILE = "model.safetensors"


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
        version = getattr(self.quantization_config, "version", 1)
        if version != 1:
            raise make_error("FAILED_PRECONDITION", "NSQ_VERSION", f"the artifact is of version {version} of nsq, which this package does not know",
                             "install a newer nashswarm")
        if not self.pre_quantized:
            raise make_error("INVALID_ARGUMENT", "USAGE", "transformers cannot compress to nsq", "make the artifact with nashswarm compress --format nsq")

    def update_dtype(self, dtype: Any) -> Any:
        import torch
        # "auto" looks at the packed file when config.json names no dtype, and finds bytes there.
        return torch.float32 if dtype is None or not dtype.is_floating_point else dtype

    def _process_model_before_weight_loading(self, model: Any, checkpoint_files: list[str] | None = None, **_: Any) -> Any:
        if not checkpoint_files or len(checkpoint_files) != 1 or os.path.basename(checkpoint_files[0]) != _FILE:
            raise make_error("FAILED_PRECONDITION", "NOT_NSQ", f"an nsq artifact is one file, {_FILE}, and this is {checkpoint_files}",
                             "give from_pretrained the directory that nashswarm made")
        self._directory = tempfile.TemporaryDirectory(prefix="nashswarm-unpacked-")
        dense = os.path.join(self._directory.name, _FILE)
        unpack_weights(os.path.dirname(checkpoint_files[0]), dense)
        checkpoint_files[0] = dense  # the list that the caller goes on with
        return model

    def _process_model_after_weight_loading(self, model: Any, **_: Any) -> Any:
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None
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
