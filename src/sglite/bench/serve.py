"""Put load on a server and measure it: TTFT, TPOT, ITL, end to end, throughput, goodput.

    sglite bench serve --concurrency 8                 (starts a server with the embedded model)
    sglite bench serve --model DIR --page-size 32      (the rest goes to `sglite serve`)
    sglite bench serve --url a=http://127.0.0.1:30000 --url b=http://127.0.0.1:8000 --api openai
    sglite bench serve --workload trace --trace calls.jsonl --goodput ttft:500 tpot:50

A trace has a JSON object per line: arrival_s, max_tokens, prompt or prompt_tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

from sglite.bench.load.chart import to_svg
from sglite.bench.load.dialects import DIALECTS, Dialect
from sglite.bench.load.figures import LATENCIES, CallResult, summarise, values_s
from sglite.bench.load.own_server import own_server
from sglite.bench.load.report import print_table, to_json
from sglite.bench.load.runner import Load, Pace
from sglite.bench.load.wire import Target
from sglite.bench.load.workload import GENERATED, Lengths, Session, Writer, read_trace
from sglite.bench.parallel import parallel_settings
from sglite.client.http import HttpClient
from sglite.config import ServerConfig
from sglite.config_sources import load_values
from sglite.errors import (
    CapacityError,
    ConfigError,
    RemoteError,
    RequestError,
    SgliteError,
)
from sglite.progress import generation_progress

GOALS = ("ttft", "tpot", "e2e")
DEFAULT_CONCURRENCY = 8


def main(
    argv: Sequence[str] | None = None,
    *,
    parser_class: type[argparse.ArgumentParser] = argparse.ArgumentParser,
) -> int:
    """Run the load against each server in turn; 1 where a call failed. Raises ConfigError."""
    parser = parser_class(prog="sglite bench serve", description=__doc__)
    add_arguments(parser)
    # What is not ours belongs to `sglite serve`, which names a flag that is not its own either.
    words = [_dashed(word) for word in (sys.argv[1:] if argv is None else argv)]
    arguments, rest = argparse.ArgumentParser.parse_known_args(parser, words)
    rest = [word for word in rest if word != "--"]
    if arguments.url and rest:
        raise ConfigError(f"{rest[0]} is not an option here, and with --url no server is started")
    goals_ms = read_goals(arguments.goodput)
    pace = read_pace(arguments)
    key = arguments.api_key or load_values(ServerConfig, {}).get("api_key")
    with ExitStack() as stack:
        urls = read_urls(arguments.url or [stack.enter_context(own_server(rest))])
        dialects = read_dialects(arguments.api, len(urls))
        results: dict[str, list[CallResult]] = {}
        parallel: dict[str, dict[str, Any]] = {}
        for (name, url), dialect in zip(urls.items(), dialects, strict=True):
            http = HttpClient(url, api_key=key)
            sessions = make_sessions(arguments, dialect)
            load = make_load(arguments, Target(url, api_key=key), dialect, http)
            warm_up(load, sessions[0], arguments.warmup)
            if arguments.flush_cache:
                flush(http)
            results[name] = measure(load, sessions, pace)
            parallel[name] = parallel_of(http)
    report(arguments, results, goals_ms, parallel)
    return int(any(call.error is not None for calls in results.values() for call in calls))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the benchmark."""
    add = parser.add_argument
    add("--url", action="append", metavar="[NAME=]URL", help="server to measure (may be repeated)")
    add("--api", action="append", choices=sorted(DIALECTS), help="API, one for all or one per URL")
    add("--api-key", metavar="KEY", help="key of the servers (rather in SGLITE_API_KEY)")
    add("--served-model-name", metavar="NAME", help="model to ask for; unset: the server's first")
    add("--workload", choices=[*GENERATED, "trace"], default="random")
    add("--trace", metavar="FILE", help="JSON lines for --workload trace")
    for field in fields(Lengths):
        kind = int if isinstance(field.default, int) else float
        flag = f"--{field.name.replace('_', '-')}"
        add(flag, type=kind, default=field.default, help=f"default {field.default}")
    add("--concurrency", type=int, metavar="N", help=f"users (default {DEFAULT_CONCURRENCY})")
    add("--request-rate", type=float, metavar="R", help="Poisson arrivals per second instead")
    add("--goodput", nargs="+", metavar="NAME:MS", help="goals of a call, such as ttft:500 tpot:50")
    add("--warmup", type=int, default=1, metavar="N", help="calls before the clock starts")
    add("--seed", type=int, default=0, help="of prompts and arrivals (default 0)")
    add("--timeout", type=float, default=600.0, metavar="S", help="seconds for a call")
    add("--respect-eos", action="store_true", help="let answers end by themselves")
    add("--flush-cache", action="store_true", help="empty the prefix cache after the warm-up")
    add("--extra-body", type=json.loads, default={}, metavar="JSON", help="more fields of a call")
    add("--json", metavar="FILE", help="write all figures; - for standard output")
    add("--svg", metavar="FILE", help="write the latencies as a picture")


def read_goals(words: Sequence[str] | None) -> dict[str, float]:
    """``["ttft:500"] -> {"ttft": 500.0}``. Raises ConfigError."""
    goals: dict[str, float] = {}
    for word in words or ():
        name, _, limit = word.partition(":")
        try:
            goals[name] = float(limit)
        except ValueError:
            goals[name] = math.nan
        if name not in GOALS or not goals[name] > 0:
            raise ConfigError(f"--goodput {word!r:.40}: give {', '.join(GOALS)} as ttft:500, in ms")
    return goals


def read_pace(arguments: argparse.Namespace) -> Pace:
    """Who decides when a session starts. Raises ConfigError."""
    concurrency, rate = arguments.concurrency, arguments.request_rate
    if concurrency is not None and concurrency < 1:
        raise ConfigError(f"--concurrency {concurrency}: at least 1 user is needed")
    if rate is not None and not 0 < rate < math.inf:
        raise ConfigError(f"--request-rate {rate}: give arrivals per second, above 0")
    if concurrency is None and rate is None and arguments.workload != "trace":
        concurrency = DEFAULT_CONCURRENCY
    return Pace(concurrency=concurrency, request_rate=rate, seed=arguments.seed)


def read_urls(words: Sequence[str]) -> dict[str, str]:
    """``["a=http://x", "http://y:1"] -> {"a": "http://x", "y:1": "http://y:1"}``."""
    urls: dict[str, str] = {}
    for word in words:
        name, equals, url = word.partition("=")
        if not equals or "/" in name:
            name, url = word.partition("://")[2].rstrip("/") or word, word
        if name in urls:
            raise ConfigError(f"--url: {name} is given twice; name them as NAME=URL")
        urls[name] = url
    return urls


def read_dialects(names: Sequence[str] | None, num_urls: int) -> list[Dialect]:
    """The API of each URL. Raises ConfigError."""
    given = list(names or ["openai"])
    if len(given) not in (1, num_urls):
        raise ConfigError(f"--api is given {len(given)} times for {num_urls} URLs; once is enough")
    return [DIALECTS[name] for name in (given * num_urls if len(given) == 1 else given)]


def make_sessions(arguments: argparse.Namespace, dialect: Dialect) -> list[Session]:
    """The same for every server, in the words that its API takes. Raises ConfigError."""
    lengths = Lengths(**{field.name: getattr(arguments, field.name) for field in fields(Lengths)})
    if lengths.num_sessions < 1 or not 0 < lengths.range_ratio <= 1 or lengths.num_prefixes < 1:
        raise ConfigError(
            "--num-sessions and --num-prefixes are at least 1, --range-ratio in (0, 1]"
        )
    writer = Writer(lengths, seed=arguments.seed, as_text=not dialect.takes_token_ids)
    if arguments.workload != "trace":
        return GENERATED[arguments.workload](writer)
    if arguments.trace is None:
        raise ConfigError("--workload trace needs --trace FILE")
    return read_trace(Path(arguments.trace), writer)


def make_load(
    arguments: argparse.Namespace, target: Target, dialect: Dialect, http: HttpClient
) -> Load:
    """The load on one server; asks it for its model. Raises ConfigError, RemoteError."""
    if not isinstance(arguments.extra_body, dict):
        raise ConfigError("--extra-body: give a JSON object")
    return Load(
        target,
        dialect,
        model=arguments.served_model_name or first_model(http),
        ignores_eos=not arguments.respect_eos,
        extra_body=arguments.extra_body,
        timeout_s=arguments.timeout,
    )


def first_model(http: HttpClient) -> str:
    """The first model that the server lists; ``default`` where it has no list."""
    try:
        cards = http.get_json("/v1/models")["data"]
        return str(cards[0]["id"])
    except (RequestError, LookupError, TypeError):
        return "default"


def parallel_of(http: HttpClient) -> dict[str, Any]:
    """``tp_size`` and so on where the server says that they are not 1; empty where it is silent."""
    try:
        info = http.get_json("/server_info")
    except SgliteError:
        return {}
    return parallel_settings(info) if isinstance(info, dict) else {}


def flush(http: HttpClient) -> None:
    """Empty the server's prefix cache. Raises ConfigError where it cannot."""
    try:
        http.post("/flush_cache")
    except (RequestError, CapacityError, RemoteError) as error:
        raise ConfigError(f"--flush-cache: {error}") from error


def warm_up(load: Load, session: Session, num_calls: int) -> None:
    """Calls that nobody counts. Raises RemoteError where one fails."""
    for _ in range(num_calls):
        result = asyncio.run(load.call(session.turns[0]))
        if result.error is not None:
            raise RemoteError(f"the first call failed: {result.error}")


def measure(load: Load, sessions: Sequence[Session], pace: Pace) -> list[CallResult]:
    """Run the load; on a terminal with a bar."""
    num_calls = sum(len(session.turns) for session in sessions)
    with generation_progress(num_calls, show=None) as advance:
        load.on_result = lambda result: advance(result.num_tokens, True)
        return asyncio.run(load.run(sessions, pace))


def report(
    arguments: argparse.Namespace,
    results: dict[str, list[CallResult]],
    goals_ms: dict[str, float],
    parallel: dict[str, dict[str, Any]],
) -> None:
    """Print the table and write the files that were asked for."""
    summaries = {name: summarise(calls, goals_ms) for name, calls in results.items()}
    settings: dict[str, Any] = {
        name: value for name, value in vars(arguments).items() if name not in ("api_key", "json")
    }
    document = json.dumps(to_json(summaries, settings, parallel=parallel), indent=2)
    if arguments.json == "-":
        print(document)
    else:
        print_table(summaries, parallel=parallel)
    if arguments.json not in (None, "-"):
        Path(arguments.json).write_text(document + "\n", encoding="utf-8")
    if arguments.svg:
        panels = {
            latency: {name: values_s(calls, latency) for name, calls in results.items()}
            for latency in LATENCIES
        }
        Path(arguments.svg).write_text(to_svg(panels), encoding="utf-8")


def _dashed(word: str) -> str:
    """``--request_rate=1`` is ``--request-rate=1``, as in every command."""
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value if word.startswith("--") else word


if __name__ == "__main__":
    raise SystemExit(main())
