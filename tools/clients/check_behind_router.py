"""Asks a router before sglite servers what clients ask, and compares with a server asked directly.

    python tools/clients/check_behind_router.py URL --direct URL [--direct URL ...]

URL is the router's, the others are its workers', which serve one model in float32. Everything is
asked through the ``openai`` client and over plain HTTP, greedily: texts, tokens and counts have to
be those of the first worker. At the end each worker must have had a part of the calls. Prints a
line for each check, and ends with 1 where something differs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai

QUESTIONS = ("What is the capital of France?", "Who are you?", "What is 2+3?", "Hello!")
PROMPTS = ("The sea is", "Once upon a time")
MAX_TOKENS = 16
NUM_AT_ONCE = 24
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}},
            "required": ["city"],
        },
    },
}


class Asker:
    """One address, by both kinds of clients."""

    def __init__(self, url: str, model: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=120.0)
        self.openai = openai.OpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0)
        self.model = model

    def generate(self, **body: Any) -> Any:
        """The answer of ``/generate``."""
        return self._checked(self.http.post("/generate", json=body)).json()

    def generate_events(self, **body: Any) -> list[Any]:
        """The events of ``/generate``, with its end checked."""
        text = self._checked(self.http.post("/generate", json={**body, "stream": True})).text
        assert text.endswith("data: [DONE]\n\n"), "the stream has no end"
        blocks = text.split("\n\n")[:-2]
        return [json.loads(block.removeprefix("data: ")) for block in blocks]

    def chat(self, question: str, **options: Any) -> Any:
        """One question, one answer."""
        messages: Any = [{"role": "user", "content": question}]
        settings = {"max_tokens": MAX_TOKENS, "temperature": 0.0, **options}
        return self.openai.chat.completions.create(model=self.model, messages=messages, **settings)

    def chat_streamed(self, question: str) -> tuple[str, str | None, int]:
        """Text, reason and count of tokens of a stream."""
        text, reason, count = "", None, 0
        options = {"stream": True, "stream_options": {"include_usage": True}}
        for chunk in self.chat(question, **options):
            count = chunk.usage.completion_tokens if chunk.usage else count
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reason = choice.finish_reason or reason
        return text, reason, count

    def completion(self, prompt: str, **options: Any) -> Any:
        """A completion."""
        settings = {"max_tokens": MAX_TOKENS, "temperature": 0.0, **options}
        return self.openai.completions.create(model=self.model, prompt=prompt, **settings)

    def num_requests(self) -> float:
        """Requests that this server has ended."""
        for line in self._checked(self.http.get("/metrics")).text.splitlines():
            if line.startswith("sglang:num_requests_total"):
                return float(line.rpartition(" ")[2])
        raise AssertionError("the worker counts no requests")

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:300]}"
        return answer


def ask_chats(server: Asker) -> Any:
    """Whole chats."""
    answers = [server.chat(question) for question in QUESTIONS]
    return [
        (answer.choices[0].message.content, answer.choices[0].finish_reason, _counts(answer))
        for answer in answers
    ]


def ask_streamed_chats(server: Asker) -> Any:
    """Streamed chats."""
    return [server.chat_streamed(question) for question in QUESTIONS]


def ask_many_at_once(server: Asker) -> Any:
    """Streamed chats side by side."""
    questions = [QUESTIONS[number % len(QUESTIONS)] for number in range(NUM_AT_ONCE)]
    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        return list(pool.map(server.chat_streamed, questions))


def ask_completions(server: Asker) -> Any:
    """Completions, with logprobs."""
    answers = [server.completion(prompt, logprobs=1) for prompt in PROMPTS]
    return [
        (answer.choices[0].text, answer.choices[0].logprobs.tokens, _counts(answer))
        for answer in answers
    ]


def ask_streamed_completions(server: Asker) -> Any:
    """Streamed completions."""
    return [
        "".join(chunk.choices[0].text for chunk in server.completion(prompt, stream=True))
        for prompt in PROMPTS
    ]


def ask_native(server: Asker) -> Any:
    """``/generate`` with a text and with token ids, and the logprobs of both."""
    sampling = {"max_new_tokens": MAX_TOKENS, "temperature": 0}
    found = []
    for prompt in ({"text": PROMPTS[0]}, {"input_ids": [300, 301, 302]}):
        answer = server.generate(**prompt, sampling_params=sampling, return_logprob=True)
        info = answer["meta_info"]
        ids = [token_id for _, token_id, _ in info["output_token_logprobs"]]
        found.append((answer["text"], answer["output_ids"], ids, info["finish_reason"]))
    return found


def ask_native_stream(server: Asker) -> Any:
    """A stream of ``/generate``: every event has all there is so far."""
    sampling = {"max_new_tokens": MAX_TOKENS, "temperature": 0}
    events = server.generate_events(text=PROMPTS[1], sampling_params=sampling)
    texts = [event["text"] for event in events]
    assert all(later.startswith(text) for text, later in itertools.pairwise(texts))
    return texts[-1], events[-1]["meta_info"]["completion_tokens"]


def ask_schema(server: Asker) -> Any:
    """An answer that has to follow a schema."""
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
    answer = server.chat("Who is Ada?", response_format=form, max_tokens=48)
    person = json.loads(answer.choices[0].message.content)
    assert sorted(person) == ["age", "name"]
    return person


def ask_tools(server: Asker) -> Any:
    """A call of a tool, whole and streamed."""
    options: dict[str, Any] = {"tools": [WEATHER], "tool_choice": "required", "max_tokens": 64}
    (call,) = server.chat("How is the weather in Rome?", **options).choices[0].message.tool_calls
    name, arguments = "", ""
    for chunk in server.chat("How is the weather in Rome?", stream=True, **options):
        for choice in chunk.choices:
            for delta in choice.delta.tool_calls or ():
                name += delta.function.name or ""
                arguments += delta.function.arguments or ""
    assert (name, json.loads(arguments)) == (
        call.function.name,
        json.loads(call.function.arguments),
    )
    return name, arguments


def ask_wrong(server: Asker) -> Any:
    """Errors that the client shows as its own classes."""
    try:
        server.chat("Hi", max_tokens=1_000_000)
    except openai.BadRequestError as error:
        return error.status_code
    raise AssertionError("a bad request was served")


def ask_about_model(server: Asker) -> Any:
    """What clients look up before they begin."""
    assert server.http.get("/health").status_code == 200
    info = server.http.get("/get_model_info").json()
    cards = server.openai.models.list().data
    return info["model_path"], info["is_generation"], [card.id for card in cards]


CHECKS: tuple[Callable[[Asker], Any], ...] = (
    ask_about_model,
    ask_chats,
    ask_streamed_chats,
    ask_many_at_once,
    ask_completions,
    ask_streamed_completions,
    ask_native,
    ask_native_stream,
    ask_schema,
    ask_tools,
    ask_wrong,
)


def run_checks(router: Asker, direct: list[Asker]) -> Iterator[tuple[str, str]]:
    """``(check, what is wrong)`` for each; an empty text where nothing is."""
    expected = {check: check(direct[0]) for check in CHECKS}
    before = [server.num_requests() for server in direct]
    for check in CHECKS:
        yield _name(check), _differs(check, router, expected[check])
    grown = [server.num_requests() - count for server, count in zip(direct, before, strict=True)]
    yield "each worker has its part", "" if min(grown) > 0 else f"requests of each: {grown}"


def _differs(check: Callable[[Asker], Any], router: Asker, expected: Any) -> str:
    try:
        found = check(router)
    except (
        AssertionError,
        KeyError,
        TypeError,
        ValueError,
        openai.OpenAIError,
        httpx.HTTPError,
    ) as e:
        return f"{type(e).__name__}: {e}"
    return "" if found == expected else f"{found} instead of {expected}"


def _name(check: Callable[[Asker], Any]) -> str:
    return check.__name__.removeprefix("ask_").replace("_", " ")


def _counts(answer: Any) -> tuple[int, int]:
    return answer.usage.prompt_tokens, answer.usage.completion_tokens


def main(argv: list[str]) -> int:
    """Run everything; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("url")
    parser.add_argument("--direct", action="append", required=True)
    arguments = parser.parse_args(argv)
    model = httpx.get(f"{arguments.direct[0]}/v1/models", timeout=10).json()["data"][0]["id"]
    direct = [Asker(url, model) for url in arguments.direct]
    num_wrong = 0
    for name, problem in run_checks(Asker(arguments.url, model), direct):
        print(f"{name}: {problem or 'as asked directly'}", flush=True)
        num_wrong += bool(problem)
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
