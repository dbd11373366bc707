"""Programs over a server of sglite, by its ``/generate`` and ``/tokenize``.

Text goes to ``/generate``, not messages to ``/v1/chat/completions``: forks and turns of one program
then share their prefix however a program cuts its text. Conversations are rendered by the server's
own chat template: ``/tokenize`` tells the text as well as its tokens.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

from sglite.client.remote_llm import RemoteLLM
from sglite.errors import RemoteError
from sglite.lang.backend import Answer, Piece, Prompt, checked_meta_info

MAX_PROMPTS = 256
"""Most sequences that one call scores; a server takes no more."""


class ServerBackend:
    """A :class:`~sglite.lang.backend.Backend` behind a URL; one connection per call.

    Methods raise what :class:`~sglite.client.http.HttpClient` does.
    """

    def __init__(self, llm: RemoteLLM) -> None:
        self._http = llm.http

    def generate(
        self, prompt: Prompt, sampling: dict[str, Any], options: dict[str, Any]
    ) -> list[Answer]:
        """The n answers."""
        body = {**self._prompt(prompt), "sampling_params": sampling, **options}
        done = self._http.post_json("/generate", body)
        answers = done if isinstance(done, list) else [done]
        return [Answer(each["text"], self._meta_info(each)) for each in map(_object, answers)]

    def stream(
        self, prompt: Prompt, sampling: dict[str, Any], options: dict[str, Any]
    ) -> Generator[Piece, None, None]:
        """The answer in pieces; the server's events hold all of it so far."""
        body = {**self._prompt(prompt), "sampling_params": sampling, **options, "stream": True}
        num_told = 0
        with closing(self._http.post_events("/generate", body)) as events:
            for event in map(_object, events):
                text = event["text"]
                yield Piece(text[num_told:], self._meta_info(event))
                num_told = len(text)

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[list[int]]:
        """Token ids of each text."""
        body = {"prompt": list(texts), "add_special_tokens": add_special_tokens}
        tokens: list[list[int]] = self._tokenize(body, "tokens")
        return tokens

    def prompt_logprobs(
        self, sequences: list[list[int]], start_len: int
    ) -> list[list[float | None]]:
        """Log-probabilities of the tokens from ``start_len`` on."""
        body = {
            "sampling_params": {"max_new_tokens": 0, "temperature": 0.0},
            "return_logprob": True,
            "logprob_start_len": start_len,
        }
        scored: list[list[float | None]] = []
        for start in range(0, len(sequences), MAX_PROMPTS):
            batch = {"input_ids": sequences[start : start + MAX_PROMPTS], **body}
            for answer in map(_object, self._http.post_json("/generate", batch)):
                triples = self._meta_info(answer)["input_token_logprobs"]
                scored.append([logprob for logprob, *_ in triples])
        return scored

    def render(self, messages: list[dict[str, Any]], add_generation_prompt: bool) -> str:
        """The text of a conversation."""
        body = {"messages": messages, "add_generation_prompt": add_generation_prompt}
        prompt: str = self._tokenize(body, "prompt")
        return prompt

    def _prompt(self, prompt: Prompt) -> dict[str, Any]:
        """``/generate`` adds a BOS to text, so what has one goes as token ids."""
        if not prompt.is_rendered:
            return {"text": prompt.text}
        return {"input_ids": self.encode([prompt.text], add_special_tokens=False)[0]}

    def _tokenize(self, body: dict[str, Any], name: str) -> Any:
        answer = self._http.post_json("/tokenize", body)
        if not isinstance(answer, dict) or name not in answer:
            raise RemoteError(f"{self._http.url}/tokenize tells no {name}: sglite's server does")
        return answer[name]

    @staticmethod
    def _meta_info(answer: dict[str, Any]) -> dict[str, Any]:
        return checked_meta_info(answer["meta_info"])


def _object(answer: Any) -> dict[str, Any]:
    """An answer of ``/generate``. Raises RemoteError where it is none."""
    if isinstance(answer, dict) and "text" in answer and "meta_info" in answer:
        return answer
    raise RemoteError("the server answered /generate with something else than an answer")
