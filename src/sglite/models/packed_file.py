"""Packed weights as a file: which weights they are, how they are written and read again.

A safetensors file. Its metadata hold the format's name, a key that says what was packed, and how,
and a sum of every tensor. It is mapped, not copied: the system's cache of the file is the weights'
memory, shared by all processes that run the model.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from sglite.errors import ModelLoadError
from sglite.models.layers.parallel import ModelShare
from sglite.models.load_progress import load_progress
from sglite.models.packed_weights import PackedWeights
from sglite.models.quantization import Quantization
from sglite.models.safetensors_file import SafetensorsFile, write_safetensors
from sglite.models.weight_cache import WeightCache
from sglite.models.weights import Checkpoint

FORMAT = "sglite packed weights, 1"
"""To be counted up when a matrix's packed form changes (kernels/cpu/pack.h, quantized.h), or how it
is made."""

NUM_SAMPLES = 64
SAMPLE_BYTES = 4096

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PackKey:
    """``name`` of the entry: the model and the kind of pack. ``text``: all that its bytes hang on.

    Another checkpoint at the same place has the name of the one before, and replaces it.
    """

    name: str
    text: str

    @staticmethod
    def of(checkpoint: Checkpoint, weights: PackedWeights) -> PackKey:
        """The key of what ``checkpoint`` becomes in ``weights``.

        Raises ModelLoadError where a file of the checkpoint cannot be read.
        """
        quantization = weights.quantization
        kind = _kind(quantization, weights.dtype) + _part(weights.share)
        parts = {
            "format": FORMAT,
            "pack": kind,
            "quantization": repr(quantization),
            # The kernels of another one may round to other integers.
            "instruction_set": weights.instruction_set if quantization else None,
            "model": repr(weights.spec),
            "share": _part(weights.share),
            "files": [_fingerprint(path) for path in checkpoint.paths()],
        }
        name = _entry_name(checkpoint.directory, kind)
        return PackKey(name, json.dumps(parts, sort_keys=True))


def try_read_packed(
    cache: WeightCache, key: PackKey, weights: PackedWeights, *, show_progress: bool = True
) -> bool:
    """Give ``weights`` what the cache holds under ``key``; False, and nothing changed, if nothing.

    One that is damaged, or not ours, is told in a warning; one of an older checkpoint is not.
    """
    path = cache.path(key.name)
    if not path.is_file():
        return False
    try:
        file = SafetensorsFile(path)
        if file.metadata.get("format") != FORMAT:
            raise ModelLoadError(f"{path} holds no packed weights of this version")
        if file.metadata.get("key") != key.text:
            logger.info("cached_weights_outdated", extra={"fields": {"file": str(path)}})
            return False
        tensors = dict(_checked_tensors(file, weights, show_progress=show_progress))
    except (ModelLoadError, OSError) as error:
        fields = {"file": str(path), "reason": str(error), "done": "the checkpoint is packed again"}
        logger.warning("cached_weights_unusable", extra={"fields": fields})
        return False
    weights.adopt(tensors)
    cache.mark_used(key.name)
    return True


def try_write_packed(
    cache: WeightCache, key: PackKey, weights: PackedWeights, *, show_progress: bool = True
) -> bool:
    """Keep ``weights`` under ``key``; False where the cache does not take them."""

    def write(path: Path) -> None:
        tensors = weights.tensors()
        metadata = {
            "format": FORMAT,
            "key": key.text,
            "sums": json.dumps({name: _sum(tensor) for name, tensor in tensors.items()}),
        }
        layout = {name: (each.dtype, tuple(each.shape)) for name, each in tensors.items()}
        with load_progress(weights.num_bytes, show=show_progress, what="keeping weights") as tell:

            def told() -> Iterator[torch.Tensor]:
                for tensor in tensors.values():
                    yield tensor
                    tell(tensor.nbytes)

            write_safetensors(path, layout, told(), metadata=metadata)

    return cache.try_store(key.name, weights.num_bytes, write)


def _checked_tensors(
    file: SafetensorsFile, weights: PackedWeights, *, show_progress: bool
) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a file. ModelLoadError where one is missing, superfluous or changed.

    That reads everything once, which the first step would do anyway, one page at a time.
    """
    layout = weights.layout()
    found = {name: (entry.dtype, entry.shape) for name, entry in file.entries.items()}
    if found != layout:
        raise ModelLoadError(f"{file.path} holds other tensors than this model has")
    sums = _read_sums(file)
    with load_progress(weights.num_bytes, show=show_progress) as tell:
        for name in layout:
            file.read_ahead(name)
            tensor = file.tensor(name)
            if sums.get(name) != _sum(tensor):
                raise ModelLoadError(f"{file.path} is damaged: {name} is not what was written")
            tell(tensor.nbytes)
            yield name, tensor


def _read_sums(file: SafetensorsFile) -> dict[str, int]:
    try:
        sums = json.loads(file.metadata.get("sums", ""))
    except ValueError:
        sums = None
    if not isinstance(sums, dict):
        raise ModelLoadError(f"{file.path} is damaged: its sums cannot be read")
    return sums


def _sum(tensor: torch.Tensor) -> int:
    """Of its 64-bit words, modulo 2^64: as fast as memory, and no shield against intent."""
    whole = tensor.view(-1).view(torch.uint8)
    end = whole.numel() // 8 * 8
    words = whole[:end].view(torch.int64)
    return int(words.sum()) + int(whole[end:].sum())


def _kind(quantization: Quantization | None, dtype: torch.dtype) -> str:
    """What makes packs of one model different, in a word."""
    if quantization is None:
        return str(dtype).removeprefix("torch.")
    size = quantization.layers.group_size
    return f"{quantization.name}-{size}" if size else quantization.name


def _part(share: ModelShare) -> str:
    """Which part of a model a rank has, as a suffix: its ranks keep their packs side by side."""
    split, layers = share.mlp, share.layers
    lanes = "-lanes" if share.has_lanes else ""
    ranks = f"-tp{split.rank}of{split.size}{lanes}" if split.size > 1 else ""
    return ranks if layers is None else f"{ranks}-layers{layers.start}to{layers.stop - 1}"


def _fingerprint(path: Path) -> list[str | int]:
    """Name, size, time of change, and a digest of the header and of samples across the file.

    Size and time tell nearly every change; the samples those of tools that keep the time.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        status = path.stat()
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            digest.update(file.read(length))
            for index in range(NUM_SAMPLES):
                file.seek(status.st_size * index // NUM_SAMPLES)
                digest.update(file.read(SAMPLE_BYTES))
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror}") from None
    return [path.name, status.st_size, status.st_mtime_ns, digest.hexdigest()]


def _entry_name(directory: Path, kind: str) -> str:
    """Readable, and another for each place; revisions in a hub's cache are one place."""
    place = directory.resolve()
    if place.parent.name == "snapshots":
        place = place.parent.parent
    digest = hashlib.blake2b(str(place).encode(errors="surrogateescape"), digest_size=6).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", place.name)[:60].lstrip(".-") or "model"
    return f"{readable}-{kind}-{digest}"
