"""What every protocol shares: from a checked prompt to the chunks of its answers.

    route handler ──open_prompt()──▶ OpenGeneration ... ──answer()──▶ AnswerStream ──▶ chunks

A front knows text and requests; it knows nothing of HTTP. One per HTTP process.
"""

from __future__ import annotations

import dataclasses
import itertools
import secrets
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sglite.errors import RequestError
from sglite.generation import OpenGeneration
from sglite.parsing.model_format import ModelFormat, find_model_format
from sglite.request import LogprobParams, Request, SamplingParams
from sglite.server.answer_stream import AnswerStream
from sglite.server.open_calls import OpenCalls
from sglite.server.peers import Peers
from sglite.server.telemetry.observation import Observation
from sglite.tokenizer.text_assembler import TextAssembler, try_assembler
from sglite.validation import RequestLimits, build_requests
from sglite.validation.requests import RequestTraits

if TYPE_CHECKING:
    from sglite.config import ServerConfig
    from sglite.ipc.engine_link import EngineLink
    from sglite.models.generation_config import GenerationDefaults
    from sglite.server.chat_renderer import Renderer
    from sglite.tokenizer import Tokenizer


@dataclass(slots=True)
class Front:
    """The engine, the tokenizer and the options as the routes see them.

    ``model_directory`` is what ``tokenizer_path`` reports to clients, which load it.
    ``is_draining`` is set when the server is about to stop: new requests get a 503.
    ``observation`` counts and logs.
    ``open_calls`` knows calls by their clients' ids. ``renderer`` renders chats in a process of
    its own; without one they are rendered here. ``peers`` are the server's HTTP processes.
    ``model_format`` is how the model writes calls of tools and thoughts.
    """

    config: ServerConfig
    engine: EngineLink
    tokenizer: Tokenizer | None
    limits: RequestLimits
    generation_defaults: GenerationDefaults
    model_directory: str
    architectures: list[str]
    is_draining: bool = False
    observation: Observation = field(default_factory=Observation)
    open_calls: OpenCalls = field(default_factory=OpenCalls)
    renderer: Renderer | None = None
    peers: Peers = field(default_factory=Peers)
    model_format: ModelFormat = field(init=False)
    _counter: itertools.count[int] = field(default_factory=itertools.count)
    _streams: weakref.WeakSet[AnswerStream] = field(default_factory=weakref.WeakSet)

    def __post_init__(self) -> None:
        # Unseeded requests get their seeds by number: no two processes may count alike.
        self._counter = itertools.count(self.peers.number, self.peers.count)
        self.model_format = find_model_format(
            self.tokenizer,
            tool_parser=self.config.tool_call_parser,
            reasoning_parser=self.config.reasoning_parser,
        )
        self.peers.answer("abort", self._abort_here)

    @property
    def served_name(self) -> str:
        """The model's id: --served-model-name, otherwise the model as it was named at the start."""
        config = self.config
        return config.served_model_name or config.model_path or self.model_directory

    def open_prompt(
        self,
        prompt_token_ids: Sequence[int],
        sampling: SamplingParams,
        logprobs: LogprobParams | None = None,
        *,
        traits: RequestTraits | None = None,
        first_index: int = 0,
    ) -> list[OpenGeneration]:
        """Check one prompt and make its ``n`` requests, indexed from ``first_index``.

        The ids of the engine's requests are random and never a client's (R16). Where ``traits`` say
        nothing of thoughts, the prompt tells whether it began some. Raises RequestError.
        """
        requests = build_requests(
            secrets.token_hex(16),
            prompt_token_ids,
            sampling,
            logprobs,
            limits=self.limits,
            server_seed=self.config.random_seed,
            counter=next(self._counter),
            traits=traits,
        )
        requests = self._with_thoughts(requests)
        return [
            OpenGeneration(request, first_index + offset, self._assembler(request.sampling))
            for offset, request in enumerate(requests)
        ]

    def _with_thoughts(self, requests: list[Request]) -> list[Request]:
        """The samples of one prompt, which now know how their thoughts are told."""
        first, model_format = requests[0], self.model_format
        if first.sampling.max_thinking_tokens is not None and model_format.thought_ids is None:
            raise RequestError(
                "max_thinking_tokens needs a model whose thoughts begin and end with tokens of "
                "their own; leave it out, or start with --reasoning-parser",
                param="max_thinking_tokens",
            )
        if first.thinking is not None:
            return requests
        may_begin = first.sampling.grammar is None
        thinking = model_format.thinking(first.prompt_token_ids, may_begin=may_begin)
        if thinking is None:
            return requests
        return [dataclasses.replace(request, thinking=thinking) for request in requests]

    def answer(
        self, opened: list[OpenGeneration], engine: EngineLink | None = None
    ) -> AnswerStream:
        """Submit the requests of one call, to whichever engine or to this one.

        Raises EngineDeadError, NotReadyError, CapacityError.
        """
        stream = AnswerStream(engine or self.engine, opened, self.observation.open_call())
        self._streams.add(stream)
        return stream

    async def abort(self, name: str) -> None:
        """End the calls that a client names so, or the request that our answers show by this id.

        Whichever HTTP process has them. Raises EngineDeadError.
        """
        await self.peers.ask("abort", name)

    def _abort_here(self, name: str) -> None:
        self.engine.abort(self.open_calls.engine_ids(name) or [name])

    def fail_open_calls(self, error: Exception) -> None:
        """End every open call with this error: their time is up."""
        for stream in list(self._streams):
            stream.fail(error)

    def _assembler(self, sampling: SamplingParams) -> TextAssembler | None:
        return try_assembler(self.tokenizer, sampling, eos_token_ids=self.limits.eos_token_ids)
