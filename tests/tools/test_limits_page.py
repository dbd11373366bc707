"""docs/limits.md is what its generator makes now, leaves no limit out, and tells the truth."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from sglite.config import ServerConfig
from sglite.config_fields import option_fields
from sglite.server.app import build_app
from sglite.server.http import body
from tests.server.asgi import client
from tests.server.fake_engine import CONTEXT_LENGTH, POOL_TOKENS, make_front
from tools import limit_rows as rows
from tools import limits_page
from tools.limit_probes import ProbedServer

PAGE = limits_page.PAGE.read_text(encoding="utf-8")
PACKAGE = limits_page.PAGE.parent.parent / "src" / "sglite"
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
USER = {"role": "user", "content": ""}
PREFIX = {"input_ids": [5] * 16}

NOT_FOR_CLIENTS = {
    "server/api_workers.py:EXTRA_STOP_S": "between our own processes",
    "server/api_workers.py:STARTING_STOP_S": "between our own processes",
    "server/chat_renderer.py:START_TIMEOUT_S": "between our own processes",
    "server/http/body.py:READ_TIMEOUT_S": "the option read_timeout_s stands for it",
    "server/http/sse.py:STALL_TIMEOUT_S": "the option stall_timeout_s stands for it",
    "server/launch.py:ENGINE_STOP_S": "between our own processes",
    "server/lifecycle.py:HTTP_STOP_S": "what uvicorn may take once every call has ended",
    "server/lifecycle.py:LAST_WORDS_S": "what a failed call may take to say so",
    "server/lifecycle.py:POLL_S": "how often is looked",
    "server/native/metrics.py:ENGINE_TIMEOUT_S": "the last known numbers are shown then",
    "server/native/model_info.py:ENGINE_TIMEOUT_S": "the last known numbers are shown then",
    "server/native/model_info.py:MIN_RATE_WINDOW_S": "over which a rate is counted",
    "server/prompt_encoding.py:MAX_INLINE_CHARACTERS": "longer texts are encoded in a thread",
    "server/telemetry/request_log.py:MAX_LINES_PER_SECOND": "of the log",
    "tokenizer/decoders.py:MAX_HELD_BYTES": "of a character that is not complete",
    "tokenizer/stop_patterns.py:MAX_STEPS": "a regex that is refused for it says why",
    "tokenizer/stop_patterns.py:MAX_STOPS": "validation says the same before",
    "tokenizer/stop_patterns.py:MAX_STOP_CHARS": "validation says the same before",
    "tokenizer/tokenizer.py:MAX_TOKEN_ID": "validation knows the model's vocabulary",
}
"""Constants that sound like limits and that no client meets, with the reason."""

LIMIT_NAME = re.compile(r"(MAX|MIN)_\w+|BACKLOG|RETRY_\w+|(\w+_)?(TIMEOUT|STOP|WORDS|POLL)_S")


# ---- the page is complete and fresh ------------------------------------------------------------


def test_page_in_the_repository_is_the_generated_one():
    assert limits_page.limits_page() == PAGE, "run: python -m tools.limits_page"


def test_a_changed_constant_changes_the_page(monkeypatch):
    before = limits_page.constant_table(rows.CALL)
    monkeypatch.setattr(body, "MAX_CONTAINERS", body.MAX_CONTAINERS + 1)
    assert f"{body.MAX_CONTAINERS:,}" in limits_page.constant_table(rows.CALL) != before


def limit_constants() -> Iterator[tuple[str, str]]:
    """``(file, name)`` of every constant near the border that sounds like a limit."""
    files = [PACKAGE / "call_options.py"]
    for package in ("server", "validation", "tokenizer"):
        files += sorted((PACKAGE / package).rglob("*.py"))
    for file in files:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(target, ast.Name) and LIMIT_NAME.fullmatch(target.id):
                yield file.relative_to(PACKAGE).as_posix(), target.id


def test_no_constant_that_limits_a_client_is_left_out():
    ours = [row for row in rows.CONSTANTS if row.module.__name__.startswith("sglite.")]
    listed = {
        f"{Path(str(row.module.__file__)).relative_to(PACKAGE).as_posix()}:{row.name}"
        for row in ours
    }
    found = {f"{file}:{name}" for file, name in limit_constants()}
    assert found - listed == set(NOT_FOR_CLIENTS), "list it in tools/limit_rows.py, or say why not"


def test_no_option_that_limits_a_client_is_left_out():
    listed = {*rows.LENGTH_OPTIONS, *rows.TIME_OPTIONS}
    sounding = {
        name
        for name in option_fields(ServerConfig)
        if name.startswith("max_") or "_max_" in name or "timeout" in name
    }
    assert sounding - listed == rows.NO_LIMITS_FOR_CLIENTS
    assert all(f"| `{option_fields(ServerConfig)[name].flags[0]}` |" in PAGE for name in listed)


def test_protocols_that_check_a_parameter_differently_are_noticed(monkeypatch):
    from sglite.server.openai import options

    lax = {**options.CHECKS, "top_p": lambda field, value: 1.0}
    monkeypatch.setattr(options, "CHECKS", lax)
    with pytest.raises(ValueError, match="the protocols check top_p differently"):
        limits_page._sampling_rules(ProbedServer(), "top_p")


# ---- the page tells the truth ------------------------------------------------------------------


def limit_on_page(what: str) -> int:
    """The figure that the page has in the line of ``what``."""
    # Fields come first on the page, and may be called the same.
    line = [line for line in PAGE.splitlines() if line.startswith(f"| {what} |")][-1]
    number, _, unit = line.split(" | ")[1].partition(" ")
    return int(number.replace(",", "")) * UNITS.get(unit, 1)


def posts(calls: list[tuple[str, Any]], **options: Any) -> list[httpx.Response]:
    """The answers to calls, one after the other, of one server."""

    async def run() -> list[httpx.Response]:
        front = make_front(**options)
        front.engine.controls["flush_cache"] = lambda **_: True
        async with client(build_app(front)) as http:
            return [await send(http, path, content) for path, content in calls]

    async def send(http: httpx.AsyncClient, path: str, content: Any) -> httpx.Response:
        if isinstance(content, bytes):
            json_type = {"content-type": "application/json"}
            return await http.post(path, content=content, headers=json_type)
        return await http.post(path, json=content)

    return asyncio.run(run())


def sampling(**values: Any) -> tuple[str, Any]:
    limit = {"max_new_tokens": 1, **values}
    return "/generate", {"input_ids": [5], "sampling_params": limit}


def completion(**values: Any) -> tuple[str, Any]:
    return "/v1/completions", {"prompt": [5], "max_tokens": 1, **values}


def tokenize(**values: Any) -> tuple[str, Any]:
    return "/tokenize", {"messages": [USER], **values}


def nested(depth: int) -> bytes:
    """A body with so many levels: its own, and lists."""
    lists = b"[" * (depth - 1) + b"]" * (depth - 1)
    return b'{"prompt": [5], "max_tokens": 1, "more": ' + lists + b"}"


def padded(num_bytes: int) -> bytes:
    start = b'{"prompt": [5], "max_tokens": 1'
    return start + b" " * (num_bytes - len(start) - 1) + b"}"


class Case(NamedTuple):
    """A line of the page, a call that is at ``size``, and the status one beyond the limit."""

    what: str
    call: Callable[[int], tuple[str, Any]]
    status: int = 400


CASES = [
    Case("a body", lambda size: ("/v1/completions", padded(size)), 413),
    Case("levels of nesting in a body", lambda size: ("/v1/completions", nested(size))),
    # The body itself and the prompt count as well.
    Case("lists and objects in a body", lambda size: completion(more=[[]] * (size - 3))),
    Case("`n`, answers to one prompt", lambda size: sampling(n=size)),
    Case("`n`, answers to one prompt", lambda size: completion(n=size)),
    Case(
        "prompts of a call of `/generate`",
        lambda size: ("/generate", {**sampling()[1], "input_ids": [[5]] * size}),
    ),
    Case("prompts of a call of `/v1/completions`", lambda size: completion(prompt=[[5]] * size)),
    Case("`stop`, and `stop_regex`, entries", lambda size: sampling(stop=["x"] * size)),
    Case("`stop`, and `stop_regex`, entries", lambda size: completion(stop_regex=["x"] * size)),
    Case("characters of such an entry", lambda size: completion(stop="x" * size)),
    Case("`stop_token_ids`, entries", lambda size: sampling(stop_token_ids=[7] * size)),
    Case(
        "`logit_bias`, entries",
        lambda size: completion(logit_bias={str(token): 1 for token in range(size)}),
    ),
    Case(
        "`top_logprobs_num`, `logprobs` (completions), `top_logprobs`",
        lambda size: completion(logprobs=size),
    ),
    Case(
        "`token_ids_logprob`, entries",
        lambda size: ("/generate", {**sampling()[1], "token_ids_logprob": [7] * size}),
    ),
    Case(
        "texts of `/tokenize`, lists of `/detokenize`",
        lambda size: ("/tokenize", {"prompt": ["x"] * size}),
    ),
    Case(
        "token ids of `/detokenize`, all lists",
        lambda size: ("/detokenize", {"tokens": [[5], [5] * (size - 1)]}),
    ),
    Case("messages of a chat", lambda size: tokenize(messages=[USER] * size)),
    Case("`tools`", lambda size: tokenize(tools=[{"type": "function"}] * size)),
    Case(
        "`chat_template_kwargs`",
        lambda size: tokenize(chat_template_kwargs={f"a{i}": 1 for i in range(size)}),
    ),
    Case(
        "characters of a text among them",
        lambda size: tokenize(chat_template_kwargs={"a": "x" * size}),
    ),
    Case("`rid` of `/generate`", lambda size: ("/generate", {**sampling()[1], "rid": "x" * size})),
    Case("`rid` of `/abort_request`", lambda size: ("/abort_request", {"rid": "x" * size})),
    Case("`rid`, `request_id` of `/v1`", lambda size: completion(request_id="x" * size)),
    Case("`model`", lambda size: completion(model="x" * size)),
    Case("`cache_salt`, `extra_key`", lambda size: completion(cache_salt="x" * size)),
    Case("labels such as `user`", lambda size: completion(user="x" * size)),
    Case(
        "characters of a name",
        lambda size: ("/prefix", {**PREFIX, "name": "x" * size}),
    ),
    Case("`timeout` of `/flush_cache`", lambda size: (f"/flush_cache?timeout={size}", {})),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_is_at_a_limit_is_served_and_one_more_is_refused(case):
    limit = limit_on_page(case.what)
    at_limit, beyond = posts([case.call(limit), case.call(limit + 1)])
    assert at_limit.status_code == 200, at_limit.text
    assert beyond.status_code == case.status, beyond.text
    assert beyond.json()["object"] == "error"


def sampling_ranges() -> list[Any]:
    """``(parameter, text of its range)`` of the sampling table, where it takes one number."""
    section = PAGE.partition("## Sampling parameters")[2].partition("\n## ")[0]
    found = []
    for line in section.splitlines():
        cells = line.strip("| ").split(" | ")
        name = re.match(r"`(\w+)`", cells[0])
        rules = cells[1].split("; ") if name else []
        if rules[:1] in (["an integer"], ["a number"]):
            found.append(pytest.param(name[1], rules[1], id=f"{name[1]}: {rules[1]}"))
    return found


def edges(rule: str) -> tuple[list[float], list[float]]:
    """Values that a rule allows, at its ends, and values just beyond them."""
    found = re.findall(r"(from|to|at least|above|at most) (-?[\d.,]*\d)", rule)
    numbers = {words: int(number.replace(",", "")) for words, number in found}
    step = 1 if "from" in numbers else 1e-6
    inside = [numbers[words] for words in numbers if words != "above"]
    beyond = [numbers[words] - step for words in ("from", "at least") if words in numbers]
    beyond += [numbers[words] + step for words in ("to", "at most") if words in numbers]
    if "above" in numbers:
        inside.append(numbers["above"] + step)
        beyond.append(numbers["above"])
    return inside, beyond


@pytest.mark.parametrize(("name", "rule"), sampling_ranges())
def test_the_ends_of_a_parameters_range_are_served_and_what_lies_beyond_is_refused(name, rule):
    inside, beyond = edges(rule)

    def call(value: float) -> tuple[str, Any]:
        longest = {"max_new_tokens": 2**31 - 1} if name == "min_new_tokens" else {}
        return sampling(**longest, **{name: value})

    answers = posts([call(value) for value in (*inside, *beyond)], allow_auto_truncate=True)
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200] * len(inside) + [400] * len(beyond)
    assert {answer.json()["param"] for answer in answers[len(inside) :]} == {name}


def test_a_call_may_ask_for_as_many_answers_as_run_and_wait():
    config = ServerConfig()
    most = config.max_running_requests + config.max_queued_requests
    assert f"({most:,} by default)" in PAGE
    options = {"max_running_requests": 3, "max_queued_requests": 5}
    at_limit, beyond = posts([completion(n=8), completion(n=9)], **options)
    assert (at_limit.status_code, beyond.status_code) == (200, 400)
    assert beyond.json()["param"] == "n" and "at most 8" in beyond.json()["message"]


def test_prefixes_are_kept_up_to_their_number_and_their_part_of_the_pool():
    def pin(number: int, num_tokens: int) -> tuple[str, Any]:
        return "/prefix", {"name": f"p{number}", "input_ids": [5 + number % 7] * num_tokens}

    most = limit_on_page("prefixes that are kept")
    *kept, refused = posts([pin(number, 1) for number in range(most + 1)], page_size=1)
    assert {answer.status_code for answer in kept} == {200} and refused.status_code == 400
    half = POOL_TOKENS // 2
    assert "| their part of the KV pool | 50% |" in PAGE
    sizes = [half // 4] * 4 + [16]
    *kept, refused = posts([pin(number, size) for number, size in enumerate(sizes)])
    assert {answer.status_code for answer in kept} == {200} and refused.status_code == 400


def test_prompt_and_output_together_fit_the_context():
    def call(num_prompt: int, num_output: int) -> tuple[str, Any]:
        limit = {"max_new_tokens": num_output}
        return "/generate", {"input_ids": [5] * num_prompt, "sampling_params": limit}

    calls = [call(1000, CONTEXT_LENGTH - 1000), call(1000, CONTEXT_LENGTH - 999)]
    calls += [call(CONTEXT_LENGTH - 1, 1), call(CONTEXT_LENGTH, 0)]
    assert [answer.status_code for answer in posts(calls)] == [200, 400, 200, 400]


def test_a_text_that_no_context_could_hold_is_refused_unread():
    what = "characters of a text or chat for each token of the context"
    longest = limit_on_page(what) * CONTEXT_LENGTH
    at_limit, beyond = posts([("/tokenize", {"prompt": " " * n}) for n in (longest, longest + 1)])
    assert at_limit.status_code == 200
    assert beyond.status_code == 400 and "refused unread" in beyond.json()["message"]


def test_an_id_of_a_call_is_kept_up_to_its_length():
    longest = limit_on_page("characters of an `X-Request-Id`")

    async def run() -> list[str]:
        async with client(build_app(make_front())) as http:
            ids = ["a" * longest, "a" * (longest + 1)]
            answers = [await http.get("/health", headers={"X-Request-Id": name}) for name in ids]
            return [answer.headers["X-Request-Id"] for answer in answers]

    kept, replaced = asyncio.run(run())
    assert kept == "a" * longest and replaced != "a" * (longest + 1)
