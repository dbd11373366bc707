"""Write a random-weight model directory: config, tokenizer and streamed safetensors shards."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from sglite.errors import ConfigError, ModelLoadError
from sglite.make_model.presets import preset_config
from sglite.make_model.tokenizer import SPECIAL_TOKENS, check_vocab_size, write_tokenizer
from sglite.make_model.whole_file import whole_file, write_json
from sglite.models.hf_config import HFConfig
from sglite.models.random_weights import random_weight
from sglite.models.safetensors_file import write_safetensors

DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}

Shapes = dict[str, tuple[int, ...]]


def make_model(
    out_dir: str | Path,
    *,
    architecture: str = "qwen3",
    preset: str = "tiny",
    seed: int = 0,
    dtype: str = "bfloat16",
    num_shards: int = 1,
    rope_scaling: str | dict[str, Any] | None = None,
    with_tokenizer: bool = True,
    **overrides: Any,
) -> Path:
    """Write a model directory that sglite and transformers can load, and return its path.

    ``architecture`` is llama, qwen2, qwen3 or mistral; ``preset`` tiny, small or a real size such
    as 0.6b. ``rope_scaling`` is linear, dynamic, yarn or llama3 (factor 4, llama3 8), or a table.
    ``overrides`` replace keys of config.json. The same arguments give the same bytes. Weights are
    written one tensor at a time. ConfigError names an unknown or impossible setting, before
    anything is written.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"unknown dtype {dtype!r}; choose from {', '.join(DTYPES)}")
    config = preset_config(architecture, preset, overrides, rope_scaling)
    config |= {"torch_dtype": dtype} | _token_ids(config["vocab_size"], with_tokenizer)
    _check(config)
    if with_tokenizer:
        check_vocab_size(config["vocab_size"])
    shapes = weight_shapes(config)
    shards = split_names(shapes, num_shards)
    directory = Path(out_dir)
    directory.mkdir(parents=True, exist_ok=True)
    if with_tokenizer:
        max_length = config["max_position_embeddings"]
        write_tokenizer(directory, vocab_size=config["vocab_size"], max_length=max_length)
    write_json(directory / "config.json", config, indent=2)
    generation_config = _generation_config(config)
    write_json(directory / "generation_config.json", generation_config, indent=2)
    _write_weights(directory, shapes, config, seed=seed, shards=shards)
    return directory


def weight_shapes(config: dict[str, Any]) -> Shapes:
    """Name and shape of every tensor of a dense decoder, in the order of the files."""
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    shapes: Shapes = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(config["num_hidden_layers"]):
        for name, shape in _layer_shapes(config).items():
            shapes[f"model.layers.{layer}.{name}"] = shape
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, hidden)
    return shapes


def _layer_shapes(config: dict[str, Any]) -> Shapes:
    hidden, ffn, head_dim = (config[k] for k in ("hidden_size", "intermediate_size", "head_dim"))
    query = config["num_attention_heads"] * head_dim
    key_value = config["num_key_value_heads"] * head_dim
    shapes: Shapes = {"input_layernorm.weight": (hidden,)}
    for projection, size in (("q_proj", query), ("k_proj", key_value), ("v_proj", key_value)):
        shapes[f"self_attn.{projection}.weight"] = (size, hidden)
        if config["model_type"] == "qwen2" or config.get("attention_bias"):
            shapes[f"self_attn.{projection}.bias"] = (size,)
    shapes["self_attn.o_proj.weight"] = (hidden, query)
    if config.get("attention_bias"):
        shapes["self_attn.o_proj.bias"] = (hidden,)
    if config["model_type"] == "qwen3":
        shapes |= {"self_attn.q_norm.weight": (head_dim,), "self_attn.k_norm.weight": (head_dim,)}
    shapes["post_attention_layernorm.weight"] = (hidden,)
    for projection, shape in (
        ("gate_proj", (ffn, hidden)),
        ("up_proj", (ffn, hidden)),
        ("down_proj", (hidden, ffn)),
    ):
        shapes[f"mlp.{projection}.weight"] = shape
        if config.get("mlp_bias"):
            shapes[f"mlp.{projection}.bias"] = shape[:1]
    return shapes


def _token_ids(vocab_size: int, with_tokenizer: bool) -> dict[str, Any]:
    """The special tokens of ``write_tokenizer``; none where no tokenizer comes with the model."""
    if not with_tokenizer:
        return {}
    end_of_text, _, turn_end = range(vocab_size - len(SPECIAL_TOKENS), vocab_size)
    return {"eos_token_id": turn_end, "pad_token_id": end_of_text, "bos_token_id": None}


def _check(config: dict[str, Any]) -> None:
    """ConfigError where the settings would make a model that cannot be loaded."""
    try:
        HFConfig.from_dict(config, path=Path("settings"))
    except ModelLoadError as error:
        raise ConfigError(str(error)) from None


def _generation_config(config: dict[str, Any]) -> dict[str, Any]:
    eos, pad = config.get("eos_token_id"), config.get("pad_token_id")
    if eos is None:
        return {}
    return {"eos_token_id": [eos, pad], "pad_token_id": pad}


def _write_weights(
    directory: Path, shapes: Shapes, config: dict[str, Any], *, seed: int, shards: list[list[str]]
) -> None:
    dtype = DTYPES[config["torch_dtype"]]
    quiet_rows = [config[key] for key in ("eos_token_id", "pad_token_id") if config.get(key)]

    def tensors(names: list[str]) -> Iterator[torch.Tensor]:
        for name in names:
            yield random_weight(name, shapes[name], seed=seed, dtype=dtype, quiet_rows=quiet_rows)

    weight_map: dict[str, str] = {}
    for index, names in enumerate(shards, 1):
        file_name = "model.safetensors"
        if len(shards) > 1:
            file_name = f"model-{index:05d}-of-{len(shards):05d}.safetensors"
        layout = {name: (dtype, shapes[name]) for name in names}
        with whole_file(directory / file_name) as unfinished:
            write_safetensors(unfinished, layout, tensors(names))
        weight_map |= dict.fromkeys(names, file_name)
    if len(shards) > 1:
        total = dtype.itemsize * sum(math.prod(shape) for shape in shapes.values())
        index_file = {"metadata": {"total_size": total}, "weight_map": weight_map}
        write_json(directory / "model.safetensors.index.json", index_file, indent=2)


def split_names(shapes: Shapes, num_shards: int) -> list[list[str]]:
    """The tensors' names in ``num_shards`` consecutive parts of about equal size."""
    if not 1 <= num_shards <= len(shapes):
        raise ConfigError(f"num_shards is {num_shards}, expected from 1 to {len(shapes)}")
    total = sum(math.prod(shape) for shape in shapes.values())
    shards: list[list[str]] = [[]]
    written = 0
    for index, (name, shape) in enumerate(shapes.items()):
        open_shards = num_shards - len(shards)
        full = written >= total * len(shards) / num_shards or len(shapes) - index == open_shards
        if shards[-1] and open_shards and full:
            shards.append([])
        shards[-1].append(name)
        written += math.prod(shape)
    return shards
