"""Offline use: a model, answers, no server.

    from sglite import LLM
    with LLM() as llm:
        print(llm.chat([{"role": "user", "content": "Who are you?"}]).text)

``LLM`` has an :class:`~sglite.ipc.client.EngineClient`; it is not an engine.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import threading
import weakref
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, closing, suppress
from typing import TYPE_CHECKING, Any

from sglite.call import Call
from sglite.call_options import (
    Sampling,
    arranged,
    is_single_prompt,
    read_options,
    to_sampling_params,
)
from sglite.config import EngineConfig
from sglite.errors import RequestError
from sglite.generation import Generation, GenerationChunk, OpenGeneration
from sglite.parsing.model_format import find_model_format
from sglite.request import SamplingParams, Thinking
from sglite.validation import RequestLimits, build_requests

if TYPE_CHECKING:
    from sglite.tokenizer import Tokenizer

Prompt = str | list[int]
Messages = list[dict[str, Any]]
AsyncItem = GenerationChunk | BaseException | None


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """How likely a continuation is: its tokens' log-probabilities, and whether each was the most
    likely one at its place.
    """

    logprob: float
    token_logprobs: list[float]
    is_greedy: bool


class LLM:
    """A loaded model that answers prompts; close it, or use it in a ``with`` block.

    ``LLM(url=...)`` loads nothing: it gives a :class:`~sglite.client.remote_llm.RemoteLLM`, whose
    methods of the same names ask a server.

    ``model`` is a directory, a hub id, or None for the small model that comes with sglite; the
    options are those of ``EngineConfig`` under SGLang's names. Raises ConfigError for a bad option
    and ModelLoadError for a bad model. Methods may be called from several threads.
    """

    def __new__(cls, model: str | None = None, *, url: str | None = None, **options: Any) -> Any:
        """An engine here, or the client of a server where there is a ``url``."""
        if url is None:
            return super().__new__(cls)
        from sglite.client.remote_llm import RemoteLLM

        return RemoteLLM(url, model=model, **options)

    def __init__(self, model: str | None = None, *, url: str | None = None, **options: Any) -> None:
        from sglite.startup import refuse_several_engines, start_engine

        if model is not None:
            options["model_path"] = model
        config = EngineConfig.from_kwargs(**options)
        refuse_several_engines(config)
        started = start_engine(config)
        self._client = started.client
        # Runs once: on close(), when the object is dropped, or when the interpreter ends; an
        # engine thread that is killed inside torch would take the process down with it.
        self._finalizer = weakref.finalize(self, started.client.close)
        self._ids = itertools.count()
        self._limits: RequestLimits = started.limits
        self.config: EngineConfig = started.config
        self.tokenizer: Tokenizer | None = started.tokenizer
        self._model_format = find_model_format(
            started.tokenizer, tool_parser="auto", reasoning_parser="auto"
        )
        self.spec = started.spec
        self.generation_defaults = started.generation_defaults

    # -- answers -----------------------------------------------------------------------------------

    def generate(
        self,
        prompts: Prompt | list[str] | list[list[int]],
        sampling_params: Sampling | list[Sampling] = None,
        *,
        show_progress: bool | None = None,
        **options: Any,
    ) -> Generation | list[Generation]:
        """Complete one prompt (text or token ids), or a list of them.

        ``sampling_params``: SamplingParams, or a dict with SGLang's names, or one for each prompt;
        the defaults are SGLang's. ``options``: return_logprob, logprob_start_len,
        top_logprobs_num, token_ids_logprob, priority, cache_salt, timeout_s. ``show_progress``
        None shows a bar for several prompts on a terminal. One prompt with n = 1 gives a
        Generation; otherwise a list in prompt order, the n samples of a prompt side by side.
        Raises RequestError, before anything runs, if any prompt or parameter is invalid.
        """
        is_single = is_single_prompt(prompts)
        batch = [prompts] if is_single else list(prompts)
        opened = self._open_all(batch, sampling_params, **options)
        return self._finish(opened, is_single=is_single, show_progress=show_progress)

    def chat(
        self,
        messages: Messages | list[Messages],
        sampling_params: Sampling | list[Sampling] = None,
        *,
        tools: list[dict[str, Any]] | None = None,
        chat_template_kwargs: dict[str, Any] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        show_progress: bool | None = None,
        **options: Any,
    ) -> Generation | list[Generation]:
        """Answer one conversation, or a list of them, through the model's chat template.

        Where ``sampling_params`` is None, or a dict leaves something out, the model's
        generation_config decides. The rest is as in :meth:`generate`.
        """
        if not isinstance(messages, list):
            raise RequestError(
                'messages must be a list such as [{"role": "user", "content": "Hi"}], got '
                f"{type(messages).__name__}",
                param="messages",
            )
        is_single = bool(messages) and isinstance(messages[0], dict)
        batch = [messages] if is_single else list(messages)
        template: dict[str, Any] = {
            "tools": tools,
            "template_kwargs": chat_template_kwargs,
            "add_generation_prompt": add_generation_prompt,
            "continue_final_message": continue_final_message,
        }
        prompts = [self._tokenizer().encode_chat(chat, **template) for chat in batch]
        variables = chat_template_kwargs or {}
        opened = self._open_all(prompts, sampling_params, template_kwargs=variables, **options)
        return self._finish(opened, is_single=is_single, show_progress=show_progress)

    def stream(
        self, prompt: Prompt, sampling_params: Sampling = None, **options: Any
    ) -> Generator[GenerationChunk, None, None]:
        """Complete one prompt piece by piece; closing the iterator aborts the request."""
        return self._stream(self._open_all([prompt], sampling_params, is_streamed=True, **options))

    def chat_stream(
        self,
        messages: Messages,
        sampling_params: Sampling = None,
        *,
        tools: list[dict[str, Any]] | None = None,
        chat_template_kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> Generator[GenerationChunk, None, None]:
        """Answer one conversation piece by piece; see :meth:`chat` and :meth:`stream`."""
        prompt = self._tokenizer().encode_chat(
            messages, tools=tools, template_kwargs=chat_template_kwargs
        )
        options |= {"template_kwargs": chat_template_kwargs or {}, "is_streamed": True}
        opened = self._open_all([prompt], sampling_params, **options)
        return self._stream(opened)

    async def async_generate(
        self,
        prompts: Prompt | list[str] | list[list[int]],
        sampling_params: Sampling | list[Sampling] = None,
        **options: Any,
    ) -> Generation | list[Generation]:
        """:meth:`generate` without blocking the event loop; cancelling it aborts the requests."""
        is_single = is_single_prompt(prompts)
        batch = [prompts] if is_single else list(prompts)
        opened = self._open_all(batch, sampling_params, **options)
        done: list[Generation] = []
        async with aclosing(self._async_chunks(opened)) as chunks:
            async for chunk in chunks:
                if chunk.finished is not None:
                    done.append(chunk.finished)
        return arranged(done, is_single=is_single)

    async def async_stream(
        self, prompt: Prompt, sampling_params: Sampling = None, **options: Any
    ) -> AsyncGenerator[GenerationChunk, None]:
        """:meth:`stream` for an event loop."""
        opened = self._open_all([prompt], sampling_params, is_streamed=True, **options)
        async with aclosing(self._async_chunks(opened)) as chunks:
            async for chunk in chunks:
                yield chunk

    def score(self, prompt: str, continuations: list[str]) -> list[Score]:
        """How likely each continuation is after ``prompt``; the prompt is computed once."""
        tokenizer = self._tokenizer()
        prompt_ids = tokenizer.encode(prompt)
        if not prompt_ids:
            raise RequestError("the prompt to score from is empty", param="prompt")
        sequences = []
        for continuation in continuations:
            whole = tokenizer.encode(prompt + continuation)
            if whole[: len(prompt_ids)] != prompt_ids:  # a token spans the border
                own = tokenizer.encode(continuation, add_special_tokens=False)
                whole = prompt_ids + own
            sequences.append(whole)
        done = self.generate(
            sequences,
            SamplingParams(max_new_tokens=0, temperature=0.0),
            logprob_start_len=len(prompt_ids) - 1,
            top_logprobs_num=1,
            show_progress=False,
        )
        assert isinstance(done, list)
        return [_score(generation) for generation in done]

    # -- the cache ---------------------------------------------------------------------------------

    def insert_prefix(self, prompt: Prompt, *, pin: bool = False) -> Generation:
        """Compute ``prompt`` into the prefix cache; pinned, it stays until :meth:`unpin_prefix`."""
        sampling = SamplingParams(max_new_tokens=0, temperature=0.0)
        opened = self._open_all([prompt], sampling, pin_prefix=pin)
        done = self._finish(opened, is_single=True, show_progress=False)
        assert isinstance(done, Generation)
        return done

    def unpin_prefix(self, prompt: Prompt) -> bool:
        """Let a pinned prefix be evicted again; False if it was not pinned."""
        prompt_ids = self._encode(prompt)
        return self._client.call(lambda engine: engine.unpin("", prompt_ids))

    def flush_cache(self) -> bool:
        """Forget every prefix that is not pinned; False, and nothing done, while requests run."""
        return self._client.call(lambda engine: engine.try_flush_cache())

    def stats(self) -> dict[str, int]:
        """Counters since the start and the state of queue and cache; counts in tokens."""
        return self._client.call(lambda engine: engine.stats())

    # -- life --------------------------------------------------------------------------------------

    def close(self) -> None:
        """Abort what runs and stop the engine; safe to call twice."""
        self._finalizer()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def chat_sampling_params(self) -> SamplingParams:
        """What chats are sampled with where the caller says nothing: the model's own values."""
        defaults = self.generation_defaults
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
        values = {name: getattr(defaults, name) for name in names}
        given = {name: value for name, value in values.items() if value is not None}
        return SamplingParams(max_new_tokens=None, **given)

    # -- internals ---------------------------------------------------------------------------------

    def _open_all(
        self,
        prompts: list[Any],
        sampling_params: Sampling | list[Sampling],
        *,
        template_kwargs: Mapping[str, Any] | None = None,
        is_streamed: bool = False,
        **options: Any,
    ) -> list[OpenGeneration]:
        """Check everything and make the requests; nothing runs yet.

        ``template_kwargs`` are those of chats; None for other prompts.
        """
        per_prompt = sampling_params if isinstance(sampling_params, list) else None
        if per_prompt is not None and len(per_prompt) != len(prompts):
            raise RequestError(
                f"{len(per_prompt)} sampling_params for {len(prompts)} prompts; give one, or one "
                "for each prompt",
                param="sampling_params",
            )
        logprobs, traits = read_options(options)
        traits = dataclasses.replace(traits, is_streamed=is_streamed)
        defaults = None if template_kwargs is None else self.chat_sampling_params()
        opened: list[OpenGeneration] = []
        for number, prompt in enumerate(prompts):
            token_ids = self._encode(prompt)
            thinking = self._thinking(token_ids, template_kwargs)
            chosen = per_prompt[number] if per_prompt is not None else sampling_params
            assert not isinstance(chosen, list)
            counter = next(self._ids)
            requests = build_requests(
                f"request-{counter}",
                token_ids,
                to_sampling_params(chosen, defaults),
                logprobs,
                limits=self._limits,
                server_seed=self.config.random_seed,
                counter=counter,
                traits=dataclasses.replace(traits, thinking=thinking),
            )
            for request in requests:
                assembler = self._assembler(request.sampling)
                opened.append(OpenGeneration(request, len(opened), assembler))
        return opened

    def _thinking(
        self, token_ids: list[int], template_kwargs: Mapping[str, Any] | None
    ) -> Thinking | None:
        """Where the answer's thoughts are, so that a grammar leaves them alone."""
        if template_kwargs is None:
            return self._model_format.thinking(token_ids, may_begin=False)
        return self._model_format.chat_thinking(token_ids, template_kwargs)

    def _encode(self, prompt: Prompt) -> list[int]:
        return self._tokenizer().encode(prompt) if isinstance(prompt, str) else prompt

    def _assembler(self, sampling: SamplingParams) -> Any:
        from sglite.tokenizer.text_assembler import try_assembler

        return try_assembler(self.tokenizer, sampling, eos_token_ids=self._limits.eos_token_ids)

    def _tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            raise RequestError(
                "the prompt is text, and skip_tokenizer_init is set; give token ids",
                param="prompt",
            )
        return self.tokenizer

    def _call(self, opened: list[OpenGeneration]) -> Call:
        return Call(self._client, opened, max_open=self.config.max_queued_requests)

    def _stream(self, opened: list[OpenGeneration]) -> Generator[GenerationChunk, None, None]:
        """The chunks of a call. Being a method, the generator keeps the engine from stopping."""
        yield from self._call(opened)

    def _finish(
        self, opened: list[OpenGeneration], *, is_single: bool, show_progress: bool | None
    ) -> Generation | list[Generation]:
        from sglite.progress import generation_progress

        done: list[Generation] = []
        with (
            generation_progress(len(opened), show=show_progress) as advance,
            closing(self._stream(opened)) as chunks,
        ):
            for chunk in chunks:
                advance(len(chunk.token_ids), chunk.finished is not None)
                if chunk.finished is not None:
                    done.append(chunk.finished)
        return arranged(done, is_single=is_single)

    async def _async_chunks(
        self, opened: list[OpenGeneration]
    ) -> AsyncGenerator[GenerationChunk, None]:
        """Chunks of a call that a thread of its own waits for."""
        loop = asyncio.get_running_loop()
        # Unlimited, since the engine must not block; the requests' lengths bound it.
        inbox: asyncio.Queue[AsyncItem] = asyncio.Queue()  # ban-ok: bounded as said
        call = self._call(opened)

        def tell(item: AsyncItem) -> None:
            with suppress(RuntimeError):  # the loop was closed: nobody listens any more
                loop.call_soon_threadsafe(inbox.put_nowait, item)

        def pump() -> None:
            try:
                for chunk in call:
                    tell(chunk)
                tell(None)
            except Exception as error:  # noqa: BLE001  handed to the awaiting side
                tell(error)

        threading.Thread(target=pump, name="async-call", daemon=True).start()
        try:
            while (item := await inbox.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            call.abort()


def _score(generation: Generation) -> Score:
    entries = (generation.prompt_logprobs or [])[1:]
    values = [entry.logprob for entry in entries if entry.logprob is not None]
    is_greedy = all(entry.top[0][0] == entry.token_id for entry in entries if entry.top)
    return Score(sum(values), values, is_greedy)
