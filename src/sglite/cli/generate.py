"""Answer prompts given by --prompt or on standard input, each on its own.

A model with a chat template reads the prompt as a message of a user, unless --raw.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sglite.cli.asking import Asker
from sglite.cli.engine import has_chat_template, open_llm, read_config
from sglite.cli.output import (
    is_complete,
    say,
    say_on_terminal,
    summary,
    write_answer,
    write_json,
    write_pieces,
)
from sglite.cli.parser import parse_integer
from sglite.cli.sampling_flags import add_sampling_arguments, sampling_params
from sglite.cli.text_input import checked_text, read_text
from sglite.config_flags import add_option_arguments
from sglite.errors import ConfigError
from sglite.wire import generation_to_sglang

if TYPE_CHECKING:
    from sglite.generation import Generation
    from sglite.llm import LLM

Prompt = str | list[int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sglite generate``."""
    parser.add_argument("--prompt", action="append", metavar="TEXT", help="may be repeated")
    parser.add_argument(
        "--input-ids", action="append", metavar="IDS", help="a prompt as token ids, e.g. 1,2,3"
    )
    parser.add_argument("--lines", action="store_true", help="each line of stdin is a prompt")
    parser.add_argument("--raw", action="store_true", help="continue the text, no chat template")
    parser.add_argument("--system", metavar="TEXT", help="system message before each prompt")
    parser.add_argument(
        "--json", action="store_true", help="print what SGLang's /generate would answer"
    )
    _add_logprob_arguments(parser)
    add_sampling_arguments(parser)
    add_option_arguments(parser)


def _add_logprob_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("log-probabilities", "Shown with --json.")
    group.add_argument("--return-logprob", action="store_true", help="of each output token")
    group.add_argument(
        "--logprob-start-len",
        metavar="INT",
        help="also of the prompt from this position on; -1: no prompt tokens",
    )
    group.add_argument(
        "--top-logprobs-num", default="0", metavar="INT", help="most likely tokens per position"
    )
    group.add_argument(
        "--token-ids-logprob", metavar="IDS", help="of these token ids at each position"
    )
    group.add_argument(
        "--return-text-in-logprobs", action="store_true", help="tokens as text beside their ids"
    )


def run(arguments: argparse.Namespace) -> int:
    """Answer every prompt; 1 where an answer did not come to its end."""
    prompts = read_prompts(arguments)
    logprobs = logprob_arguments(arguments)
    with open_llm(read_config(arguments)) as llm:
        asker = make_asker(llm, arguments, prompts)
        if not arguments.json and len(prompts) == 1 and asker.sampling.n == 1:
            generations = [_stream(asker, prompts[0], logprobs)]
        else:
            generations = asker.answer_all(prompts, **logprobs)
            _print_all(llm, generations, arguments)
    for generation in generations:
        if not is_complete(generation):
            say(summary(generation))
        elif not arguments.json:
            say_on_terminal(summary(generation))
    return 0 if all(is_complete(generation) for generation in generations) else 1


def make_asker(llm: LLM, arguments: argparse.Namespace, prompts: list[Prompt]) -> Asker:
    """How these prompts are put to the model."""
    is_chat = has_chat_template(llm) and not arguments.raw and isinstance(prompts[0], str)
    if arguments.system and not is_chat:
        raise ConfigError("--system needs a model with a chat template, and no --raw")
    # A chat model ends by itself; a text that is continued does not.
    fallback = {"max_new_tokens": None} if is_chat else {}
    sampling = sampling_params(arguments, llm.generation_defaults, **fallback)
    return Asker(llm, sampling, is_chat=is_chat, system=arguments.system)


def read_prompts(arguments: argparse.Namespace) -> list[Prompt]:
    """The prompts of a command line or of standard input; ConfigError where there is none."""
    if arguments.prompt and arguments.input_ids:
        raise ConfigError("--prompt and --input-ids do not go together")
    if arguments.input_ids:
        return [parse_ids(text, flag="--input-ids") for text in arguments.input_ids]
    if arguments.prompt:
        return [checked_text(prompt, source="--prompt") for prompt in arguments.prompt]
    if sys.stdin.isatty():
        raise ConfigError("no prompt: give --prompt TEXT, or a text on standard input")
    text = read_text(sys.stdin.read)
    if not text.strip():
        raise ConfigError("no prompt: standard input is empty")
    return list(_lines(text)) if arguments.lines else [text.removesuffix("\n")]


def _lines(text: str) -> Iterator[str]:
    """The lines of ``text``; none may be empty, or the answers would no longer be in line."""
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        if not line.strip():
            raise ConfigError(f"line {number} of standard input is empty; --lines answers each one")
        yield line


def logprob_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """The log-probability arguments of ``LLM.generate``; each flag of them asks for all."""
    start_len = arguments.logprob_start_len
    token_ids = arguments.token_ids_logprob
    start = None if start_len is None else parse_integer(start_len, flag="--logprob-start-len")
    top_num = parse_integer(arguments.top_logprobs_num, flag="--top-logprobs-num")
    chosen = parse_ids(token_ids, flag="--token-ids-logprob") or None
    is_wanted = bool(arguments.return_logprob or start is not None or top_num or chosen)
    if is_wanted and not arguments.json:
        raise ConfigError("log-probabilities are shown with --json; add it")
    return {
        "return_logprob": is_wanted,
        "logprob_start_len": None if start == -1 else start,
        "top_logprobs_num": top_num,
        "token_ids_logprob": chosen,
    }


def parse_ids(text: str | None, *, flag: str) -> list[int]:
    """``"1, 2 3" -> [1, 2, 3]``; ConfigError where a word is no integer."""
    return [parse_integer(word, flag=flag) for word in (text or "").replace(",", " ").split()]


def _stream(asker: Asker, prompt: Prompt, logprobs: dict[str, Any]) -> Generation:
    try:
        chunks = asker.stream(prompt, **logprobs)
        _, finished = write_pieces(chunks, log_level=asker.llm.config.log_level)
    except KeyboardInterrupt:
        if sys.stdout.isatty():
            write_answer("\n")  # what follows begins on a line of its own
        raise
    write_answer("\n")
    assert finished is not None, "a stream ended without its last chunk"
    return finished


def _print_all(llm: LLM, generations: list[Generation], arguments: argparse.Namespace) -> None:
    if not arguments.json:
        for generation in generations:
            write_answer(f"{generation.text}\n")
        return
    with_text = arguments.return_text_in_logprobs
    answers = [
        generation_to_sglang(generation, llm.tokenizer, with_text=with_text)
        for generation in generations
    ]
    write_json(answers[0] if len(answers) == 1 else answers)
