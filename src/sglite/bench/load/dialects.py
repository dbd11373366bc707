"""How each API is asked, and what its events tell: text, and how many tokens there are so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sglite.bench.load.workload import Content
from sglite.errors import RemoteError


@dataclass(frozen=True, slots=True)
class Said:
    """One event. ``text`` is new. The counts are totals so far, None where the event has none."""

    text: str = ""
    num_tokens: int | None = None
    num_prompt_tokens: int | None = None
    num_cached_tokens: int | None = None
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What one call asks. ``history`` is the conversation before, in pairs of role and text."""

    content: Content
    max_tokens: int
    history: tuple[tuple[str, str], ...] = ()
    model: str = "default"
    ignores_eos: bool = True

    @property
    def whole(self) -> Content:
        """The prompt with what was said before, for APIs that know no messages."""
        if isinstance(self.content, str) and self.history:
            return "\n".join([*(text for _, text in self.history), self.content])
        return self.content


Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API. ``read`` takes an event and the text so far; it raises RemoteError for an error."""

    name: str
    path: str
    takes_token_ids: bool
    body: Callable[[Question], Body]
    read: Callable[[Mapping[str, Any], str], Said]


def _native_body(question: Question) -> Body:
    sampling: Body = {"temperature": 0.0, "max_new_tokens": question.max_tokens}
    if question.ignores_eos:
        sampling["ignore_eos"] = True
    prompt = question.whole
    key = "text" if isinstance(prompt, str) else "input_ids"
    return {key: prompt, "sampling_params": sampling, "stream": True}


def _read_native(event: Mapping[str, Any], before: str) -> Said:
    """Text is everything so far, or what is new: the number of ids in the event shows which."""
    _raise_error(event)
    meta, text = event.get("meta_info") or {}, event.get("text") or ""
    num_tokens = meta.get("completion_tokens")
    ids = event.get("output_ids")
    is_cumulative = ids is None or len(ids) == num_tokens
    return Said(
        text=text[len(before) :] if is_cumulative else text,
        num_tokens=num_tokens,
        num_prompt_tokens=meta.get("prompt_tokens"),
        num_cached_tokens=meta.get("cached_tokens"),
        is_last=bool(meta.get("finish_reason")),
    )


def _openai_body(question: Question) -> Body:
    body: Body = {
        "model": question.model,
        "max_tokens": question.max_tokens,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return body | {"ignore_eos": True} if question.ignores_eos else body


def _completions_body(question: Question) -> Body:
    return {"prompt": question.whole, **_openai_body(question)}


def _chat_body(question: Question) -> Body:
    messages = [{"role": role, "content": text} for role, text in question.history]
    messages.append({"role": "user", "content": str(question.content)})
    return {"messages": messages, **_openai_body(question)}


def _read_openai(event: Mapping[str, Any], before: str) -> Said:
    _raise_error(event)
    usage = event.get("usage") or {}
    choice = (event.get("choices") or [{}])[0]
    delta = choice.get("delta") or {}
    reasoning = delta.get("reasoning_content") or delta.get("reasoning") or ""
    details = usage.get("prompt_tokens_details") or {}
    return Said(
        text=(choice.get("text") or delta.get("content") or "") + reasoning,
        num_tokens=usage.get("completion_tokens"),
        num_prompt_tokens=usage.get("prompt_tokens"),
        num_cached_tokens=details.get("cached_tokens"),
        is_last=bool(choice.get("finish_reason")),
    )


def _raise_error(event: Mapping[str, Any]) -> None:
    error = event.get("error")
    if error:
        message = error.get("message") if isinstance(error, dict) else error
        raise RemoteError(f"the stream ended with an error: {message}")


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect("sglang", "/generate", True, _native_body, _read_native),
        Dialect("openai", "/v1/completions", True, _completions_body, _read_openai),
        Dialect("openai-chat", "/v1/chat/completions", False, _chat_body, _read_openai),
    )
}
