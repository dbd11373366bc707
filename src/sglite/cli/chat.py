"""Chat in the terminal. /help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves.

Lines on standard input are read as well, so that a conversation can be piped in.
"""

from __future__ import annotations

import argparse

from sglite.cli.chat_session import ChatSession
from sglite.cli.engine import has_chat_template, open_llm, read_config
from sglite.cli.line_input import ReadLine, line_reader
from sglite.cli.output import say, say_on_terminal
from sglite.cli.sampling_flags import add_sampling_arguments, given_sampling, sampling_params
from sglite.config import ServerConfig
from sglite.config_flags import add_option_arguments, given_options
from sglite.config_sources import load_values
from sglite.errors import ConfigError
from sglite.request import SamplingParams


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``sglite chat``."""
    parser.add_argument(
        "--url", metavar="URL", help="talk to this server instead: sglite's, or any of OpenAI's API"
    )
    parser.add_argument(
        "--api-key", metavar="KEY", help="key of that server (rather in SGLITE_API_KEY)"
    )
    parser.add_argument(
        "--served-model-name", metavar="NAME", help="model of that server; unset: its first"
    )
    parser.add_argument("--system", metavar="TEXT", help="system message of the conversation")
    parser.add_argument(
        "--no-history", action="store_true", help="do not remember typed lines in a file"
    )
    add_sampling_arguments(parser)
    add_option_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Chat until the input ends."""
    if arguments.url is not None:
        return _chat_with_server(arguments)
    if arguments.api_key or arguments.served_model_name:
        raise ConfigError("--api-key and --served-model-name belong to --url URL")
    with open_llm(read_config(arguments)) as llm:
        if not has_chat_template(llm):
            raise ConfigError(
                "this model has no chat template; give --chat-template FILE, "
                "or use sglite generate --raw"
            )
        # An answer may take the context that is left.
        sampling = sampling_params(arguments, llm.generation_defaults, max_new_tokens=None)
        refuse_several(sampling)
        _chat(ChatSession(llm, sampling, system=arguments.system), arguments)
    return 0


def _chat_with_server(arguments: argparse.Namespace) -> int:
    """The same without an engine. What is not asked for stays as the server has it."""
    from sglite.client.remote_llm import RemoteLLM

    given = given_sampling(arguments)
    refuse_several(SamplingParams(**given))
    unused = sorted(given_options(arguments).keys() - {"log_level", "log_format"})
    if unused:
        flag = unused[0].replace("_", "-")
        raise ConfigError(f"--{flag} is for an engine here; with --url the server has its own")
    config = read_config(arguments)
    key = arguments.api_key or load_values(ServerConfig, {}).get("api_key")
    with RemoteLLM(
        arguments.url,
        model=arguments.served_model_name,
        api_key=key,
        log_level=config.log_level,
    ) as llm:
        say_on_terminal(f"{llm.model} at {arguments.url}")
        _chat(ChatSession(llm, given, system=arguments.system), arguments)
    return 0


def _chat(session: ChatSession, arguments: argparse.Namespace) -> None:
    say_on_terminal("Type a message, or /help. Ctrl-C stops an answer, Ctrl-D leaves.")
    converse(session, line_reader(keep_history=not arguments.no_history))


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
