"""The one renderer of chat templates: Jinja in a sandbox, with what Hugging Face templates use.

A template comes from the model directory or from the operator, never from a request. It sees plain
data alone and cannot change it. The size of the prompt, ``range`` and ``*`` are bounded. Time and
memory are not, so a server renders a :class:`PlannedChat` in a process that it can end:
:meth:`ChatTemplate.render` is a pure function of it (and of the clock, for ``strftime_now``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from sglite.errors import ModelLoadError, RequestError

MAX_PROMPT_CHARS = 16_000_000
"""Most characters of a rendered chat."""

MAX_REPEATED_ITEMS = 1_000_000
"""Most characters or items that ``*`` may make in a template."""

_CONTINUE_MARK = "<sglite-continue-here> "
_TEMPLATE_FAULTS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class PlannedChat:
    """Everything that one rendering needs: checked, plain data (see ``messages.py``).

    ``template`` is the name of the template. ``variables`` are the special tokens and the
    request's own.
    """

    template: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    variables: dict[str, Any] = field(default_factory=dict)


class RefusedByTemplateError(jinja2.TemplateError):
    """A template called ``raise_exception``."""


class GenerationTag(Extension):
    """``{% generation %}`` marks the assistant's text for training; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012 (the name and type are Jinja's)

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse the block into its body, with a scope of its own."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class TemplateNamespace(Namespace):
    """Jinja's ``namespace()`` without names that start with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        attributes = dict(*rest, **kwargs)
        for name in attributes:
            _refuse_underscore(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_underscore(name)
        Namespace.__setitem__(self, name, value)


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox: immutable data, bounded ``range`` (Jinja's 100,000), ``*`` and no ``**``."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
        )
        self.filters["tojson"] = _to_json
        del self.globals["lipsum"]
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        self.globals["dict"] = _make_dict
        self.globals["namespace"] = TemplateNamespace

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Evaluate ``*`` unless it would repeat a text or a list too often."""
        if operator == "**":
            raise SecurityError("chat templates may not use **")
        for items, count in ((left, right), (right, left)):
            if isinstance(count, int) and isinstance(items, str | list | tuple):
                _check_repetition(len(items) * count)
        return super().call_binop(context, operator, left, right)


class ChatTemplate:
    """One compiled chat template.

    Raises ModelLoadError where ``source`` is not a Jinja template.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            self._template = TemplateEnvironment().from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise ModelLoadError(f"the chat template is not valid Jinja: {error}") from error

    def render(self, chat: PlannedChat) -> str:
        """The prompt for a chat.

        Raises RequestError where the template refuses the chat or fails on it.
        """
        messages, is_continued = chat.messages, chat.continue_final_message
        prompt = self._run(
            {
                "documents": None,
                **chat.variables,
                "messages": _marked(messages) if is_continued else messages,
                "tools": chat.tools,
                "add_generation_prompt": chat.add_generation_prompt,
            }
        )
        return _cut_at_mark(prompt, messages) if is_continued else prompt

    def _run(self, variables: dict[str, Any]) -> str:
        parts: list[str] = []
        num_chars = 0
        try:
            for part in self._template.generate(variables):
                parts.append(part)
                num_chars += len(part)
                if num_chars > MAX_PROMPT_CHARS:
                    break
        except RefusedByTemplateError as error:
            raise RequestError(f"the chat template: {error}", param="messages") from error
        except _TEMPLATE_FAULTS as error:
            raise RequestError(
                f"the chat template failed on these messages: {type(error).__name__}: "
                f"{str(error)[:200]}",
                param="messages",
            ) from error
        if num_chars > MAX_PROMPT_CHARS:
            raise RequestError(
                f"the chat renders to more than {MAX_PROMPT_CHARS} characters; shorten it",
                param="messages",
            )
        return "".join(parts)


def _marked(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The chat with a mark at the end of its last message."""
    last = messages[-1]
    if not isinstance(last.get("content"), str):
        raise RequestError(
            "continue_final_message needs a last message with content", param="messages"
        )
    return [*messages[:-1], {**last, "content": last["content"] + _CONTINUE_MARK}]


def _cut_at_mark(prompt: str, messages: list[dict[str, Any]]) -> str:
    """The prompt up to the mark, so that the model goes on where the last message ends.

    The mark ends in a space: where that is gone, the template trims messages, and the blanks
    before the mark are trimmed as well.
    """
    mark = _CONTINUE_MARK.strip()
    end = prompt.rfind(mark)
    if end < 0 or messages[-1]["content"].strip() not in prompt:
        raise RequestError(
            "continue_final_message: the chat template does not show the last message as it is",
            param="continue_final_message",
        )
    is_whole = prompt.startswith(_CONTINUE_MARK, end)
    return prompt[:end] if is_whole else prompt[:end].rstrip()


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """``tojson`` of Hugging Face: plain JSON, where Jinja's own escapes HTML."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: Any) -> None:
    raise RefusedByTemplateError(str(message)[:500])


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def _make_dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*args, **kwargs)


def _refuse_underscore(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"chat templates may not set {name!r}")


def _check_repetition(num_items: int) -> None:
    if num_items > MAX_REPEATED_ITEMS:
        raise SecurityError(f"chat templates may not repeat up to {num_items} items")
