"""The weights of a model directory: which files hold which tensor, and nothing outside of it.

Only safetensors are read; other formats can run code when they are opened.
"""

from __future__ import annotations

from pathlib import Path

import torch

from sglite.errors import ModelLoadError
from sglite.models.hf_config import matches_kind, read_json_object, shown
from sglite.models.safetensors_file import SafetensorsFile, TensorEntry

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
REFUSED_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".npz")


class Checkpoint:
    """All tensors of a model directory by name, their headers checked and nothing read yet.

    Iteration over ``names`` follows the files, so a load reads each file once, front to back.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._file_of = _files_by_tensor(directory)
        self.names = sorted(
            self._file_of, key=lambda name: (self._file_of[name].path, self.entry(name).start)
        )

    def paths(self) -> list[Path]:
        """The files that hold tensors, by name."""
        return sorted({file.path for file in self._file_of.values()})

    def entry(self, name: str) -> TensorEntry:
        """Type, shape and place of a tensor."""
        return self._file_of[name].entries[name]

    def path(self, name: str) -> Path:
        """The file that holds a tensor."""
        return self._file_of[name].path

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor as a view of its file."""
        return self._file_of[name].tensor(name)

    def release(self, name: str) -> None:
        """Let a tensor's pages leave memory."""
        self._file_of[name].release(name)


def contained_file(directory: Path, name: str) -> Path:
    """``directory/name`` where that is a regular file inside the directory; else ModelLoadError.

    A hub's cache keeps the content of ``snapshots/<revision>/`` in ``blobs/`` beside it, so links
    from such a snapshot into that folder are followed. No other link may leave the directory.
    """
    root = directory.resolve()
    if "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ModelLoadError(
            f"{directory}: file name {shown(name)} points outside of the directory"
        )
    try:
        path = (root / name).resolve()
    except (OSError, RuntimeError):  # a link to itself
        raise ModelLoadError(f"{directory / name} cannot be followed") from None
    roots = [root]
    if root.parent.name == "snapshots":
        roots.append(root.parent.parent / "blobs")
    if not any(path.is_relative_to(allowed) for allowed in roots):
        raise ModelLoadError(f"{directory / name} is a link out of the directory, to {path}")
    if not path.is_file():
        raise ModelLoadError(f"{directory / name} does not exist or is not a file")
    return directory / name


def _files_by_tensor(directory: Path) -> dict[str, SafetensorsFile]:
    if (directory / INDEX_FILE).exists() and not (directory / SINGLE_FILE).exists():
        return _files_by_index(directory)
    single = directory / SINGLE_FILE
    names = [SINGLE_FILE] if single.exists() or single.is_symlink() else _loose_files(directory)
    file_of: dict[str, SafetensorsFile] = {}
    for name in names:
        file = SafetensorsFile(contained_file(directory, name))
        for tensor in file.entries:
            if tensor in file_of:
                raise ModelLoadError(f"{file.path} and {file_of[tensor].path} both hold {tensor!r}")
            file_of[tensor] = file
    return file_of


def _loose_files(directory: Path) -> list[str]:
    """Names of the .safetensors files where neither the usual name nor an index is there."""
    entries = sorted(path.name for path in directory.iterdir())
    names = [name for name in entries if name.endswith(".safetensors")]
    if names:
        return names
    refused = [name for name in entries if name.endswith(REFUSED_SUFFIXES)]
    if refused:
        raise ModelLoadError(
            f"{directory} has its weights as {refused[0]} only; sglite reads .safetensors alone,"
            " because other formats can run code. Convert the checkpoint to safetensors."
        )
    raise ModelLoadError(f"{directory} has no weights: no .safetensors file is in it")


def _files_by_index(directory: Path) -> dict[str, SafetensorsFile]:
    index_path = contained_file(directory, INDEX_FILE)
    weight_map = read_json_object(index_path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelLoadError(f"{index_path}: weight_map is missing or empty")
    for tensor, name in weight_map.items():
        if not matches_kind(name, str) or not name.endswith(".safetensors"):
            raise ModelLoadError(
                f"{index_path}: {tensor!r} is in {shown(name)}, expected a .safetensors file"
            )
    paths = {name: contained_file(directory, name) for name in sorted(set(weight_map.values()))}
    files = {name: SafetensorsFile(path) for name, path in paths.items()}
    for tensor, name in weight_map.items():
        if tensor not in files[name].entries:
            raise ModelLoadError(f"{index_path}: {tensor!r} is not in {name}, as the index says")
    return {tensor: files[name] for tensor, name in weight_map.items()}
