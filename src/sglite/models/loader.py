"""From a model directory to a Decoder with its weights in place.

Everything that can be known without reading weights is checked first: config, file headers, names
and shapes. Then the parameters are allocated once and the tensors are copied into them one by one,
with their type converted on the way: there is never a second copy of the weights.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sglite.errors import ConfigError, ModelLoadError
from sglite.kernels import cpu
from sglite.models.decoder import Decoder, weights_bytes
from sglite.models.generation_config import GenerationDefaults
from sglite.models.hf_config import HFConfig
from sglite.models.language_model import LanguageModel
from sglite.models.layers.parallel import ModelShare
from sglite.models.load_progress import load_progress
from sglite.models.packed_file import PackKey, try_read_packed, try_write_packed
from sglite.models.quantization import Quantization
from sglite.models.random_weights import random_weight
from sglite.models.registry import spec_from_hf
from sglite.models.replayed_decoder import ReplayedDecoder
from sglite.models.spec import DecoderSpec
from sglite.models.weight_cache import WeightCache
from sglite.models.weight_dtype import DTYPES, resolve_dtype
from sglite.models.weight_map import WeightTarget, is_ignored, weight_map
from sglite.models.weights import Checkpoint

LOAD_FORMATS = ("auto", "safetensors", "dummy")
MAX_NAMES_SHOWN = 3

logger = logging.getLogger(__name__)

Targets = dict[str, WeightTarget]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model directory says about its model, without its weights."""

    directory: Path
    hf_config: HFConfig
    spec: DecoderSpec
    generation_defaults: GenerationDefaults

    def dtype(self, option: str = "auto", *, device: str = "cpu") -> torch.dtype:
        """The type that weights and activations get for the option ``dtype``."""
        return resolve_dtype(option, self.hf_config.dtype, device=device)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to run. ``num_bytes`` is the memory of its parameters, ``share`` what of the
    model they are."""

    model: LanguageModel
    spec: DecoderSpec
    hf_config: HFConfig
    generation_defaults: GenerationDefaults
    dtype: torch.dtype
    num_bytes: int
    share: ModelShare = field(default_factory=ModelShare)


def read_model_info(model_dir: str | Path) -> ModelInfo:
    """Read and check everything but the weights; ModelLoadError names the file and the cause."""
    directory = Path(model_dir)
    try:
        is_empty = not any(directory.iterdir())
    except FileNotFoundError:
        raise ModelLoadError(f"model directory {directory} does not exist") from None
    except NotADirectoryError:
        raise ModelLoadError(f"{directory} is a file, expected a model directory") from None
    except OSError as error:
        raise ModelLoadError(f"{directory} cannot be read: {error.strerror}") from None
    if is_empty:
        raise ModelLoadError(f"model directory {directory} is empty")
    hf = HFConfig.from_directory(directory)
    _refuse_quantized(hf)
    spec = _read_spec(hf)
    return ModelInfo(directory, hf, spec, GenerationDefaults.from_directory(directory, hf))


def load_model(
    model_dir: str | Path,
    *,
    dtype: str = "auto",
    device: str = "cpu",
    load_format: str = "auto",
    share: ModelShare | None = None,
    instruction_set: str | None = None,
    quantization: Quantization | None = None,
    weight_cache: WeightCache | None = None,
    deterministic: bool = False,
    show_progress: bool = True,
) -> LoadedModel:
    """Load the model of a directory; ``load_format="dummy"`` needs config.json alone.

    ``share`` says what of it this rank holds, and so reads; None: all. With an ``instruction_set``
    the model runs on the compiled CPU kernels (not DP-attention), else on torch; only they take a
    ``quantization`` and a ``weight_cache``. ``deterministic``: results do not depend on what else
    is in a batch. Raises ModelLoadError for a bad directory and ConfigError for a bad option.
    """
    if load_format not in LOAD_FORMATS:
        raise ConfigError(f"load_format is {load_format!r}; choose from {', '.join(LOAD_FORMATS)}")
    share = share or ModelShare()
    _refuse_quantization_on_torch(quantization, instruction_set, share)
    info = read_model_info(model_dir)
    weight_type = info.dtype(dtype, device=device)
    targets = weight_map(info.spec, share)
    checkpoint = None
    if load_format != "dummy":
        checkpoint = _open_checkpoint(info, weight_map(info.spec))
    with _room_for_weights(info, share, dtype=weight_type, device=device):
        model: LanguageModel
        if instruction_set is None:
            model = Decoder(
                info.spec,
                share=share,
                dtype=weight_type,
                device=device,
                deterministic=deterministic,
            ).eval()
        else:
            model = ReplayedDecoder(
                info.spec,
                dtype=weight_type,
                weight_dtype=_narrowest_type(weight_type, checkpoint, targets),
                instruction_set=instruction_set,
                quantization=quantization,
                groups_prefixes=not deterministic,
                share=share,
            )
    if checkpoint is None:
        _fill_randomly(model, targets, info, device=device, show_progress=show_progress)
    else:
        _fill(model, checkpoint, targets, cache=weight_cache, show_progress=show_progress)
    defaults, num_bytes = info.generation_defaults, model.num_bytes
    return LoadedModel(model, info.spec, info.hf_config, defaults, weight_type, num_bytes, share)


def _refuse_quantization_on_torch(
    quantization: Quantization | None, instruction_set: str | None, share: ModelShare
) -> None:
    if quantization is not None and share.has_lanes:
        raise ConfigError(
            "quantization needs the compiled CPU kernels, which do not run enable_dp_attention:"
            " leave out one of the two"
        )
    if quantization is not None and instruction_set is None:
        raise ConfigError(
            "quantization needs the compiled CPU kernels: "
            + (cpu.why_missing() or "device must be cpu and cpu_kernels not torch")
            + ". Leave it out, or see `sglite doctor` for what this machine can use."
        )


def _narrowest_type(
    dtype: torch.dtype, checkpoint: Checkpoint | None, targets: Targets
) -> torch.dtype:
    """``dtype``, or bfloat16 where that loses nothing: the kernels widen weights as they read."""
    if checkpoint is None:
        return dtype
    matrices = (checkpoint.entry(name) for name in targets if not name.endswith(".bias"))
    is_narrow = all(each.dtype == torch.bfloat16 for each in matrices if len(each.shape) == 2)
    return torch.bfloat16 if is_narrow else dtype


def _read_spec(hf: HFConfig) -> DecoderSpec:
    """The spec; an error that does not name the file gets its name."""
    try:
        return spec_from_hf(hf)
    except ModelLoadError as error:
        message = str(error)
        if str(hf.path) in message:
            raise
        raise ModelLoadError(f"{hf.path}: {message}") from None


def _refuse_quantized(hf: HFConfig) -> None:
    settings = hf.raw.get("quantization_config")
    if settings:
        method = settings.get("quant_method") if isinstance(settings, dict) else settings
        raise ModelLoadError(
            f"{hf.path}: weights are quantized ({str(method)[:40]!r}); this version reads"
            f" {', '.join(DTYPES)}. Use the model's unquantized checkpoint."
        )


def _open_checkpoint(info: ModelInfo, targets: Targets) -> Checkpoint:
    """The checkpoint, if it holds every tensor with the type and shape that the config implies."""
    try:
        checkpoint = Checkpoint(info.directory)
    except OSError as error:
        raise ModelLoadError(f"{info.directory} cannot be read: {error.strerror}") from None
    present = set(checkpoint.names)
    missing = [name for name in targets if name not in present]
    if missing:
        raise ModelLoadError(f"{info.directory}: missing {_tensors(missing)} of the model")
    for name, target in targets.items():
        entry = checkpoint.entry(name)
        if entry.shape != target.shape:
            raise ModelLoadError(
                f"{checkpoint.path(name)}: tensor {name!r} has shape {list(entry.shape)},"
                f" config.json implies {list(target.shape)}"
            )
        if entry.dtype not in DTYPES.values():
            raise ModelLoadError(
                f"{checkpoint.path(name)}: tensor {name!r} has type {_dtype_name(entry.dtype)},"
                f" expected one of {', '.join(DTYPES)}"
            )
    extra = [n for n in checkpoint.names if n not in targets and not is_ignored(n, info.spec)]
    if extra:
        logger.warning(
            "unexpected_tensors",
            extra={"fields": {"directory": str(info.directory), "ignored": _tensors(extra)}},
        )
    return checkpoint


@contextmanager
def _room_for_weights(
    info: ModelInfo, share: ModelShare, *, dtype: torch.dtype, device: str
) -> Iterator[None]:
    """A failed allocation becomes a ModelLoadError that names the size."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        size = weights_bytes(info.spec, dtype, share) / 2**30
        cause = str(error).split("\n", 1)[0]
        raise ModelLoadError(
            f"{info.directory}: no room for {size:.1f} GiB of weights on {device}: {cause}"
        ) from error


def _fill_from(
    checkpoint: Checkpoint, model: LanguageModel, targets: Targets, *, show_progress: bool
) -> None:
    """Only what ``targets`` take of a tensor is read."""
    names = [name for name in checkpoint.names if name in targets]
    sizes = [checkpoint.entry(name).end - checkpoint.entry(name).start for name in names]
    what = "packing weights" if isinstance(model, ReplayedDecoder) else "loading weights"
    with load_progress(sum(sizes), show=show_progress, what=what) as advance:
        for name, num_bytes in zip(names, sizes, strict=True):
            tensor, target = checkpoint.tensor(name), targets[name]
            _check_finite(name, target.part(tensor), model.dtype, checkpoint.path(name))
            model.write(name, target, tensor)
            checkpoint.release(name)
            advance(num_bytes)


def _fill(
    model: LanguageModel,
    checkpoint: Checkpoint,
    targets: Targets,
    *,
    cache: WeightCache | None,
    show_progress: bool,
) -> None:
    """Take the packed weights of an earlier start; where there are none, make and keep them."""
    if cache is None or not isinstance(model, ReplayedDecoder):
        _fill_from(checkpoint, model, targets, show_progress=show_progress)
        return
    key = PackKey.of(checkpoint, model.weights)
    if try_read_packed(cache, key, model.weights, show_progress=show_progress):
        return
    _fill_from(checkpoint, model, targets, show_progress=show_progress)
    if try_write_packed(cache, key, model.weights, show_progress=show_progress):
        # From here on as every later start: their memory is the file's, and not ours as well.
        try_read_packed(cache, key, model.weights, show_progress=False)


def _check_finite(name: str, tensor: torch.Tensor, dtype: torch.dtype, path: Path) -> None:
    """ModelLoadError where a value is no number, or is none any more after conversion.

    A sum is not finite if any value is not; the exact test runs only where the sum looks bad.
    """
    if not tensor.numel():  # a share that is all padding
        return
    # In its own type a sum is twice as fast; only float16 would overflow where no value is bad.
    total = tensor.sum(dtype=torch.float32 if tensor.dtype == torch.float16 else None)
    if not torch.isfinite(total) and not torch.isfinite(tensor).all():
        raise ModelLoadError(f"{path}: tensor {name!r} holds NaN or infinite values")
    if dtype == torch.float16 and tensor.dtype != torch.float16:
        low, high = torch.aminmax(tensor)
        largest = max(abs(float(low)), abs(float(high)))
        if largest > torch.finfo(dtype).max:
            raise ModelLoadError(
                f"{path}: tensor {name!r} reaches {largest:g}, beyond float16;"
                " load with dtype bfloat16 or float32"
            )


def _fill_randomly(
    model: LanguageModel, targets: Targets, info: ModelInfo, *, device: str, show_progress: bool
) -> None:
    """What `sglite make-model` with seed 0 would have written for this config; elsewhere than on a
    CPU its like, made on the device."""
    quiet_rows = set(info.hf_config.eos_token_ids) | set(info.generation_defaults.eos_token_ids)
    num_drawn = sum(math.prod(target.shape) for target in targets.values())
    with load_progress(num_drawn, show=show_progress) as advance:
        for name, target in targets.items():
            weight = random_weight(
                name,
                target.shape,
                dtype=model.dtype,
                quiet_rows=sorted(quiet_rows),
                device=device,
            )
            model.write(name, target, weight)
            advance(weight.numel())


def _tensors(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:MAX_NAMES_SHOWN])
    more = len(names) - MAX_NAMES_SHOWN
    noun = "tensor" if len(names) == 1 else "tensors"
    return f"{noun} {shown}" + (f" and {more} more" if more > 0 else "")


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
