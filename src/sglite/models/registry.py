"""Which architectures there are: the name in config.json -> the function that reads the config."""

from __future__ import annotations

from collections.abc import Callable

from sglite.errors import ModelLoadError
from sglite.models.hf_config import HFConfig
from sglite.models.spec import DecoderSpec

SpecFromHF = Callable[[HFConfig], DecoderSpec]

_FAMILIES: dict[str, SpecFromHF] = {}


def register(architecture: str) -> Callable[[SpecFromHF], SpecFromHF]:
    """Decorator: the function reads configs whose ``architectures`` names ``architecture``."""

    def add(function: SpecFromHF) -> SpecFromHF:
        assert architecture not in _FAMILIES, f"{architecture} is registered twice"
        _FAMILIES[architecture] = function
        return function

    return add


def supported_architectures() -> list[str]:
    """Names that :func:`spec_from_hf` accepts, sorted."""
    _import_families()
    return sorted(_FAMILIES)


def spec_from_hf(hf: HFConfig) -> DecoderSpec:
    """The spec of a checkpoint; ModelLoadError where its architecture is not supported."""
    _import_families()
    family = _FAMILIES.get(hf.architecture)
    if family is None:
        raise ModelLoadError(
            f"architecture {hf.architecture!r} is not supported; supported are "
            + ", ".join(supported_architectures())
        )
    return family(hf)


def _import_families() -> None:
    """Import every family file, which registers itself; a new family is one name more here."""
    from sglite.models import llama, mistral, qwen2, qwen3  # noqa: F401
