"""What a model directory says about its tokenizer, read as data.

Knows the layouts of transformers 4 (``tokenizer_config.json`` with ``added_tokens_decoder``,
``special_tokens_map.json``, templates inside the config) and 5 (templates in files of their own).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sglite.errors import ModelLoadError

NAMED_TOKENS = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)

AddedTokenSpec = dict[str, Any]
"""Keyword arguments of ``tokenizers.AddedToken``."""


@dataclass(slots=True)
class TokenizerFiles:
    """The small files beside ``tokenizer.json``.

    ``named_tokens`` maps names such as ``bos_token`` to tokens; ``added_tokens`` come in the order
    of their ids. ``templates`` maps names (``default``, ``tool_use``) to Jinja sources.
    ``model_type`` is config.json's, ``eos_token_ids`` come from generation_config.json and
    config.json.
    """

    config: dict[str, Any] = field(default_factory=dict)
    named_tokens: dict[str, AddedTokenSpec] = field(default_factory=dict)
    added_tokens: list[AddedTokenSpec] = field(default_factory=list)
    templates: dict[str, str] = field(default_factory=dict)
    model_type: str = ""
    has_remote_model: bool = False
    eos_token_ids: frozenset[int] = frozenset()


def read_tokenizer_files(directory: Path, chat_template_file: str | None) -> TokenizerFiles:
    """Read everything but ``tokenizer.json``; ``chat_template_file`` replaces the templates.

    Raises ModelLoadError naming the file and the cause.
    """
    if not directory.is_dir():
        state = "is not a directory" if directory.exists() else "does not exist"
        raise ModelLoadError(f"tokenizer: {directory} {state}")
    config = read_json_object(directory / "tokenizer_config.json")
    if "auto_map" in config:
        raise ModelLoadError(
            f"{directory / 'tokenizer_config.json'}: auto_map names Python code of the model's "
            "repository, which sglite never runs; use a directory with a plain tokenizer.json"
        )
    model_config = read_json_object(directory / "config.json")
    generation_config = read_json_object(directory / "generation_config.json")
    return TokenizerFiles(
        config=config,
        named_tokens=_named_tokens(directory, config),
        added_tokens=_added_tokens(directory, config),
        templates=_templates(directory, config, chat_template_file),
        model_type=str(model_config.get("model_type", "")),
        has_remote_model="auto_map" in model_config,
        eos_token_ids=_eos_ids(generation_config) | _eos_ids(model_config),
    )


def read_json_object(path: Path) -> dict[str, Any]:
    """Parse a JSON file that holds an object; an absent file is an empty one."""
    text = read_text(path)
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise ModelLoadError(f"{path}: holds a JSON {type(value).__name__}, not an object")
    return value


def read_text(path: Path) -> str | None:
    """Text of a UTF-8 file, None where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelLoadError(f"{path}: cannot be read ({error})") from error


def _token_spec(path: Path, value: Any) -> AddedTokenSpec:
    """A special token: a string, or an object with content and flags."""
    if isinstance(value, str):
        return {"content": value, "special": True}
    if not isinstance(value, dict) or not isinstance(value.get("content"), str):
        raise ModelLoadError(f"{path}: {str(value)[:80]!r} is not a token")
    flags = ("lstrip", "rstrip", "normalized", "single_word")
    spec = {flag: bool(value[flag]) for flag in flags if flag in value}
    return {**spec, "content": value["content"], "special": bool(value.get("special", True))}


def _named_tokens(directory: Path, config: dict[str, Any]) -> dict[str, AddedTokenSpec]:
    """Tokens by name. ``special_tokens_map.json`` counts as in transformers: without
    ``added_tokens_decoder`` only, and then it wins.
    """
    sources = [(directory / "tokenizer_config.json", config)]
    if "added_tokens_decoder" not in config:
        path = directory / "special_tokens_map.json"
        sources.append((path, read_json_object(path)))
    tokens: dict[str, AddedTokenSpec] = {}
    for path, source in sources:
        extra = source.get("extra_special_tokens")
        named = {**source, **extra} if isinstance(extra, dict) else source
        for name, value in named.items():
            is_token = isinstance(value, str | dict) and name.endswith("_token")
            if is_token or (isinstance(extra, dict) and name in extra):
                tokens[name] = _token_spec(path, value)
    return tokens


def _added_tokens(directory: Path, config: dict[str, Any]) -> list[AddedTokenSpec]:
    """Tokens beyond the vocabulary: those with ids first, then the lists without."""
    path = directory / "tokenizer_config.json"
    decoder = config.get("added_tokens_decoder", {})
    if not isinstance(decoder, dict) or not all(key.isdecimal() for key in decoder):
        raise ModelLoadError(f"{path}: added_tokens_decoder must map token ids to tokens")
    specs = [
        {**_token_spec(path, token), "special": bool(token.get("special", False))}
        for _, token in sorted(decoder.items(), key=lambda item: int(item[0]))
    ]
    for name in ("additional_special_tokens", "extra_special_tokens"):
        extra = config.get(name)
        if isinstance(extra, list):
            specs.extend(_token_spec(path, token) for token in extra)
    return specs


def _templates(
    directory: Path, config: dict[str, Any], chat_template_file: str | None
) -> dict[str, str]:
    """Chat templates: the given file, else files of their own, else the config, else the JSON."""
    if chat_template_file is not None:
        return {"default": _template_of_file(Path(chat_template_file))}
    templates = _template_files(directory)
    if templates:
        return templates
    path = directory / "tokenizer_config.json"
    value = config.get("chat_template")
    if value is None:
        path = directory / "chat_template.json"
        value = read_json_object(path).get("chat_template")
    return _template_entries(path, value)


def _template_of_file(path: Path) -> str:
    """A template that the operator chose: a Jinja file, or JSON with ``chat_template``."""
    text = read_text(path)
    if text is None:
        raise ModelLoadError(f"chat template {path} does not exist")
    if path.suffix != ".json":
        return text
    template = read_json_object(path).get("chat_template")
    if not isinstance(template, str):
        raise ModelLoadError(f"{path}: has no string 'chat_template'")
    return template


def _template_files(directory: Path) -> dict[str, str]:
    paths = {"default": directory / "chat_template.jinja"}
    extra = sorted((directory / "additional_chat_templates").glob("*.jinja"))
    paths.update({path.stem: path for path in extra})
    texts = {name: read_text(path) for name, path in paths.items()}
    return {name: text for name, text in texts.items() if text is not None}


def _template_entries(path: Path, value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {"default": value}
    entries = value if isinstance(value, list) else [None]
    templates: dict[str, str] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("template"), str):
            raise ModelLoadError(f"{path}: chat_template must be a string or a list of templates")
        templates[str(entry.get("name", "default"))] = entry["template"]
    return templates


def _eos_ids(config: dict[str, Any]) -> frozenset[int]:
    """``eos_token_id`` of a config: an id, a list of them, or nothing."""
    value = config.get("eos_token_id")
    ids = value if isinstance(value, list) else [value]
    return frozenset(token_id for token_id in ids if type(token_id) is int and token_id >= 0)
