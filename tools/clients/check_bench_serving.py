"""Runs SGLang's benchmark client against a server and compares what the two of them counted.

    python tools/clients/check_bench_serving.py CLIENT [--url URL] OPTIONS...

CLIENT is the client's file or the name of its module; all options but ``--url`` are its own. The
bodies that it sends are kept on their way out. Then the client must count every request as
completed and as many generated tokens as it asked for, and the server must have counted as many
prompt tokens as its tokenizer makes of these bodies, and as many generated ones. Prints one line,
and ends with 1 where a figure differs. Nothing else may use the server meanwhile.
"""

from __future__ import annotations

import argparse
import json
import re
import runpy
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

ANSWERING = ("/generate", "/v1/completions", "/v1/chat/completions")
LIMITS = ("max_new_tokens", "max_tokens", "max_completion_tokens")
COUNTERS = ("num_requests", "prompt_tokens", "generation_tokens")
SETTLE_S = 10.0

Body = dict[str, Any]


class Counts(NamedTuple):
    """Requests and tokens."""

    requests: int
    prompt_tokens: int
    output_tokens: int


@contextmanager
def bodies_sent() -> Iterator[list[Body]]:
    """Fills the list with the bodies of requests for answers, in the order of their sending."""
    bodies: list[Body] = []
    send = aiohttp.ClientSession._request

    async def keep_and_send(self: Any, method: str, url: Any, **options: Any) -> Any:
        if str(url).endswith(ANSWERING):
            body = options.get("json")
            bodies.append(json.loads(options["data"]) if body is None else body)
        return await send(self, method, url, **options)

    aiohttp.ClientSession._request = keep_and_send  # type: ignore[method-assign]
    try:
        yield bodies
    finally:
        aiohttp.ClientSession._request = send  # type: ignore[method-assign]


def run_client(client: str, options: list[str]) -> tuple[list[Body], Body]:
    """The bodies it sent and the results it wrote. Raises SystemExit where it fails."""
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory) / "results.jsonl"
        sys.argv = [client, *options, "--output-file", str(results), "--output-details"]
        with bodies_sent() as bodies:
            if client.endswith(".py"):
                runpy.run_path(client, run_name="__main__")
            else:
                runpy.run_module(client, run_name="__main__", alter_sys=True)
        return bodies, json.loads(results.read_text().splitlines()[-1])


def num_asked(body: Body) -> int:
    """The output tokens that a body asks for."""
    holder = body.get("sampling_params", body)
    return next(int(holder[name]) for name in LIMITS if name in holder)


def num_prompt_tokens(url: str, body: Body) -> int:
    """What the server's tokenizer makes of a body's prompt."""
    if "input_ids" in body:
        return len(body["input_ids"])
    if "messages" in body:
        return int(_post(f"{url}/tokenize", {"messages": body["messages"]})["count"])
    prompt = body.get("text", body.get("prompt"))
    return int(_post(f"{url}/tokenize", {"prompt": prompt})["count"])


def counted(url: str) -> Counts:
    """The server's own counters since its start."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        text = answer.read().decode()
    sums = []
    for name in COUNTERS:
        values = re.findall(rf"^sglang:{name}_total(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        sums.append(int(sum(map(float, values))))
    return Counts(*sums)


def counted_since(url: str, before: Counts, *, num_requests: int) -> Counts:
    """How far the counters went, once these requests have ended."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        now = Counts(*(new - old for new, old in zip(counted(url), before, strict=True)))
        if now.requests >= num_requests or time.monotonic() > deadline:
            return now
        time.sleep(0.1)


def differences(sent: list[Body], results: Body, asked: Counts, served: Counts) -> list[str]:
    """What does not agree, in words. The first bodies are those of the client's warm-up."""
    measured = sent[len(sent) - len(results["output_lens"]) :]
    completed, generated = results["completed"], results["total_output_tokens"]
    wanted = sum(map(num_asked, measured))
    found = []
    if completed != len(measured) or any(results["errors"]):
        found.append(f"the client completed {completed} of {len(measured)} requests")
    if generated != wanted:
        found.append(f"the client counts {generated} generated tokens, and asked for {wanted}")
    found += [
        f"{name}: the server counts {have}, and {should} were asked for"
        for name, have, should in zip(Counts._fields, served, asked, strict=True)
        if have != should
    ]
    return found


def _post(url: str, body: Body) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("client")
    parser.add_argument("--url", default="http://127.0.0.1:30000")
    arguments, options = parser.parse_known_args()
    before = counted(arguments.url)
    sent, results = run_client(arguments.client, [*options, "--base-url", arguments.url])
    asked = Counts(
        len(sent),
        sum(num_prompt_tokens(arguments.url, body) for body in sent),
        sum(map(num_asked, sent)),
    )
    served = counted_since(arguments.url, before, num_requests=len(sent))
    found = differences(sent, results, asked, served)
    print(
        f"{'DIFFERS' if found else 'agrees'}: {results['completed']} completed, "
        f"{results['total_output_tokens']} generated; server, with warm-up: {served.requests} "
        f"requests, {served.prompt_tokens} prompt and {served.output_tokens} generated tokens"
    )
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
