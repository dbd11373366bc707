"""Compiles the streaming load client, runs it against a server, and prints its figures.

    python -m tools.sse_load.run --url http://127.0.0.1:30000 --streams 64 --seconds 10 \\
        --max-tokens 200

Needs a C compiler (``cc``) and Linux. To see what the server itself carries, put it in front of an
engine that costs nothing: ``python -m tools.sse_load.instant_server``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SOURCE = Path(__file__).with_name("sse_load.c")
CFLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra")
COMPLETIONS = "/v1/completions"
PROMPT = "Tell me a story about a"
GRACE_S = 30.0
"""What the client may take beyond its seconds before it counts as hung."""

ROWS = {
    "seconds": "seconds measured",
    "requests": "answers read to the end",
    "errors": "errors",
    "events": "events",
    "events_per_s": "events per second",
    "events_per_answer": "events per answer",
    "gap_p50_ms": "time between events, median, ms",
    "gap_p99_ms": "time between events, p99, ms",
    "ttft_p50_ms": "time to the first event, median, ms",
    "ttft_p99_ms": "time to the first event, p99, ms",
}
"""The figures in their order, in words."""


class LoadError(Exception):
    """No figures: no compiler, no Linux, nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """``streams`` calls at a time to ``path`` with one body, for ``seconds``."""

    url: str
    path: str = COMPLETIONS
    body: dict[str, Any] = field(default_factory=dict)
    streams: int = 64
    seconds: float = 10.0
    header: str = ""


def completion_body(max_tokens: int, prompt: str = PROMPT) -> dict[str, Any]:
    """A streaming completion of exactly so many tokens."""
    return {
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }


def compile_client(directory: Path) -> Path:
    """The program, made in ``directory``. Raises LoadError."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise LoadError("there is no C compiler: cc is not on the path")
    if sys.platform != "linux":
        raise LoadError("the client waits by epoll, which Linux alone has")
    program = directory / "sse_load"
    done = subprocess.run(
        [compiler, *CFLAGS, "-o", str(program), str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LoadError(f"{SOURCE.name} does not compile\n{done.stderr}")
    return program


def run_load(load: Load) -> dict[str, Any]:
    """The figures of one run, by the names of :data:`ROWS`. Raises LoadError."""
    target = urlsplit(load.url)
    if target.scheme != "http" or target.hostname is None:
        raise LoadError(f"{load.url!r:.80} is not like http://127.0.0.1:30000")
    with tempfile.TemporaryDirectory(prefix="sse-load-") as name:
        directory = Path(name)
        program = compile_client(directory)
        body = directory / "body.json"
        body.write_text(json.dumps(load.body), encoding="utf-8")
        arguments = [target.hostname, str(target.port or 80), load.path, str(body)]
        arguments += [str(load.streams), str(load.seconds), *([load.header] if load.header else [])]
        done = subprocess.run(
            [str(program), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=load.seconds + GRACE_S,
        )
    if done.returncode != 0:
        raise LoadError(f"the client ended with {done.returncode}; what it said is above")
    figures: dict[str, Any] = json.loads(done.stdout)
    answers = figures["requests"]
    figures["events_per_answer"] = figures.pop("events_done") / answers if answers else None
    return figures


def as_table(figures: dict[str, Any]) -> str:
    """The figures, one per line."""
    width = max(map(len, ROWS.values()))
    return "\n".join(f"{words:<{width}}  {_shown(figures[name])}" for name, words in ROWS.items())


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.sse_load.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--url", default="http://127.0.0.1:30000")
    add("--path", default=COMPLETIONS)
    add("--streams", type=int, default=64, help="connections, one call each (default 64)")
    add("--seconds", type=float, default=10.0, help="default 10")
    add("--max-tokens", type=int, default=200, help="of a call (default 200)")
    add("--prompt", default=PROMPT)
    add("--body", metavar="FILE", help="JSON of another call; stands for the prompt and its tokens")
    add("--header", default="", help='such as "Authorization: Bearer KEY"')
    add("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 1 where there were errors, 2 where there are no figures."""
    arguments = read_arguments(argv)
    body = completion_body(arguments.max_tokens, arguments.prompt)
    if arguments.body is not None:
        body = json.loads(Path(arguments.body).read_text(encoding="utf-8"))
    load = Load(
        url=arguments.url,
        path=arguments.path,
        body=body,
        streams=arguments.streams,
        seconds=arguments.seconds,
        header=arguments.header,
    )
    try:
        figures = run_load(load)
    except LoadError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(figures) if arguments.json else as_table(figures))
    return int(figures["errors"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
