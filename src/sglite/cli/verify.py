"""Compare a checkpoint under sglite with the same under transformers: log-probabilities and tokens.

Runs in float32 unless --dtype says otherwise. The types with fewer digits are compared loosely.
"""

from __future__ import annotations

import argparse
import random
from typing import TYPE_CHECKING

from sglite.cli.engine import open_llm, read_config
from sglite.cli.output import say
from sglite.cli.verify_compare import TOLERANCES, Ours, Tolerance, Verdict, compare
from sglite.config_flags import add_option_arguments
from sglite.errors import ConfigError
from sglite.request import SamplingParams

if TYPE_CHECKING:
    from sglite.llm import LLM

NUM_NEW_TOKENS = 64
NUM_TOP = 10
TEXTS = (
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "1 + 1 = 2, 2 + 2 = 4, 3 + 3 =",
    "Übermorgen fährt der Zug nach Zürich, 東京 und Москва: ",
    "Once upon a time, in a land where every river ran uphill, there lived a miller. " * 12,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sglite verify``: the options of the engine."""
    add_option_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a table, one row per prompt; 1 where one does not match."""
    config = read_config(arguments, dtype="float32")
    with open_llm(config) as llm:
        answers = ask_ours(llm)
    from sglite.cli.reference_model import ReferenceModel
    from sglite.models.hub import resolve_model_directory

    say("sglite: answers are in; now loading the checkpoint with transformers")
    directory = resolve_model_directory(
        config.model_path, source=config.model_source, revision=config.revision
    )
    reference = ReferenceModel.load(str(directory), dtype=config.dtype)
    tolerance = TOLERANCES[reference.dtype]
    verdicts = [
        compare(ours, reference.score(ours.prompt_ids + list(ours.cold.token_ids)), tolerance)
        for ours in answers
    ]
    print(table(verdicts, dtype=reference.dtype, tolerance=tolerance))
    return 0 if all(verdict.holds for verdict in verdicts) else 1


def ask_ours(llm: LLM) -> list[Ours]:
    """64 greedy tokens for every prompt, with log-probabilities."""
    prompts = prompt_ids(llm)
    sampling = SamplingParams(temperature=0.0, max_new_tokens=NUM_NEW_TOKENS, ignore_eos=True)
    cold = llm.generate(
        prompts, sampling, return_logprob=True, logprob_start_len=0, top_logprobs_num=NUM_TOP
    )
    cached = [llm.generate([prompt], sampling) for prompt in prompts]
    assert isinstance(cold, list), "a list of prompts gives a list of generations"
    again = [each[0] if isinstance(each, list) else each for each in cached]
    return [Ours(*row) for row in zip(prompts, cold, again, strict=True)]


def prompt_ids(llm: LLM) -> list[list[int]]:
    """The prompts as token ids, random ones where there is no tokenizer."""
    longest = max_prompt_tokens(llm)
    if llm.tokenizer is not None:
        encoded = [list(llm.tokenizer.encode(text)) for text in TEXTS]
    else:
        generator = random.Random(0)
        sizes = (3, 7, 20, 60, 250)
        encoded = [[generator.randrange(llm.spec.vocab_size) for _ in range(n)] for n in sizes]
    return [token_ids[:longest] for token_ids in encoded]


def max_prompt_tokens(llm: LLM) -> int:
    """Longest prompt that leaves room for the answer."""
    context_length = llm.config.context_length or llm.spec.context_length
    longest = context_length - NUM_NEW_TOKENS
    if longest < 1:
        raise ConfigError(
            f"the context has {context_length} tokens; verify needs more than {NUM_NEW_TOKENS}"
        )
    return longest


def table(verdicts: list[Verdict], *, dtype: str, tolerance: Tolerance) -> str:
    """The verdicts as text, under them what was allowed."""
    lines = [f"{'prompt':>7} {'cached':>7} {'logit error':>12} {'tokens':>8}  result"]
    for verdict in verdicts:
        tokens = f"{verdict.num_matching}/{verdict.num_compared}"
        result = ("ok " if verdict.holds else "MISMATCH ") + verdict.note
        lines.append(
            f"{verdict.num_prompt_tokens:>7} {verdict.num_cached_tokens:>7} "
            f"{verdict.logit_error:>12.1e} {tokens:>8}  {result.strip()}"
        )
    lines.append(
        f"{dtype}: logit error at most {tolerance.logits:g} of the largest logit; "
        f"tokens up to a change of place of two best logits within {tolerance.tie:g}"
    )
    return "\n".join(lines)
