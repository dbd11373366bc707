"""What a chat says about the model's thoughts: whether to have them, show them, how many."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sglite.errors import RequestError
from sglite.parsing.formats import THINKING_SWITCHES
from sglite.server.openai.options import flag
from sglite.validation.fields import number, shown
from sglite.validation.sampling_params import CHECKS

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
THINKING_TYPES = {"enabled": True, "disabled": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningOptions:
    """How thoughts are asked for and shown.

    ``is_separate``: they have fields of their own in the answer, otherwise they stay in its text.
    ``is_shown`` false leaves them out, ``is_streamed`` false sends them in one piece.
    ``template_kwargs`` are the call's, with what its other fields make of them; as they came where
    they are no object. ``ignored`` are fields that the template does not know.
    """

    is_separate: bool = True
    is_shown: bool = True
    is_streamed: bool = True
    max_tokens: int | None = None
    template_kwargs: Any = None
    ignored: tuple[str, ...] = ()


def read_reasoning(body: Mapping[str, Any], template: str) -> ReasoningOptions:
    """The options of a body, for a model with this chat template. Raises RequestError."""
    effort = _effort(body.get("reasoning_effort"))
    is_wanted, max_tokens = _thinking(body.get("thinking"))
    variables: dict[str, Any] = {}
    ignored = []
    if is_wanted is not None and not _set_switches(variables, template, is_wanted):
        ignored.append("thinking")
    if effort == "none" and _set_switches(variables, template, False):
        effort = None
    if effort is not None:
        if _knows(template, "reasoning_effort"):
            variables["reasoning_effort"] = effort
        else:
            ignored.append("reasoning_effort")
    kwargs = body.get("chat_template_kwargs")
    merged = {**variables, **kwargs} if isinstance(kwargs, dict) else variables or None
    is_kept = kwargs is not None and not isinstance(kwargs, dict)
    return ReasoningOptions(
        is_separate=flag(body, "separate_reasoning", default=True),
        is_shown=flag(body, "include_reasoning", default=True),
        is_streamed=flag(body, "stream_reasoning", default=True),
        max_tokens=max_tokens,
        template_kwargs=kwargs if is_kept else merged,
        ignored=tuple(ignored),
    )


def _effort(value: object) -> str | float | None:
    field = "reasoning_effort"
    if value is None or value == "":
        return None
    if isinstance(value, (int, float)):
        return number(field, value, ge=0, le=1)
    if not isinstance(value, str) or value not in EFFORTS:
        raise RequestError(
            f"{field} must be one of {', '.join(EFFORTS)}, or a number from 0 to 1, got "
            f"{shown(value)}",
            param=field,
        )
    return value


def _thinking(value: object) -> tuple[bool | None, int | None]:
    """Whether to think, and how much, each None where it is not said."""
    if value is None or isinstance(value, bool):
        return value, None
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str) or kind not in THINKING_TYPES:
        raise RequestError(
            'thinking must be true, false, or {"type": "enabled"} with budget_tokens, or '
            '{"type": "disabled"}, got ' + shown(value),
            param="thinking",
        )
    budget = value.get("budget_tokens")
    if budget is not None:
        budget = CHECKS["max_thinking_tokens"]("thinking.budget_tokens", budget)
    return THINKING_TYPES[kind], budget


def _set_switches(variables: dict[str, Any], template: str, is_on: bool) -> bool:
    """Set those switches that the template knows; whether there are any."""
    known = [name for name in THINKING_SWITCHES if _knows(template, name)]
    variables.update(dict.fromkeys(known, is_on))
    return bool(known)


def _knows(template: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", template) is not None
