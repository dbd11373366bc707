"""How one model writes calls of tools and thoughts: found out once, from its chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sglite.errors import RequestError
from sglite.parsing.formats import (
    REASONING_FORMATS,
    THINKING_SWITCHES,
    can_switch_thinking,
    detect_reasoning_format,
    detect_tool_format,
    markers,
)
from sglite.parsing.thinking_tokens import end_of_prompt
from sglite.request import Thinking

if TYPE_CHECKING:
    from sglite.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFormat:
    """The formats by name, None where the model has none.

    ``thought_ids`` are the tokens that begin and end thoughts; None where they are not single
    tokens. ``control_ids`` are tokens that stand in no text. ``has_hidden_markers``: some of the
    marks that a parser looks for are among them, so that they have to be shown.
    ``thinks_by_default``: a chat that says nothing about thoughts gets some.
    """

    tool_format: str | None = None
    reasoning_format: str | None = None
    thought_ids: tuple[int, int] | None = None
    control_ids: frozenset[int] = frozenset()
    has_hidden_markers: bool = False
    thinks_by_default: bool = True

    def thinking(self, prompt_token_ids: Sequence[int], *, may_begin: bool) -> Thinking | None:
        """The thoughts of an answer to this prompt; None where it has none that tokens tell.

        ``may_begin``: the answer may begin with thoughts that the prompt did not begin.
        """
        if self.thought_ids is None:
            return None
        start_id, end_id = self.thought_ids
        end = end_of_prompt(
            prompt_token_ids, start_id=start_id, end_id=end_id, control_ids=self.control_ids
        )
        if end == "closed" or (end == "plain" and not may_begin):
            return None
        return Thinking(start_token_id=start_id, end_token_id=end_id, is_open=end == "open")

    def is_off(self, template_kwargs: Mapping[str, Any] | None) -> bool:
        """Whether a chat with these variables for its template gets an answer without thoughts."""
        said = [(template_kwargs or {}).get(name) for name in THINKING_SWITCHES]
        return any(each is False for each in said) or not (self.thinks_by_default or any(said))

    def chat_thinking(
        self, prompt_token_ids: Sequence[int], template_kwargs: Mapping[str, Any] | None
    ) -> Thinking | None:
        """The same for a chat that was rendered with these variables."""
        thinking = self.thinking(prompt_token_ids, may_begin=not self.is_off(template_kwargs))
        form = REASONING_FORMATS.get(self.reasoning_format or "")
        if thinking is None or form is None or not form.is_always_thinking:
            return thinking
        return self.open_thinking()

    def open_thinking(self) -> Thinking | None:
        """Thoughts that the answer begins inside of; None where tokens do not tell them."""
        if self.thought_ids is None:
            return None
        start_id, end_id = self.thought_ids
        return Thinking(start_token_id=start_id, end_token_id=end_id, is_open=True)


def find_model_format(
    tokenizer: Tokenizer | None, *, tool_parser: str, reasoning_parser: str
) -> ModelFormat:
    """The formats as the options say, which may be ``none``, or for ``auto`` as the template shows.

    Without a tokenizer there is no text, and so no format.
    """
    if tokenizer is None:
        return ModelFormat()
    template = "\n".join(tokenizer.chat_template_sources.values())
    tool_format = _settled(tool_parser, detect_tool_format(template))
    reasoning_format = _settled(reasoning_parser, detect_reasoning_format(template))
    marks = markers(tool_format, reasoning_format)
    special_ids = tokenizer.special_token_ids
    return ModelFormat(
        tool_format=tool_format,
        reasoning_format=reasoning_format,
        thought_ids=_thought_ids(tokenizer, reasoning_format),
        control_ids=special_ids | tokenizer.eos_token_ids,
        has_hidden_markers=any(_single_id(tokenizer, mark) in special_ids for mark in marks),
        thinks_by_default=_thinks_by_default(tokenizer, template, reasoning_format),
    )


def _thinks_by_default(tokenizer: Tokenizer, template: str, reasoning_format: str | None) -> bool:
    """Whether a chat that says nothing is rendered otherwise than one that wants no thoughts."""
    form = REASONING_FORMATS.get(reasoning_format or "")
    if form is None or form.is_always_thinking or not can_switch_thinking(template):
        return True
    messages = [{"role": "user", "content": "Hello"}]
    off = dict.fromkeys(THINKING_SWITCHES, False)
    try:
        said_nothing = tokenizer.render_chat(messages)
        return said_nothing != tokenizer.render_chat(messages, template_kwargs=off)
    except RequestError:
        return True


def _settled(option: str, detected: str | None) -> str | None:
    return detected if option == "auto" else None if option == "none" else option


def _thought_ids(tokenizer: Tokenizer, reasoning_format: str | None) -> tuple[int, int] | None:
    if reasoning_format is None:
        return None
    start_id, end_id = (_single_id(tokenizer, mark) for mark in markers(None, reasoning_format))
    return None if start_id is None or end_id is None else (start_id, end_id)


def _single_id(tokenizer: Tokenizer, text: str) -> int | None:
    """The token that is exactly this text, if there is one."""
    token_ids = tokenizer.encode(text, add_special_tokens=False)
    return token_ids[0] if len(token_ids) == 1 else None
