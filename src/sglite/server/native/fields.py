"""The fields of a body of ``/generate``: those that work, and those that are known but do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PROMPTS = ("text", "input_ids")
"""Exactly one of these is given."""

PER_ITEM = (
    "sampling_params",
    "return_logprob",
    "logprob_start_len",
    "top_logprobs_num",
    "token_ids_logprob",
    "priority",
    "cache_salt",
    "extra_key",
    "timeout",
    "max_thinking_tokens",
    "require_reasoning",
)
"""One value for all prompts of a batch, or a list with one for each."""

PER_CALL = ("rid", "stream", "return_text_in_logprobs", "return_prompt_token_ids")

KNOWN = frozenset((*PROMPTS, *PER_ITEM, *PER_CALL))

UNSUPPORTED: Mapping[str, Any] = {
    "input_embeds": None,
    "image_data": None,
    "video_data": None,
    "audio_data": None,
    "modalities": None,
    "return_hidden_states": False,
    "return_routed_experts": False,
    "routed_experts_start_len": 0,
    "return_flat_raw_top_logprobs": False,
    "return_flat_raw_output_top_logprobs": False,
    "return_flat_raw_top_logprobs_b64": False,
    "lora_path": None,
    "lora_id": None,
    "session_params": None,
    "session_id": None,
    "custom_logit_processor": None,
    "log_metrics": True,
    "no_logs": False,
    "custom_labels": None,
    "routed_dp_rank": 0,
    "data_parallel_rank": 0,
    "disagg_prefill_dp_rank": None,
    "bootstrap_host": None,
    "bootstrap_port": None,
    "bootstrap_room": None,
}
"""Fields of SGLang's that are refused by name where they ask for something; with their defaults,
which always pass."""

_PROPERTIES = {
    "text": {"type": ["string", "array"]},
    "input_ids": {"type": "array"},
    "sampling_params": {"type": ["object", "array"]},
    "rid": {"type": ["string", "array"]},
    "stream": {"type": "boolean"},
    "return_text_in_logprobs": {"type": "boolean"},
    "return_prompt_token_ids": {"type": "boolean"},
    "return_logprob": {"type": ["boolean", "array"]},
    "logprob_start_len": {"type": ["integer", "array"]},
    "top_logprobs_num": {"type": ["integer", "array"]},
    "token_ids_logprob": {"type": "array"},
    "priority": {"type": ["integer", "array"]},
    "cache_salt": {"type": ["string", "array"]},
    "extra_key": {"type": ["string", "array"]},
    "timeout": {"type": ["number", "array"]},
    "max_thinking_tokens": {"type": ["integer", "array"]},
    "require_reasoning": {"type": ["boolean", "array"]},
}

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        **_PROPERTIES,
        "prompt": {"type": "string", "description": "newline-delimited JSON comes back"},
    },
    "anyOf": [{"required": [name]} for name in (*PROMPTS, "prompt")],
}
"""For /openapi.json; a batch has arrays where a single call has one value."""
