"""Everybody has parameters of their own, in one batch: each gets what it gets alone."""

from __future__ import annotations

import asyncio
import json
import math
import random
from typing import Any

import pytest

from sglite import LLM
from sglite.server.app import build_app
from sglite.server.native import generate as native_generate
from tests.server.asgi import RawCall, events
from tests.server.llm_front import front_of
from tests.server.openai_calls import PROTOCOLS

NUM_CALLERS = 64
COUNTRIES = "France Japan Kenya Chile Egypt Norway India Peru Spain Cuba Ghana Nepal".split()
ROUTES = ("/generate", "/v1/completions", "/v1/chat/completions")
PENALTIES = (
    {},
    {"frequency_penalty": 1.5},
    {"presence_penalty": -1.0, "frequency_penalty": 0.5},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7, "presence_penalty": 2.0},
)
CHOICES = (
    {"temperature": 0},
    {"temperature": 0.8},
    {"temperature": 1.5, "top_p": 0.9},
    {"temperature": 1.0, "top_k": 20, "min_p": 0.01},
)


@pytest.fixture(scope="module")
def llm():
    """A pool that 64 callers do not fit into, so that some are retracted."""
    with LLM(max_running_requests=48, max_total_tokens=1536, chunked_prefill_size=64) as loaded:
        yield loaded


def body_of(number: int, num_tokens: int) -> tuple[str, dict[str, Any]]:
    """Route and body of a caller; no two have the same parameters."""
    rng = random.Random(number)
    words = f"{number}: the capital of {rng.choice(COUNTRIES)} is"
    bias = {str(rng.randrange(300, 4000)): rng.choice([-100, -3, 2, 6]) for _ in range(5)}
    sampling = {
        **PENALTIES[number % len(PENALTIES)],
        **CHOICES[number // 3 % len(CHOICES)],
        **({"logit_bias": bias} if number % 2 else {}),
        **({"stop": [rng.choice(["e", " the", "\n", "is"])]} if number % 5 == 1 else {}),
        "ignore_eos": number % 4 == 0,
    }
    route = ROUTES[number % 3]
    if route == "/generate":
        sampling |= {"sampling_seed": number, "max_new_tokens": num_tokens}
        logprobs = {"return_logprob": number % 4 > 0, "top_logprobs_num": number % 4}
        return route, {"text": words, "sampling_params": sampling, **logprobs}
    options = sampling | {"seed": number, "max_tokens": num_tokens}
    if route == "/v1/completions":
        return route, {"prompt": words, "logprobs": number % 4, **options}
    messages = [{"role": "user", "content": words}]
    wants = {"logprobs": True, "top_logprobs": number % 4} if number % 2 else {}
    return route, {"messages": messages, **wants, **options}


def as_shown(route: str, answer: dict[str, Any]) -> Any:
    """What an answer says, without ids and times."""
    if route != "/generate":
        return {"choices": answer["choices"], "usage": untimed(answer["usage"])}
    meta = answer["meta_info"]
    kept = {name: value for name, value in meta.items() if "logprobs" in name}
    kept |= {name: meta[name] for name in ("finish_reason", "prompt_tokens", "completion_tokens")}
    return {"text": answer["text"], "output_ids": answer["output_ids"], "meta": kept}


def untimed(usage: dict[str, Any]) -> dict[str, Any]:
    """Token counts but that of the cache, which company may change."""
    return {name: usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


def is_same(one: Any, other: Any) -> bool:
    """True where two answers agree; log-probabilities may differ by how they were rounded."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, abs_tol=1e-3)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


async def ask(app: Any, number: int, num_tokens: int, *, stream: bool = False) -> Any:
    """The answer to a caller; streams of /generate end with all of it."""
    route, body = body_of(number, num_tokens)
    call = RawCall(app, route)
    call.push(json.dumps(body | {"stream": stream}).encode())
    await call.task
    assert call.status == 200, call.body
    if not stream:
        return as_shown(route, call.json())
    *_, last, done = events(call.body.decode())
    assert done == "[DONE]"
    return as_shown(route, last)


async def leave(app: Any, number: int, rng: random.Random) -> None:
    """Call and leave in the middle."""
    route, body = body_of(number, 200)
    call = RawCall(app, route)
    call.push(json.dumps(body | {"stream": rng.random() < 0.5}).encode())
    await asyncio.sleep(rng.uniform(0, 0.5))
    call.disconnect()
    await call.task


async def check_company(llm: LLM, num_tokens: int, num_rounds: int) -> None:
    """Ask everybody alone, then all at once, in another order each time, while others leave."""
    app = build_app(front_of(llm), [native_generate, *PROTOCOLS])
    alone = [await ask(app, number, num_tokens) for number in range(NUM_CALLERS)]
    rng = random.Random(1)
    for _ in range(num_rounds):
        order = rng.sample(range(NUM_CALLERS), NUM_CALLERS)
        leavers = [leave(app, 1000 + number, rng) for number in range(NUM_CALLERS // 4)]
        answers = await asyncio.gather(
            *(
                ask(app, number, num_tokens, stream=number % 3 == 0 and rng.random() < 0.5)
                for number in order
            ),
            *leavers,
        )
        for number, answer in zip(order, answers, strict=False):
            assert is_same(answer, alone[number]), f"caller {number}: {body_of(number, num_tokens)}"
    print(f"{num_rounds * NUM_CALLERS} answers, {num_rounds * NUM_CALLERS // 4} callers left")


def test_everybody_gets_what_they_get_alone(llm):
    asyncio.run(asyncio.wait_for(check_company(llm, num_tokens=12, num_rounds=2), 250))


@pytest.mark.slow
def test_everybody_gets_what_they_get_alone_for_long(llm):
    asyncio.run(asyncio.wait_for(check_company(llm, num_tokens=48, num_rounds=60), 3600))
