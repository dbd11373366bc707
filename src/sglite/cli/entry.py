"""From a command line to the command's module, and from exceptions to exit codes."""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from sglite.cli.parser import CommandParser
from sglite.config_fields import nearest
from sglite.errors import ConfigError, ModelLoadError, RequestError

# Each module has add_arguments(parser) and run(arguments) -> exit code. Nothing of a module is
# imported before it is asked for: `sglite --help` takes milliseconds.
COMMANDS = {
    "serve": "serve a model over HTTP",
    "router": "put one address before several servers",
    "generate": "answer prompts from the command line or standard input",
    "chat": "chat in the terminal",
    "demo": "chat in a terminal, otherwise answer three questions",
    "smoke": "check end to end that text comes, exit 0 only if it does",
    "verify": "compare this checkpoint with transformers: logits and greedy tokens",
    "eval": "ask the questions of a file and count the right answers",
    "plan": "say what fits into memory, before loading anything",
    "doctor": "say what this machine uses, and why",
    "make-model": "write a checkpoint with random weights",
    "bench": "measure",
}

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; no exception leaves."""
    words = list(sys.argv[1:] if argv is None else argv)
    _write_any_letter()
    program = f"sglite {words[0]}" if words and words[0] in COMMANDS else "sglite"
    try:
        return dispatch(words)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _close_pipe()
    except SystemExit as stop:  # argparse, after it printed a help text
        return int(stop.code or 0)
    except (ConfigError, ModelLoadError, RequestError) as error:
        return _fail(program, error, code=EXIT_USAGE)
    except Exception as error:  # noqa: BLE001 - the border: one line instead of a traceback
        return _fail(program, error, code=EXIT_FAILED)


def dispatch(words: list[str]) -> int:
    """Run the command that ``words`` starts with; ConfigError where there is none."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if words else EXIT_USAGE
    if words[0] in ("-V", "--version"):
        print(_version())
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        raise ConfigError(_unknown_command(name))
    module = importlib.import_module(f"sglite.cli.{name.replace('-', '_')}")
    parser = CommandParser(prog=f"sglite {name}", description=module.__doc__)
    module.add_arguments(parser)
    return int(module.run(parser.parse_args(rest)))


def overview() -> str:
    """The text of ``sglite --help``."""
    lines = [f"  {name:<12}{summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: sglite COMMAND ...",
            "",
            *lines,
            "",
            "sglite COMMAND --help lists the options of a command, sglite --version the version.",
            "Every option can also stand in the environment (SGLITE_<NAME>) or in a --config FILE.",
        ]
    )


def _version() -> str:
    import sglite

    return f"sglite {sglite.__version__}"


def _unknown_command(name: str) -> str:
    close = nearest(name, COMMANDS)
    hint = f"the nearest one is {close}" if close else "see sglite --help"
    return f"{name} is not a command; {hint}"


def _fail(program: str, error: Exception, *, code: int) -> int:
    if logging.getLogger("sglite").isEnabledFor(logging.DEBUG):
        traceback.print_exception(error)
    message = " ".join(str(error).split()) or type(error).__name__
    print(f"{program}: {message}", file=sys.stderr)
    return code


def _write_any_letter() -> None:
    """A terminal that cannot show a letter shows a question mark, instead of ending the program."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _close_pipe() -> int:
    """The reader of our output left. Python's own flush at exit would complain about it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    return EXIT_FAILED
