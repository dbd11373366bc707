"""One .safetensors file: its header checked before anything is mapped, and a streaming writer.

The format: 8 bytes with the header's length (little endian), the header as a JSON object
``{name: {dtype, shape, data_offsets}}``, then the tensors' bytes, back to back.
"""

from __future__ import annotations

import json
import math
import mmap
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from sglite.errors import ModelLoadError
from sglite.models.hf_config import matches_kind, shown

MAX_HEADER_BYTES = 100_000_000
LENGTH_BYTES = 8
ALIGNMENT = 64
"""Of the first tensor that we write: one whose size is a multiple of it is followed by another."""
MAX_DIMENSIONS = 16
MADV_POPULATE_READ = 22  # Python's mmap does not name it
PIECE_BYTES = 2 << 20
READ_AHEAD_BYTES = 16 << 20
"""A call: no other thread of Python runs until the disk has delivered it."""

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
DTYPE_CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where one tensor lies: ``[start, end)`` in bytes from the beginning of the file."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    end: int


class SafetensorsFile:
    """The tensors of one file, read where they lie.

    The mapping is private to this process and made at the first read, after the header passed
    every check: length, offsets inside the file, no overlap and no hole, bytes as the shape says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mapping: mmap.mmap | None = None
        try:
            with path.open("rb") as file:
                self.entries, self.metadata = read_header(file, path)
        except OSError as error:
            raise ModelLoadError(f"{path} cannot be read: {error.strerror}") from None

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor ``name`` as a view of the file (a copy where it lies unaligned)."""
        entry = self.entries[name]
        if entry.start == entry.end:
            return torch.empty(entry.shape, dtype=entry.dtype)
        data = torch.frombuffer(
            self._map(), dtype=torch.uint8, offset=entry.start, count=entry.end - entry.start
        )
        if entry.start % entry.dtype.itemsize:
            data = data.clone()
        return data.view(entry.dtype).view(entry.shape)

    def read_ahead(self, name: str) -> None:
        """Have a tensor's pages in memory at once, where the system can."""
        entry = self.entries[name]
        if sys.platform != "linux":
            return
        start = entry.start // mmap.PAGESIZE * mmap.PAGESIZE
        with suppress(OSError):  # before Linux 5.14
            for position in range(start, entry.end, READ_AHEAD_BYTES):
                length = min(READ_AHEAD_BYTES, entry.end - position)
                self._map().madvise(MADV_POPULATE_READ, position, length)

    def release(self, name: str) -> None:
        """Let the pages of a tensor leave memory; what it returned must not be read again soon."""
        entry = self.entries[name]
        if self._mapping is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        start = entry.start // mmap.PAGESIZE * mmap.PAGESIZE
        self._mapping.madvise(mmap.MADV_DONTNEED, start, entry.end - start)

    def _map(self) -> mmap.mmap:
        if self._mapping is None:
            with self.path.open("rb") as file:
                # Copy-on-write, because torch wants a writable buffer; nothing ever writes to it.
                self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            if hasattr(mmap, "MADV_HUGEPAGE"):
                with suppress(OSError):  # a kernel without them
                    self._mapping.madvise(mmap.MADV_HUGEPAGE)
        return self._mapping


def read_header(file: BinaryIO, path: Path) -> tuple[dict[str, TensorEntry], Mapping[str, str]]:
    """The checked header of an open file, and its metadata.

    ModelLoadError names the file and what is wrong.
    """
    file_bytes = path.stat().st_size
    prefix = file.read(LENGTH_BYTES)
    if len(prefix) < LENGTH_BYTES:
        raise ModelLoadError(f"{path} has {file_bytes} bytes and no safetensors header")
    header_bytes = int.from_bytes(prefix, "little")
    data_start = LENGTH_BYTES + header_bytes
    if header_bytes > MAX_HEADER_BYTES or data_start > file_bytes:
        raise ModelLoadError(
            f"{path} is damaged or no safetensors file: its header would have"
            f" {header_bytes:,} bytes (file {file_bytes:,}, limit {MAX_HEADER_BYTES:,})"
        )
    header = _parse_header(file.read(header_bytes), path)
    metadata = header.pop("__metadata__", None)
    entries = {name: _entry(path, name, info, data_start) for name, info in header.items()}
    _check_layout(path, entries, data_start, file_bytes)
    return entries, metadata if isinstance(metadata, dict) else {}


def _parse_header(text: bytes, path: Path) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        cause = str(error).split("\n", 1)[0][:120]
        raise ModelLoadError(f"{path}: the safetensors header is not valid JSON: {cause}") from None
    if not isinstance(header, dict):
        raise ModelLoadError(f"{path}: the safetensors header is not a JSON object")
    return header


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key occurs twice")
    return table


def _entry(path: Path, name: str, info: Any, data_start: int) -> TensorEntry:
    """One header entry, checked by itself."""
    info = info if isinstance(info, dict) else {}
    dtype = DTYPES.get(str(info.get("dtype")))
    if dtype is None:
        raise ModelLoadError(
            f"{path}: tensor {name!r} has the unknown dtype {shown(info.get('dtype'))}"
        )
    shape, offsets = info.get("shape"), info.get("data_offsets")
    if not _is_size_list(shape) or len(shape) > MAX_DIMENSIONS:
        raise ModelLoadError(f"{path}: tensor {name!r} has the bad shape {shown(shape)}")
    if not _is_size_list(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ModelLoadError(f"{path}: tensor {name!r} has the bad offsets {shown(offsets)}")
    num_bytes = math.prod(shape) * dtype.itemsize
    if num_bytes != offsets[1] - offsets[0]:
        raise ModelLoadError(
            f"{path}: tensor {name!r} of shape {shown(shape)} and dtype {info['dtype']} needs"
            f" {num_bytes:,} bytes; the header gives it {offsets[1] - offsets[0]:,}"
        )
    return TensorEntry(dtype, tuple(shape), data_start + offsets[0], data_start + offsets[1])


def _is_size_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        matches_kind(item, int) and 0 <= item < 1 << 62 for item in value
    )


def _check_layout(
    path: Path, entries: Mapping[str, TensorEntry], data_start: int, file_bytes: int
) -> None:
    """Tensors follow each other without overlap or hole and end where the file ends."""
    position = data_start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.end > file_bytes:
            raise ModelLoadError(
                f"{path} is cut off: tensor {name!r} ends at byte {entry.end:,}, the file has"
                f" {file_bytes:,}. Download it again."
            )
        if entry.start != position:
            kind = "overlaps the tensor before it" if entry.start < position else "follows a hole"
            raise ModelLoadError(f"{path}: tensor {name!r} at byte {entry.start:,} {kind}")
        position = entry.end
    if position != file_bytes:
        raise ModelLoadError(f"{path} has {file_bytes - position:,} bytes that belong to no tensor")


def write_safetensors(
    path: Path,
    layout: Mapping[str, tuple[torch.dtype, tuple[int, ...]]],
    tensors: Iterable[torch.Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a file tensor by tensor: ``layout`` names them, ``tensors`` yields them in its order.

    Only one tensor has to be in memory at a time. ``metadata`` None: what torch's files say.
    """
    header: dict[str, Any] = {"__metadata__": metadata or {"format": "pt"}}
    position = 0
    for name, (dtype, shape) in layout.items():
        end = position + math.prod(shape) * dtype.itemsize
        header[name] = {
            "dtype": DTYPE_CODES[dtype],
            "shape": list(shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(LENGTH_BYTES + len(text)) % ALIGNMENT)

    def parts() -> Iterator[Any]:
        yield len(text).to_bytes(LENGTH_BYTES, "little") + text
        for (name, (dtype, shape)), tensor in zip(layout.items(), tensors, strict=True):
            assert tensor.dtype == dtype and tensor.shape == shape, f"{name}: {tensor.shape}"
            yield tensor.contiguous().view(-1).view(torch.uint8).numpy().data

    with path.open("wb") as file:
        for piece in _in_pieces(parts(), PIECE_BYTES):
            file.write(piece)


def _in_pieces(parts: Iterable[Any], size: int) -> Iterator[memoryview]:
    """The bytes of ``parts`` in pieces of ``size``, each good until the next.

    So Linux keeps each in one huge page of its cache, and maps the file with such pages later.
    """
    piece, filled = memoryview(bytearray(size)), 0
    for part in parts:
        left = memoryview(part)
        while len(left):
            count = min(size - filled, len(left))
            piece[filled : filled + count] = left[:count]
            filled, left = filled + count, left[count:]
            if filled == size:
                yield piece
                filled = 0
    if filled:
        yield piece[:filled]
