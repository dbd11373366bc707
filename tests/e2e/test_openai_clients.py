"""Clients of OpenAI's API that others wrote, against the whole server: their answers are LLM's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from sglite import LLM
from tests.e2e.chat_clients import (
    CHAT_CLIENTS,
    MODEL,
    OFFLINE_GREEDY,
    Messages,
    Reply,
    langchain_chat,
    langchain_reply,
    litellm_call,
    offline_reply,
    openai_client,
)
from tests.server.live import LiveServer, live_server

QUESTIONS = ["Who are you?", "And what is the capital of France?", "What is 12 + 30?"]
HELLO = [{"role": "user", "content": "Hello!"}]
PROMPTS = ["The sea is", "Once upon a time"]
SHORT = {"max_tokens": 8, "temperature": 0}
OFFLINE_SHORT = {"max_new_tokens": 8, "temperature": 0.0}
# In bfloat16 two tokens can change places with the other requests that happen to run.
DTYPE = "float32"
# litellm warns of itself: of its classes, of pydantic's older names, of sockets it leaves open.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Items? .* on TypedDict class:UserWarning",
    "ignore:Accessing the 'model_(computed_)?fields':DeprecationWarning",
    "ignore:unclosed:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server("--dtype", DTYPE, directory=tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(dtype=DTYPE, max_total_tokens=4096) as llm:
        yield llm


@pytest.fixture(scope="module")
def turns(llm: LLM) -> list[tuple[Messages, Reply]]:
    """The conversation before each answer, and the answer that the offline face gives."""
    messages: Messages = []
    turns = []
    for question in QUESTIONS:
        messages = [*messages, {"role": "user", "content": question}]
        answer = llm.chat(messages, OFFLINE_GREEDY)
        turns.append((messages, offline_reply(answer)))
        messages = [*messages, {"role": "assistant", "content": answer.text}]
    return turns


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Iterator[openai.OpenAI]:
    with openai_client(server.url) as client:
        yield client


@pytest.fixture(autouse=True, scope="module")
def no_other_hosts() -> Iterator[None]:
    """The tests fail if a client asks for another machine, also where it hides that it failed."""
    asked: list[object] = []
    look_up = socket.getaddrinfo

    def look_up_here(host: Any, *arguments: Any, **options: Any) -> Any:
        if host not in (None, *THIS_MACHINE):
            asked.append(host)
            raise OSError(f"the test has no network, and {host} was asked for")
        return look_up(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up_here)
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # otherwise importing it downloads
        patch.setenv("LANGSMITH_TRACING", "false")
        yield
    assert not asked


# -- conversations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", CHAT_CLIENTS, ids=lambda ask: ask.__name__)
def test_a_conversation_is_the_offline_one(server, turns, ask):
    messages: Messages = []
    for asked, expected in turns:
        messages.append(asked[-1])
        reply = ask(server.url, messages)
        assert reply == expected
        messages.append({"role": "assistant", "content": reply.text})


def test_the_conversation_has_both_ends(turns):
    assert {reply.finish_reason for _, reply in turns} == {"stop", "length"}


def test_langchains_batch_is_the_offline_one(server, turns):
    answers = langchain_chat(server.url).batch([messages for messages, _ in turns])
    assert [langchain_reply(answer) for answer in answers] == [reply for _, reply in turns]


# -- completions -----------------------------------------------------------------------------------


def assert_counts(usage: Any, expected: list[Any]) -> None:
    num_prompt = sum(each.num_prompt_tokens for each in expected)
    num_output = sum(each.num_output_tokens for each in expected)
    assert (usage.prompt_tokens, usage.completion_tokens) == (num_prompt, num_output)
    assert usage.total_tokens == num_prompt + num_output


def test_completions_are_the_offline_ones(client, llm):
    expected = llm.generate(PROMPTS, OFFLINE_SHORT)
    whole = client.completions.create(model=MODEL, prompt=PROMPTS, **SHORT)
    assert [choice.text for choice in whole.choices] == [each.text for each in expected]
    assert_counts(whole.usage, expected)


def test_streamed_completions_are_the_offline_ones(client, llm):
    expected = llm.generate(PROMPTS, OFFLINE_SHORT)
    texts, usage = ["", ""], None
    for chunk in client.completions.create(
        model=MODEL,
        prompt=PROMPTS,
        stream=True,
        stream_options={"include_usage": True},
        **SHORT,
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [each.text for each in expected]
    assert_counts(usage, expected)


def test_litellms_completions_are_the_offline_ones(server, llm):
    litellm = pytest.importorskip("litellm")
    call = litellm_call(server.url, model=f"text-completion-openai/{MODEL}", **SHORT)
    for prompt in PROMPTS:
        expected = llm.generate(prompt, OFFLINE_SHORT)
        answer = litellm.text_completion(**call, prompt=prompt)
        assert answer.choices[0].text == expected.text
        assert_counts(answer.usage, [expected])


def test_a_prompts_scores_are_the_offline_ones(client, llm):
    prompt, continuation = "The capital of France", " is Paris"
    [expected] = llm.score(prompt, [continuation])
    num_context = len(llm.tokenizer.encode(prompt))
    whole = prompt + continuation
    answer = client.completions.create(
        model=MODEL, prompt=whole, max_tokens=1, temperature=0, echo=True, logprobs=1
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
            model=MODEL, prompt="Tell me", max_tokens=12, temperature=1.0, seed=seed, n=2
        )
        return [choice.text for choice in answer.choices]

    assert ask(1) == ask(1) != ask(2)


# -- what else clients ask -------------------------------------------------------------------------


def test_the_clients_errors_are_its_own_classes(client):
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=MODEL, messages=[], max_tokens=3)
    assert bad.value.param == "messages"
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("gpt-9")
    assert missing.value.code == "model_not_found"


def test_litellms_errors_are_openais(server):
    litellm = pytest.importorskip("litellm")
    with pytest.raises(litellm.BadRequestError) as bad:
        litellm.completion(**litellm_call(server.url, messages=HELLO, max_tokens=100_000))
    assert "max_tokens (100,000)" in str(bad.value)


def test_the_client_finds_the_model(client):
    [card] = client.models.list().data
    assert client.models.retrieve(card.id).id == card.id
