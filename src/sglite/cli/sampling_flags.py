"""A flag for every field of SamplingParams, generated from the dataclass."""

from __future__ import annotations

import argparse
import dataclasses
import json
import typing
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sglite.errors import ConfigError
from sglite.request import SamplingParams

if TYPE_CHECKING:
    from sglite.models.generation_config import GenerationDefaults

HELP = {
    "max_new_tokens": "most tokens of the answer; `none`: up to the context",
    "min_new_tokens": "the answer does not end before it has this many tokens",
    "temperature": "0 takes the most likely token, higher is more random",
    "top_p": "sample among the most likely tokens that together have this probability",
    "top_k": "sample among this many tokens; -1: all",
    "min_p": "drop tokens less likely than this share of the most likely one",
    "frequency_penalty": "subtracted from a token's logit per occurrence in the answer",
    "presence_penalty": "subtracted from the logit of a token that occurs in the answer",
    "repetition_penalty": "above 1, tokens that occur in the answer become less likely",
    "logit_bias": "added to logits, as JSON: '{\"42\": -1.5}'",
    "sampling_seed": "the same seed and prompt give the same answer",
    "n": "answers per prompt",
    "stop": "end before this text (may be repeated)",
    "stop_regex": "end before a match of this regular expression (may be repeated)",
    "stop_token_ids": "end at this token id (may be repeated)",
    "ignore_eos": "do not end at the model's end token or at stop_token_ids",
    "no_stop_trim": "keep the text or token that ended the answer",
    "skip_special_tokens": "write special tokens out",
    "spaces_between_special_tokens": "put no spaces between special tokens",
    "stream_interval": "tokens per piece of a streamed answer",
    "json_schema": "the answer is JSON that this schema allows",
    "regex": "the answer is a full match of this regular expression",
    "ebnf": "the answer is a text of this grammar (`root ::= ...`)",
    "choice": "the answer is this text, or another one given so (may be repeated)",
    "structural_tag": "the answer holds parts of a given form, described as JSON",
    "allow_ignored_schema_keywords": "leave out of the schema what cannot be enforced",
    "max_thinking_tokens": "most tokens that the model may think before it answers",
}

# Where the model's generation_config.json has a say.
MODEL_DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def _parse_bias(text: str) -> dict[int, float]:
    pairs = json.loads(text)
    return {int(token_id): float(bias) for token_id, bias in pairs.items()}


_PARSERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    int: (int, "an integer"),
    float: (float, "a number"),
    str: (str, "a text"),
    dict: (_parse_bias, "a JSON object of token ids and numbers"),
}


_METAVARS: dict[Any, str] = {int: "INT", float: "NUMBER", str: "TEXT", dict: "JSON"}


@lru_cache(maxsize=1)
def _hints() -> dict[str, Any]:
    return typing.get_type_hints(SamplingParams)


def _element_type(name: str) -> Any:
    """``int`` for ``int``, ``int | None`` and ``tuple[int, ...]``; ``dict`` for a mapping."""
    hint = _hints()[name]
    members = [each for each in typing.get_args(hint) if each not in (type(None), Ellipsis)]
    if typing.get_origin(hint) is None:
        return hint
    return typing.get_origin(members[0]) or members[0]


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag per sampling parameter; one that is not given leaves no trace."""
    group = parser.add_argument_group(
        "sampling", "Parameters that are not given come from the model's generation_config.json."
    )
    for field in dataclasses.fields(SamplingParams):
        flag = f"--{field.name.replace('_', '-')}"
        settings: dict[str, Any] = {"default": argparse.SUPPRESS, "help": HELP[field.name]}
        if _element_type(field.name) is bool:
            settings |= {"action": "store_const", "const": not field.default, "dest": field.name}
            group.add_argument(f"--no-{flag[2:]}" if field.default else flag, **settings)
            continue
        if field.default == ():
            settings["action"] = "append"
        group.add_argument(flag, metavar=_METAVARS[_element_type(field.name)], **settings)


def given_sampling(arguments: argparse.Namespace) -> dict[str, Any]:
    """The sampling parameters given as flags; ConfigError where a value cannot be read."""
    given: dict[str, Any] = {}
    for field in dataclasses.fields(SamplingParams):
        if not hasattr(arguments, field.name):
            continue
        value = getattr(arguments, field.name)
        if isinstance(value, list):
            given[field.name] = tuple(_parse(field.name, text) for text in value)
        else:
            given[field.name] = value if isinstance(value, bool) else _parse(field.name, value)
    return given


def _parse(name: str, text: str) -> Any:
    kind = _element_type(name)
    is_optional = type(None) in typing.get_args(_hints()[name])
    if is_optional and text.lower() in ("none", "null"):
        return None
    parse, words = _PARSERS[kind]
    try:
        return parse(text)
    except (ValueError, TypeError, AttributeError) as error:
        flag = f"--{name.replace('_', '-')}"
        raise ConfigError(f"{flag}: {text!r:.80} is not allowed; give {words}") from error


def sampling_params(
    arguments: argparse.Namespace, defaults: GenerationDefaults, **fallback: Any
) -> SamplingParams:
    """Flags over the model's own values over ``fallback`` over SamplingParams' defaults."""
    of_model = {name: getattr(defaults, name) for name in MODEL_DEFAULTS}
    stated = {name: value for name, value in of_model.items() if value is not None}
    return SamplingParams(**{**fallback, **stated, **given_sampling(arguments)})
