"""``LLM`` at a distance: the same methods, answered by a server.

llm = LLM(url="http://127.0.0.1:30000")
print(llm.chat([{"role": "user", "content": "Who are you?"}]).text)
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from sglite.call_options import Sampling, arranged, is_single_prompt
from sglite.client.answers import AnswerReader
from sglite.client.fields import sampling_fields
from sglite.client.http import READ_TIMEOUT_S, HttpClient
from sglite.config import EngineConfig
from sglite.errors import RemoteError, RequestError
from sglite.generation import Generation, GenerationChunk

MAX_CONNECTIONS = 16

Ask = Callable[[Any, Sampling, int], Generator[GenerationChunk, None, None]]


class RemoteLLM:
    """A model behind a URL, of sglite or of any server with OpenAI's API.

    ``model`` is its name there; None takes the first that the server lists. ``timeout_s`` is how
    long the server may send nothing. What needs the engine in this process (token ids in answers,
    log-probabilities, ``score``, pinned prefixes) is not here. ``config`` says how the server was
    reached: only its ``model_path``, the model's name, and ``log_level`` mean something. Raises
    ConfigError for a bad URL or key, RemoteError where the server cannot be reached.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        timeout_s: float = READ_TIMEOUT_S,
        log_level: Any = "warning",
    ) -> None:
        self.http = HttpClient(url, api_key=api_key, read_timeout_s=timeout_s)
        """The way to the server, for routes of its own."""
        self.model = model or self._first_model()
        self.config = EngineConfig(model_path=self.model, log_level=log_level)

    # -- answers -----------------------------------------------------------------------------------

    def generate(
        self,
        prompts: str | list[int] | list[str] | list[list[int]],
        sampling_params: Sampling | list[Sampling] = None,
        *,
        show_progress: bool | None = None,
    ) -> Generation | list[Generation]:
        """As ``LLM.generate``; several prompts are sent side by side."""
        is_single = is_single_prompt(prompts)
        batch: list[Any] = [prompts] if is_single else list(prompts)
        return self._answer_all(
            self._stream, batch, sampling_params, is_single=is_single, show_progress=show_progress
        )

    def chat(
        self,
        messages: list[dict[str, Any]] | list[list[dict[str, Any]]],
        sampling_params: Sampling | list[Sampling] = None,
        *,
        show_progress: bool | None = None,
    ) -> Generation | list[Generation]:
        """As ``LLM.chat``; the server's defaults hold for what ``sampling_params`` leave out."""
        is_single = bool(messages) and isinstance(messages[0], dict)
        batch: list[Any] = [messages] if is_single else list(messages)
        return self._answer_all(
            self._chat, batch, sampling_params, is_single=is_single, show_progress=show_progress
        )

    def stream(
        self, prompt: str | list[int], sampling_params: Sampling = None
    ) -> Generator[GenerationChunk, None, None]:
        """Complete one prompt piece by piece; closing the iterator hangs up."""
        return self._stream(prompt, sampling_params, 0)

    def chat_stream(
        self, messages: list[dict[str, Any]], sampling_params: Sampling = None
    ) -> Generator[GenerationChunk, None, None]:
        """Answer one conversation piece by piece; closing the iterator hangs up."""
        return self._chat(messages, sampling_params, 0)

    # -- the server --------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """The server's metrics, as sglite gives them; empty where another server has none."""
        try:
            answer = self.http.get_json("/metrics")
        except (RemoteError, RequestError):
            return {}
        metrics = answer if isinstance(answer, dict) else {}
        return {name: value for name, value in metrics.items() if isinstance(value, int | float)}

    def close(self) -> None:
        """Nothing is held open between calls; here so that it can stand in for an ``LLM``."""

    def __enter__(self) -> RemoteLLM:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- internals ---------------------------------------------------------------------------------

    def _first_model(self) -> str:
        models = self.http.get_json("/v1/models")
        cards = models.get("data") if isinstance(models, dict) else None
        if not isinstance(cards, list) or not cards or not isinstance(cards[0], dict):
            raise RemoteError(f"{self.http.url} lists no model; name one")
        return str(cards[0].get("id"))

    def _stream(
        self, prompt: Any, sampling: Sampling, first_index: int
    ) -> Generator[GenerationChunk, None, None]:
        return self._ask("/v1/completions", {"prompt": prompt}, sampling, first_index)

    def _chat(
        self, messages: Any, sampling: Sampling, first_index: int
    ) -> Generator[GenerationChunk, None, None]:
        return self._ask("/v1/chat/completions", {"messages": messages}, sampling, first_index)

    def _ask(
        self, path: str, question: dict[str, Any], sampling: Sampling, first_index: int
    ) -> Generator[GenerationChunk, None, None]:
        fields = sampling_fields(sampling)
        settings = {"model": self.model, "stream": True, "stream_options": {"include_usage": True}}
        reader = AnswerReader(fields.get("n", 1), first_index)
        with closing(self.http.post_events(path, settings | question | fields)) as events:
            for event in events:
                yield from reader.read(event)
        yield from reader.finish()

    def _answer_all(
        self,
        ask: Ask,
        batch: list[Any],
        sampling: Sampling | list[Sampling],
        *,
        is_single: bool,
        show_progress: bool | None,
    ) -> Generation | list[Generation]:
        from sglite.progress import generation_progress

        choices = sampling if isinstance(sampling, list) else [sampling] * len(batch)
        if len(choices) != len(batch):
            raise RequestError(
                f"{len(choices)} sampling_params for {len(batch)} prompts", param="sampling_params"
            )
        counts = [sampling_fields(choice).get("n", 1) for choice in choices]
        firsts = [sum(counts[:number]) for number in range(len(batch))]
        done: list[Generation] = []
        with (
            generation_progress(sum(counts), show=show_progress) as advance,
            ThreadPoolExecutor(MAX_CONNECTIONS) as pool,
        ):
            for answers in pool.map(lambda *asked: _finished(ask(*asked)), batch, choices, firsts):
                for generation in answers:
                    advance(generation.num_output_tokens, True)
                done += answers
        return arranged(done, is_single=is_single)


def _finished(chunks: Generator[GenerationChunk, None, None]) -> list[Generation]:
    with closing(chunks):
        return [chunk.finished for chunk in chunks if chunk.finished is not None]
