"""What the language needs of a model, wherever it runs, and how choices are scored with it."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from sglite.errors import ConfigError, RequestError, SgliteError
from sglite.lang.choices import ChoiceScores, ChoicesMethod, Decision


class Prompt(NamedTuple):
    """Text to continue. ``is_rendered``: a chat template wrote it, and so any BOS is in it."""

    text: str
    is_rendered: bool


class Answer(NamedTuple):
    """What the model said, and SGLang's ``meta_info`` of it."""

    text: str
    meta_info: dict[str, Any]


class Piece(NamedTuple):
    """More of an answer. ``meta_info`` is that of the answer so far; None where it is not known."""

    text: str
    meta_info: dict[str, Any] | None


@runtime_checkable
class Backend(Protocol):
    """A model. Methods raise RequestError for what was asked wrongly; several threads call them.

    ``sampling`` holds sampling parameters under SGLang's names, ``options`` any of return_logprob,
    logprob_start_len and top_logprobs_num.
    """

    def generate(
        self, prompt: Prompt, sampling: dict[str, Any], options: dict[str, Any]
    ) -> list[Answer]:
        """The n answers."""
        ...

    def stream(
        self, prompt: Prompt, sampling: dict[str, Any], options: dict[str, Any]
    ) -> Generator[Piece, None, None]:
        """The answer in pieces; closing it ends the request."""
        ...

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[list[int]]:
        """Token ids of each text."""
        ...

    def prompt_logprobs(
        self, sequences: list[list[int]], start_len: int
    ) -> list[list[float | None]]:
        """Log-probabilities of the tokens from ``start_len`` on; the first entry has none."""
        ...

    def render(self, messages: list[dict[str, Any]], add_generation_prompt: bool) -> str:
        """The text of a conversation by the model's chat template."""
        ...


def decide(
    backend: Backend, prompt: Prompt, choices: tuple[str, ...], method: ChoicesMethod
) -> Decision:
    """The choice that ``method`` takes after ``prompt``. Raises RequestError for an empty prompt.

    All choices go in one call; they share the prompt's tokens, which the prefix cache holds. Where
    a token spans the border of prompt and choice (the space in "Answer: " belongs to "blue"), the
    tokens are those of the whole text, and the scores begin where the choices begin to differ from
    the prompt: what SGLang calls token healing.
    """
    texts = [prompt.text, *(prompt.text + choice for choice in choices)]
    prompt_ids, *wholes = backend.encode(texts, add_special_tokens=not prompt.is_rendered)
    if not prompt_ids:
        raise RequestError("choices need something to follow; the text is empty", param="prompt")
    num_shared = min(_num_common(prompt_ids, whole) for whole in wholes)
    if num_shared == 0:  # nothing is left to score after: keep the border
        own = backend.encode(choices, add_special_tokens=False)
        wholes, num_shared = [prompt_ids + each for each in own], len(prompt_ids)
    after = backend.prompt_logprobs(wholes, num_shared - 1)
    unconditional = None
    if method.needs_unconditional:
        bare = backend.prompt_logprobs([whole[num_shared:] for whole in wholes], 0)
        unconditional = [[value or 0.0 for value in each] for each in bare]
    scored = [[value for value in each[1:] if value is not None] for each in after]
    return method(ChoiceScores(choices, scored, unconditional))


def _num_common(prompt_ids: list[int], whole: list[int]) -> int:
    """Tokens that both begin with, but the last of ``whole``, which there has to be one of."""
    pairs = zip(prompt_ids, whole[:-1], strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))


def checked_meta_info(meta_info: dict[str, Any]) -> dict[str, Any]:
    """``meta_info`` of an answer that ended well. Raises SgliteError where it was aborted."""
    finish = meta_info.get("finish_reason") or {}
    if finish.get("type") == "abort":
        raise SgliteError(f"the answer was cut off: {finish.get('message') or 'no reason given'}")
    return meta_info


def as_backend(model: object) -> Backend:
    """The backend for an ``LLM``, a ``RemoteLLM``, a server's URL, or a backend itself.

    Raises ConfigError for anything else.
    """
    from sglite.client.remote_llm import RemoteLLM
    from sglite.lang.llm_backend import LLMBackend
    from sglite.lang.server_backend import ServerBackend
    from sglite.llm import LLM

    if isinstance(model, str):
        return ServerBackend(RemoteLLM(model))
    if isinstance(model, RemoteLLM):
        return ServerBackend(model)
    if isinstance(model, LLM):
        return LLMBackend(model)
    if isinstance(model, Backend):
        return model
    given = "none" if model is None else f"a {type(model).__name__}"
    raise ConfigError(
        f"a program needs a backend, got {given}: set_default_backend(LLM()), or run(backend=...) "
        "with an LLM or the URL of a server"
    )
