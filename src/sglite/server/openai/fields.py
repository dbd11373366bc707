"""The fields of OpenAI's bodies: those that work, and those that are known but do not.

A field of a third kind, unknown, is ignored and listed in ``ignored_fields`` (``field_policy``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sglite.server.openai.answer_format import FORMAT_FIELDS, FORMAT_TYPES
from sglite.validation.sampling_params import CHECKS

OPENAI_NAMES: Mapping[str, str] = {
    "max_new_tokens": "max_tokens",
    "min_new_tokens": "min_tokens",
    "sampling_seed": "seed",
}
"""Sampling parameters that OpenAI's or vLLM's clients call otherwise than SGLang."""

SAMPLING_FIELDS: Mapping[str, str] = {
    name: OPENAI_NAMES.get(name, name) for name in CHECKS if name != "max_new_tokens"
}
"""Our sampling parameters and the names of their fields; the limit of the output is read apart."""

LABELS = (
    "user",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
)
"""Strings that ask nothing of the answer; no part of a server on one machine uses them."""

_COMMON = frozenset(
    (
        *SAMPLING_FIELDS.values(),
        *LABELS,
        "model",
        "max_tokens",
        "logprobs",
        "stream",
        "stream_options",
        "metadata",
        "include_stop_str_in_output",
        "rid",
        "request_id",
        "cache_salt",
        "extra_key",
        "priority",
        "return_cached_tokens_details",
        *FORMAT_FIELDS,
        "thinking_token_budget",
    )
)

COMPLETION_KNOWN = _COMMON | {"prompt", "echo", "best_of", "add_special_tokens"}
"""Fields of ``/v1/completions``."""

CHAT_KNOWN = _COMMON | {
    "messages",
    "max_completion_tokens",
    "top_logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "chat_template_kwargs",
    "reasoning_effort",
    "separate_reasoning",
    "stream_reasoning",
    "include_reasoning",
    "thinking",
    "add_generation_prompt",
    "continue_final_message",
}
"""Fields of ``/v1/chat/completions``."""

_COMMON_UNSUPPORTED: Mapping[str, Any] = {
    # other ways to choose tokens
    "use_beam_search": False,
    "beam_width": 1,
    "length_penalty": 1.0,
    "early_stopping": False,
    "allowed_token_ids": None,
    "bad_words": None,
    "logprob_token_ids": None,
    "prompt_logprobs": None,
    "custom_params": None,
    "custom_logit_processor": None,
    "logits_processors": None,
    "repetition_detection": None,
    "watermark": None,
    "watermarking": None,
    # other models, sessions, inputs and outputs
    "lora_path": None,
    "session_id": None,
    "session_params": None,
    "truncate_prompt_tokens": None,
    "truncation_side": None,
    "prompt_embeds": None,
    "input_embeds": None,
    "return_hidden_states": False,
    "return_routed_experts": False,
    "return_token_ids": False,
    "return_prompt_token_ids": False,
    "return_tokens_as_token_ids": False,
    "return_meta_info": False,
    "custom_labels": None,
    "data_parallel_rank": 0,
    "routed_dp_rank": 0,
    "bootstrap_host": None,
    "bootstrap_port": None,
    "bootstrap_room": None,
    "kv_transfer_params": None,
    "vllm_xargs": None,
    "store": False,
}

COMPLETION_UNSUPPORTED: Mapping[str, Any] = {**_COMMON_UNSUPPORTED, "suffix": None}
"""Known fields that are refused by name where they ask for something, with their defaults, which
always pass."""

CHAT_UNSUPPORTED: Mapping[str, Any] = {
    **_COMMON_UNSUPPORTED,
    "functions": None,
    "function_call": "none",
    "modalities": ["text"],
    "audio": None,
    "prediction": None,
    "verbosity": "medium",
    "web_search_options": None,
    "moderation": None,
    "reasoning": None,
    # other ways to make the prompt
    "chat_template": None,
    "documents": None,
    "echo": False,
    "add_special_tokens": False,
    "input_ids": None,
    "task": None,
    "images_config": None,
    "mm_processor_kwargs": None,
    "media_io_kwargs": None,
    "return_prompt_text": False,
    "best_of": 1,
}
"""The same for ``/v1/chat/completions``."""

_STRING_OR_LIST: Mapping[str, Any] = {"type": ["string", "array", "null"]}
_BOOLEAN: Mapping[str, Any] = {"type": ["boolean", "null"]}
_INTEGER: Mapping[str, Any] = {"type": ["integer", "null"]}
_NUMBER: Mapping[str, Any] = {"type": ["number", "null"]}
_OBJECT: Mapping[str, Any] = {"type": ["object", "null"]}
_STRING: Mapping[str, Any] = {"type": ["string", "null"]}

_COMMON_PROPERTIES: Mapping[str, Any] = {
    "model": _STRING,
    "max_tokens": _INTEGER,
    "min_tokens": _INTEGER,
    "n": _INTEGER,
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "top_k": _INTEGER,
    "min_p": _NUMBER,
    "frequency_penalty": _NUMBER,
    "presence_penalty": _NUMBER,
    "repetition_penalty": _NUMBER,
    "logit_bias": _OBJECT,
    "seed": _INTEGER,
    "stop": _STRING_OR_LIST,
    "stop_regex": _STRING_OR_LIST,
    "stop_token_ids": {"type": ["array", "null"], "items": {"type": "integer"}},
    "ignore_eos": _BOOLEAN,
    "skip_special_tokens": _BOOLEAN,
    "stream": _BOOLEAN,
    "stream_options": _OBJECT,
    "cache_salt": _STRING,
    "priority": _INTEGER,
    "response_format": {
        "type": ["object", "null"],
        "properties": {"type": {"enum": list(FORMAT_TYPES)}, "json_schema": _OBJECT},
    },
    "structured_outputs": _OBJECT,
    "guided_json": {"type": ["object", "string", "null"]},
    "guided_regex": _STRING,
    "guided_choice": {"type": ["array", "null"], "items": {"type": "string"}},
    "guided_grammar": _STRING,
    "json_schema": {"type": ["object", "string", "null"]},
    "regex": _STRING,
    "ebnf": _STRING,
    "choice": {"type": ["array", "null"], "items": {"type": "string"}},
    "structural_tag": {"type": ["object", "string", "null"]},
    "allow_ignored_schema_keywords": _BOOLEAN,
    "max_thinking_tokens": _INTEGER,
}

COMPLETION_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        **_COMMON_PROPERTIES,
        "prompt": {"type": ["string", "array"]},
        "echo": _BOOLEAN,
        "best_of": _INTEGER,
        "logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
    },
}
"""For /openapi.json; the validator is stricter."""

CHAT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        **_COMMON_PROPERTIES,
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role"],
                "properties": {"role": {"type": "string"}, "content": _STRING_OR_LIST},
            },
        },
        "max_completion_tokens": _INTEGER,
        "logprobs": _BOOLEAN,
        "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
        "tools": {"type": ["array", "null"]},
        "tool_choice": {"type": ["string", "object", "null"]},
        "parallel_tool_calls": _BOOLEAN,
        "reasoning_effort": {"type": ["string", "number", "null"]},
        "separate_reasoning": _BOOLEAN,
        "stream_reasoning": _BOOLEAN,
        "include_reasoning": _BOOLEAN,
        "thinking": {"type": ["boolean", "object", "null"]},
        "chat_template_kwargs": _OBJECT,
        "add_generation_prompt": _BOOLEAN,
        "continue_final_message": _BOOLEAN,
    },
}
"""For /openapi.json; the validator is stricter."""
