"""Check end to end that text comes: an answer, a cached repeat, a stream, a batch, an abort.

Exit code 0 only if every check holds.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from sglite.cli.asking import Asker
from sglite.cli.engine import has_chat_template, open_llm, read_config
from sglite.cli.output import is_complete, summary
from sglite.cli.parser import parse_integer
from sglite.config_flags import add_option_arguments
from sglite.errors import ConfigError
from sglite.request import SamplingParams

if TYPE_CHECKING:
    from sglite.config import EngineConfig
    from sglite.generation import Generation

QUESTION = "What is the capital of France?"
BATCH = 4
PAGES = 3
TEMPLATE_TOKENS = 64
"""More than a chat template adds to a question."""


class Check(NamedTuple):
    """One claim and what was seen."""

    name: str
    holds: bool
    seen: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sglite smoke``."""
    parser.add_argument("prompt", nargs="?", default=QUESTION, help=f"default: {QUESTION}")
    parser.add_argument("--max-new-tokens", default="32", metavar="INT", help="default: 32")
    add_option_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one line per check; 1 where one fails."""
    config = read_config(arguments)
    if config.skip_tokenizer_init:
        raise ConfigError("--skip-tokenizer-init: smoke looks for text, so it needs the tokenizer")
    max_new_tokens = parse_integer(arguments.max_new_tokens, flag="--max-new-tokens", at_least=1)
    sampling = SamplingParams(temperature=0.0, max_new_tokens=max_new_tokens)
    failed = 0
    with open_llm(config) as llm:
        asker = Asker(llm, sampling, is_chat=has_chat_template(llm))
        for check in checks(asker, arguments.prompt):
            print(f"{'ok    ' if check.holds else 'FAILED'}  {check.name:<7} {check.seen}")
            failed += not check.holds
    return 1 if failed else 0


def checks(asker: Asker, prompt: str) -> Iterator[Check]:
    """Run the checks one after the other."""
    first = asker.answer_all([prompt])[0]
    yield check_text(first)
    several_pages = long_prompt(asker, prompt)
    cold = asker.answer_all([several_pages])[0]
    yield check_repeat(cold, asker.answer_all([several_pages])[0], asker.llm.config)
    yield check_stream(asker, prompt, expected=first.text)
    yield check_batch(asker.answer_all([prompt] * BATCH))
    yield check_abort(asker, prompt)


def long_prompt(asker: Asker, prompt: str) -> str:
    """``prompt`` repeated until it fills three pages, or as often as the context has room for."""
    llm = asker.llm
    assert llm.tokenizer is not None, "smoke refuses --skip-tokenizer-init"
    context_length = llm.config.context_length or llm.spec.context_length
    pool_tokens = llm.config.max_total_tokens or context_length
    room = min(context_length, pool_tokens) - (asker.sampling.max_new_tokens or 0)
    longer = text = prompt
    while len(llm.tokenizer.encode(text)) <= PAGES * llm.config.page_size:
        longer = f"{longer} {prompt}"
        if len(llm.tokenizer.encode(longer)) > room - TEMPLATE_TOKENS:
            break
        text = longer
    return text


def check_text(generation: Generation) -> Check:
    """Some text came."""
    holds = bool(generation.text.strip()) and is_complete(generation)
    return Check("text", holds, f"{generation.text[:60]!r} {summary(generation)}")


def check_repeat(first: Generation, again: Generation, config: EngineConfig) -> Check:
    """The same prompt gives the same tokens and reuses all whole pages before its last token."""
    pages = (first.num_prompt_tokens - 1) // config.page_size
    limits = (config.radix_cache_max_tokens, config.radix_cache_max_entries)
    is_cached = not config.disable_radix_cache and limits == (None, None)
    longest = config.radix_cache_max_prompt_tokens
    if longest is not None and first.num_prompt_tokens > longest:
        is_cached = False
    expected = pages * config.page_size if is_cached else 0
    same = first.token_ids == again.token_ids
    seen = f"{again.num_cached_tokens} of {again.num_prompt_tokens} prompt tokens cached"
    holds = same and again.num_cached_tokens >= expected
    return Check("repeat", holds, seen + ("" if same else ", but other tokens"))


def check_stream(asker: Asker, prompt: str, *, expected: str) -> Check:
    """The pieces of the stream are the answer."""
    pieces = [chunk.text for chunk in asker.stream(prompt)]
    return Check("stream", "".join(pieces) == expected, f"{len(pieces)} pieces")


def check_batch(generations: list[Generation]) -> Check:
    """Several at once all get text."""
    with_text = sum(bool(generation.text.strip()) for generation in generations)
    holds = with_text == len(generations) == BATCH
    return Check("batch", holds, f"{with_text} of {BATCH} have text")


def check_abort(asker: Asker, prompt: str) -> Check:
    """A stream that is closed early leaves nothing behind: the cache can be emptied."""
    with contextlib.closing(asker.stream(prompt)) as stream:
        next(stream, None)
    is_idle = asker.llm.flush_cache()
    return Check("abort", is_idle, "engine idle, cache flushed" if is_idle else "engine still busy")
