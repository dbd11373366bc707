"""Chat in the terminal. /help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves.

Lines on standard input are read as well, so that a conversation can be piped in.
"""

from __future__ import annotations

import argparse

from sglite.cli.chat_session import ChatSession
from sglite.cli.engine import has_chat_template, open_llm, read_config
from sglite.cli.line_input import ReadLine, line_reader
from sglite.cli.output import say, say_on_terminal
from sglite.cli.sampling_flags import add_sampling_arguments, sampling_params
from sglite.config_flags import add_option_arguments
from sglite.errors import ConfigError
from sglite.request import SamplingParams


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sglite chat``."""
    parser.add_argument("--system", metavar="TEXT", help="system message of the conversation")
    parser.add_argument(
        "--no-history", action="store_true", help="do not remember typed lines in a file"
    )
    add_sampling_arguments(parser)
    add_option_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Chat until the input ends."""
    with open_llm(read_config(arguments)) as llm:
        if not has_chat_template(llm):
            raise ConfigError(
                "this model has no chat template; give --chat-template FILE, "
                "or use sglite generate --raw"
            )
        # An answer may take the context that is left.
        sampling = sampling_params(arguments, llm.generation_defaults, max_new_tokens=None)
        refuse_several(sampling)
        session = ChatSession(llm, sampling, system=arguments.system)
        say_on_terminal("Type a message, or /help. Ctrl-C stops an answer, Ctrl-D leaves.")
        converse(session, line_reader(keep_history=not arguments.no_history))
    return 0


def refuse_several(sampling: SamplingParams) -> None:
    """ConfigError where more than one answer is asked for."""
    if sampling.n != 1:
        raise ConfigError("--n: a chat has one answer at a time; use sglite generate")


def converse(session: ChatSession, read_line: ReadLine) -> None:
    """Read lines and handle them until the input or the session ends.

    Ctrl-C at the prompt empties the line, twice in a row it leaves. Twice during an answer it ends
    the program.
    """
    was_interrupted = False
    while not session.is_over:
        try:
            line = read_line("> ")
        except EOFError:
            return
        except KeyboardInterrupt:
            if was_interrupted:
                return
            was_interrupted = True
            say("(Ctrl-C again, Ctrl-D or /exit leaves)")
            continue
        was_interrupted = False
        session.handle(line)
