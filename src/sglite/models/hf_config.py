"""config.json of a Hugging Face model directory, read as data through a typed schema.

Nothing in it is executed, and sizes are checked before anything is allocated. Every complaint is a
one-line ``ModelLoadError`` that names the file, the key, the value and what was expected.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

from sglite.errors import ModelLoadError

MAX_JSON_BYTES = 16 << 20

# Largest believable value of each size, so that a hostile number is refused by its name and not
# by an allocation. All are at least 1.
SIZE_LIMITS: dict[str, int] = {
    "vocab_size": 1 << 22,
    "hidden_size": 1 << 17,
    "intermediate_size": 1 << 20,
    "num_hidden_layers": 1 << 10,
    "num_attention_heads": 1 << 12,
    "num_key_value_heads": 1 << 12,
    "head_dim": 1 << 12,
    "max_position_embeddings": 1 << 28,
    "sliding_window": 1 << 28,
}

DTYPE_NAMES = ("float32", "bfloat16", "float16")

T = TypeVar("T")


def read_json_object(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The JSON object in ``path``; ModelLoadError where unreadable, too large or no object."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise ModelLoadError(f"{path} is not a file")
        if status.st_size > max_bytes:
            raise ModelLoadError(
                f"{path} has {status.st_size:,} bytes; at most {max_bytes:,} are read"
            )
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelLoadError(f"{path} does not exist") from None
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ModelLoadError(f"{path} is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{path} is not valid JSON: {_one_line(error)}") from None
    if not isinstance(value, dict):
        raise ModelLoadError(f"{path} holds a {type(value).__name__}, expected a JSON object")
    return value


def _one_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:200]


def shown(value: object) -> str:
    """``value`` as an error message quotes it: short, on one line."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**20:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def matches_kind(value: object, kind: type[Any]) -> bool:
    """True where ``value`` may stand for ``kind``: an int serves as float, a bool never as int."""
    if kind is float:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) <= 1e300  # False for NaN and infinity as well
        )
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


@dataclass(frozen=True, slots=True)
class HFConfig:
    """A checked config.json. ``raw`` is the parsed file; ``path`` is named in errors.

    A key whose value is null counts as absent, as it does for transformers.
    """

    raw: Mapping[str, Any]
    path: Path

    @classmethod
    def from_directory(cls, directory: str | Path) -> HFConfig:
        """Read and check ``directory/config.json``."""
        path = Path(directory) / "config.json"
        return cls.from_dict(read_json_object(path), path=path)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], *, path: Path = Path("config.json")) -> HFConfig:
        """Check a config that is already parsed."""
        config = cls(raw=raw, path=path)
        config._check()
        return config

    @property
    def architecture(self) -> str:
        """The single entry of ``architectures``, such as ``Qwen3ForCausalLM``."""
        names = self.require("architectures", list)
        if len(names) != 1 or not isinstance(names[0], str):
            raise self.error("architectures", "a list with one name")
        return str(names[0])

    @property
    def dtype(self) -> str | None:
        """Type of the checkpoint's weights: one of ``DTYPE_NAMES``, None where it is not stated."""
        key = "dtype" if self.raw.get("dtype") is not None else "torch_dtype"
        name = self.get(key, "").removeprefix("torch.")
        if name and name not in DTYPE_NAMES:
            raise self.error(key, "one of " + ", ".join(DTYPE_NAMES))
        return name or None

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """Ids that end a text; empty where none is stated."""
        value = self.raw.get("eos_token_id")
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if not all(matches_kind(token_id, int) and 0 <= token_id < 1 << 31 for token_id in ids):
            raise self.error("eos_token_id", "a token id or a list of them")
        return tuple(ids)

    @property
    def head_dim(self) -> int:
        """``head_dim``, or hidden_size / num_attention_heads where the key is absent."""
        if self.raw.get("head_dim") is not None:
            return self.require("head_dim", int)
        return self.require("hidden_size", int) // self.require("num_attention_heads", int)

    def require(self, key: str, kind: type[T]) -> T:
        """The value of ``key``; ModelLoadError where it is absent or not a ``kind``."""
        value = self.raw.get(key)
        if value is None:
            raise ModelLoadError(f"{self.path}: key {key!r} ({kind.__name__}) is missing")
        if not matches_kind(value, kind):
            raise self.error(key, f"{_article(kind)} {kind.__name__}")
        return float(value) if kind is float else value  # type: ignore[return-value]

    @overload
    def get(self, key: str, default: None) -> Any: ...
    @overload
    def get(self, key: str, default: T) -> T: ...
    def get(self, key: str, default: Any) -> Any:
        """The value of ``key``, of the type of ``default``; ``default`` where it is absent."""
        if self.raw.get(key) is None:
            return default
        return self.raw[key] if default is None else self.require(key, type(default))

    def error(self, key: str, expected: str) -> ModelLoadError:
        """The error to raise for a bad value of ``key``."""
        value = shown(self.raw.get(key))
        return ModelLoadError(f"{self.path}: {key} is {value}, expected {expected}")

    def rope_parameters(self) -> dict[str, Any]:
        """Rotary settings in one form, whichever transformers version wrote the file.

        Always has ``rope_type`` (``default`` where nothing is said) and ``rope_theta``; further
        keys (``factor``, ``low_freq_factor``, ``original_max_position_embeddings`` ...) are those
        of the file. Version 5 nests all in ``rope_parameters``; version 4 has ``rope_theta`` beside
        ``rope_scaling``, whose type is called ``rope_type`` or ``type``.
        """
        key = "rope_parameters" if self.raw.get("rope_parameters") is not None else "rope_scaling"
        parameters: dict[str, Any] = dict(self.get(key, {}))
        rope_type = parameters.pop("rope_type", None) or parameters.pop("type", None) or "default"
        parameters.pop("type", None)
        if not isinstance(rope_type, str) or any(isinstance(v, dict) for v in parameters.values()):
            raise self.error(key, "one flat table of rotary settings with a rope_type")
        if parameters.get("rope_theta") is None:
            parameters["rope_theta"] = self.get("rope_theta", 10000.0)
        theta = parameters["rope_theta"]
        if not matches_kind(theta, float) or not theta > 0:
            value = shown(theta)
            raise ModelLoadError(f"{self.path}: rope_theta is {value}, expected a number > 0")
        return {**parameters, "rope_type": rope_type, "rope_theta": float(theta)}

    def _check(self) -> None:
        """Refuse code references and sizes that no model has."""
        if self.raw.get("auto_map"):
            raise ModelLoadError(
                f"{self.path}: auto_map points to code in the model directory, which sglite never"
                " runs. Use a checkpoint of a supported architecture without auto_map."
            )
        for key, limit in SIZE_LIMITS.items():
            if self.raw.get(key) is not None and not 1 <= self.require(key, int) <= limit:
                raise self.error(key, f"an integer from 1 to {limit:,}")
        for key in ("rms_norm_eps", "rope_theta"):
            if self.raw.get(key) is not None and not 0 < self.require(key, float) < math.inf:
                raise self.error(key, "a number > 0")
        self._check_heads()

    def _check_heads(self) -> None:
        heads = self.get("num_attention_heads", 0)
        kv_heads = self.get("num_key_value_heads", 0) or heads
        hidden = self.get("hidden_size", 0)
        if heads and heads % kv_heads:
            raise self.error("num_attention_heads", f"a multiple of num_key_value_heads {kv_heads}")
        if heads and self.raw.get("head_dim") is None and hidden % heads:
            raise self.error("hidden_size", f"a multiple of num_attention_heads {heads}")
        if heads and hidden and self.head_dim % 2:
            raise ModelLoadError(f"{self.path}: head_dim is {self.head_dim}, expected an even one")


def _article(kind: type[Any]) -> str:
    return "an" if kind.__name__[0] in "aeiou" else "a"
