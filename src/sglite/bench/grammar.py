"""What grammars cost a decode step, and what jump-forward gives back.

    sglite bench grammar --model MODEL --batch 64

First as many sequences as the batch has are decoded side by side, free and then each with a JSON
schema of its own, in turn; a step's time is the median over all rounds. Tokens that are forced are
decoded like others here, so that both kinds of steps compute the same. Then one sequence writes an
object of ten fields, with jump-forward and without, in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sglite.config import EngineConfig
from sglite.errors import ConfigError
from sglite.ipc.client import InProcessClient
from sglite.lanes.laned_engine import AnyEngine
from sglite.request import OutputBatch, Request, SamplingParams
from sglite.startup import Started, start_engine
from sglite.validation import build_requests

POLL_S = 0.0005
NUM_FIELDS = 10
OBJECT_TOKENS = 400
BATCH_TOKENS = 1000
MAX_STEPS = 40
"""So few that no answer of the batch ends before."""


@dataclass(slots=True)
class StepTimes:
    """Seconds of decode steps of the full batch."""

    free: list[float] = field(default_factory=list)
    with_grammar: list[float] = field(default_factory=list)


def batch_schema(number: int) -> str:
    """One of many different schemas, whose answers are longer than what is timed."""
    fields: dict[str, dict[str, object]] = {
        f"description_{number}": {"type": "string", "minLength": 200},
        f"count_{number}": {"type": "integer", "minimum": number},
        "state": {"enum": ["open", "closed", f"state {number}"]},
        "values": {"type": "array", "items": {"type": "number"}, "minItems": 3},
    }
    return _closed_object(fields)


def object_schema() -> str:
    """An object of ten fields with names such as people give them."""
    kinds: list[dict[str, object]] = [
        {"type": "boolean"},
        {"type": "integer", "minimum": 0, "maximum": 99},
        {"enum": ["none", "some", "all"]},
    ]
    names = [
        *("first_name", "last_name", "is_member", "age_in_years", "postal_code"),
        *("city_of_birth", "has_children", "num_visits", "account_state", "last_login"),
    ]
    assert len(names) == NUM_FIELDS
    return _closed_object({name: kinds[i % len(kinds)] for i, name in enumerate(names)})


def _closed_object(fields: dict[str, dict[str, object]]) -> str:
    whole = {"type": "object", "properties": fields, "required": list(fields)}
    return json.dumps({**whole, "additionalProperties": False})


def measure_steps(started: Started, *, batch: int, rounds: int, steps: int) -> StepTimes:
    """Decode steps of ``batch`` sequences, free and with grammars in turn."""
    times = StepTimes()
    for number in range(rounds):
        times.free += _time_round(started, number, batch=batch, steps=steps, has_grammar=False)
        times.with_grammar += _time_round(
            started, number, batch=batch, steps=steps, has_grammar=True
        )
    return times


def _time_round(
    started: Started, number: int, *, batch: int, steps: int, has_grammar: bool
) -> list[float]:
    client = started.client
    requests = [
        _request(
            started,
            f"{number}-{has_grammar}-{row}",
            batch_schema(row) if has_grammar else None,
            max_new_tokens=BATCH_TOKENS,
        )
        for row in range(batch)
    ]
    waiter = _Waiter(client)
    waiter.submit(requests)
    waiter.until(lambda: client.load.num_running >= batch)
    seconds = client.call(lambda engine: _time_steps(engine, steps))
    client.abort([request.request_id for request in requests])
    waiter.until(lambda: not client.load.num_running)
    return seconds


def _time_steps(engine: AnyEngine, steps: int) -> list[float]:
    """Seconds of so many steps, once every sequence decodes."""
    live = [sequence for each in engine.schedulers for sequence in each.live.values()]
    while any(sequence.num_output_tokens < 2 for sequence in live):
        engine.step()
    seconds = []
    for _ in range(steps):
        begin = time.perf_counter()
        engine.step()
        seconds.append(time.perf_counter() - begin)
    return seconds


def measure_object(started: Started, *, name: str) -> float:
    """Seconds that one answer of ten fields takes."""
    request = _request(started, name, object_schema(), max_new_tokens=OBJECT_TOKENS)
    waiter = _Waiter(started.client)
    begin = time.perf_counter()
    waiter.submit([request])
    waiter.until(lambda: waiter.num_finished == 1)
    return time.perf_counter() - begin


class _Waiter:
    """Waits for answers of requests that may also be refused."""

    def __init__(self, client: InProcessClient) -> None:
        self._client = client
        self._error: Exception | None = None
        self.num_finished = 0

    def submit(self, requests: list[Request]) -> None:
        """Queue them; what they say is dropped."""
        self._client.submit(requests, self._deliver, self._refuse)

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for it. Raises what a request was refused with."""
        while not is_so():
            if self._error is not None:
                raise self._error
            time.sleep(POLL_S)

    def _deliver(self, outputs: OutputBatch) -> None:
        self.num_finished += len(outputs.finished)

    def _refuse(self, _: str | None, error: Exception) -> None:
        self._error = error


def _request(started: Started, name: str, schema: str | None, *, max_new_tokens: int) -> Request:
    assert started.tokenizer is not None
    sampling = SamplingParams(
        max_new_tokens=max_new_tokens,
        temperature=0.8,
        ignore_eos=schema is None,
        json_schema=schema,
        sampling_seed=1,
    )
    prompt = started.tokenizer.encode("Describe a person as a JSON object.")
    limits, seed = started.limits, started.config.random_seed
    return build_requests(name, prompt, sampling, limits=limits, server_seed=seed, counter=0)[0]


def main(
    argv: Sequence[str] | None = None,
    *,
    parser_class: type[argparse.ArgumentParser] = argparse.ArgumentParser,
) -> int:
    """Print both measurements; ConfigError for a bad option or model."""
    parser = parser_class(prog="sglite bench grammar", description="Cost of grammars.")
    parser.add_argument("--model", default=None, help="directory (default: the embedded model)")
    parser.add_argument("--batch", type=int, default=64, help="sequences at once (default 64)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds in turn (default 5)")
    parser.add_argument("--steps", type=int, default=30, help="steps timed a round (default 30)")
    given = parser.parse_args(argv)
    if min(given.batch, given.rounds, given.steps) < 1 or given.steps > MAX_STEPS:
        raise ConfigError(
            f"--batch, --rounds and --steps must be at least 1, and --steps at most {MAX_STEPS}"
        )
    options = {"model_path": given.model, "max_running_requests": max(given.batch, 2)}
    slow = start_engine(EngineConfig.from_kwargs(**options, disable_jump_forward=True))
    times = measure_steps(slow, batch=given.batch, rounds=given.rounds, steps=given.steps)
    free, held = (statistics.median(each) * 1e3 for each in (times.free, times.with_grammar))
    print(f"a decode step of {given.batch} sequences, {given.rounds} rounds in turn")
    print(f"  free            {free:8.2f} ms")
    print(f"  with grammars   {held:8.2f} ms   {held - free:+.2f} ms, {held / free - 1:+.1%}")
    quick = start_engine(EngineConfig.from_kwargs(**options))
    for started in (slow, quick):
        measure_object(started, name="warm-up")
    pairs = [
        (measure_object(slow, name=f"s{i}"), measure_object(quick, name=f"q{i}"))
        for i in range(given.rounds * 2)
    ]
    one_by_one, jumped = (statistics.median(each) * 1e3 for each in zip(*pairs, strict=True))
    print(f"an object of {NUM_FIELDS} fields, one sequence, {len(pairs)} times in turn")
    print(f"  token by token  {one_by_one:8.2f} ms")
    print(f"  jump-forward    {jumped:8.2f} ms   {one_by_one / jumped:.2f} times as quick")
    slow.client.close()
    quick.client.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
