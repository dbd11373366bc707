"""An engine client without an engine: it answers at once, or as a script says, in the event loop.

front = make_front()                         # the embedded model's tokenizer, echoing engine
front.engine.script("hello", " world")       # this prompt is answered by these tokens
app = build_app(front, [native])
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sglite.config import ServerConfig
from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.errors import CapacityError, EngineDeadError
from sglite.ipc.messages import PROTOCOL_VERSION, Heartbeat, Ready
from sglite.models.generation_config import GenerationDefaults
from sglite.models.hf_config import HFConfig
from sglite.request import (
    FinishReason,
    OutputBatch,
    Request,
    RequestFinish,
    RequestTimings,
    TokenLogprobs,
)
from sglite.server.front import Front
from sglite.tokenizer import StopChecker, Tokenizer, load_tokenizer
from sglite.validation import RequestLimits

CONTEXT_LENGTH = 1024
POOL_TOKENS = 4096


class Receiver(Protocol):
    """Who takes the outputs of requests; AnswerStream is one."""

    def deliver(self, batch: OutputBatch) -> None: ...

    def refuse(self, request_id: str | None, error: Exception) -> None: ...


class FakeEngine:
    """The ``EngineLink`` of one engine.

    By default a request is answered by its prompt's tokens, over and over, up to its
    max_new_tokens; token stops, EOS, stop strings and aborts count. ``tokens_per_batch`` tokens
    come per turn of the event loop. Settings a test may change at any time: ``hold`` (requests
    are taken and nothing comes until :meth:`release`), ``capacity`` (refuse beyond so many open
    requests), ``answers`` (prompt tokens to answer tokens), ``controls`` (name to function),
    ``is_alive`` and ``heartbeat_age_s``.
    """

    def __init__(self, tokenizer: Tokenizer | None = None) -> None:
        self.tokenizer = tokenizer
        self.requests: list[Request] = []
        self.aborted: list[str] = []
        self.controlled: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[tuple[int, ...], list[int]] = {}
        self.controls: dict[str, Callable[..., Any]] = {}
        self.tokens_per_batch = 1
        self.num_cached_tokens = 0
        self.capacity: int | None = None
        self.hold = False
        self.is_alive = True
        self.heartbeat_age_s = 0.0
        self.heartbeat = Heartbeat(0.0, 0, 0, 0)
        self.heals = False
        self.waiting_count = 0
        self.on_note = None
        self.on_digest = None
        self.on_join: list[Callable[[int], None]] = []
        self.ready: Ready | None = Ready(
            protocol_version=PROTOCOL_VERSION,
            pid=1,
            config={},
            context_length=CONTEXT_LENGTH,
            pool_tokens=POOL_TOKENS,
            vocab_size=4096,
            model_context_length=CONTEXT_LENGTH,
            eos_token_ids=sorted(tokenizer.eos_token_ids) if tokenizer else [],
            startup_s=0.1,
        )
        self._open: dict[str, tuple[Request, Receiver]] = {}
        self._mourners: list[Callable[[str], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._released = asyncio.Event()

    # -- what the server calls ---------------------------------------------------------------------

    def submit(self, requests: Sequence[Request], receiver: Receiver) -> None:
        """Take requests; outputs come in later turns of the event loop."""
        if not self.is_alive:
            raise EngineDeadError("the engine has stopped")
        for request in requests:
            self.requests.append(request)
            if self.capacity is not None and len(self._open) >= self.capacity:
                error = CapacityError("too many requests wait", retry_after_s=1.0)
                asyncio.get_running_loop().call_soon(receiver.refuse, request.request_id, error)
                continue
            self._open[request.request_id] = (request, receiver)
            task = asyncio.get_running_loop().create_task(self._run(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def abort(self, request_ids: Sequence[str]) -> None:
        """End requests; unknown ids are ignored."""
        self.aborted += request_ids
        for request_id in list(request_ids):
            if request_id in self._open:
                self._finish(request_id, FinishReason.ABORT, None, "aborted")

    async def control(self, name: str, **arguments: Any) -> Any:
        """Answer a control call from ``controls``; None where there is no such entry."""
        self.controlled.append((name, arguments))
        if not self.is_alive:
            raise EngineDeadError("the engine has stopped")
        await asyncio.sleep(0)
        function = self.controls.get(name)
        return None if function is None else function(**arguments)

    @property
    def open_count(self) -> int:
        """Requests that have not ended."""
        return len(self._open)

    @property
    def engines(self) -> dict[int, FakeEngine]:
        """Itself."""
        return {0: self}

    def on_death(self, callback: Callable[[str], None]) -> None:
        """Call ``callback`` in a later turn of the event loop once it has died."""
        self._mourners.append(callback)

    def send_note(self, note: Any) -> None:
        """Pass it on."""
        if self.on_note is not None:
            self.on_note(note)

    @property
    def num_open_requests(self) -> int:
        """Requests that have not ended."""
        return len(self._open)

    # -- what tests call ---------------------------------------------------------------------------

    def script(self, prompt: str, answer: str) -> None:
        """Answer the prompt ``prompt`` with the tokens of ``answer`` and EOS."""
        tokenizer = self.tokenizer
        ids = tokenizer.encode(answer, add_special_tokens=False)
        self.script_ids(tokenizer.encode(prompt), [*ids, min(tokenizer.eos_token_ids)])

    def script_ids(self, prompt_ids: Sequence[int], answer_ids: list[int]) -> None:
        """Answer these prompt tokens with those, then with the last of them over and over."""
        self.answers[tuple(prompt_ids)] = answer_ids

    def release(self) -> None:
        """Go on after ``hold``."""
        self.hold = False
        self._released.set()

    def die(self, message: str = "the engine has stopped: killed") -> None:
        """Fail everything that is open, as the death of the engine's process does."""
        self.is_alive = False
        for callback in self._mourners:
            asyncio.get_running_loop().call_soon(callback, message)
        receivers = {id(receiver): receiver for _, receiver in self._open.values()}
        self._open.clear()
        for receiver in receivers.values():
            receiver.refuse(None, EngineDeadError(message))

    # -- internals ---------------------------------------------------------------------------------

    async def _run(self, request: Request) -> None:
        await asyncio.sleep(0)
        while self.hold:
            self._released.clear()
            await self._released.wait()
        if request.request_id not in self._open:
            return
        self._tell_start(request)
        checker = self._checker(request)
        answer = self.answers.get(tuple(request.prompt_token_ids), list(request.prompt_token_ids))
        is_scripted = tuple(request.prompt_token_ids) in self.answers
        for count in range(request.max_new_tokens):
            if request.request_id not in self._open:
                return
            last = len(answer) - 1
            token_id = answer[min(count, last) if is_scripted else count % len(answer)]
            self._deliver(request, self._token_batch(request, token_id))
            ended = self._ended_by(request, token_id, checker, count + 1)
            if ended is not None:
                self._finish(request.request_id, FinishReason.STOP, ended, None, count + 1)
                return
            if (count + 1) % self.tokens_per_batch == 0:
                await asyncio.sleep(0)
        if request.request_id in self._open:
            length = request.max_new_tokens
            self._finish(request.request_id, FinishReason.LENGTH, None, None, length)

    def _tell_start(self, request: Request) -> None:
        batch = OutputBatch(started=[(request.request_id, self.num_cached_tokens)])
        if request.logprobs is not None and request.logprobs.start_len is not None:
            scored = request.prompt_token_ids[request.logprobs.start_len + 1 :]
            batch.prompt_logprobs = [
                (request.request_id, [self._logprob(request, i) for i in scored])
            ]
        self._deliver(request, batch)

    def _token_batch(self, request: Request, token_id: int) -> OutputBatch:
        batch = OutputBatch(tokens=[(request.request_id, token_id)])
        if request.logprobs is not None:
            batch.logprobs[0] = self._logprob(request, token_id)
        return batch

    def _logprob(self, request: Request, token_id: int) -> TokenLogprobs:
        wishes = request.logprobs
        top = tuple((token_id + rank, -0.5 - rank) for rank in range(wishes.top_num))
        return TokenLogprobs(token_id, -0.5, top, tuple((i, -2.0) for i in wishes.token_ids))

    def _checker(self, request: Request) -> StopChecker | None:
        if self.tokenizer is None:
            return None
        return StopChecker.try_for_request(self.tokenizer, request.sampling)

    def _ended_by(
        self, request: Request, token_id: int, checker: StopChecker | None, count: int
    ) -> int | str | None:
        match = checker.push(token_id) if checker is not None else None
        if match is not None:
            return match.matched
        ends = request.eos_token_ids | set(request.sampling.stop_token_ids)
        is_end = token_id in ends and not request.sampling.ignore_eos
        return token_id if is_end and count >= request.sampling.min_new_tokens else None

    def _finish(
        self,
        request_id: str,
        reason: FinishReason,
        matched: int | str | None,
        message: str | None,
        num_output_tokens: int = 0,
    ) -> None:
        request, receiver = self._open.pop(request_id)
        finish = RequestFinish(
            request_id=request_id,
            reason=reason,
            matched=matched,
            message=message,
            num_prompt_tokens=len(request.prompt_token_ids),
            num_output_tokens=num_output_tokens,
            num_cached_tokens=self.num_cached_tokens,
            num_retractions=0,
            max_new_tokens=request.max_new_tokens,
            timings=RequestTimings(
                arrival_s=1.0, admitted_s=1.01, first_token_s=1.1, finished_s=2.0
            ),
        )
        receiver.deliver(OutputBatch(finished=[finish]))

    def _deliver(self, request: Request, batch: OutputBatch) -> None:
        if request.request_id in self._open:
            self._open[request.request_id][1].deliver(batch)


@functools.lru_cache(maxsize=1)
def embedded_tokenizer() -> Tokenizer:
    """The embedded model's tokenizer, loaded once."""
    return load_tokenizer(EMBEDDED_MODEL_DIR)


def make_front(**options: Any) -> Front:
    """A front over a :class:`FakeEngine`; ``options`` are those of ServerConfig.

    Make it inside a running event loop (``asyncio.run``).
    """
    config = ServerConfig(**{"page_size": 16, **options})
    tokenizer = None if config.skip_tokenizer_init else embedded_tokenizer()
    engine = FakeEngine(tokenizer)
    hf = HFConfig.from_directory(EMBEDDED_MODEL_DIR)
    defaults = GenerationDefaults.from_directory(EMBEDDED_MODEL_DIR, hf)
    vocab_size = json.loads((EMBEDDED_MODEL_DIR / "config.json").read_text())["vocab_size"]
    limits = RequestLimits(
        context_length=CONTEXT_LENGTH,
        pool_tokens=POOL_TOKENS,
        vocab_size=vocab_size,
        eos_token_ids=frozenset(defaults.eos_token_ids),
        options=config,
        model_context_length=CONTEXT_LENGTH,
    )
    return Front(
        config=config,
        engine=engine,
        tokenizer=tokenizer,
        limits=limits,
        generation_defaults=defaults,
        model_directory=str(EMBEDDED_MODEL_DIR),
        architectures=["Qwen3ForCausalLM"],
    )
