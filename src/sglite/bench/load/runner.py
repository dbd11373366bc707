"""When what is asked: a number of users who wait for their answers, or arrivals that do not."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from typing import Any

from sglite.bench.load.dialects import Dialect, Question
from sglite.bench.load.figures import CallResult
from sglite.bench.load.wire import Target
from sglite.bench.load.workload import Session, Turn
from sglite.errors import RemoteError

DONE = "[DONE]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """``request_rate``: sessions per second, Poisson; without it, and without arrivals in the
    workload, ``concurrency`` users each start a session when their last one has ended.

    With a rate, ``concurrency`` bounds how many sessions are open, None does not.
    """

    concurrency: int | None = None
    request_rate: float | None = None
    seed: int = 0


@dataclass(slots=True)
class Load:
    """One run against one server. ``on_result`` is called after each call."""

    target: Target
    dialect: Dialect
    model: str = "default"
    ignores_eos: bool = True
    extra_body: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 600.0
    on_result: Callable[[CallResult], None] = lambda result: None
    clock: Callable[[], float] = time.perf_counter

    async def run(self, sessions: Sequence[Session], pace: Pace) -> list[CallResult]:
        """All calls of all sessions, failed ones among them."""
        arrivals = arrival_times(sessions, pace)
        if arrivals is None:
            return await self._run_closed(sessions, pace.concurrency or 1)
        return await self._run_open(sessions, arrivals, pace.concurrency)

    async def _run_closed(self, sessions: Sequence[Session], concurrency: int) -> list[CallResult]:
        waiting, results = iter(sessions), []

        async def user() -> None:
            for session in waiting:
                results.extend(await self._run_session(session))

        users = min(concurrency, len(sessions))
        await asyncio.gather(*(user() for _ in range(users)))
        return results

    async def _run_open(
        self, sessions: Sequence[Session], arrivals: Sequence[float], most: int | None
    ) -> list[CallResult]:
        started_s = self.clock()
        limit: Any = nullcontext() if most is None else asyncio.Semaphore(most)

        async def arrive(session: Session, arrival_s: float) -> list[CallResult]:
            await asyncio.sleep(max(0.0, started_s + arrival_s - self.clock()))
            async with limit:
                return await self._run_session(session)

        pairs = zip(sessions, arrivals, strict=True)
        parts = await asyncio.gather(*(arrive(*pair) for pair in pairs))
        return [result for part in parts for result in part]

    async def _run_session(self, session: Session) -> list[CallResult]:
        """The turns in order; a failed one ends the session, for the next has no history."""
        history: tuple[tuple[str, str], ...] = ()
        results: list[CallResult] = []
        for turn in session.turns:
            result = await self.call(turn, history)
            results.append(result)
            self.on_result(result)
            if result.error is not None:
                break
            history = (*history, ("user", str(turn.content)), ("assistant", result.text))
        return results

    async def call(self, turn: Turn, history: tuple[tuple[str, str], ...] = ()) -> CallResult:
        """One call, measured. Whatever goes wrong stands in its ``error``."""
        question = Question(turn.content, turn.max_tokens, history, self.model, self.ignores_eos)
        result = CallResult(started_s=self.clock())
        try:
            await asyncio.wait_for(self._stream(question, result), self.timeout_s)
        except asyncio.TimeoutError:
            result.error = f"no end within {self.timeout_s:g} s"
        except RemoteError as error:
            result.error = str(error)
        result.ended_s = result.ended_s if result.error is None else self.clock()
        return result

    async def _stream(self, question: Question, result: CallResult) -> None:
        body = self.dialect.body(question) | self.extra_body
        progress = Progress(result, self.dialect)
        async with aclosing(self.target.post_events(self.dialect.path, body)) as stream:
            async for events in stream:
                now_s = self.clock()
                for data in events:
                    progress.take(data, now_s)
        progress.finish()


class Progress:
    """Turns the events of one call into its result."""

    def __init__(self, result: CallResult, dialect: Dialect) -> None:
        self._result = result
        self._dialect = dialect
        self._last_s = result.started_s
        self._has_ended = False
        self._num_timed = 0
        self._num_reported: int | None = None

    def take(self, data: str, now_s: float) -> None:
        """An event that came now. Raises RemoteError for an error, or for no JSON."""
        if data == DONE:
            return
        try:
            said = self._dialect.read(json.loads(data), self._result.text)
        except (ValueError, TypeError, AttributeError) as error:
            raise RemoteError(f"not an event of {self._dialect.name}: {data:.80}") from error
        self._result.text += said.text
        if said.num_prompt_tokens is not None:
            self._result.num_prompt_tokens = said.num_prompt_tokens
        if said.num_cached_tokens is not None:
            self._result.num_cached_tokens = said.num_cached_tokens
        self._has_ended = self._has_ended or said.is_last
        if said.num_tokens is not None:
            self._num_reported = said.num_tokens
        # A native event counts its tokens; OpenAI's is one token, and usage comes at the end.
        is_counted = said.num_tokens is not None and self._dialect.name == "sglang"
        num_now = said.num_tokens if is_counted else self._num_timed + bool(said.text)
        self._time(num_now or 0, now_s, has_text=bool(said.text))

    def _time(self, num_tokens: int, now_s: float, *, has_text: bool) -> None:
        """Tokens up to ``num_tokens`` are here now; the first text makes the TTFT."""
        result = self._result
        num_new = num_tokens - self._num_timed
        if result.first_s is None and has_text:
            result.first_s = now_s
        elif result.first_s is not None and num_new > 0:
            result.gaps_s += [(now_s - self._last_s) / num_new] * num_new
        if num_new > 0 or has_text:
            self._num_timed = max(num_tokens, self._num_timed)
            self._last_s = now_s
            result.ended_s = now_s

    def finish(self) -> None:
        """The stream has ended. Raises RemoteError where the answer had not."""
        if not self._has_ended:
            raise RemoteError("the stream ended before the answer")
        reported = self._num_reported
        self._result.num_tokens = self._num_timed if reported is None else reported
        if self._result.ended_s == 0.0:  # an answer without text
            self._result.ended_s = self._last_s


def arrival_times(sessions: Sequence[Session], pace: Pace) -> list[float] | None:
    """Seconds from the start at which sessions begin; None where users wait for answers."""
    if pace.request_rate is not None:
        return list(_poisson(len(sessions), pace.request_rate, pace.seed))
    if pace.concurrency is None and all(session.arrival_s is not None for session in sessions):
        return [session.arrival_s or 0.0 for session in sessions]
    return None


def _poisson(count: int, rate: float, seed: int) -> Iterator[float]:
    draws, now_s = random.Random(seed), 0.0
    for _ in range(count):
        yield now_s
        now_s += draws.expovariate(rate)
