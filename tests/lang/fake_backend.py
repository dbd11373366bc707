"""A model made of rules, for programs: characters are tokens, answers come from a function."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any

from sglite.lang.backend import Answer, Piece, Prompt

WAIT_S = 10.0
BOS = 1


def echo(prompt: Prompt, sampling: dict[str, Any]) -> str:
    """The last word of the prompt, in capitals."""
    return prompt.text.split()[-1].upper() if prompt.text.split() else "NOTHING"


def chatml(messages: list[dict[str, Any]], add_generation_prompt: bool) -> str:
    rendered = "".join(f"<{each['role']}>{each['content']}</>\n" for each in messages)
    return rendered + ("<assistant>" if add_generation_prompt else "")


class FakeBackend:
    """``answer`` is what the model says. ``gate``: nobody is answered before it is opened.

    A token's log-probability is minus its character's place in ``order``, -9 for all others.
    """

    def __init__(
        self,
        answer: Callable[[Prompt, dict[str, Any]], str] = echo,
        *,
        order: str = "",
        render: Callable[[list[dict[str, Any]], bool], str] = chatml,
    ) -> None:
        self._answer = answer
        self._order = order
        self._render = render
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[tuple[Prompt, dict[str, Any], dict[str, Any]]] = []
        self.scored: list[tuple[list[list[int]], int]] = []

    def generate(
        self, prompt: Prompt, sampling: dict[str, Any], options: dict[str, Any]
    ) -> list[Answer]:
        text = self._say(prompt, sampling, options)
        return [
            Answer(text + str(number or ""), {"number": number})
            for number in range(sampling.get("n", 1))
        ]

    def stream(
        self, prompt: Prompt, sampling: dict[str, Any], options: dict[str, Any]
    ) -> Generator[Piece, None, None]:
        for character in self._say(prompt, sampling, options):
            yield Piece(character, None)
        yield Piece("", {"number": 0})

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[list[int]]:
        start = [BOS] if add_special_tokens else []
        return [start + [ord(character) for character in text] for text in texts]

    def prompt_logprobs(
        self, sequences: list[list[int]], start_len: int
    ) -> list[list[float | None]]:
        self.scored.append((sequences, start_len))
        return [
            [None, *(self._logprob(token_id) for token_id in each[start_len + 1 :])]
            for each in sequences
        ]

    def render(self, messages: list[dict[str, Any]], add_generation_prompt: bool) -> str:
        return self._render(messages, add_generation_prompt)

    def _say(self, prompt: Prompt, sampling: dict[str, Any], options: dict[str, Any]) -> str:
        self.asked.append((prompt, sampling, options))
        assert self.gate.wait(WAIT_S), "the test forgot to open the gate"
        return self._answer(prompt, sampling)

    def _logprob(self, token_id: int) -> float:
        place = self._order.find(chr(token_id))
        return -9.0 if place < 0 else -float(place)
