"""An engine without a model: it answers by a rule, one character per token."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from sglite.config import EngineConfig
from sglite.models.generation_config import GenerationDefaults
from sglite.request import FinishReason, SamplingParams, TokenLogprobs


@dataclass
class FakeGeneration:
    text: str
    token_ids: list[int]
    prompt_token_ids: list[int]
    request_id: str = "request-1"
    index: int = 0
    finish_reason: FinishReason = FinishReason.STOP
    matched: int | str | None = 2
    message: str | None = None
    num_cached_tokens: int = 0
    num_retractions: int = 0
    logprobs: list[TokenLogprobs] | None = None
    prompt_logprobs: list[TokenLogprobs] | None = None
    queue_s: float = 0.0
    ttft_s: float = 0.1
    e2e_s: float = 0.5
    num_jumped_tokens: int = 0
    ignored_schema_keywords: tuple[str, ...] = ()
    num_reasoning_tokens: int = 0

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.prompt_token_ids)

    @property
    def num_output_tokens(self) -> int:
        return len(self.token_ids)


@dataclass
class FakeChunk:
    text: str
    token_ids: list[int]
    finished: FakeGeneration | None = None
    reasoning: str = ""


@dataclass
class FakeTokenizer:
    has_chat_template: bool = True

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def piece(self, token_id: int) -> str:
        return chr(token_id)


@dataclass
class FakeLLM:
    """``answer`` maps the prompt (the last message of a chat) to the text of the answer."""

    config: EngineConfig = field(default_factory=lambda: EngineConfig(page_size=16))
    has_chat_template: bool = True
    answer: Callable[[Any], str] = lambda prompt: f"echo {prompt}"
    finish_reason: FinishReason = FinishReason.STOP
    generation_defaults: GenerationDefaults = field(default_factory=GenerationDefaults)
    caches: bool = True
    error: BaseException | None = None
    on_chunk: Callable[[int], None] = lambda index: None
    calls: list[tuple[str, Any, SamplingParams, dict[str, Any]]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    num_aborted: int = 0
    num_open: int = 0
    is_closed: bool = False

    def __post_init__(self) -> None:
        self.tokenizer = FakeTokenizer(self.has_chat_template)
        self.spec = SimpleNamespace(vocab_size=100, context_length=1000)

    def __enter__(self) -> FakeLLM:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True

    def _generation(self, prompt: Any, sampling: SamplingParams) -> FakeGeneration:
        if self.error is not None:
            raise self.error
        text = self.answer(prompt)[: sampling.max_new_tokens]
        key = str(prompt)
        prompt_ids = list(prompt) if isinstance(prompt, list) else self.tokenizer.encode(key)
        page = self.config.page_size
        cached = (len(prompt_ids) - 1) // page * page if self.caches and key in self.seen else 0
        self.seen.add(key)
        return FakeGeneration(
            text=text,
            token_ids=[ord(letter) for letter in text],
            prompt_token_ids=prompt_ids,
            finish_reason=self.finish_reason,
            num_cached_tokens=cached,
        )

    def generate(self, prompts: list[Any], sampling: SamplingParams, **options: Any) -> Any:
        self.calls.append(("generate", prompts, sampling, options))
        return [self._generation(prompt, sampling) for prompt in prompts for _ in range(sampling.n)]

    def chat(self, conversations: list[Any], sampling: SamplingParams, **options: Any) -> Any:
        self.calls.append(("chat", conversations, sampling, options))
        return [
            self._generation(messages[-1]["content"], sampling)
            for messages in conversations
            for _ in range(sampling.n)
        ]

    def stream(self, prompt: Any, sampling: SamplingParams, **options: Any) -> Any:
        self.calls.append(("stream", prompt, sampling, options))
        return self._chunks(prompt, sampling)

    def chat_stream(self, messages: Any, sampling: SamplingParams, **options: Any) -> Any:
        self.calls.append(("chat_stream", list(messages), sampling, options))
        return self._chunks(messages[-1]["content"], sampling)

    def _chunks(self, prompt: Any, sampling: SamplingParams) -> Generator[FakeChunk, None, None]:
        generation = self._generation(prompt, sampling)
        self.num_open += 1
        try:
            for index, chunk in enumerate(self._pieces(generation)):
                self.on_chunk(index)
                yield chunk
        except GeneratorExit:
            self.num_aborted += 1
            raise
        finally:
            self.num_open -= 1

    def _pieces(self, generation: FakeGeneration) -> Iterator[FakeChunk]:
        for letter in generation.text:
            yield FakeChunk(letter, [ord(letter)])
        yield FakeChunk("", [], generation)

    def flush_cache(self) -> bool:
        return self.num_open == 0

    def stats(self) -> dict[str, Any]:
        return {"running": 0, "cached_tokens": 7}
