"""Show that it works: chat in a terminal, otherwise answer three built-in questions."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from sglite.cli import chat
from sglite.cli.asking import Asker
from sglite.cli.engine import has_chat_template, open_llm, read_config
from sglite.cli.output import is_complete, tokens_per_second, write_pieces
from sglite.cli.sampling_flags import sampling_params

QUESTIONS = ("What is the capital of France?", "What is 17 + 25?", "Who are you?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``sglite chat``."""
    chat.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Chat with a person, answer the questions otherwise; 1 where an answer has no text."""
    if sys.stdin.isatty():
        return chat.run(arguments)
    with open_llm(read_config(arguments)) as llm:
        is_chat = has_chat_template(llm)
        fallback = {"max_new_tokens": None} if is_chat else {}
        sampling = sampling_params(arguments, llm.generation_defaults, **fallback)
        if "temperature" not in arguments:
            sampling = dataclasses.replace(sampling, temperature=0.0)
        chat.refuse_several(sampling)
        asker = Asker(llm, sampling, is_chat=is_chat, system=arguments.system)
        answered = [answer_question(asker, question) for question in QUESTIONS]
    return 0 if all(answered) else 1


def answer_question(asker: Asker, question: str) -> bool:
    """Print question, answer and tokens per second; False where no text came."""
    print(f"> {question}", flush=True)
    text, finished = write_pieces(asker.stream(question), log_level=asker.llm.config.log_level)
    assert finished is not None, "a stream ended without its last chunk"
    speed = tokens_per_second(finished)
    print(f"\n({finished.num_output_tokens} tokens, {speed:.1f} tokens/s)\n", flush=True)
    return bool(text.strip()) and is_complete(finished)
