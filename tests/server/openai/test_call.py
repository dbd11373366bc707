"""Whole calls: OpenAI's own client against a real model, and callers that leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from sglite import LLM
from sglite.server.app import build_app
from tests.server.asgi import RawCall
from tests.server.fake_engine import make_front
from tests.server.llm_front import LoopThread
from tests.server.openai_calls import CHAT, COMPLETIONS, PROTOCOLS, USER

WAIT_S = 20.0
QUESTIONS = ["Who are you?", "And what is the capital of France?"]
GREEDY = {"max_new_tokens": 24, "temperature": 0.0}
ENDLESS = {"max_tokens": 500, "ignore_eos": True}


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(max_total_tokens=4096) as llm:
        yield llm


@pytest.fixture(scope="module")
def thread(llm: LLM) -> Iterator[LoopThread]:
    thread = LoopThread(llm)
    yield thread
    thread.close()


@pytest.fixture(scope="module")
def client(thread: LoopThread) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key="none", base_url="http://test/v1", http_client=thread.sync_client(), max_retries=0
    ) as client:
        yield client


def async_client(thread: LoopThread) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key="none", base_url="http://test/v1", http_client=thread.async_client(), max_retries=0
    )


def expected_conversation(llm: LLM) -> list[Any]:
    """What the offline face answers, turn by turn."""
    messages: list[dict[str, str]] = []
    answers = []
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        answer = llm.chat(messages, GREEDY)
        messages.append({"role": "assistant", "content": answer.text})
        answers.append(answer)
    return answers


def assert_usage_is_that_of(usage: Any, answer: Any) -> None:
    assert usage.prompt_tokens == answer.num_prompt_tokens
    assert usage.completion_tokens == answer.num_output_tokens
    assert usage.total_tokens == answer.num_prompt_tokens + answer.num_output_tokens
    assert 0 <= usage.prompt_tokens_details.cached_tokens < usage.prompt_tokens


def test_a_conversation_is_the_offline_one(client, llm):
    messages: list[Any] = []
    for question, expected in zip(QUESTIONS, expected_conversation(llm), strict=True):
        messages.append({"role": "user", "content": question})
        answer = client.chat.completions.create(model="any", messages=messages, max_tokens=24)
        [choice] = answer.choices
        assert choice.message.content == expected.text
        assert choice.finish_reason == expected.finish_reason.value
        assert_usage_is_that_of(answer.usage, expected)
        messages.append({"role": "assistant", "content": choice.message.content})


def test_a_streamed_conversation_is_the_offline_one(client, llm):
    [expected, *_] = expected_conversation(llm)
    stream = client.chat.completions.create(
        model="any",
        messages=[{"role": "user", "content": QUESTIONS[0]}],
        max_completion_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
    assert text == expected.text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == expected.finish_reason.value
    assert_usage_is_that_of(chunks[-1].usage, expected)


def test_the_async_client_gets_the_same(thread, llm):
    [expected, *_] = expected_conversation(llm)
    question: Any = [{"role": "user", "content": QUESTIONS[0]}]

    async def ask() -> tuple[Any, str]:
        async with async_client(thread) as client:
            call = client.chat.completions.create
            whole, streamed = await asyncio.gather(
                call(model="any", messages=question, max_tokens=24),
                call(model="any", messages=question, max_tokens=24, stream=True),
            )
            texts = [chunk.choices[0].delta.content or "" async for chunk in streamed]
            return whole, "".join(texts)

    whole, text = thread.run(ask())
    assert whole.choices[0].message.content == text == expected.text


def test_completions_are_the_offline_ones(client, llm):
    prompts = ["The sea is", "Once upon a time"]
    expected = llm.generate(prompts, {"max_new_tokens": 8, "temperature": 0.0})
    whole = client.completions.create(model="any", prompt=prompts, max_tokens=8, temperature=0)
    assert [choice.text for choice in whole.choices] == [each.text for each in expected]
    assert whole.usage.completion_tokens == sum(each.num_output_tokens for each in expected)
    assert whole.usage.prompt_tokens == sum(each.num_prompt_tokens for each in expected)
    texts = ["", ""]
    for chunk in client.completions.create(
        model="any", prompt=prompts, max_tokens=8, temperature=0, stream=True
    ):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [each.text for each in expected]


def test_a_prompts_scores_are_the_offline_ones(client, llm):
    prompt, continuation = "The capital of France", " is Paris"
    [expected] = llm.score(prompt, [continuation])
    num_context = len(llm.tokenizer.encode(prompt))
    whole = prompt + continuation
    answer = client.completions.create(
        model="any", prompt=whole, max_tokens=1, temperature=0, echo=True, logprobs=1
    )
    logprobs = answer.choices[0].logprobs
    scored = logprobs.token_logprobs[num_context:-1]
    assert sum(scored) == pytest.approx(expected.logprob, abs=1e-4)
    best = [max(top.values()) for top in logprobs.top_logprobs[num_context:-1]]
    assert (scored == best) == expected.is_greedy
    text = answer.choices[0].text
    assert text.startswith(whole)
    for token, offset in zip(logprobs.tokens, logprobs.text_offset, strict=True):
        assert token.startswith("<|") or text[offset:].startswith(token)


def test_a_seed_gives_the_same_answer_again(client):
    def ask(seed: int) -> list[str]:
        answer = client.completions.create(
            model="any", prompt="Tell me", max_tokens=12, temperature=1.0, seed=seed, n=2
        )
        return [choice.text for choice in answer.choices]

    assert ask(1) == ask(1) != ask(2)


def test_the_clients_errors_are_its_own_classes(client):
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="any", messages=[], max_tokens=3)
    assert bad.value.param == "messages"
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("gpt-9")
    assert missing.value.code == "model_not_found"


def test_the_client_finds_the_model(client):
    [card] = client.models.list().data
    assert client.models.retrieve(card.id).id == card.id


# -- callers that leave, calls that are aborted ----------------------------------------------------


def body_of(path: str, **fields: Any) -> bytes:
    prompt = {"prompt": "hello"} if path == COMPLETIONS else {"messages": USER}
    return json.dumps({**prompt, **ENDLESS, **fields}).encode()


async def started(front: Any, num_requests: int) -> None:
    async def wait() -> None:
        while len(front.engine.requests) < num_requests:
            await asyncio.sleep(0)

    await asyncio.wait_for(wait(), WAIT_S)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_a_caller_that_leaves_aborts_all_its_requests(path, stream):
    async def run() -> None:
        front = make_front()
        front.engine.hold = True
        call = RawCall(build_app(front, PROTOCOLS), path)
        call.push(body_of(path, stream=stream, n=3))
        await started(front, 3)
        assert len(front.open_calls) == 1
        call.disconnect()
        await asyncio.wait_for(call.task, WAIT_S)
        assert sorted(front.engine.aborted) == sorted(
            request.request_id for request in front.engine.requests
        )
        assert front.engine.num_open_requests == 0
        assert len(front.open_calls) == 0

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_the_id_of_a_call_stands_for_its_requests_while_it_is_open(stream):
    async def run() -> None:
        front = make_front()
        front.engine.hold = True
        call = RawCall(build_app(front, PROTOCOLS), COMPLETIONS)
        call.push(body_of(COMPLETIONS, stream=stream, rid="mine", n=2))
        await started(front, 2)
        front.engine.abort(front.open_calls.engine_ids("mine"))
        await asyncio.wait_for(call.task, WAIT_S)
        assert call.status == 200
        assert call.body.count(b'"finish_reason":"abort"') == 2
        assert len(front.open_calls) == 0

    asyncio.run(run())


def test_a_call_that_fails_before_it_runs_leaves_no_name():
    async def run() -> None:
        front = make_front()
        front.engine.is_alive = False
        call = RawCall(build_app(front, PROTOCOLS), COMPLETIONS)
        call.push(body_of(COMPLETIONS))
        await asyncio.wait_for(call.task, WAIT_S)
        assert call.status == 503
        assert len(front.open_calls) == 0

    asyncio.run(run())
